"""Whose network an agent is heard from: the only thing known of a line that cannot be chosen."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

from collector.inventory.model import Carrier


class Networks:
    """The carriers' networks, as province.yml lists them."""

    def __init__(self, carriers: Mapping[str, Carrier]) -> None:
        self._of = [
            (ip_network(text), name)
            for name, carrier in carriers.items()
            for text in carrier.networks
        ]

    def carrier_of(self, address: str) -> str:
        """Return the carrier in whose network an address is; "" where it is nobody's."""
        if not (address and self._of):
            return ""
        known = ip_address(address)
        return next((name for network, name in self._of if known in network), "")
