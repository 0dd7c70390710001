"""OpenMetrics: the text that `promtool tsdb create-blocks-from openmetrics` makes blocks of. Pure.

Family by family, in each one row of labels after the other, in each of them the moments in their
order. It differs from the text of `/metrics` in that times are seconds, a counter's family lacks
`_total`, and quotes in help texts are escaped. Specification:
prometheus.io/docs/specs/om/open_metrics_spec.
"""

from collections.abc import Iterable, Iterator

from collector.export.families import MEASURED, Family
from collector.export.point_sort import MEMBERS, Place, Points, Seat
from collector.export.write_request import read_labels

END = b"# EOF\n"
_FAMILIES = tuple(MEASURED.values())


def seat_of(series: bytes) -> Seat:
    """Return where a series, as `write_labels` writes it, stands in the text.

    A summary's sum and count share a place: the text wants them moment by moment beside each other.
    """
    labels = read_labels(series)
    family, member = _MEMBER_OF[labels.pop("__name__")]
    return Seat(
        (family, ",".join(f'{name}="{_escaped(word)}"' for name, word in labels.items())), member
    )


def text_of(places: Iterable[tuple[Place, Points]]) -> Iterator[bytes]:
    """Yield the text of places that come in their order."""
    before = None
    for (number, labels), points in places:
        family = _FAMILIES[number]
        if number != before:
            yield _head(family)
            before = number
        starts = [f"{family.name}{suffix}{{{labels}}}" for suffix in _suffixes(family)]
        yield "".join(
            [
                f"{starts[moment % MEMBERS]} {value!r} {moment // MEMBERS / 1_000:.3f}\n"
                for moment, value in points
            ]
        ).encode()
    yield END


def _head(family: Family) -> bytes:
    name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
    return f"# TYPE {name} {family.kind}\n# HELP {name} {_escaped(family.help)}\n".encode()


def _suffixes(family: Family) -> tuple[str, ...]:
    return ("_sum", "_count") if family.kind == "summary" else ("",)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


_MEMBER_OF = {
    family.name + suffix: (number, member)
    for number, family in enumerate(_FAMILIES)
    for member, suffix in enumerate(_suffixes(family))
}
