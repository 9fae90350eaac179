"""The address that the server listens on."""

from __future__ import annotations

import pytest

from sekisho.server import listen_host


@pytest.mark.parametrize(
    ("host", "is_loopback", "is_every"),
    [
        ("127.0.0.1", True, False),
        ("127.9.9.9", True, False),
        ("localhost", True, False),
        ("::1", True, False),
        ("::1%lo", True, False),
        ("::ffff:127.0.0.1", True, False),
        ("0.0.0.0", False, True),  # noqa: S104 - recognising it is the test
        ("::", False, True),
        ("::ffff:0.0.0.0", False, True),
        ("192.0.2.7", False, False),
        ("::ffff:192.0.2.7", False, False),
        ("fe80::1%eth0", False, False),
        ("gateway.example.com", False, False),
    ],
)
def test_an_address_is_recognised_in_every_form(host: str, is_loopback: bool, is_every: bool) -> None:
    assert listen_host.parse(host) == host
    assert listen_host.is_loopback(host) == is_loopback
    assert listen_host.is_every_address(host) == is_every


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Gateway.Example.COM.", "gateway.example.com"),
        ("LOCALHOST", "localhost"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("関所.example", "xn--8ous75i.example"),
    ],
)
def test_a_name_is_used_in_its_form_for_dns_and_certificates(host: str, name: str) -> None:
    assert listen_host.parse(host) == name


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "..", "a..b", "..a", "-a", "a-", "a_b", "a b", "a/b", "a:b", "[::1]", "0", "127.1", "0x7f.1",
        "1.2.3.4.5", "256.1.1.1", "a.1", "x" * 64, ".".join(["x" * 60] * 5), "a\0b", "ü" * 80, "*",
    ],
)  # fmt: skip
def test_a_text_that_is_neither_an_address_nor_a_name_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"no host name|neither an IP address nor a host name"):
        listen_host.parse(host)
