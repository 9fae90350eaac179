"""Parses certificates of requests and of the registry."""

from __future__ import annotations

from functools import lru_cache

from sekisho.errors import CertificateValidationException
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError


def from_request(text: str, parameter: str) -> X509Certificate:
    """Parse the certificate in a parameter of a request.

    Raises:
        CertificateValidationException: ``text`` is not exactly one certificate.
    """
    try:
        return X509Certificate.from_pem(text)
    except PemError as error:
        raise CertificateValidationException(f"{parameter}: {error}") from None


@lru_cache(maxsize=256)
def ca_from_request(text: str) -> X509Certificate:
    """Parse ``caCertificatePem``. Cached: the same CA certificate comes with every certificate that it signed."""
    return from_request(text, "caCertificatePem")


@lru_cache(maxsize=4096)
def stored(pem: str) -> X509Certificate:
    """Parse a certificate of the registry. Cached: that of a CA is needed for every certificate that is registered."""
    return X509Certificate.from_pem(pem)
