"""A certificate as it was read, X.509 v1 included: facts, not judgements.

``pki.verify`` judges. Each fact is read when it is first asked for and then kept.
"""

from __future__ import annotations

import hashlib
import warnings
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtensionOID

from sekisho.pki import names, pem
from sekisho.pki.pem import PemError

# Devices in the field have the serial number 0 (`openssl x509 -set_serial 0`); nothing here stands on serial numbers.
warnings.filterwarnings("ignore", message="Parsed a serial number", category=CryptographyDeprecationWarning)


class X509Certificate:
    """A certificate of version 1 or 3.

    Make one by ``from_pem`` or ``from_der``, which read everything that may be unreadable.
    """

    def __init__(self, der: bytes, parsed: x509.Certificate, public_key: CertificatePublicKeyTypes | None) -> None:
        self.der = der
        self._parsed = parsed
        self.public_key = public_key
        """None where the key is of a kind that is not known here."""

    @classmethod
    def from_pem(cls, text: str) -> X509Certificate:
        """The one certificate in ``text``, whatever text is around it. Raises PemError."""
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
        """Raises PemError where it is no certificate."""
        try:
            parsed = x509.load_der_x509_certificate(der)
            public_key = _public_key(parsed)
            # What may fail later: names of kinds of string that nobody knows, times that are none.
            _ = parsed.subject, parsed.issuer, parsed.not_valid_before_utc, parsed.not_valid_after_utc
        except pem.UNREADABLE as error:
            raise PemError(f"The certificate cannot be read: {_plain(error)}.") from None
        return cls(der, parsed, public_key)

    @property
    def pem(self) -> str:
        """This certificate and nothing else, in PEM."""
        return pem.write(pem.CERTIFICATE, self.der)

    @cached_property
    def certificate_id(self) -> str:
        """Lower-case hex SHA-256 of the DER."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def public_key_id(self) -> str:
        """Lower-case hex SHA-256 of the DER SubjectPublicKeyInfo. Raises PemError: the key is of an unknown kind."""
        if self.public_key is None:
            raise PemError("The certificate has a key of an unknown kind.")
        return hashlib.sha256(self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    @cached_property
    def subject(self) -> bytes:
        """Subject in the form to be compared (``names.canonical``)."""
        return names.canonical(self._parsed.subject)

    @cached_property
    def issuer(self) -> bytes:
        """Issuer in the form to be compared (``names.canonical``)."""
        return names.canonical(self._parsed.issuer)

    @property
    def subject_text(self) -> str:
        """Subject for people."""
        return names.shown(self._parsed.subject)

    @property
    def issuer_text(self) -> str:
        """Issuer for people."""
        return names.shown(self._parsed.issuer)

    @property
    def common_names(self) -> list[str]:
        """Every CN of the subject."""
        return names.common_names(self._parsed.subject)

    @property
    def version(self) -> int:
        """1 or 3."""
        return 1 if self._parsed.version is x509.Version.v1 else 3

    @property
    def not_before(self) -> datetime:
        """UTC."""
        return self._parsed.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """UTC."""
        return self._parsed.not_valid_after_utc

    @property
    def parsed(self) -> x509.Certificate:
        """What ``cryptography`` read."""
        return self._parsed

    @property
    def is_ca(self) -> bool | None:
        """What basicConstraints says; None without that extension. Raises PemError where it cannot be read."""
        constraints = self._extension(ExtensionOID.BASIC_CONSTRAINTS)
        return constraints.ca if isinstance(constraints, x509.BasicConstraints) else None

    @property
    def subject_key_identifier(self) -> str | None:
        """The extension, in hex; None without it. Raises PemError where it cannot be read."""
        found = self._extension(ExtensionOID.SUBJECT_KEY_IDENTIFIER)
        return found.digest.hex() if isinstance(found, x509.SubjectKeyIdentifier) else None

    @property
    def authority_key_identifier(self) -> str | None:
        """The extension's key identifier, in hex; None without it. Raises PemError where it cannot be read."""
        found = self._extension(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
        if not isinstance(found, x509.AuthorityKeyIdentifier) or found.key_identifier is None:
            return None
        return found.key_identifier.hex()

    def _extension(self, oid: x509.ObjectIdentifier) -> x509.ExtensionType | None:
        try:
            return self._parsed.extensions.get_extension_for_oid(oid).value
        except x509.ExtensionNotFound:
            return None
        except (*pem.UNREADABLE, x509.DuplicateExtension) as error:
            raise PemError(f"The certificate's extensions cannot be read: {_plain(error)}.") from None


def _public_key(parsed: x509.Certificate) -> CertificatePublicKeyTypes | None:
    try:
        return parsed.public_key()
    except UnsupportedAlgorithm:
        return None


def _plain(error: Exception) -> str:
    """cryptography's words without what only its authors can use."""
    return str(error).split("\n", 1)[0].rstrip(".").removeprefix("error parsing asn1 value: ")
