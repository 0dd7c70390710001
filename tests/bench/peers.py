"""The programs a comparison needs: targets to probe and the field's own tools, on loopback."""

import getpass
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs import free_port, listening, program, running

BLACKBOX = """
modules:
  icmp: {prober: icmp, timeout: 5s, icmp: {preferred_ip_protocol: ip4}}
  tcp: {prober: tcp, timeout: 5s, tcp: {preferred_ip_protocol: ip4}}
  http: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}
  https: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4, tls_config: {ca_file: CA}}}
  dns: {prober: dns, timeout: 5s, dns: {preferred_ip_protocol: ip4, query_name: portal.test, query_type: A}}
"""


@dataclass(frozen=True, slots=True)
class Targets:
    """Where five kinds of probes find something that answers."""

    http: str
    https: str
    tcp: str
    dns: str
    icmp: str
    ca: Path

    def of(self, kind: str) -> str:
        """Return the target for blackbox's module or our check of this kind."""
        return str(getattr(self, kind))


def wait(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Wait for a program to be ready."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


@contextmanager
def targets(work: Path) -> Iterator[Targets]:
    """Run nginx (http, https with an ECDSA certificate) and unbound."""
    plain, tls, dns = free_port(), free_port(), free_port()
    _certificate(work)
    (work / "www").mkdir()
    (work / "www/index.html").write_text("<h1>Cổng thông tin điện tử</h1>" * 40, "utf-8")
    (work / "nginx.conf").write_text(
        f"user {getpass.getuser()}; daemon off; pid {work}/nginx.pid; error_log {work}/nginx.err; worker_processes 1;\n"
        "events { worker_connections 512; }\n"
        f"http {{ access_log off; root {work}/www; client_body_temp_path {work}/t1;\n"
        f" proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3; uwsgi_temp_path {work}/t4;\n"
        f" scgi_temp_path {work}/t5;\n"
        f" server {{ listen 127.0.0.1:{plain}; }}\n"
        f" server {{ listen 127.0.0.1:{tls} ssl; ssl_certificate {work}/cert.pem;\n"
        f"   ssl_certificate_key {work}/key.pem; }} }}\n",
        "utf-8",
    )
    (work / "unbound.conf").write_text(
        "server:\n"
        f"  interface: 127.0.0.1@{dns}\n"
        '  do-daemonize: no\n  chroot: ""\n  username: ""\n  pidfile: ""\n  use-syslog: no\n'
        '  local-zone: "test." static\n  local-data: "portal.test. 60 IN A 127.0.0.1"\n'
    )
    with ExitStack() as stack:
        nginx = [program("nginx"), "-p", str(work), "-c", str(work / "nginx.conf")]
        stack.enter_context(running(nginx, log=work / "nginx.log"))
        unbound = [program("unbound"), "-d", "-c", str(work / "unbound.conf")]
        stack.enter_context(running(unbound, log=work / "unbound.log"))
        wait(lambda: listening("127.0.0.1", tls) and listening("127.0.0.1", dns), "targets")
        yield Targets(
            http=f"http://127.0.0.1:{plain}/",
            https=f"https://127.0.0.1:{tls}/",
            tcp=f"127.0.0.1:{plain}",
            dns=f"127.0.0.1:{dns}",
            icmp="127.0.0.1",
            ca=work / "cert.pem",
        )


def _certificate(work: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(work / "key.pem"), "-out", str(work / "cert.pem")),
            *("-days", "30", "-subj", "/CN=portal.test"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:portal.test"),
        ],
        check=True,
        capture_output=True,
    )


@contextmanager
def blackbox(work: Path, ca: Path) -> Iterator[tuple[int, str]]:
    """Run blackbox_exporter; yields its pid and address."""
    address = f"127.0.0.1:{free_port()}"
    (work / "blackbox.yml").write_text(BLACKBOX.replace("CA", str(ca)))
    command = [
        program("prometheus-blackbox-exporter"),
        f"--config.file={work / 'blackbox.yml'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    ]
    with running(
        command, log=work / "blackbox.log", env={**os.environ, "GOMAXPROCS": "2"}
    ) as child:
        wait(lambda: listening(*_split(address)), "blackbox_exporter")
        yield child.pid, address


@contextmanager
def prometheus(work: Path, name: str, config: str, *flags: str) -> Iterator[tuple[int, str]]:
    """Run a Prometheus of its own folder; yields its pid and address."""
    home = work / name
    home.mkdir()
    address = f"127.0.0.1:{free_port()}"
    (home / "prometheus.yml").write_text(config)
    command = [
        program("prometheus"),
        f"--config.file={home / 'prometheus.yml'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
        *(flag.replace("HOME", str(home)) for flag in flags),
    ]
    with running(command, log=home / "log") as child:
        wait(lambda: listening(*_split(address)), name)
        yield child.pid, address


@contextmanager
def pushgateway(work: Path) -> Iterator[tuple[int, str]]:
    """Run Pushgateway with its consistency check off, which is its quickest way."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus-pushgateway"),
        f"--web.listen-address={address}",
        "--push.disable-consistency-check",
        "--log.level=error",
    ]
    with running(command, log=work / "pushgateway.log") as child:
        wait(lambda: listening(*_split(address)), "pushgateway")
        yield child.pid, address


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def query(address: str, promql: str) -> list[dict]:
    """Ask a Prometheus."""
    url = f"http://{address}/api/v1/query?query={urllib.request.quote(promql)}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.URLError:
        return []
