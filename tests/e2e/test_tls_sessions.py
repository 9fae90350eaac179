"""TLS session tickets: by default none in TLS 1.3, and none that replaces admission."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import x509
from tests.e2e.certificate_files import CertificateFiles, in_files
from tests.e2e.devices import allow, register, tls
from tests.e2e.mqtt_wire import Wire, connect
from tests.e2e.running_server import RunningServer
from tests.tools import require, require_file
from tests.wait import eventually

WOLFSSL_HEADER = "/usr/include/wolfssl/ssl.h"


@dataclass(frozen=True)
class Registered:
    """A device that may do anything, and its server."""

    server: RunningServer
    files: CertificateFiles

    def revoke(self) -> None:
        iot = self.server.session().iot
        iot.update_certificate(certificateId=self.files.certificate_id, newStatus="REVOKED")


@pytest.fixture(scope="module")
def resuming_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run a server that sends tickets in TLS 1.3."""
    data = tmp_path_factory.mktemp("resuming") / "data"
    data.mkdir(mode=0o700)
    (data / "sekisho.toml").write_text("tls13_session_tickets = true\n")
    running = RunningServer(data).start()
    yield running
    running.stop()


def new_device(server: RunningServer, folder: Path) -> Registered:
    device_files = in_files(folder, x509.new_device(None))
    clients = server.session()
    register(clients, device_files, allow(clients.iot, f"of-{device_files.certificate_id[:8]}"))
    return Registered(server, device_files)


def over_openssl(device: Registered, *arguments: str | Path) -> tuple[str, bool]:
    """Connect through openssl's TLS 1.3; returns its output, and whether the client was accepted."""
    process = subprocess.Popen(
        [
            require("openssl"), "s_client", "-connect", f"127.0.0.1:{device.server.mqtt_port}", "-servername",
            "localhost", "-CAfile", device.server.root_ca, "-cert", str(device.files.certificate), "-key",
            str(device.files.key), "-tls1_3", *map(str, arguments),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(connect("device"))
        process.stdin.flush()
        said, taken = b"", False
        while not taken and (more := os.read(process.stdout.fileno(), 65536)):
            said += more
            taken = b"\x20\x02\x00\x00" in said
        process.kill()
    assert b"TLSv1.3" in said
    return said.decode(errors="replace"), taken


def statistics(server: RunningServer) -> dict[str, int]:
    with urllib.request.urlopen(f"{server.run['api']}/_sekisho/health") as answer:
        return dict(json.loads(answer.read())["mqtt"])


def refusal(device: Registered) -> str:
    line = device.server.wait_for_refusal(certificate_id=device.files.certificate_id)
    return str(line["reason"])


def test_a_session_of_tls_1_2_is_resumed_and_refused_after_revocation(server: RunningServer, tmp_path: Path) -> None:
    device = new_device(server, tmp_path)
    context = tls(server, device.files)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def resume(session: ssl.SSLSession | None) -> Wire:
        return Wire(server, device.files, context=context, session=session)

    with resume(None) as first:
        assert not first.tls.session_reused
        first.connect("device")
        session = first.tls.session
    with resume(session) as again:
        assert again.tls.session_reused
        again.connect("device")
        session = again.tls.session or session
    device.revoke()
    with resume(session) as refused:
        assert refused.tls.session_reused, "the ticket is still good; the certificate is not"
        refused.send(connect("device"))
        assert refused.rest() == []
    assert refusal(device) == "DEVICE_CERTIFICATE_REVOKED"


def test_no_ticket_is_sent_in_tls_1_3(server: RunningServer, tmp_path: Path) -> None:
    device, ticket = new_device(server, tmp_path), tmp_path / "ticket"
    assert over_openssl(device, "-sess_out", ticket)[1]
    # A ticket would have come before CONNACK.
    assert not ticket.exists()


def test_a_session_of_tls_1_3_is_resumed_where_enabled_and_refused_after_revocation(
    resuming_server: RunningServer, tmp_path: Path
) -> None:
    device, ticket = new_device(resuming_server, tmp_path), tmp_path / "ticket"
    # A ticket can be used once, and each connection gets a new one.
    assert over_openssl(device, "-sess_out", ticket)[1]
    assert ticket.exists()
    said, taken = over_openssl(device, "-sess_in", ticket, "-sess_out", ticket)
    assert taken
    assert "Reused, TLSv1.3" in said
    device.revoke()
    said, taken = over_openssl(device, "-sess_in", ticket)
    assert not taken
    assert "Reused, TLSv1.3" in said
    assert refusal(device) == "DEVICE_CERTIFICATE_REVOKED"


@pytest.fixture(scope="module")
def wolfssl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile a device on wolfSSL with the distribution's library."""
    compiler = require("gcc")
    require_file(WOLFSSL_HEADER, "libwolfssl-dev")
    program = tmp_path_factory.mktemp("wolfssl") / "client"
    source = Path(__file__).parent / "wolfssl_client.c"
    subprocess.run([compiler, "-o", str(program), str(source), "-lwolfssl"], check=True)
    return program


def over_wolfssl(program: Path, device: Registered, version: str) -> subprocess.CompletedProcess[str]:
    files = [device.server.root_ca, str(device.files.certificate), str(device.files.key)]
    command = [str(program), str(device.server.mqtt_port), *files, version]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("version", ["12", "13"])
def test_wolfssl_connects(wolfssl: Path, server: RunningServer, tmp_path: Path, version: str) -> None:
    done = over_wolfssl(wolfssl, new_device(server, tmp_path), version)
    assert (done.stdout, done.returncode) == (f"TLSv1.{version[1]} CONNACK 0\n", 0)


def test_a_client_that_ends_because_of_a_ticket_is_logged_with_its_alert(
    wolfssl: Path, resuming_server: RunningServer, tmp_path: Path
) -> None:
    device = new_device(resuming_server, tmp_path)
    assert over_wolfssl(wolfssl, device, "12").returncode == 0
    done = over_wolfssl(wolfssl, device, "13")
    if done.returncode == 0:
        pytest.skip("this wolfSSL takes ticket nonces of 32 bytes")
    fields = {"reason": "TLS_ALERT_RECEIVED", "certificate_id": device.files.certificate_id}
    # The alert comes before the gateway has read the CONNECT, or after.
    [line, *_] = eventually(
        lambda: [
            line
            for code in ("connection_refused", "connection_ended_by_alert")
            for line in resuming_server.log_events(code, **fields)
        ]
    )
    assert "(alert IllegalParameter, 47)" in line["detail"]
    assert statistics(resuming_server)["refused.TLS_ALERT_RECEIVED"] >= 1
