"""The shipped files for Prometheus and Alertmanager, with the addresses of this machine in them.

Used by the demo and by the end-to-end tests, so that both run what is shipped.
"""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import yaml

CONFIGS = Path(__file__).parent.parent
PROMETHEUS = "prometheus"
ALERTMANAGER = "prometheus-alertmanager"


def prometheus(
    folder: Path, *, collector: str, alertmanager: str, port: int, ca_file: Path | None = None
) -> list[str]:
    """Write Prometheus's files into a folder and return the command that runs it in front.

    `collector` is a URL; `alertmanager` is host:port.
    """
    url = urlsplit(collector)
    config = yaml.safe_load((CONFIGS / "prometheus" / "prometheus.yml").read_text("utf-8"))
    for manager in config["alerting"]["alertmanagers"]:
        manager["static_configs"][0]["targets"] = [alertmanager]
    for job in config["scrape_configs"]:
        job["scheme"] = url.scheme
        job["static_configs"][0]["targets"] = [url.netloc]
        if ca_file:
            job["tls_config"] = {"ca_file": str(ca_file)}
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(CONFIGS / "prometheus" / "thongsuot.rules.yml", folder)
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True), "utf-8")
    return [
        PROMETHEUS,
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--rules.alert.resend-delay=5s",
        "--log.level=warn",
    ]


def alertmanager(folder: Path, *, webhook: str, port: int) -> list[str]:
    """Write Alertmanager's files into a folder and return the command that runs it in front.

    Every receiver posts to `webhook` / its name.
    """
    shipped = CONFIGS / "alertmanager"
    config = yaml.safe_load((shipped / "alertmanager.yml").read_text("utf-8"))
    for receiver in config["receivers"]:
        receiver["webhook_configs"][0]["url"] = f"{webhook}/{receiver['name']}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(shipped / "templates", folder / "templates", dirs_exist_ok=True)
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True), "utf-8")
    return [
        ALERTMANAGER,
        f"--config.file={path}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
