"""Any path is answered as AWS answers it, for every operation that is implemented."""

from __future__ import annotations

import http.client
import json
import re
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sekisho.api.model import service_models
from sekisho.api.operation import installed_operations
from tests.contract.conftest import Account

SIGNING_NAMES = {"iot": "iot", "iot-data": "iotdata"}
LABEL = re.compile(r"\{[^}]+\}")


def routes_with_labels() -> list[tuple[str, str, str, str]]:
    """Return (service, operation, method, path) of each operation whose path has a label."""
    here = {(service, name) for service, name in installed_operations() if service in SIGNING_NAMES}
    return [
        (service, name, method, uri.partition("?")[0])
        for service in SIGNING_NAMES
        for name, method, uri in service_models()[service].routes()
        if (service, name) in here and "{" in uri.partition("?")[0]
    ]


def ask(account: Account, service: str, method: str, path: str) -> tuple[int, str, str]:
    """Send a signed request without a body; returns status, error type, message."""
    url = urlsplit(account.server.url)
    request = AWSRequest(method, account.server.url + path, data=b"")
    key = account.key
    signing = Credentials(key.access_key_id, key.secret_access_key)
    SigV4Auth(signing, SIGNING_NAMES[service], account.region).add_auth(request)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
    connection.request(method, path, b"", dict(request.headers.items()))
    response = connection.getresponse()
    body = response.read()
    connection.close()
    kind = (response.headers["x-amzn-errortype"] or "").rstrip(":")
    return response.status, kind, json.loads(body).get("message", "") if body else ""


@pytest.mark.parametrize(
    "label", ["a\n", "\n", "a\nb", "a\r\nx: y", "a\x00", "\x7f", "a\u2028", "a ", "é", "{}", "a\\"]
)
def test_a_control_character_in_a_path_is_an_aws_error(account: Account, label: str) -> None:
    for service, name, method, path in routes_with_labels():
        status, kind, message = ask(account, service, method, LABEL.sub(quote(label, safe=""), path))
        assert status < 500, (name, kind, message)
        if label.isprintable() or (service, name) == ("iot-data", "Publish"):
            continue
        assert 400 <= status < 500, (name, status)
        assert kind in {"InvalidRequestException", "ValidationException", "SerializationException"}, (
            name,
            kind,
            message,
        )
        assert not set(message) & set("\n\r\x00\x7f\u2028"), (name, message)


def test_a_topic_with_a_control_character_is_answered_as_the_broker_answers_devices(account: Account) -> None:
    assert ask(account, "iot-data", "POST", "/topics/a%00")[0] == 400
    assert ask(account, "iot-data", "POST", "/topics/a%FF")[0] == 400


@pytest.mark.parametrize("path", ["/things/a%0Ab", "/%0A", "/things%0A/x", "/_sekisho/health%0A", "/_sekisho/nothing"])
def test_a_path_without_an_operation_is_refused_as_on_aws(account: Account, path: str) -> None:
    status, kind, message = ask(account, "iot", "GET", path)
    assert 400 <= status < 500
    assert kind in {"InvalidRequestException", "UnknownOperationException"}
    assert message


def test_health_accepts_no_other_method(account: Account) -> None:
    assert ask(account, "iot", "POST", "/_sekisho/health")[1] == "UnknownOperationException"
