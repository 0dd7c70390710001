"""Kamailio: a real SIP proxy that answers OPTIONS over UDP, TCP and TLS."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.lab.namespaces import in_namespace, inside
from tests.pki import Issued
from tests.programs import free_port, listening, program, running
from tests.waiting import until_sync


@dataclass(frozen=True, slots=True)
class Kamailio:
    """A running proxy; UDP and TCP share a port."""

    master: int
    address: str
    """With brackets, if it needs them."""
    port: int
    tls_port: int


@contextmanager
def kamailio(
    folder: Path, shown: Issued, *, address: str = "127.0.0.1", namespace: str = ""
) -> Iterator[Kamailio]:
    """Run it on an address, its files in a folder of its own, showing a certificate.

    OPTIONS gets 200, anything else 404.
    """
    folder.mkdir()
    host = f"[{address}]" if ":" in address else address
    with inside(namespace) if namespace else nullcontext():
        port, tls_port = free_port(address), free_port(address)
        (folder / "kamailio.cfg").write_text(
            "debug=1\nlog_stderror=yes\nfork=yes\nchildren=1\ntcp_children=1\nenable_tls=yes\n"
            f"listen=udp:{host}:{port}\nlisten=tcp:{host}:{port}\nlisten=tls:{host}:{tls_port}\n"
            'loadmodule "sl.so"\nloadmodule "tls.so"\n'
            f'modparam("tls","private_key","{shown.key}")\n'
            f'modparam("tls","certificate","{shown.cert}")\n'
            'modparam("tls","tls_method","TLSv1.2+")\n'
            'request_route { if (method=="OPTIONS") { sl_send_reply("200","OK"); exit; }'
            ' sl_send_reply("404","Not Found"); }\n',
            "utf-8",
        )
        files = ["-f", str(folder / "kamailio.cfg"), "-P", str(folder / "pid"), "-Y", str(folder)]
        command = [program("kamailio"), "-DD", "-E", *files, "-m", "32", "-M", "8"]
        with running(in_namespace(namespace, *command), log=folder / "log") as process:
            until_sync(
                lambda: listening(address, tls_port), seconds=20, what="kamailio takes connections"
            )
            yield Kamailio(process.pid, host, port, tls_port)
