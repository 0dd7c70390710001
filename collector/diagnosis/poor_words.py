"""What a poor subject is called: whose line it is, and what was measured there. Pure."""

from collector.inventory.limits import ConferenceLimits, PathLimits
from collector.inventory.model import Inventory, SiteLine
from collector.state.fleet import Fleet
from collector.state.meters import Reading
from collector.state.quality import Subject


def tell(reading: Reading) -> str:
    """Return what was measured and is too much, with what is usual and allowed."""
    limits = reading.limits
    said: list[str] = []
    rest: list[str] = []
    if reading.delay is not None:
        usual = f"usual {_ms(reading.usual)}, " if reading.usual is not None else ""
        text = f"delay {_ms(reading.delay)} ({usual}limit {_ms(reading.delay_limit)})"
        (said if reading.delay > reading.delay_limit else rest).append(text)
    if isinstance(limits, PathLimits):
        if reading.jitter is not None:
            text = f"jitter {_ms(reading.jitter)} (limit {_ms(limits.jitter_seconds)})"
            (said if reading.jitter > limits.jitter_seconds else rest).append(text)
        if reading.loss is not None:
            text = f"loss {100 * reading.loss:.1f} % (limit {100 * limits.loss:g} %)"
            (said if reading.loss > limits.loss else rest).append(text)
    if isinstance(limits, ConferenceLimits) and reading.mos is not None:
        text = f"MOS {reading.mos:.1f} (limit {limits.mos:g})"
        (said if reading.mos < limits.mos else rest).append(text)
    return ", ".join(said or rest)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def carrier_of(subject: Subject, fleet: Fleet) -> str:
    """Return whose line it is; of the way a PC chooses, where the push came from, if that tells."""
    found = _lines_of(subject, fleet.inventory)
    carriers = {line.carrier for line in found}
    if len(carriers) == 1:
        return carriers.pop()
    seen = fleet.agents[subject.agent].carrier if subject.agent else ""
    return seen if subject.group == "internet" else ""


def line_name(subject: Subject, fleet: Fleet) -> str:
    """Return the line that a subject speaks of; "" where it may be several."""
    if subject.line:
        return subject.line
    carrier = carrier_of(subject, fleet)
    names = [line.name for line in _lines_of(subject, fleet.inventory) if line.carrier == carrier]
    return names[0] if len(names) == 1 else ""


def _lines_of(subject: Subject, inventory: Inventory) -> list[SiteLine]:
    """Return the lines that a subject may speak of."""
    return [
        line
        for line in inventory.lines.get(subject.site, ())
        if (line.name == subject.line if subject.line else line.agent in {"", subject.agent})
        and (line.kind == "tslcd") == (subject.group == "tslcd")
    ]
