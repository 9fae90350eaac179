"""Handlers of a fleet: the operator's code activates unregistered devices."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device
from tests.e2e.command_line import answer, failure, failure_line, sekisho, sekisho_process
from tests.e2e.devices import allow
from tests.e2e.mqtt_wire import V311, attempt, is_taken
from tests.e2e.running_server import RunningServer
from tests.wait import eventually

# A function as for AWS Lambda.
FUNCTION = """
import boto3

iot = boto3.client("iot")


def activate(event, context):
    print("activating", event["certificateId"], "for", context.function_name)
    certificate = iot.describe_certificate(certificateId=event["certificateId"])["certificateDescription"]
    iot.update_certificate(certificateId=event["certificateId"], newStatus="ACTIVE")
    iot.attach_policy(policyName="anything", target=certificate["certificateArn"])
    return {"activated": context.invoked_function_arn}
"""


def serving(folder: Path, handlers: str) -> RunningServer:
    """Start a server with these handlers."""
    data = folder / "data"
    data.mkdir()
    (data / "sekisho.toml").write_text(handlers)
    server = RunningServer(data).start()
    allow(server.session().iot, "anything")
    return server


def trust(server: RunningServer, folder: Path) -> CertificateFiles:
    ca = new_ca(folder)
    server.session().iot.register_ca_certificate(
        caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    return ca


def status(server: RunningServer, device: CertificateFiles) -> str:
    described = server.session().iot.describe_certificate(certificateId=device.certificate_id)
    return described["certificateDescription"]["status"]


def waiting(server: RunningServer) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = answer("handlers", "list", "--data", server.data)
    return listed


@dataclass
class Receiver:
    """A webhook that activates devices through the API, as a user's service does; or answers with an error."""

    server: RunningServer | None = None
    status: int = 200
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def handle(self, headers: dict[str, str], body: bytes) -> int:
        self.seen.append((headers, body))
        if self.status == 200 and self.server is not None:
            certificate_id = json.loads(body)["certificateId"]
            iot = self.server.session().iot
            iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
            described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
            iot.attach_policy(policyName="anything", target=described["certificateArn"])
        return self.status


@contextmanager
def receiving(receiver: Receiver | None = None) -> Iterator[Receiver]:
    answering = receiver or Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(length := int(self.headers["Content-Length"]))
            if len(body) < length:
                # The server was killed while it sent the request, so this is not a call.
                self.close_connection = True
                return
            code = answering.handle(dict(self.headers), body)
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        answering.url = f"http://127.0.0.1:{http.server_port}/hook"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield answering
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def test_a_lambda_function_of_the_user_activates_an_unknown_device(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "fleet.py").write_text(FUNCTION)
    server = serving(
        tmp_path,
        '[handlers.activate]\nfunction = "fleet:activate"\npath = "../code"\ntimeout = 30\n'
        "on_certificate_registered = true\n",
    )
    try:
        device = new_device(tmp_path, trust(server, tmp_path))
        assert attempt(server, device, "first", V311) == []
        eventually(lambda: status(server, device) == "ACTIVE")
        eventually(lambda: waiting(server)[0]["pending"] == 0)
        assert is_taken(attempt(server, device, "second", V311))
        said = server.wait_for_log("handler_printed", lambda line: device.certificate_id in line["text"])
        assert (said["handler"], said["text"].split()[-1]) == ("activate", "activate")
        assert waiting(server) == [
            {
                "name": "activate",
                "kind": "function",
                "pending": 0,
                "failed": 0,
                "lastError": None,
                "warning": None,
                "accounts": {},
            }
        ]
    finally:
        assert server.stop() == 0


def test_a_webhook_activates_an_unknown_device_and_can_verify_the_caller(tmp_path: Path, receiver: Receiver) -> None:
    secret = tmp_path / "hook.secret"
    secret.write_text("much ado\n")
    secret.chmod(0o600)
    server = serving(
        tmp_path,
        f'[handlers.hook]\nurl = "{receiver.url}"\nsecret_file = "{secret}"\non_certificate_registered = true\n',
    )
    receiver.server = server
    try:
        ca = trust(server, tmp_path)
        device = new_device(tmp_path, ca)
        assert attempt(server, device, "first", V311) == []
        eventually(lambda: status(server, device) == "ACTIVE")
        eventually(lambda: waiting(server)[0]["pending"] == 0)
        assert is_taken(attempt(server, device, "second", V311))
        [(headers, body)] = receiver.seen
        assert json.loads(body)["caCertificateId"] == ca.certificate_id
        Webhook(b"much ado").verify(body, headers)
        assert headers["webhook-id"].startswith("hook:123456789012:us-east-1:")
    finally:
        assert server.stop() == 0


def test_after_kill_9_between_registration_and_delivery_the_handler_is_called(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.status = 503
    server = serving(
        tmp_path, f'[handlers.hook]\nurl = "{receiver.url}"\nretries = 1000\non_certificate_registered = true\n'
    )
    device = new_device(tmp_path, trust(server, tmp_path))
    assert attempt(server, device, "crashed", V311) == []
    eventually(lambda: len(receiver.seen) > 0)
    server.kill()
    assert server.rows("SELECT handler, subject, state FROM deliveries") == [("hook", device.certificate_id, "pending")]

    receiver.status, receiver.server = 200, server
    server.start()
    try:
        eventually(lambda: status(server, device) == "ACTIVE")
        eventually(lambda: waiting(server)[0]["pending"] == 0)
        ids = {headers["webhook-id"] for headers, _ in receiver.seen}
        assert len(ids) == 1
        assert is_taken(attempt(server, device, "crashed", V311))
    finally:
        server.stop()


def test_a_python_function_does_not_outlive_a_server_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    code = "import os, time\n\ndef activate(event, context):\n    print(os.getpid())\n    time.sleep(600)\n"
    (tmp_path / "code" / "fleet.py").write_text(code)
    server = serving(
        tmp_path,
        '[handlers.activate]\nfunction = "fleet:activate"\npath = "../code"\ntimeout = 600\n'
        "on_certificate_registered = true\n",
    )
    device = new_device(tmp_path, trust(server, tmp_path))
    assert attempt(server, device, "first", V311) == []
    pid = int(server.wait_for_log("handler_printed")["text"])
    server.kill()

    def has_ended() -> bool:
        try:
            # A zombie has ended; in a container no process may wait for it.
            return ") Z " in Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True

    eventually(has_ended)


def test_failed_events_are_listed_and_retried_beside_the_running_server(tmp_path: Path, receiver: Receiver) -> None:
    receiver.status = 404
    server = serving(tmp_path, f'[handlers.hook]\nurl = "{receiver.url}"\non_certificate_registered = true\n')
    try:
        device = new_device(tmp_path, trust(server, tmp_path))
        assert attempt(server, device, "refused", V311) == []
        eventually(lambda: waiting(server)[0]["failed"] == 1)
        [row] = waiting(server)
        assert (row["pending"], row["kind"]) == (0, "webhook")
        assert f"{receiver.url} answered 404" in row["lastError"]
        server.wait_for_log("handler_event_given_up")
        assert "'sekisho handlers list'" in failure("handlers", "retry", "unknown", "--data", server.data)

        receiver.status, receiver.server = 200, server
        assert answer("handlers", "retry", "hook", "--data", server.data) == {"retried": 1}
        eventually(lambda: status(server, device) == "ACTIVE")
        eventually(lambda: waiting(server)[0]["pending"] == 0)
        assert answer("handlers", "retry", "--data", server.data) == {"retried": 0}
    finally:
        server.stop()


def test_an_unusable_handler_prevents_the_start_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text('[handlers.hook]\nurl = "https://example.com"\nsecret_file = "nowhere"\n')
    line = failure_line(sekisho_process("up", "--data", tmp_path, "--api-port", "0", "--mqtt-port", "0"))
    assert "[handlers.hook]" in line
    assert "secret_file" in line
    assert "No such file" in line


def test_commands_name_a_missing_data_folder(tmp_path: Path) -> None:
    for command in (["list"], ["retry"], ["discard", "hook"]):
        assert f"no data folder {tmp_path}/missing" in failure("handlers", *command, "--data", tmp_path / "missing")


def test_the_list_for_people_has_each_handler_with_its_waiting_events(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text('[handlers.hook]\nurl = "https://a.example/"\n')
    assert sekisho("handlers", "list", "--data", tmp_path).stdout == "hook  webhook  0 pending, 0 failed\n"
    assert sekisho("handlers", "retry", "--data", tmp_path).stdout == "0 events are tried again\n"
    assert sekisho("handlers", "discard", "hook", "--data", tmp_path).stdout == "0 events are forgotten\n"
    assert "'sekisho handlers list'" in failure("handlers", "discard", "unknown", "--data", tmp_path)
