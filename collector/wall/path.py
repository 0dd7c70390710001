"""A path in words: where it breaks, and hop by hop beside the last good one. Pure."""

from dataclasses import dataclass

from agent.wire import ANSWERED, HERE, Hop, Path
from collector.wall.forms import number
from collector.wall.locale.texts import Texts
from collector.wall.said import Gateway

CIRCLE = 3
"""A router that is met so often sends packets round."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What answered at a distance: routers, and round trips with how it ended."""

    router: str = ""
    said: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One distance, in the path that failed and in the last good one."""

    distance: str
    now: Cell
    good: Cell
    cut: bool
    """Whether the way breaks here."""


def aim(path: Path) -> str:
    """Write what was traced: `TCP 203.0.113.9:443`."""
    endpoint = f"[{path.address}]" if ":" in path.address and path.port else path.address
    return f"{path.protocol.upper()} {endpoint}" + (f":{path.port}" if path.port else "")


def verdict(now: Path, good: Path | None, texts: Texts, gateway: Gateway | None = None) -> str:
    """Say where the way broke; a gateway that was found there is never called silent.

    Its kernel limits its errors for each PC: among many failing checks a trace may get none.
    """
    last = now.last
    if last is None:
        return _nobody(now, good, texts, gateway)
    why = _why(last.word, texts)
    if last.router == HERE:
        return texts.path_here.format(why=why)
    if last.word == ANSWERED:
        return texts.path_whole.format(router=last.router, n=last.ttl)
    if last.word:
        pattern = texts.path_refused if last.router == now.address else texts.path_stopped
        return pattern.format(router=last.router, n=last.ttl, why=why)
    return _circle(now, texts) or _silence(last, good, texts)


def _nobody(now: Path, good: Path | None, texts: Texts, gateway: Gateway | None) -> str:
    if gateway is None or not (gateway.answers or gateway.in_arp):
        return texts.path_nobody
    if not gateway.answers:
        return texts.path_gateway_in_arp
    if now.address == gateway.address:
        return texts.path_gateway_alone.format(by=aim(now))
    return texts.path_behind_gateway + _when_good(1, good, texts)


def _circle(path: Path, texts: Texts) -> str:
    routers = [hop.router for hop in path.hops if hop.router]
    circle = [router for router in dict.fromkeys(routers) if routers.count(router) >= CIRCLE]
    return texts.path_circle.format(routers=", ".join(circle)) if circle else ""


def _silence(last: Hop, good: Path | None, texts: Texts) -> str:
    said = texts.path_silent.format(router=last.router, n=last.ttl)
    return said + _when_good(last.ttl, good, texts)


def _when_good(ttl: int, good: Path | None, texts: Texts) -> str:
    """Name the next router of the last good path, after a space; "" where it has none."""
    for hop in good.hops if good else ():
        if hop.ttl > ttl and hop.router:
            return f" {texts.path_silent_good.format(router=hop.router, n=hop.ttl)}"
    return ""


def steps(
    now: Path | None, good: Path | None, texts: Texts, gateway: Gateway | None = None
) -> tuple[Step, ...]:
    """Lay two paths side by side, by distance; what is silent to the end is one step."""
    mine, others = _by_distance(now), _by_distance(good)
    distances = sorted({*mine, *others})
    told = max((ttl for ttl in distances if mine.get(ttl) or others.get(ttl)), default=0)
    cut = _cut(now, gateway)
    found = [
        Step(
            str(ttl) if ttl else texts.path_this_pc,
            _cell(mine.get(ttl), texts),
            _cell(others.get(ttl), texts),
            ttl == cut,
        )
        for ttl in distances
        if ttl <= told
    ]
    silent = [ttl for ttl in distances if ttl > told]
    if silent:
        row = str(silent[0]) if len(silent) == 1 else f"{silent[0]}–{silent[-1]}"
        sides = _cell(mine.get(silent[0]), texts), _cell(others.get(silent[0]), texts)
        found.append(Step(row, *sides, cut in silent))
    return tuple(found)


def _cut(path: Path | None, gateway: Gateway | None) -> int | None:
    """Return the distance at which a way breaks: where a router says no, or after the last one."""
    if path is None or (path.last and path.last.word == ANSWERED):
        return None
    if path.last is None:
        return 2 if gateway and gateway.answers and gateway.address != path.address else 1
    return path.last.ttl if path.last.word else path.last.ttl + 1


def _by_distance(path: Path | None) -> dict[int, list[Hop]]:
    found: dict[int, list[Hop]] = {}
    for hop in path.hops if path else ():
        for ttl in range(hop.ttl, min(max(hop.last_ttl, hop.ttl), 255) + 1):
            answered = found.setdefault(ttl, [])
            if hop.router:
                answered.append(hop)
    return found


def _cell(hops: list[Hop] | None, texts: Texts) -> Cell:
    if hops is None:
        return Cell()
    if not hops:
        return Cell(texts.path_silence, silent=True)
    routers = " / ".join(texts.path_this_pc if h.router == HERE else h.router for h in hops)
    ms = [number(ms, texts, places=1) for hop in hops for ms in hop.ms]
    lost = sum(hop.lost for hop in hops)
    said = [" · ".join([*ms, *"*" * lost]) + " ms"] if ms else []
    said += dict.fromkeys(_why(hop.word, texts) for hop in hops if hop.word)
    return Cell(routers, ", ".join(said))


def _why(word: str, texts: Texts) -> str:
    if word == ANSWERED:
        return texts.path_answered
    return texts.failures.get(word, texts.failures["unknown"])
