"""What diagnosis costs: `python -m tests.bench.diagnosis [OFFICES]`.

A province is warmed up, then something befalls it; every look of the diagnosis is timed, as the
beat would make it, after the fleet has taken its samples.
"""

import sys
import time

from tests.collector.diagnosis.world import TTHC_TARGET, World


def measure(offices: int) -> None:
    """Print the slowest and the mean look of some happenings."""
    for name in ("nothing", "a batch", "carrier", "system"):
        world = World(offices)
        world.run(40)
        if name == "carrier":
            world.fault("carrier", "vnpt", over=5)
        elif name == "system":
            world.fault("target", TTHC_TARGET)
        looks = []
        observe = world.incidents.observe

        def timed(fleet, now, observe=observe, looks=looks):
            begun = time.process_time()
            changes = observe(fleet, now)
            looks.append(time.process_time() - begun)
            return changes

        world.incidents.observe = timed
        if name == "a batch":
            failing = [
                series for series in world.inventory.subjects if series.agent == world.offices[0]
            ]
            for series in failing:
                world.incidents.diagnosis._stamps.pop(series.agent, None)
        world.run(20)
        looks.sort()
        seconds = sum(looks) / 20
        print(
            f"{offices:5} sites, {name:8} median {1e3 * looks[len(looks) // 2]:7.2f} ms,"
            f" worst {1e3 * looks[-1]:7.2f} ms, {1e3 * seconds:7.2f} ms a second at"
            f" {len(looks) / 20:g} looks a second"
        )


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 148)
