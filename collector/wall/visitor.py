"""Who stands before a form: until there are accounts, a name they typed and a cookie that holds it.

A form counts only with the token of the cookie that came with it: another site can send a form
here, but can neither read nor set our cookie. Browsers say besides where a form comes from
(Sec-Fetch-Site); where they do, it must be from here.
"""

import hmac
import secrets
from urllib.parse import quote, unquote

from aiohttp import web

from collector.duty.acts import LONGEST_NAME, cleaned

TOKEN_COOKIE = "thongsuot_form"  # noqa: S105 - its name
NAME_COOKIE = "thongsuot_name"
TOKEN_BYTES = 16
NAME_SECONDS = 365 * 24 * 3600


def token_of(request: web.Request) -> str:
    """Return the token of the visitor's cookie, or a new one."""
    known = request.cookies.get(TOKEN_COOKIE, "")
    return known if len(known) == 2 * TOKEN_BYTES else secrets.token_hex(TOKEN_BYTES)


def name_of(request: web.Request) -> str:
    """Return the name the visitor typed last; "" for none."""
    return cleaned(unquote(request.cookies.get(NAME_COOKIE, "")), LONGEST_NAME)


def is_forged(request: web.Request, token: str) -> bool:
    """Whether a form did not come from a page of ours."""
    cookie = request.cookies.get(TOKEN_COOKIE, "")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return True
    return not cookie or not hmac.compare_digest(cookie.encode(), token.encode())


def remember(request: web.Request, response: web.StreamResponse, token: str, name: str) -> None:
    """Give the visitor the cookies: sent with links to here, never with other sites' forms."""
    _set(request, response, TOKEN_COOKIE, token, None)
    if name:
        _set(request, response, NAME_COOKIE, quote(name), NAME_SECONDS)


def _set(
    request: web.Request, response: web.StreamResponse, name: str, value: str, age: int | None
) -> None:
    response.set_cookie(
        name, value, max_age=age, httponly=True, samesite="Lax", secure=request.secure
    )
