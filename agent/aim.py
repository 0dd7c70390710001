"""What a check's packets go to: the protocol, host and port that its path is traced by. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

from agent.probes.net import is_address, split_host
from agent.wire import Protocol

SYSTEM = "system"
"""A host that stands for the PC's own resolver."""
NOWHERE = frozenset({"pc", "nic"})
"""Kinds whose target is this PC."""
UDP_PORTS = {"dns": 53, "media": 862, "ntp": 123, "sip": 5060, "stun": 3478, "turn": 3478}
"""Kinds that speak UDP unless `transport` says otherwise, and the port of a target without one."""
MAIL_OVER_TLS = frozenset({"submissions", "imaps", "pop3s"})
ASK = {
    # The name servers of the root; a client's question (RFC 5905 7.3); a binding (RFC 8489 5)
    "dns": bytes.fromhex("7473 0100 0001 0000 0000 0000 00 0002 0001"),
    "ntp": b"\x23" + bytes(47),
    "stun": bytes.fromhex("0001 0000 2112a442") + b"thong-suot-t",
}
"""What gets an answer of a UDP service, so that the path is seen to reach it."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What a path is traced to. Checks with the same aim share their last good path."""

    protocol: Protocol
    host: str
    """A name, an address or SYSTEM."""
    port: int = 0
    tls: bool = False
    """Whether TLS begins with the first byte there."""
    ask: bytes = b"\0"
    """What a UDP packet holds."""
    name: str = ""
    """What a resolver is asked; "" where the host is an address."""
    ip_version: int = 0


def aim(kind: str, target: str, params: Mapping[str, Any]) -> Aim | None:
    """Return what a check that was found valid sends to; None where that is this PC."""
    if kind in NOWHERE:
        return None
    transport = str(params.get("transport", "udp" if kind in UDP_PORTS else "tcp"))
    if "://" in target:
        url = URL(target)
        host, port = url.host or "", url.port or 0
        tls = url.scheme == "https"
    else:
        host, port = split_host(target, UDP_PORTS.get(kind, 0))
        tls = transport == "tls" or kind == "tls" or params.get("protocol") in MAIL_OVER_TLS
    protocol: Protocol = "udp" if transport == "udp" else "tcp"
    if host == "localhost":
        return None
    if not port:
        protocol = "icmp"
    return Aim(
        protocol=protocol,
        host=host,
        port=0 if protocol == "icmp" else port,
        tls=tls and protocol == "tcp",
        ask=ASK.get({"turn": "stun"}.get(kind, kind), b"\0"),
        name=str(params.get("query_name", "")) or ("" if _numbered(host) else host),
        ip_version=int(params.get("ip_version", 0)),
    )


def _numbered(host: str) -> bool:
    return host == SYSTEM or is_address(host)
