"""The wall's languages. Tables in Python: typed, complete by mypy, shipped without a build step."""

from collections.abc import Mapping

from collector.wall.locale.en import EN
from collector.wall.locale.texts import Texts
from collector.wall.locale.vi import VI

TEXTS: Mapping[str, Texts] = {"vi": VI, "en": EN}
"""By language; the first is the one a page has without asking."""
