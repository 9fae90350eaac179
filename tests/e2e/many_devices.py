"""Many devices at once, with one key for all certificates, and MQTT 3.1.1 on asyncio."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tests import x509
from tests.e2e.devices import WITHIN
from tests.e2e.mqtt_wire import connect, publish
from tests.e2e.running_server import RunningServer

_TAKEN = b"\x20\x02\x00\x00"
_ACKNOWLEDGED = b"\x40\x02\x00\x01"


class Outcome(Enum):
    """The outcome of one attempt to connect."""

    TAKEN = "CONNACK of success, and the publish acknowledged where there was one"
    CLOSED = "closed after TLS, without a word"
    UNREACHED = "no TLS, or cut off: the server has ended, or is too slow"


@dataclass(eq=False)
class SharedKeyDevice:
    """A device of ``new_devices``."""

    name: str
    issued: x509.KeyAndCertificate
    file: Path
    """Certificate and key in PEM."""
    _context: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def certificate_id(self) -> str:
        return self.issued.certificate_id

    def tls(self, server: RunningServer) -> ssl.SSLContext:
        """Return the TLS context, which is made once because that takes most of an attempt's time."""
        if self._context is None:
            self._context = ssl.create_default_context(cafile=server.root_ca)
            self._context.load_cert_chain(self.file)
        return self._context


def new_devices(folder: Path, ca: x509.KeyAndCertificate, count: int, name: str) -> list[SharedKeyDevice]:
    """Make devices of one CA, with one key for all: their certificates differ in the serial number."""
    key = x509.p256()
    folder.mkdir(exist_ok=True)
    devices = []
    for number in range(count):
        issued = x509.new_device(ca, f"{name}-{number}", key=key)
        file = folder / f"{name}-{number}.pem"
        file.write_text(issued.pem + issued.key_pem)
        devices.append(SharedKeyDevice(f"{name}-{number}", issued, file))
    return devices


async def attempt(
    server: RunningServer,
    device: SharedKeyDevice,
    topic: str | None = None,
    *,
    held: Callable[[], Awaitable[object]] | None = None,
    server_name: str = "localhost",
) -> Outcome:
    """Connect with TLS and CONNECT, publish at QoS 1 if a topic is given, and disconnect.

    ``held`` is awaited between TLS and CONNECT, so that many devices may send CONNECT at the same moment.
    """
    try:
        async with asyncio.timeout(WITHIN):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.mqtt_port, ssl=device.tls(server), server_hostname=server_name
            )
    except (OSError, TimeoutError):
        return Outcome.UNREACHED
    try:
        if held is not None:
            await held()
        async with asyncio.timeout(WITHIN):
            writer.write(connect(device.name))
            if await reader.read(4) != _TAKEN:
                return Outcome.CLOSED
            if topic is not None:
                writer.write(publish(topic, b"storm", qos=1))
                if await reader.readexactly(4) != _ACKNOWLEDGED:
                    return Outcome.CLOSED
            writer.write(b"\xe0\x00")
            return Outcome.TAKEN
    except ConnectionResetError:
        # The server closes the connection before it has read everything.
        return Outcome.CLOSED
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return Outcome.UNREACHED
    finally:
        writer.transport.abort()


async def until_taken(
    server: RunningServer, devices: Sequence[SharedKeyDevice], *, at_once: int = 50, within: float = 60.0
) -> None:
    """Connect each device until it is accepted, with a longer delay after each refusal, as devices do."""
    turn = asyncio.Semaphore(at_once)
    deadline = time.monotonic() + within

    async def go(device: SharedKeyDevice) -> None:
        pause = 0.1
        while True:
            async with turn:
                if await attempt(server, device) is Outcome.TAKEN:
                    return
            assert time.monotonic() < deadline, f"{device.name} ({device.certificate_id}) is not accepted"
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    async with asyncio.TaskGroup() as group:
        for device in devices:
            group.create_task(go(device))
