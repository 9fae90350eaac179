"""Resources that accounts share in handlers, with one account that uses all it can: the others are still served."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.command_line import answer
from tests.e2e.running_server import RunningServer
from tests.e2e.test_handler_accounts import FIRST, SECOND, request
from tests.e2e.test_handlers import Receiver, receiving
from tests.wait import eventually

BOTH = f'accounts = ["{FIRST}", "{SECOND}"]'


class Slow(Receiver):
    """A webhook that does not answer for the first account until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.accounts: list[str] = []

    def handle(self, headers: dict[str, str], body: bytes) -> int:
        account = json.loads(body)["awsAccountId"]
        self.accounts.append(account)
        if account == FIRST:
            assert self.go_on.wait(60)
        return super().handle(headers, body)


def events(server: RunningServer, account: str, count: int) -> None:
    """Add events that wait for the handler, as after an earlier run."""
    with server.stopped_database() as database:
        for number in range(count):
            payload = json.dumps({"awsAccountId": account, "certificateId": f"{number}"}).encode()
            # Those of the second account are due last.
            due = number if account == FIRST else 10**9 + number
            database.execute(
                "INSERT INTO deliveries (account_id, region, handler, subject, payload, attempts, next_attempt_at,"
                " state, created_at) VALUES (?, 'us-east-1', 'hook', ?, ?, 0, ?, 'pending', 0)",
                (account, f"{number}", payload, due),
            )


def test_150_slow_events_of_one_account_delay_no_event_of_another(tmp_path: Path) -> None:
    receiver = Slow()
    with receiving(receiver):
        data = tmp_path / "data"
        data.mkdir()
        (data / "sekisho.toml").write_text(f'[handlers.hook]\nurl = "{receiver.url}"\ntimeout = 60\n{BOTH}\n')
        server = RunningServer(data).start()
        answer("account", "create", SECOND, "--data", data)
        server.stop()
        events(server, FIRST, 150)
        events(server, SECOND, 10)
        server.start()
        try:
            eventually(lambda: receiver.accounts.count(SECOND) == 10)
            # Meanwhile the first account has had no more than its share.
            assert receiver.accounts.count(FIRST) <= 4
            receiver.go_on.set()
            eventually(lambda: answer("handlers", "list", "--data", data)[0]["pending"] == 0)
            assert (receiver.accounts.count(FIRST), receiver.accounts.count(SECOND)) == (150, 10)
        finally:
            receiver.go_on.set()
            server.stop()


def workers(server: RunningServer) -> int:
    """Return the processes of the server in which functions run."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            is_worker = b"sekisho.handlers.worker" in (process / "cmdline").read_bytes().split(b"\0")
            count += is_worker and parent == server.run["pid"]
    return count


def test_a_function_that_is_called_in_many_regions_has_no_more_processes_than_the_limit(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "own.py").write_text("def sign(event, context):\n    return {}\n")
    (data / "sekisho.toml").write_text('[handlers.sign]\nfunction = "own:sign"\n')
    server = RunningServer(data).start()
    try:
        most = 0
        for region in REGIONS:
            iot: Any = server.session(None, region).iot
            iot.create_certificate_provider(
                certificateProviderName="own",
                lambdaFunctionArn=f"arn:aws:lambda:{region}:{FIRST}:function:sign",
                accountDefaultForOperations=["CreateCertificateFromCsr"],
            )
            with pytest.raises(ClientError, match="certificatePem"):
                iot.create_certificate_from_csr(certificateSigningRequest=request(tmp_path, "lamp"))
            most = max(most, workers(server))
        assert most == 16
    finally:
        server.stop()
    server.wait_for_log("handler_process_replaced")


REGIONS = (
    *(f"us-{place}-{number}" for place in ("east", "west") for number in (1, 2)),
    *(f"eu-{place}" for place in ("central-1", "central-2", "west-1", "west-2", "west-3", "north-1", "south-1")),
    *(
        f"ap-{place}"
        for place in ("northeast-1", "northeast-2", "northeast-3", "southeast-1", "southeast-2", "south-1")
    ),
    "ca-central-1",
    "sa-east-1",
)
