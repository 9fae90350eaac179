"""A server for the tests of a module; tests that stop or kill one start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device
from tests.e2e.devices import allow
from tests.e2e.running_server import RunningServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run a server with an empty registry."""
    running = RunningServer(tmp_path_factory.mktemp("server") / "data").start()
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RunningServer]:
    """Run a server for one test, which may stop and start it."""
    running = RunningServer(tmp_path / "data").start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def device_files(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """Register a device of a registered CA that may do anything. RSA, which every client can read."""
    folder = tmp_path_factory.mktemp("device")
    ca = new_ca(folder)
    device = new_device(folder, ca, kind="RSA-2048")
    clients = server.session()
    clients.iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
    arn = clients.iot.register_certificate(certificatePem=device.pem, caCertificatePem=ca.pem, status="ACTIVE")[
        "certificateArn"
    ]
    clients.iot.attach_policy(policyName=allow(clients.iot, "anything"), target=arn)
    return device
