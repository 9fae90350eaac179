"""The API's listening socket, and where clients on this machine find it."""

from __future__ import annotations

import errno
import ipaddress
import socket

from sekisho.server import listen_host
from sekisho.server.cannot_start import CannotStart
from sekisho.server.settings import Settings


def listen_for_api(settings: Settings) -> socket.socket:
    """Return the API's listening socket; made here so that a port in use is our error and not uvicorn's.

    Raises CannotStart.
    """
    return _listen(settings.host, settings.api_port, "the API", "--api-port")


def check_mqtt_port(settings: Settings) -> None:
    """Raise CannotStart where MQTT, which the gateway listens for, could not listen."""
    _listen(settings.host, settings.mqtt_port, "MQTT", "--mqtt-port").close()


def _listen(host: str, port: int, what: str, option: str) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # With the protocol named, which asyncio looks at, connections do not wait for 40 ms between headers and body.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            advice = f"Choose another port with {option}, or stop what listens there"
        elif isinstance(error, PermissionError):
            advice = f"Choose a port above 1023 with {option}"
        else:
            advice = "Choose an address of this machine with --host"
        why = error.strerror if isinstance(error, OSError) else "that is no host name"
        raise CannotStart(f"{what} cannot listen on {host}:{port}: {why or error}. {advice}") from None
    return listener


def api_url(settings: Settings, api_socket: socket.socket) -> str:
    """Where a client on this machine finds the API."""
    host = reachable(settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{api_socket.getsockname()[1]}"


def reachable(host: str) -> str:
    """Where a client on this machine finds a server that listens on ``host``."""
    if not listen_host.is_every_address(host):
        return host
    return "127.0.0.1" if isinstance(listen_host.address_of(host), ipaddress.IPv4Address) else "::1"
