"""Refuses requests that a web page made a browser send; for servers that accept requests without a signature.

A browser can connect to loopback addresses, and sends a page's GET, HEAD and form requests there without a preflight.
Three headers, which a page can neither omit nor change, show it. Each covers cases that the others do not:

- `Sec-Fetch-Site`: the relation of the page to the server. Every browser sends it since 2023, also without Origin.
- `Origin`: the page. Sent by older browsers as well, for POST, PUT, DELETE and preflights, not for a plain GET.
- `Host`: the name that the browser connects to. With DNS rebinding, a page whose own name resolves to 127.0.0.1 has
  the same origin as its requests, so the other two do not help; its name is still the Host.

Programs (SDKs, the AWS CLI, curl) send neither of the first two, and the server's own name as Host.

Source: https://www.w3.org/TR/fetch-metadata/; https://fetch.spec.whatwg.org/#origin-header; RFC 6761, 6.3 (localhost).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sekisho.api.echo import echo
from sekisho.api.errors import AccessDeniedException, error_response
from sekisho.api.http import HttpRequest
from sekisho.ids import unique

_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]@/?#\s]+)(:[0-9]*)?")
_ADVICE: Final = "Sign requests, and run the server without any_credentials."


class RefuseWebPages:
    """ASGI middleware: answers 403 to requests that `check_not_from_a_page` refuses, on every path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        try:
            check_not_from_a_page(HttpRequest(scope["method"], scope["path"], "", headers, b""))
        except AccessDeniedException as error:
            answer = error_response(error, {}, None, unique())
            await Response(answer.body, answer.status, headers=dict(answer.headers))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def check_not_from_a_page(request: HttpRequest) -> None:
    """Raise AccessDeniedException if `request` may come from a web page, or is for a name that is not loopback's."""
    host = request.header("host") or ""
    if not _is_loopback(host):
        raise AccessDeniedException(
            f"With any_credentials the API answers to localhost, 127.0.0.1 and [::1] alone, not to the Host "
            f"'{echo(host)}': a web page could have given its own name this address. {_ADVICE}"
        )
    site = request.header("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        raise AccessDeniedException(
            f"With any_credentials the API takes no requests from web pages (Sec-Fetch-Site: {echo(site or '')}), "
            f"since any page could send them. {_ADVICE}"
        )
    origin = request.header("origin")
    if origin is not None and origin.lower() != f"http://{host}".lower():
        raise AccessDeniedException(
            f"With any_credentials the API takes no requests from web pages (Origin: {echo(origin)}), since any page "
            f"could send them. {_ADVICE}"
        )


def _is_loopback(authority: str) -> bool:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return False
    name = match["host"].lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
