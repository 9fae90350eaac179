"""Certificate signing requests to handlers, and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sekisho.certificate_providers.signer import CsrNotSigned
from sekisho.provisioning.csr_signer import HandlerCsrSigner
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.realm import Realm
from tests.store.builders import HOME, certificate_provider


class Handlers:
    """Returns one answer, and records its calls."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[tuple[Realm, str, Mapping[str, Any], float | None]] = []

    def invoke(
        self,
        realm: Realm,
        function: str,
        event: Mapping[str, Any],
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Any:
        assert request_id is None
        self.calls.append((realm, function, event, timeout))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def for_certificate_registered(self, realm: Realm, ca_certificate_id: str) -> Sequence[str]:
        raise NotImplementedError(realm, ca_certificate_id)


def sign(handlers: Handlers) -> str:
    return HandlerCsrSigner(handlers).sign(HOME, certificate_provider(), "the request", "me", "lamp")


def test_the_event_is_that_of_aws_with_a_timeout_of_five_seconds() -> None:
    handlers = Handlers({"certificatePem": "the certificate", "more": 1})
    assert sign(handlers) == "the certificate"
    event = {"certificateSigningRequest": "the request", "principalId": "me", "clientId": "lamp"}
    assert handlers.calls == [(HOME, certificate_provider().function_arn, event, 5.0)]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "returned nothing"),
        ("-----BEGIN CERTIFICATE-----", "a value of type str"),
        ({}, "the members .none."),
        ({"certificatePem": 1, "b": "a secret"}, "the members b, certificatePem"),
    ],
)
def test_an_answer_in_another_form_is_not_a_certificate(answer: Any, says: str) -> None:
    with pytest.raises(CsrNotSigned, match=says) as failure:
        sign(Handlers(answer))
    assert failure.value.is_permanent
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("is_permanent", [True, False])
def test_the_error_of_a_handler_is_temporary_or_permanent(is_permanent: bool) -> None:
    with pytest.raises(CsrNotSigned, match="it fell over") as failure:
        sign(Handlers(HandlerFailed("it fell over", is_permanent=is_permanent)))
    assert failure.value.is_permanent is is_permanent
