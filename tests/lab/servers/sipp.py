"""sipp: a real SIP stack that answers as a script says: oddly, late, wrongly or not at all."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.lab.namespaces import in_namespace, inside
from tests.programs import program, running
from tests.waiting import until_sync

HEARD = '<recv request="OPTIONS"/>\n'


def says(status: str, *, headers: tuple[str, ...] = ()) -> str:
    """Return the step that answers the latest request, as `503 Service Unavailable`."""
    lines = [
        f"SIP/2.0 {status}",
        *("[last_Via:]", "[last_From:]", "[last_To:];tag=[call_number]"),
        *("[last_Call-ID:]", "[last_CSeq:]", *headers, "Content-Length: 0"),
    ]
    return "<send><![CDATA[\n" + "".join(f"{line}\n" for line in lines) + "\n]]></send>\n"


def says_raw(text: str) -> str:
    """Return the step that sends a text as it stands."""
    return f"<send><![CDATA[\n{text}\n\n]]></send>\n"


def waits(milliseconds: int) -> str:
    """Return the step that lets time pass."""
    return f'<pause milliseconds="{milliseconds}"/>\n'


@contextmanager
def sipp(
    folder: Path,
    *steps: str,
    transport: str = "u1",
    hear_again: bool = False,
    address: str = "127.0.0.1",
    namespace: str = "",
) -> Iterator[int]:
    """Play the steps to every request that comes; yields the port. `u1` is UDP, `t1` TCP.

    With `hear_again` a request that is sent again is one more to hear; else it is passed over.
    """
    folder.mkdir()
    script = folder / "scenario.xml"
    script.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="test">\n'
        + "".join(steps)
        + "</scenario>\n",
        "utf-8",
    )
    kind = socket.SOCK_DGRAM if transport.startswith("u") else socket.SOCK_STREAM
    with inside(namespace) if namespace else nullcontext():
        port = _free_port(address, kind)
        command = [program("sipp"), "-sf", str(script), "-i", address, "-p", str(port)]
        command += ["-t", transport, "-nostdin", *(["-nr"] if hear_again else [])]
        with running(in_namespace(namespace, *command), log=folder / "log", cwd=folder):
            until_sync(lambda: _taken(address, port, kind), what="sipp listens")
            yield port


def _free_port(address: str, kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as sock:
        sock.bind((address, 0))
        port: int = sock.getsockname()[1]
        return port


def _taken(address: str, port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as sock:
        try:
            sock.bind((address, port))
        except OSError:
            return True
        return False
