"""A request and a response as plain data, so that signing, routing and coding need no web framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote_plus

MAX_BODY_BYTES = 1024 * 1024
"""Maximum size of a request body in bytes. No operation of the models accepts more."""


@dataclass(frozen=True)
class HttpRequest:
    """One request.

    Attributes:
        method: In upper case.
        raw_path: The path as it was sent, percent-encoding untouched, without the query string.
        query_string: As it was sent, without the question mark.
        headers: (lower-case name, value) pairs, in the order sent.
        source_ip: The peer's address.
    """

    method: str
    raw_path: str
    query_string: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    source_ip: str = ""

    def header(self, name: str) -> str | None:
        """Return the value of the header `name` (lower case), repeated headers joined with commas (RFC 9110, 5.2)."""
        return self._joined_headers.get(name)

    @cached_property
    def _joined_headers(self) -> Mapping[str, str]:
        joined: dict[str, str] = {}
        for name, value in self.headers:
            joined[name] = f"{joined[name]},{value}" if name in joined else value
        return joined

    @cached_property
    def query(self) -> Sequence[tuple[str, str]]:
        """Return the query's (name, value) pairs, unescaped once.

        A plus sign is a space, as HTML forms and most URL libraries write one; AWS SDKs escape both.
        """
        pairs = []
        for pair in self.query_string.split("&"):
            if pair:
                name, _, value = pair.partition("=")
                pairs.append((unquote_plus(name), unquote_plus(value)))
        return pairs


@dataclass(frozen=True)
class HttpResponse:
    """One response. `headers` do not include those that the server adds (Content-Length, Date)."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


def header_text(value: bytes) -> str:
    """Return a header's value as text: UTF-8 where it is valid, else Latin-1 (which http.client sends).

    SigV4 signs the text in UTF-8, whichever of the two the client's HTTP library then writes.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
