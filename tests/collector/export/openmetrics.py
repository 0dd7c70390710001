"""Reading OpenMetrics: prometheus_client's strict parser says whether it is, we read the lines.

Of a summary with several moments that parser gives back the first whole, then every other number.
"""

import re

from prometheus_client.openmetrics.parser import text_string_to_metric_families

Point = tuple[tuple[tuple[str, str], ...], int]
"""Labels with __name__, sorted, and milliseconds."""


def read_openmetrics(text: str) -> dict[Point, float]:
    """Return every sample; ValueError where the text is not OpenMetrics, or says a thing twice."""
    list(text_string_to_metric_families(text))
    found: dict[Point, float] = {}
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        name, labels, value, seconds, rest = re.fullmatch(
            r"(\w+)\{(.*)\} (\S+) (\d+)\.(\d{3})", line
        ).groups()
        words = {"__name__": name}
        for label, word in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels):
            words[label] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], word)
        point = tuple(sorted(words.items())), int(seconds + rest)
        if point in found:
            raise ValueError(f"twice: {point}")
        found[point] = float(value)
    return found
