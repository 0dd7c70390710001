"""Real mail servers: postfix (SMTP, STARTTLS, submissions) and dovecot (IMAPS, POP3S)."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.pki import Issued
from tests.programs import free_port, program, root, running
from tests.waiting import until_sync

MASTER = "/usr/lib/postfix/sbin/master"


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running postfix: ports without any TLS, and by the certificate shown."""

    plain: int
    starttls: dict[str, int]
    submissions: dict[str, int]


@dataclass(frozen=True, slots=True)
class Dovecot:
    """A running dovecot."""

    imaps: int
    pop3s: int


@contextmanager
def postfix(
    folder: Path, shown: dict[str, Issued], *, address: str = "127.0.0.1", namespace: str = ""
) -> Iterator[Postfix]:
    """Run postfix, which takes no letters, with two ports for each certificate."""
    program("postfix")
    root()
    ports = Postfix(
        free_port(address),
        {name: free_port(address) for name in shown},
        {name: free_port(address) for name in shown},
    )
    services = [_smtpd(address, ports.plain, "smtpd_tls_security_level=none")]
    for name, issued in shown.items():
        files = (f"smtpd_tls_cert_file={issued.cert}", f"smtpd_tls_key_file={issued.key}")
        may = "smtpd_tls_security_level=may"
        services.append(_smtpd(address, ports.starttls[name], may, *files))
        wrapped = "smtpd_tls_wrappermode=yes"
        services.append(_smtpd(address, ports.submissions[name], wrapped, *files))
    with _open_to_all() as home:
        (home / "etc").mkdir()
        (home / "data").mkdir()
        shutil.chown(home / "data", "postfix")
        (home / "etc/main.cf").write_text(
            "compatibility_level=3.6\n"
            f"queue_directory={home}/spool\ndata_directory={home}/data\nmail_owner=postfix\n"
            f"inet_interfaces={address}\nmyhostname=mail.test\nmydestination=mail.test\n"
            "mynetworks=\nsmtpd_relay_restrictions=reject\nalias_maps=\nlocal_recipient_maps=\n"
            f"maillog_file={home}/log\nmaillog_file_prefixes={home}\n",
            "utf-8",
        )
        (home / "etc/master.cf").write_text(
            "\n".join(services)
            + "\npostlog unix-dgram n - n - 1 postlogd\ntlsmgr unix - - n 1000? 1 tlsmgr\n"
            "anvil unix - - n - 1 anvil\n",
            "utf-8",
        )
        (home / "spool").mkdir()
        subprocess.run(
            [program("postfix"), "-c", str(home / "etc"), "check"], check=True, capture_output=True
        )
        # `postfix start-fg` would leave a shell between us and the master
        command = [*_inside(namespace), MASTER, "-c", str(home / "etc"), "-d"]
        with running(command, log=folder / "postfix.log", start_new_session=True):
            wanted = [ports.plain, *ports.starttls.values(), *ports.submissions.values()]
            until_sync(lambda: _listens(wanted, namespace), what="postfix listens")
            yield ports


def _smtpd(address: str, port: int, *options: str) -> str:
    return f"{address}:{port} inet n - n - - smtpd" + "".join(f" -o {one}" for one in options)


@contextmanager
def dovecot(
    folder: Path, shown: Issued, *, address: str = "127.0.0.1", namespace: str = ""
) -> Iterator[Dovecot]:
    """Run dovecot with one certificate; nobody has a mailbox there."""
    root()
    ports = Dovecot(free_port(address), free_port(address))
    with _open_to_all() as home:
        (home / "conf").write_text(
            f"base_dir = {home}/run\nlog_path = /dev/stderr\nprotocols = imap pop3\n"
            f"listen = {address}\nssl = required\nssl_cert = <{shown.cert}\nssl_key = <{shown.key}\n"
            "passdb {\n driver = static\n args = nopassword=y\n}\n"
            "userdb {\n driver = static\n args = uid=mail gid=mail home=/nonexistent\n}\n"
            f"service imap-login {{\n {_listeners('imap', ports.imaps)} }}\n"
            f"service pop3-login {{\n {_listeners('pop3', ports.pop3s)} }}\n",
            "utf-8",
        )
        command = [*_inside(namespace), program("dovecot"), "-F", "-c", str(home / "conf")]
        with running(command, log=folder / "dovecot.log"):
            wanted = [ports.imaps, ports.pop3s]
            until_sync(lambda: _listens(wanted, namespace), what="dovecot listens")
            yield ports


def _listeners(protocol: str, port: int) -> str:
    return (
        f"inet_listener {protocol} {{\n port = 0\n }}\n"
        f"inet_listener {protocol}s {{\n port = {port}\n ssl = yes\n }}\n"
    )


def _inside(namespace: str) -> list[str]:
    return [program("ip"), "netns", "exec", namespace] if namespace else []


def _listens(ports: list[int], namespace: str) -> bool:
    """Whether something listens on each port, asked of the kernel so that no server is disturbed."""
    shown = subprocess.run(
        [*_inside(namespace), program("ss"), "-Hltn"], capture_output=True, text=True, check=True
    ).stdout
    return all(f":{port} " in shown for port in ports)


@contextmanager
def _open_to_all() -> Iterator[Path]:
    """Make a folder that the servers' own users may enter: pytest's are closed to them."""
    with tempfile.TemporaryDirectory(prefix="thongsuot-mail-") as name:
        home = Path(name)
        home.chmod(0o755)
        yield home
