"""Bad input to the API: unacceptable certificates, wrong signatures, broken bodies.

Each is answered with AWS IoT's error for it, and a secret that was sent by mistake is neither repeated nor logged.
"""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import x509
from tests.e2e.certificate_files import new_key, openssl
from tests.e2e.running_server import RunningServer
from tests.tools import require

INVALID, UNREADABLE = "InvalidRequestException", "SerializationException"

Answer = tuple[int, str, dict[str, Any]]


@pytest.fixture(scope="module")
def environment(server: RunningServer) -> dict[str, str]:
    return server.environment()


@pytest.fixture(scope="module")
def iot(server: RunningServer) -> Any:
    return server.session().iot


@pytest.fixture(autouse=True)
def _goes_on(iot: Any) -> Iterator[None]:
    """After every bad request a good one is answered."""
    yield
    assert "endpointAddress" in iot.describe_endpoint(endpointType="iot:Data-ATS")


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """Return the error's code and message, after checking that it is a client error."""
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    response = raised.value.response
    assert 400 <= response["ResponseMetadata"]["HTTPStatusCode"] < 500
    assert response["Error"]["Message"]
    return response["Error"]["Code"], response["Error"]["Message"]


def register(iot: Any, pem: str) -> dict[str, Any]:
    answer: dict[str, Any] = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
    return answer


def test_text_around_a_certificate_is_ignored_and_a_second_certificate_is_refused(iot: Any) -> None:
    one, two = x509.new_device(None), x509.new_device(None)
    around = f"Certificate:\n    Data:\n        Version: 1\n\n{one.pem}\ntrailing words\n"
    assert register(iot, around)["certificateId"] == one.certificate_id
    code, message = refusal(
        iot.register_certificate_without_ca, certificatePem=two.pem + x509.new_device(None).pem, status="ACTIVE"
    )
    assert code in {"CertificateValidationException", "InvalidRequestException"}
    assert "certificate" in message.lower()


def test_a_private_key_in_place_of_a_certificate_is_neither_repeated_nor_logged(
    server: RunningServer, iot: Any
) -> None:
    issued, ca = x509.new_device(None), x509.new_ca("Careless CA")
    middles = [key.key_pem.splitlines()[1] for key in (issued, ca)]
    for call, parameters in (
        (iot.register_certificate_without_ca, {"certificatePem": issued.key_pem, "status": "ACTIVE"}),
        (iot.register_certificate_without_ca, {"certificatePem": issued.key_pem + issued.pem, "status": "ACTIVE"}),
        (iot.register_ca_certificate, {"caCertificate": ca.key_pem, "certificateMode": "SNI_ONLY"}),
        (iot.create_certificate_from_csr, {"certificateSigningRequest": issued.key_pem}),
    ):
        _, message = refusal(call, **parameters)
        assert not any(middle in message for middle in middles)
        assert "private key" in message.lower()
    assert not any(middle in server.log() for middle in middles)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda: x509.new_ca("No CA", basic_constraints=None), "basicConstraints"),
        (lambda: x509.new_ca("Old CA", ends=x509.around_now()[0]), ""),
        (lambda: x509.new_ca("Early CA", begins=x509.around_now()[1]), ""),
        (lambda: x509.new_ca("Weak CA", key=rsa.generate_private_key(65537, 1024)), "2048"),  # noqa: S505
    ],
    ids=["not a CA", "expired", "not yet valid", "RSA-1024"],
)
def test_an_unacceptable_ca_certificate_is_refused(
    iot: Any, spoil: Callable[[], x509.KeyAndCertificate], word: str
) -> None:
    code, message = refusal(iot.register_ca_certificate, caCertificate=spoil().pem, certificateMode="SNI_ONLY")
    assert code == "CertificateValidationException"
    assert word in message


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: x509.new_device(None, ends=x509.around_now()[0]),
        lambda: x509.new_device(None, begins=x509.around_now()[1]),
        lambda: x509.new_device(None, key=rsa.generate_private_key(65537, 1024)),  # noqa: S505
    ],
    ids=["expired", "not yet valid", "RSA-1024"],
)
def test_an_unacceptable_device_certificate_is_refused(iot: Any, spoil: Callable[[], x509.KeyAndCertificate]) -> None:
    issued = spoil()
    code, _ = refusal(iot.register_certificate_without_ca, certificatePem=issued.pem, status="ACTIVE")
    assert code == "CertificateValidationException"
    code, _ = refusal(iot.describe_certificate, certificateId=issued.certificate_id)
    assert code == "ResourceNotFoundException"


def test_a_device_certificate_signed_with_sha_1_is_refused(iot: Any, tmp_path: Path) -> None:
    file = tmp_path / "sha1.crt"
    openssl("req", "-x509", "-new", "-key", new_key(tmp_path / "sha1.key"), "-sha1", "-subj", "/CN=SHA-1", "-out", file)
    code, message = refusal(iot.register_certificate_without_ca, certificatePem=file.read_text(), status="ACTIVE")
    assert code == "CertificateValidationException"
    assert "sha1" in message.lower().replace("-", "")


def test_an_invalid_verification_certificate_is_refused(iot: Any) -> None:
    ca = x509.new_ca("Unproven CA")
    code = iot.get_registration_code()["registrationCode"]

    def answer(verification: x509.KeyAndCertificate) -> str:
        return refusal(iot.register_ca_certificate, caCertificate=ca.pem, verificationCertificate=verification.pem)[0]

    assert answer(x509.new_device(ca, "0" * 64)) == "RegistrationCodeValidationException"
    assert answer(x509.new_device(None, code)) == "CertificateValidationException"
    assert answer(x509.new_device(x509.new_ca("Unproven CA"), code)) == "CertificateValidationException"
    assert refusal(iot.register_ca_certificate, caCertificate=ca.pem)[0] == "InvalidRequestException"


def send(url: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """Send a request unchanged; returns status, error type, body."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    raw = response.read()
    kind = (response.headers.get("x-amzn-ErrorType") or "").partition(":")[0]
    connection.close()
    return response.status, kind, json.loads(raw) if raw else {}


def signed(
    environment: dict[str, str],
    method: str,
    path: str,
    body: bytes = b"",
    *,
    key: tuple[str, str] | None = None,
    skew: timedelta = timedelta(0),
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """Return headers made by botocore's signer, on a clock that is wrong by ``skew``."""
    key = key or (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    request = AWSRequest(method, environment["AWS_ENDPOINT_URL"] + path, data=body)
    set_clock(monkeypatch, skew)
    SigV4Auth(Credentials(*key), "iot", environment["AWS_REGION"]).add_auth(request)
    return dict(request.prepare().headers.items())


def set_clock(monkeypatch: pytest.MonkeyPatch, skew: timedelta) -> None:
    now = datetime.now(UTC).replace(tzinfo=None) + skew
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: now)


def test_a_wrongly_signed_request_is_refused_with_the_reason(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, path = environment["AWS_ENDPOINT_URL"], "/things"
    secret = environment["AWS_SECRET_ACCESS_KEY"]

    def sent(**options: Any) -> Answer:
        return send(url, "GET", path, headers=signed(environment, "GET", path, monkeypatch=monkeypatch, **options))

    assert sent()[0] == 200
    answers = {
        "wrong secret": sent(key=(environment["AWS_ACCESS_KEY_ID"], "w" * 40)),
        "unknown key": sent(key=("AKIAUNKNOWNUNKNOWN00", secret)),
        "late": sent(skew=timedelta(minutes=-20)),
        "early": sent(skew=timedelta(minutes=20)),
        "unsigned": send(url, "GET", path),
        "nonsense": send(url, "GET", path, headers={"Authorization": "AWS4-HMAC-SHA256 nonsense"}),
    }
    for name, (status, kind, body) in answers.items():
        assert status == 403, name
        assert kind, name
        assert body["message"], name
        assert secret not in json.dumps(body)
    assert len({answers[name][1] for name in ("wrong secret", "unknown key", "unsigned")}) == 3
    for name in ("late", "early"):
        assert "Signature" in answers[name][2]["message"], answers[name]


def test_an_expired_presigned_request_is_refused(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    key = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])

    def presigned(skew: timedelta) -> Answer:
        request = AWSRequest("GET", environment["AWS_ENDPOINT_URL"] + "/things")
        set_clock(monkeypatch, skew)
        SigV4QueryAuth(key, "iot", environment["AWS_REGION"], expires=60).add_auth(request)
        url = urlsplit(request.prepare().url)
        return send(environment["AWS_ENDPOINT_URL"], "GET", f"{url.path}?{url.query}")

    assert presigned(timedelta(0))[0] == 200
    assert presigned(timedelta(seconds=-90))[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/policies/p", b"{", UNREADABLE),
        ("POST", "/policies/p", b"not JSON at all", UNREADABLE),
        ("POST", "/policies/p", b'["a list"]', UNREADABLE),
        ("POST", "/policies/p", b"{}", INVALID),
        ("POST", "/policies/p", b'{"policyDocument": 7}', UNREADABLE),
        ("POST", "/policies/bad%20name", b'{"policyDocument": "{}"}', INVALID),
        ("POST", "/things/" + "n" * 129, b"", INVALID),
        ("POST", "/things/t", b'{"attributePayload": {"attributes": {"a b": "c"}}}', INVALID),
        ("POST", "/certificate/register", b'{"certificatePem": ""}', INVALID),
        ("POST", "/certificate/register", b'{"certificatePem": "x", "status": "NO_SUCH"}', INVALID),
        ("GET", "/certificates/tooshort", b"", INVALID),
        ("GET", "/things?maxResults=0", b"", INVALID),
        ("GET", "/things?maxResults=many", b"", UNREADABLE),
        ("POST", "/policies/p", b'{"policyDocument": "\xff\xfe"}', UNREADABLE),
    ],
)
def test_a_request_that_breaks_the_model_is_refused_with_a_message(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: bytes, expected: str
) -> None:
    headers = signed(environment, method, path, body, monkeypatch=monkeypatch)
    status, kind, answer = send(environment["AWS_ENDPOINT_URL"], method, path, body, headers)
    assert (status, kind) == (400, expected)
    assert answer["message"]


def test_a_body_of_2_mib_an_unknown_path_and_a_missing_operation_are_refused_as_such(
    server: RunningServer, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, big = environment["AWS_ENDPOINT_URL"], b"x" * (2 * 1024 * 1024)
    headers = signed(environment, "POST", "/policies/p", big, monkeypatch=monkeypatch)
    assert send(url, "POST", "/policies/p", big, headers)[0] == 413

    headers = signed(environment, "GET", "/no/such/path", monkeypatch=monkeypatch)
    status, kind, answer = send(url, "GET", "/no/such/path", b"", headers)
    assert status in {403, 404}
    assert kind
    assert "/no/such/path" in answer["message"]

    said = subprocess.run(
        [require("aws"), "iot", "create-topic-rule", "--rule-name", "r", "--topic-rule-payload",
         '{"sql": "SELECT 1", "actions": []}', "--debug"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode != 0
    assert "CreateTopicRule" in said.stderr.splitlines()[-1]
    assert said.stderr.count("Sending http request") == 1, "what will not work is not tried again"
    assert "Traceback" not in server.log()


def test_with_any_credentials_unsigned_and_unknown_signers_use_the_default_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all = RunningServer(tmp_path / "data", "--any-credentials").start()
    try:
        environment = open_to_all.environment()
        url = environment["AWS_ENDPOINT_URL"]
        assert send(url, "GET", "/things")[0] == 200
        for key in (("test", "test"), ("AKIAUNKNOWNUNKNOWN00", "w" * 40)):
            headers = signed(environment, "GET", "/things", key=key, monkeypatch=monkeypatch)
            assert send(url, "GET", "/things", headers=headers)[0] == 200
    finally:
        open_to_all.stop()
