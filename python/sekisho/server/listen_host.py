"""The setting ``host``: which address the API and MQTT listen on, and what of it a server certificate can name."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_NAME_LENGTH: Final = 253


def parse(host: str) -> str:
    """A host as it is used from here on: an IP address, or a DNS name in lower case and ASCII.

    Raises ValueError: it is neither. Short forms of addresses ("0", "127.1"), which some resolvers take, are refused,
    because they would not be recognised as what they are.
    """
    if address_of(host) is not None:
        return host
    try:
        # Names in other scripts reach DNS, and certificates, in their ASCII form.
        name = (host if host.isascii() else host.encode("idna").decode()).lower().removesuffix(".")
    except UnicodeError:
        raise ValueError(f"{host!r} is no host name") from None
    labels = name.split(".")
    if len(name) > _MAX_NAME_LENGTH or not all(map(_LABEL.fullmatch, labels)) or _NUMBER.fullmatch(labels[-1]):
        raise ValueError(f"{host!r} is neither an IP address nor a host name")
    return name


def address_of(host: str) -> Address | None:
    """The IP address that ``host`` is: without its scope (``%eth0``), and as IPv4 where it is an IPv4-mapped one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or ipaddress.IPv6Address(address.packed)
    return address


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``."""
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback


def is_every_address(host: str) -> bool:
    """Whether ``host`` stands for all addresses of this machine, such as 0.0.0.0: no client connects to it by this."""
    address = address_of(host)
    return address is not None and address.is_unspecified
