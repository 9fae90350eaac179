"""A certificate authority: created here, or loaded from files that another program made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sekisho.pki import issue, keys, verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issue import Device, Signer
from sekisho.pki.keys import KeyType, PrivateKey
from sekisho.pki.pem import PemError


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A CA certificate with its key."""

    certificate: X509Certificate
    key: PrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> str:
        """Its certificate in PEM."""
        return self.certificate.pem

    @property
    def certificate_id(self) -> str:
        """SHA-256 of its certificate's DER, in lower-case hexadecimal."""
        return self.certificate.certificate_id

    @property
    def key_pem(self) -> str:
        """Its private key in PEM, PKCS #8, unencrypted."""
        return keys.to_pem(self.key)

    @property
    def signer(self) -> Signer:
        """The signer that ``pki.issue`` takes."""
        return Signer.of(self.certificate, self.key)

    def new_device(self, name: str, key_type: KeyType, *, now: datetime, lifetime: timedelta) -> Device:
        """Make a device's key, certificate signing request and certificate.

        The certificate may outlive the CA: AWS IoT does not check the CA when a registered device connects.

        Raises ValueError: the name does not fit into a CN.
        """
        return issue.new_device(self.signer, name, key_type, not_before=now - issue.BACKDATED, not_after=now + lifetime)

    def renew(self, old: X509Certificate, key: PrivateKey, *, now: datetime, lifetime: timedelta) -> X509Certificate:
        """Sign a certificate with the subject of ``old`` for another key. Any CA may have signed ``old``."""
        return issue.sign_device(
            self.signer,
            old.subject_name.der,
            key.public_key(),
            not_before=now - issue.BACKDATED,
            not_after=now + lifetime,
        )

    def sign(self, request_pem: str, *, now: datetime, lifetime: timedelta) -> X509Certificate:
        """Sign a certificate for a certificate signing request. Raises as ``issue.read_request``."""
        request = issue.read_request(request_pem)
        return issue.sign_device(
            self.signer,
            request.subject.der,
            request.spki,
            not_before=now - issue.BACKDATED,
            not_after=now + lifetime,
        )


def create(name: str, key_type: KeyType, *, now: datetime, lifetime: timedelta) -> CertificateAuthority:
    """Create a self-signed CA that AWS IoT and Sekisho accept. Raises ValueError: ``name`` does not fit into its CN."""
    key = keys.generate(key_type)
    certificate = issue.sign_ca(
        None,
        issue.common_name(name),
        key,
        path_length=None,
        not_before=now - issue.BACKDATED,
        not_after=now + lifetime,
    )
    return CertificateAuthority(certificate, key)


def load(certificate_pem: str, key_pem: str, *, made_here: bool = False) -> CertificateAuthority:
    """Load a CA from the text of its two files; its validity is not checked. ``made_here``: see ``keys.load``.

    Raises:
        PemError: One of them cannot be read, or they do not belong together.
        NotACA: The certificate is not that of a CA.
    """
    certificate = X509Certificate.from_pem(certificate_pem)
    key = keys.load(key_pem, "The CA's private key", made_here=made_here)
    if not keys.fits(key, certificate.public_key):
        raise PemError(f"The CA's private key does not belong to the certificate of {certificate.subject_text}.")
    verify.check_is_ca(certificate)
    return CertificateAuthority(certificate, key)
