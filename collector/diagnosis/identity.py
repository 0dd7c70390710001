"""Names of incidents: province-yymmdd-number, never given twice."""

from datetime import datetime

from collector.inventory.model import Inventory


class Names:
    """Counts by local day. `last`: the last one given, "" before the first.

    `restored_at`: when this state was last put back from a backup. Ids that were given between the
    two are unknown here, so that day's have the time of day in them from then on.
    """

    def __init__(self, last: str, restored_at: float | None) -> None:
        self._last = last
        self._restored_at = restored_at

    def next(self, inventory: Inventory, now: float) -> str:
        """Return one more; a clock set back over midnight stays on the later day."""
        day, number = f"{datetime.fromtimestamp(now, inventory.time_zone):%y%m%d}", 1
        if self._restored_at is not None:
            restored = datetime.fromtimestamp(self._restored_at, inventory.time_zone)
            if day == f"{restored:%y%m%d}":
                day = f"{day}r{restored:%H%M}"
        province, last_day, last_number = [*self._last.rsplit("-", 2), "", ""][:3]
        if province == inventory.id and last_day >= day:
            day, number = last_day, int(last_number) + 1
        self._last = f"{inventory.id}-{day}-{number:03d}"
        return self._last
