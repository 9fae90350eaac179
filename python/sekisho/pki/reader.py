"""The data plane's reader of certificates, for the control plane.

The gateway and the registry read the same facts from the same bytes, so that neither refuses what the other reads. The
Rust module's reader is a pure function of bytes, as those of ``cryptography`` are; this module is the only one of the
domain that imports it (``docs/decisions/0011-one-reader-of-certificates.md``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sekisho import _sekisho

if TYPE_CHECKING:
    # Only the type stubs have these names; the built module has no such objects.
    from sekisho._sekisho import CertificateFacts, NameFacts, PublicKeyFacts, RequestFacts, SignatureFacts

__all__ = [
    "CertificateFacts",
    "NameFacts",
    "PublicKeyFacts",
    "RequestFacts",
    "SignatureFacts",
    "Unreadable",
    "read_certificate",
    "read_name",
    "read_request",
    "verifies_ecdsa",
]

Unreadable: Final = _sekisho.CertificateError
"""The message ends a sentence that begins "the certificate cannot be read:"."""

read_certificate: Final = _sekisho.read_certificate
read_name: Final = _sekisho.read_name
read_request: Final = _sekisho.read_request
verifies_ecdsa: Final = _sekisho.verifies_ecdsa
