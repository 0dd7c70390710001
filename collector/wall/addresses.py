"""Addresses of the wall's pages, for links from anywhere. Pure."""

from urllib.parse import quote, urlencode


def incident_url(base: str, identity: str, **asked: str) -> str:
    """Return the address of an incident's page; `base` is the wall's own, without a slash at its end.

    `asked`: what is said behind the question mark, such as lang; what is empty is left out.
    """
    return f"{base}/incidents/{quote(identity, safe='')}{_query(asked)}"


def incidents_url(base: str = "", **asked: str) -> str:
    """Return the address of the list."""
    return f"{base}/incidents{_query(asked)}"


def _query(asked: dict[str, str]) -> str:
    said = {name: word for name, word in asked.items() if word}
    return f"?{urlencode(said)}" if said else ""
