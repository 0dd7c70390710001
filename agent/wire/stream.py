"""Streams: what a media test sends each way, in the sizes and at the pace of real RTP."""

from typing import Literal

from msgspec import Struct

IP_UDP_BYTES = 28
ETHERNET_BYTES = 18

StreamName = Literal["g711", "opus", "720p", "1080p"]


class Stream(Struct, frozen=True, kw_only=True):
    """One direction of a media session; the other one is the same."""

    udp_bytes: int
    """RTP's 12 bytes and the media behind them."""
    packets_per_second: float
    dscp: int
    """EF for sound, AF41 for pictures (RFC 4594)."""
    frames_per_second: int = 0
    """Pictures: how often a frame's packets leave together; 0 for sound, which is even."""

    @property
    def bits_per_second(self) -> float:
        """Return the load on Ethernet, one way."""
        return 8 * (self.udp_bytes + IP_UDP_BYTES + ETHERNET_BYTES) * self.packets_per_second


STREAMS: dict[str, Stream] = {
    "g711": Stream(udp_bytes=172, packets_per_second=50, dscp=46),
    "opus": Stream(udp_bytes=92, packets_per_second=50, dscp=46),
    "720p": Stream(udp_bytes=1212, packets_per_second=156.25, dscp=34, frames_per_second=30),
    "1080p": Stream(udp_bytes=1212, packets_per_second=1250 / 3, dscp=34, frames_per_second=30),
}
