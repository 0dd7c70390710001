"""The one list of probes, written out."""

from agent.probes.base import Probe
from agent.probes.crl import Crl
from agent.probes.dns import Dns
from agent.probes.h323 import H323
from agent.probes.hls import Hls
from agent.probes.http import Http
from agent.probes.icmp import Icmp
from agent.probes.ldap import Ldap
from agent.probes.mail import Mail
from agent.probes.media import Media
from agent.probes.mtu import Mtu
from agent.probes.nic import Nic
from agent.probes.ntp import Ntp
from agent.probes.ocsp import Ocsp
from agent.probes.pc import Pc
from agent.probes.sip import Sip
from agent.probes.stun import Stun
from agent.probes.tcp import Tcp
from agent.probes.throughput import Throughput
from agent.probes.tls import Tls
from agent.probes.turn import Turn

PROBES: dict[str, type[Probe]] = {
    "crl": Crl,
    "dns": Dns,
    "h323": H323,
    "hls": Hls,
    "http": Http,
    "icmp": Icmp,
    "ldap": Ldap,
    "mail": Mail,
    "media": Media,
    "mtu": Mtu,
    "nic": Nic,
    "ntp": Ntp,
    "ocsp": Ocsp,
    "pc": Pc,
    "sip": Sip,
    "stun": Stun,
    "tcp": Tcp,
    "throughput": Throughput,
    "tls": Tls,
    "turn": Turn,
}

BY_SLOT = frozenset({"media", "throughput"})
"""Kinds that load what many share: never run by the schedule, only when the centre says so."""
