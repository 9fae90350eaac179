"""Requests that a web page can make a browser send are refused; requests of programs are accepted."""

from __future__ import annotations

import pytest

from sekisho.api.browsers import check_not_from_a_page
from sekisho.api.errors import AccessDeniedException
from sekisho.api.http import HttpRequest

LOCAL = "localhost:5883"


def check(method: str = "GET", host: str | None = LOCAL, **headers: str) -> None:
    sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
    if host is not None:
        sent.append(("host", host))
    check_not_from_a_page(HttpRequest(method, "/things", "", sent, b""))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        LOCAL,
        "LocalHost:1",
        "localhost.:5883",
        "a.iot.eu-central-1.localhost:5883",
        "127.0.0.1:5883",
        "127.8.9.10",
        "[::1]:5883",
        "[::1]",
    ],
)
def test_programs_on_this_machine_are_accepted(host: str) -> None:
    check(host=host)
    check("POST", host=host, sec_fetch_site="none")
    check("POST", host=host, sec_fetch_site="same-origin", origin=f"http://{host}")


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "rebound.example:5883",
        "localhost.example:5883",
        "notlocalhost:5883",
        "127.0.0.1.example",
        "localhost@rebound.example",
        "rebound.example, localhost",
        "0.0.0.0:5883",
        "10.0.0.1:5883",
        "[2001:db8::1]:5883",
        "::1",
        "localhost:5883/x",
        "localhost:port",
        "localhost\n",
    ],
)
def test_another_name_for_this_address_is_refused(host: str | None) -> None:
    with pytest.raises(AccessDeniedException, match="Host"):
        check(host=host)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "none, same-origin", "unknown"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_a_request_from_another_site_is_refused(site: str, method: str) -> None:
    with pytest.raises(AccessDeniedException, match="Sec-Fetch-Site"):
        check(method, sec_fetch_site=site)


@pytest.mark.parametrize(
    "origin", ["https://example.com", "null", "", "http://localhost:3000", "https://localhost:5883", "http://localhost"]
)
def test_a_request_of_another_origin_is_refused(origin: str) -> None:
    with pytest.raises(AccessDeniedException, match="Origin"):
        check("POST", origin=origin)
