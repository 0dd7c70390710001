"""A real nginx that serves a folder: playlists and segments, revocation lists."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import free_port, listening, program, running
from tests.waiting import until_sync


@contextmanager
def web(folder: Path, *, address: str = "127.0.0.1", namespace: str = "") -> Iterator[int]:
    """Serve `folder`/www, below /slow/ at 20 kB/s, and yield the port."""
    port = free_port(address)
    (folder / "www").mkdir(parents=True, exist_ok=True)
    scratch = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (folder / "nginx.conf").write_text(
        f"user {getpass.getuser()};\n"  # as root it would drop to one who cannot read our folder
        f"daemon off; pid {folder}/pid; error_log {folder}/err; worker_processes 1;\n"
        "events { worker_connections 256; }\nhttp { access_log off;\n"
        "types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; application/pkix-crl crl; }\n"
        + "".join(f"{name}_temp_path {folder}/{name};\n" for name in scratch)
        + f"server {{ listen {address}:{port}; root {folder}/www;\n"
        f"location /slow/ {{ alias {folder}/www/; limit_rate 20k; }}\n"
        "location /moved/ { rewrite ^/moved/(.*)$ /$1 redirect; } } }\n",
        "utf-8",
    )
    inside = [program("ip"), "netns", "exec", namespace] if namespace else []
    command = [*inside, program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(command, log=folder / "log"):
        if not namespace:
            until_sync(lambda: listening(address, port), what="nginx listens")
        yield port
