"""The CA of the device certificates that the service issues.

CreateKeysAndCertificate and CreateCertificateFromCsr sign with it. Its certificates have the properties of AWS
IoT's own: RSA-2048, notAfter 2049-12-31T23:59:59Z, subject ``CN=AWS IoT Certificate`` unless a CSR names another.

Source: API Reference, CreateKeysAndCertificate and CreateCertificateFromCsr; Developer Guide, device-certs-create; the
fields as decoded from certificates that AWS IoT has issued.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sekisho.files import create_folder
from sekisho.pki import ca, issue, keys
from sekisho.pki.ca import CertificateAuthority
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.keys import KeyType
from sekisho.pki.pem import PemError

NOT_AFTER: Final = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
SUBJECT: Final = "AWS IoT Certificate"

_CA_NAME: Final = "Sekisho device certificates"


@dataclass(frozen=True, slots=True)
class IssuedWithKey:
    """A certificate, and the key pair that was generated for it and is not stored."""

    certificate: X509Certificate
    public_key_pem: str
    private_key_pem: str = field(repr=False)


class IssuingAuthority:
    """The issuing CA of this server, in the files ``ca.key`` (mode 0600) and ``ca.crt`` of its folder.

    It is created when it is first used: an RSA key takes a tenth of a second, and most servers issue nothing.
    Methods may be called from any thread.
    """

    def __init__(self, folder: Path, authority: CertificateAuthority | None) -> None:
        self._folder = folder
        self._authority = authority
        self._making = threading.Lock()

    @classmethod
    def load_or_create(cls, folder: Path) -> IssuingAuthority:
        """Load the authority of ``folder`` where it exists. Raises OSError, or ValueError, which names the wrong file.

        An existing authority is never replaced, because it has signed certificates of devices.
        """
        certificate, key = folder / "ca.crt", folder / "ca.key"
        for file, other in ((certificate, key), (key, certificate)):
            if not file.exists() and other.exists():
                raise PemError(
                    f"{file} is missing beside {other.name}. Restore {folder} from a backup; or move this folder away "
                    "for a new CA, which signs what is issued from then on."
                )
        if not certificate.exists():
            return cls(folder, None)
        try:
            return cls(folder, ca.load(certificate.read_text(), key.read_text(), made_here=True))
        except ValueError as error:
            raise PemError(f"{folder}: {error}") from None

    def issue_with_key(
        self, now: datetime, *, subject: str = SUBJECT, not_after: datetime = NOT_AFTER
    ) -> IssuedWithKey:
        """Generate an RSA-2048 key and issue a certificate for it.

        Args:
            subject: Its common name.

        Raises:
            OSError: The authority cannot be written.
        """
        key = keys.generate(KeyType.RSA_2048)
        certificate = issue.sign_device(
            self._ready(now).signer,
            issue.common_name(subject),
            key.public_key(),
            not_before=now - issue.BACKDATED,
            not_after=not_after,
        )
        return IssuedWithKey(certificate, keys.public_pem(key.public_key()), keys.to_traditional_pem(key))

    def issue_for_request(self, request_pem: str, now: datetime) -> X509Certificate:
        """Issue a new certificate for a certificate signing request.

        Raises:
            PemError, NotAcceptable: As ``issue.read_request``.
            OSError: The authority cannot be written.
        """
        request = issue.read_request(request_pem)
        return issue.sign_device(
            self._ready(now).signer,
            request.subject.der,
            request.spki,
            not_before=now - issue.BACKDATED,
            not_after=NOT_AFTER,
        )

    def _ready(self, now: datetime) -> CertificateAuthority:
        with self._making:
            if self._authority is None:
                # Another instance on this folder may have created it since the check.
                self._authority = self.load_or_create(self._folder)._authority
            if self._authority is None:
                made = ca.create(_CA_NAME, KeyType.RSA_2048, now=now, lifetime=NOT_AFTER - now)
                # Both files or none: a key without its certificate would look like one whose certificate was lost.
                create_folder(
                    self._folder,
                    {"ca.key": (made.key_pem.encode(), 0o600), "ca.crt": (made.certificate_pem.encode(), 0o644)},
                )
                self._authority = made
            return self._authority
