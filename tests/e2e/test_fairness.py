"""Accounts share one server: thousands of requests of one account delay none of the others."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import pytest

from tests import x509
from tests.e2e.certificate_files import in_files, new_key, new_self_signed, openssl
from tests.e2e.command_line import answer
from tests.e2e.devices import Device, allow, endpoint, register
from tests.e2e.many_devices import Outcome, attempt, new_devices
from tests.e2e.running_server import Clients, RunningServer
from tests.wait import eventually

OTHER: Final = "222222222222"
STORM: Final = 400
"""Unregistered certificates at once: several transactions of the registration queue."""

HELD_SECONDS: Final = 5.0
"""Maximum seconds between the first handshake and its CONNECT, for which the server allows ten."""

CREATE: Final = "$aws/certificates/create/json"

# A signer that takes as long as the test wants.
FUNCTION: Final = """
import pathlib, time


def sign(event, context):
    folder = pathlib.Path({folder!r})
    (folder / "entered").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return {{"certificatePem": "none"}}
"""


def other_account(server: RunningServer) -> Clients:
    """Create a second account."""
    answer("account", "create", OTHER, "--data", server.data)
    return server.session(OTHER)


def health(server: RunningServer) -> dict[str, Any]:
    with urlopen(f"{server.run['api']}/_sekisho/health") as answer:
        report: dict[str, Any] = json.load(answer)
    return report


def test_a_device_that_requests_thousands_of_keys_delays_no_other_account(
    own_server: RunningServer, tmp_path: Path
) -> None:
    server, clients, other = own_server, own_server.session(), other_account(own_server)
    greedy, modest = new_self_signed(tmp_path, "greedy"), new_self_signed(tmp_path, "modest")
    register(clients, greedy, allow(clients.iot, "anything"))
    register(other, modest, allow(other.iot, "anything"))
    with (
        Device(server, greedy, "greedy") as flooding,
        Device(server, modest, "modest", server_name=endpoint(other)) as device,
    ):
        for asking in (flooding, device):
            for outcome in ("accepted", "rejected"):
                assert not asking.subscribe(f"{CREATE}/{outcome}").is_failure
        for _ in range(3000):
            flooding.client.publish(CREATE, b"{}")
        # Acknowledged after all of these have arrived.
        flooding.publish("done", b"", 1)
        device.publish(CREATE, b"{}", 1)
        answer = device.message()
        assert answer.topic == f"{CREATE}/accepted", answer.payload
        assert health(server)["mqtt"]["requests_waiting"] > 0, "requests that came before it still wait"
        answers = [flooding.message() for _ in range(2600)]
    outcomes = Counter(message.topic.rsplit("/", 1)[1] for message in answers)
    assert outcomes["rejected"] > 2500, "each is answered, though most are not carried out"
    rejection = next(json.loads(message.payload) for message in answers if message.topic.endswith("rejected"))
    assert (rejection["statusCode"], rejection["errorCode"]) == (429, "Throttling")
    line = server.wait_for_log("device_requests_throttled")
    assert (line["account_id"], line["client_id"]) == (server.run["account"], "greedy")


@pytest.fixture
def slow_signer(tmp_path: Path) -> Iterator[tuple[RunningServer, Path]]:
    """Run a server whose first account has a certificate provider that signs when the file ``go`` exists."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "own.py").write_text(FUNCTION.format(folder=str(tmp_path)))
    (data / "sekisho.toml").write_text('[handlers.sign]\nfunction = "own:sign"\naccounts = ["123456789012"]\n')
    server = RunningServer(data).start()
    try:
        server.session().iot.create_certificate_provider(
            certificateProviderName="slow",
            lambdaFunctionArn="arn:aws:lambda:eu-central-1:123456789012:function:sign",
            accountDefaultForOperations=["CreateCertificateFromCsr"],
        )
        yield server, tmp_path
    finally:
        (tmp_path / "go").touch()
        server.kill()


def test_calls_that_wait_for_a_slow_handler_delay_neither_another_account_nor_health(
    slow_signer: tuple[RunningServer, Path],
) -> None:
    server, folder = slow_signer
    other = other_account(server)
    request = openssl("req", "-new", "-key", new_key(folder / "device.key", "P-256"), "-subj", "/CN=lamp")
    clients = server.session()
    _ = clients.iot
    begun = threading.Semaphore(0)

    def call() -> str:
        begun.release()
        try:
            clients.iot.create_certificate_from_csr(certificateSigningRequest=request)
        except clients.iot.exceptions.ClientError as error:
            return str(error.response["Error"]["Code"])
        return "signed"

    with ThreadPoolExecutor(60) as callers:
        calls = [callers.submit(call) for _ in range(60)]
        try:
            for _ in calls:
                assert begun.acquire(timeout=30)
            eventually(lambda: (folder / "entered").exists())
            assert other.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
            assert health(server)["status"] == "ok"
            back = {each.result() for each in calls if each.done()}
            assert back <= {"ServiceUnavailableException"}, "no call that the handler keeps waiting was answered before"
        finally:
            (folder / "go").touch()
    outcomes = Counter(each.result() for each in calls)
    assert "InternalFailureException" not in outcomes, outcomes


def test_a_storm_of_unregistered_certificates_does_not_delay_the_first_connection_at_another_account(
    own_server: RunningServer, tmp_path: Path
) -> None:
    server, clients, other = own_server, own_server.session(), other_account(own_server)
    cas = x509.new_ca("Storm"), x509.new_ca("Calm")
    for iot, ca in zip((clients.iot, other.iot), cas, strict=True):
        iot.register_ca_certificate(
            caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
        )
    storm = new_devices(tmp_path / "storm", cas[0], STORM, "storm")
    registered, unregistered = new_devices(tmp_path / "calm", cas[1], 2, "calm")
    register(other, in_files(tmp_path, registered.issued), allow(other.iot, "anything"))
    server_name = endpoint(other)
    for member in (*storm, registered, unregistered):
        member.tls(server)

    async def scenario() -> tuple[list[Outcome], int]:
        burst, sent = asyncio.Event(), asyncio.Event()
        ready = released = 0

        async def all_are_ready() -> None:
            nonlocal ready, released
            ready += 1
            if ready == STORM:
                burst.set()
            await burst.wait()
            # The CONNECT is written without another pause.
            released += 1
            if released == STORM:
                sent.set()

        asyncio.get_running_loop().call_later(HELD_SECONDS, burst.set)
        arriving = [asyncio.create_task(attempt(server, member, held=all_are_ready)) for member in storm]
        calm = [attempt(server, each, held=sent.wait, server_name=server_name) for each in (registered, unregistered)]
        outcomes = await asyncio.gather(*calm)
        answered = sum(each.done() for each in arriving)
        assert set(await asyncio.gather(*arriving)) == {Outcome.CLOSED}, "each was registered, and refused"
        return outcomes, answered

    outcomes, answered = asyncio.run(scenario())
    assert outcomes == [Outcome.TAKEN, Outcome.CLOSED]
    assert answered < STORM * 3 // 4, "others that came before still wait"
    described = other.iot.describe_certificate(certificateId=unregistered.certificate_id)["certificateDescription"]
    assert described["status"] == "PENDING_ACTIVATION"
