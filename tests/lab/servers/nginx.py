"""A real nginx with one site: what stands in its server block is the caller's to say."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.lab.namespaces import in_namespace, inside
from tests.pki import Issued
from tests.programs import free_port, listening, program, running
from tests.waiting import until_sync


@contextmanager
def nginx(
    folder: Path,
    site: str,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    shown: Issued | None = None,
    namespace: str = "",
) -> Iterator[int]:
    """Run nginx, with TLS where a certificate is shown; yields its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port(address if not namespace else "127.0.0.1")
    host = f"[{address}]" if ":" in address else address
    tls = f"ssl_certificate {shown.cert}; ssl_certificate_key {shown.key};" if shown else ""
    scratch = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (folder / "nginx.conf").write_text(
        f"user {getpass.getuser()};\n"  # as root it would drop to one who cannot read our folder
        f"daemon off; pid {folder}/pid; error_log {folder}/err; worker_processes 1;\n"
        "events { worker_connections 256; }\n"
        "http { access_log off;\n"
        + "".join(f"{name}_temp_path {folder}/{name};\n" for name in scratch)
        + f"server {{ listen {host}:{port}{' ssl' if shown else ''}; {tls}\n{site}\n}} }}\n",
        "utf-8",
    )
    command = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    there = inside(namespace) if namespace else nullcontext()
    with running(in_namespace(namespace, *command) if namespace else command, log=folder / "log"):
        with there:
            until_sync(lambda: listening(address, port), what="nginx listens")
        yield port
