"""What a request to the wall asks for, and the frame of what it gets."""

from aiohttp import web

from collector.wall.locale import TEXTS

_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action {forms}; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY.format(forms="'none'"),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
FORM_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": _POLICY.format(forms="'self'"),
    "Referrer-Policy": "same-origin",  # without it browsers send forms with the origin "null"
}


def lang_of(request: web.Request) -> str:
    """Return the language asked for; Vietnamese where it is none of ours."""
    lang = request.query.get("lang", "")
    return lang if lang in TEXTS else next(iter(TEXTS))


def theme_of(request: web.Request) -> str:
    """Return the theme asked for; "" for the reader's own."""
    theme = request.query.get("theme", "")
    return theme if theme in {"dark", "light"} else ""


def page_response(text: str, *, forms: bool = False) -> web.Response:
    """Return a page that is never kept; `forms`: it may send some to here."""
    headers = {**(FORM_HEADERS if forms else HEADERS), "Cache-Control": "no-store"}
    response = web.Response(text=text, content_type="text/html", headers=headers)
    response.enable_compression()
    return response
