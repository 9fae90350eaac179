"""The facts of a certificate, X.509 v1 included, as the gateway's reader reads them (``pki.reader``).

``pki.verify`` checks them.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from sekisho.pki import names, pem, reader
from sekisho.pki.names import Name
from sekisho.pki.pem import PemError

if TYPE_CHECKING:
    from sekisho.pki.reader import CertificateFacts, PublicKeyFacts, SignatureFacts

VerifyingKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | dsa.DSAPublicKey

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class X509Certificate:
    """A certificate of version 1, 2 or 3.

    Construct it with ``from_pem`` or ``from_der``, which read every field that can be unreadable.
    """

    def __init__(self, der: bytes, facts: CertificateFacts) -> None:
        self.der = der
        self._facts = facts

    @classmethod
    def from_pem(cls, text: str) -> X509Certificate:
        """Read the only certificate in ``text``, which may have other text around it. Raises PemError."""
        der = pem.read_certificate(text)
        try:
            return cls.from_der(der)
        except PemError:
            found = pem.misnamed(der)
            if found is None:
                raise
            raise PemError(f"The text is labelled CERTIFICATE and contains {found}.") from None

    @classmethod
    def from_der(cls, der: bytes) -> X509Certificate:
        """Read a certificate. Raises PemError where it is not one."""
        try:
            return cls(der, reader.read_certificate(der))
        except reader.Unreadable as error:
            raise PemError(f"The certificate cannot be read: {error}.") from None

    @property
    def pem(self) -> str:
        """This certificate in PEM, without other text."""
        return pem.write(pem.CERTIFICATE, self.der)

    @cached_property
    def certificate_id(self) -> str:
        """SHA-256 of the DER, in lower-case hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def public_key_id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo as the certificate encodes it, in lower-case hexadecimal."""
        return hashlib.sha256(self.key["spki"]).hexdigest()

    @cached_property
    def signed_id(self) -> str:
        """SHA-256 of the signed part (TBSCertificate), in lower-case hexadecimal.

        It is the same for certificates that differ only in the encoding of their signature.
        """
        return hashlib.sha256(self.signature["signed"]).hexdigest()

    @cached_property
    def issuer_serial_id(self) -> str:
        """SHA-256 of issuer (``names.canonical``) and serial number, which a CA uses once; lower-case hexadecimal."""
        return hashlib.sha256(b"%x:%b" % (self.serial_number, self.issuer)).hexdigest()

    @cached_property
    def subject(self) -> bytes:
        """The subject in its form for comparison (``names.canonical``)."""
        return names.canonical(self.subject_name)

    @cached_property
    def issuer(self) -> bytes:
        """The issuer in its form for comparison (``names.canonical``)."""
        return _canonical_issuer(self._facts["issuer"]["der"])

    @cached_property
    def subject_name(self) -> Name:
        """The subject as it was read."""
        return Name(**self._facts["subject"])

    @cached_property
    def issuer_name(self) -> Name:
        """The issuer as it was read."""
        return Name(**self._facts["issuer"])

    @property
    def subject_text(self) -> str:
        """The subject for messages (RFC 4514)."""
        return names.shown(self.subject_name)

    @property
    def issuer_text(self) -> str:
        """The issuer for messages (RFC 4514)."""
        return names.shown(self.issuer_name)

    @property
    def common_names(self) -> list[str]:
        """Every CN of the subject."""
        return names.common_names(self.subject_name)

    @property
    def version(self) -> int:
        """1, 2 or 3."""
        return self._facts["version"]

    @property
    def serial_number(self) -> int:
        """The serial number, of any length and sign."""
        return int.from_bytes(self._facts["serial"], "big", signed=True)

    @cached_property
    def not_before(self) -> datetime:
        """In UTC."""
        return _EPOCH + timedelta(seconds=self._facts["not_before"])

    @cached_property
    def not_after(self) -> datetime:
        """In UTC."""
        return _EPOCH + timedelta(seconds=self._facts["not_after"])

    @property
    def key(self) -> PublicKeyFacts:
        """The public key as it was read."""
        return self._facts["key"]

    @cached_property
    def public_key(self) -> VerifyingKey | None:
        """The public key for verification, or None where ``cryptography`` cannot load it."""
        return loaded(self.key["spki"])

    @property
    def signature(self) -> SignatureFacts:
        """The signature as it was read."""
        return self._facts["signature"]

    @property
    def names_one_algorithm(self) -> bool:
        """Whether the signature's algorithm is the same inside and outside the signed part."""
        return self._facts["names_one_algorithm"]

    @cached_property
    def parsed(self) -> x509.Certificate:
        """The certificate as ``cryptography`` reads it. Raises ValueError where it cannot read it."""
        return x509.load_der_x509_certificate(self.der)

    @property
    def is_ca(self) -> bool | None:
        """CA of basicConstraints, or None without that extension. Raises PemError where it cannot be read."""
        problem = self._facts["is_ca_problem"]
        if problem is not None:
            raise PemError(f"The certificate's extensions cannot be read: {problem}.")
        return self._facts["is_ca"]

    @property
    def subject_key_identifier(self) -> str | None:
        """The extension in hexadecimal, or None where it is missing or unreadable."""
        found = self._facts["subject_key_identifier"]
        return None if found is None else found.hex()

    @property
    def authority_key_identifier(self) -> str | None:
        """The key identifier of the extension in hexadecimal, or None where it is missing or unreadable."""
        found = self._facts["authority_key_identifier"]
        return None if found is None else found.hex()


@lru_cache(maxsize=256)
def _canonical_issuer(der: bytes) -> bytes:
    """The form of a name for comparison. A CA's name comes with every certificate that it signed."""
    return names.canonical(names.read(der))


def loaded(spki: bytes) -> VerifyingKey | None:
    """Load the public key of a SubjectPublicKeyInfo. Returns None where it is of another kind or cannot be loaded."""
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | dsa.DSAPublicKey) else None
