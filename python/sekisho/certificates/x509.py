"""Certificates as requests bring them, and as the registry keeps them."""

from __future__ import annotations

from functools import lru_cache

from sekisho.errors import CertificateValidationException
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError


def given(text: str, parameter: str) -> X509Certificate:
    """The one certificate in a parameter of a request.

    Raises:
        CertificateValidationException: There is none, or more than one, or something else: the message says what.
    """
    try:
        return X509Certificate.from_pem(text)
    except PemError as error:
        raise CertificateValidationException(f"{parameter}: {error}") from None


@lru_cache(maxsize=256)
def given_ca(text: str) -> X509Certificate:
    """As ``given``, of ``caCertificatePem``: the same CA comes with every certificate that it signed."""
    return given(text, "caCertificatePem")


@lru_cache(maxsize=4096)
def kept(pem: str) -> X509Certificate:
    """A certificate that the registry keeps. A CA's is asked for with every certificate that is registered."""
    return X509Certificate.from_pem(pem)
