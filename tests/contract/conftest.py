"""One real server for all contract tests: the API on a free port, the domain behind it, a store on a file.

Each test has a separate account, so tests do not see each other. Published messages are collected instead of
delivered: the gateway has its tests in ``tests/e2e``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from sekisho.accounts.model import AccessKey
from sekisho.accounts.rules import Accounts
from sekisho.api import app as api
from sekisho.api.connections import ServerLimits
from sekisho.api.http_server import HttpServer
from sekisho.api.sigv4 import SecretKey
from sekisho.buckets.folder import FolderBuckets
from sekisho.change import Change
from sekisho.clock import utc_now
from sekisho.endpoints.rules import Endpoints
from sekisho.gateway.engine import RustPolicyEngine
from sekisho.messaging.publishing import Message
from sekisho.pki.issuing import IssuingAuthority
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.realm import Realm
from sekisho.server import wiring
from sekisho.server.services import Services
from sekisho.server.wiring import Foreign
from sekisho.store.store import Store
from tests.tools import require

if TYPE_CHECKING:
    from types_boto3_iot.client import IoTClient
    from types_boto3_iot_data.client import IoTDataPlaneClient

HOME = Realm("123456789012", "eu-central-1")


@dataclass
class Account:
    """An account of the server, with clients that sign for it."""

    server: Server
    key: AccessKey
    region: str = HOME.region

    @property
    def realm(self) -> Realm:
        return Realm(self.key.account_id, self.region)

    def elsewhere(self, region: str) -> Account:
        """Return the same account in another region."""
        return Account(self.server, self.key, region)

    @cached_property
    def iot(self) -> IoTClient:
        client: IoTClient = self._client("iot")
        return client

    @cached_property
    def data(self) -> IoTDataPlaneClient:
        client: IoTDataPlaneClient = self._client("iot-data")
        return client

    def aws(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the AWS CLI; the test checks its exit status."""
        return subprocess.run(
            [require("aws"), *arguments], env=self._environment(), capture_output=True, text=True, check=False
        )

    def _client(self, service: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.server.url,
            region_name=self.region,
            aws_access_key_id=self.key.access_key_id,
            aws_secret_access_key=self.key.secret_access_key,
            # botocore must not retry unseen.
            config=Config(retries={"total_max_attempts": 1}),
        )

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return kept | {
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.key.secret_access_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
        }


class Functions:
    """Replaces handlers by functions of the test, by ARN. The real handlers have other tests."""

    def __init__(self) -> None:
        self.by_arn: dict[str, Callable[[Mapping[str, Any]], Any]] = {}

    def invoke(
        self,
        realm: Realm,  # noqa: ARG002 - an ARN is used by one test
        function: str,
        event: Mapping[str, Any],
        *,
        timeout: float | None = None,  # noqa: ARG002
        request_id: str | None = None,  # noqa: ARG002
    ) -> Any:
        if function not in self.by_arn:
            raise HandlerFailed(f"there is no handler for {function}", is_permanent=True)
        return self.by_arn[function](event)

    def for_certificate_registered(self, realm: Realm, ca_certificate_id: str) -> Sequence[str]:  # noqa: ARG002
        return ()


@dataclass
class Server:
    """The running server."""

    url: str
    store: Store
    services: Services
    functions: Functions
    buckets: Path
    announced: list[Change] = field(default_factory=list)
    published: list[tuple[Realm, Message]] = field(default_factory=list)

    def new_account(self) -> Account:
        """Return an account that no other test uses."""
        return Account(self, self.services.accounts.create()[1])


class _Collector:
    def __init__(self, published: list[tuple[Realm, Message]]) -> None:
        self._published = published

    def publish(self, realm: Realm, message: Message) -> None:
        self._published.append((realm, message))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The one server of the session."""
    folder = tmp_path_factory.mktemp("server")
    announced: list[Change] = []
    published: list[tuple[Realm, Message]] = []
    with Store(f"sqlite:///{folder / 'sekisho.db'}", announced.extend) as store, socket.socket() as listener:
        functions = Functions()
        services = _services(store, folder, published, functions)
        application = api.build(services, _credentials(services.accounts), utc_now, default_realm=HOME)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        http = HttpServer(application, ServerLimits())
        thread = threading.Thread(target=http.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not http.started:
                assert time.monotonic() < deadline, "the server did not start"
                thread.join(0.01)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield Server(url, store, services, functions, folder / "buckets", announced, published)
        finally:
            services.bulk_registration.stop()
            http.should_exit = True
            thread.join()


@pytest.fixture
def account(server: Server) -> Account:
    """Return an account of this test."""
    return server.new_account()


@pytest.fixture
def other_account(server: Server) -> Account:
    """Return a second account."""
    return server.new_account()


def _services(store: Store, folder: Path, published: list[tuple[Realm, Message]], functions: Functions) -> Services:
    foreign = Foreign(
        clock=utc_now,
        engine=RustPolicyEngine(),
        authority=IssuingAuthority.load_or_create(folder / "issuing"),
        broker=_Collector(published),
        handlers=functions,
        buckets=FolderBuckets(folder / "buckets"),
    )
    return wiring.build(store, Endpoints(store, HOME, "localhost"), foreign)


def _credentials(accounts: Accounts) -> Any:
    def find(access_key_id: str) -> SecretKey | None:
        key = accounts.access_key(access_key_id)
        if key is None:
            return None
        return SecretKey(key.account_id, f"arn:aws:iam::{key.account_id}:root", key.account_id, key.secret_access_key)

    return find
