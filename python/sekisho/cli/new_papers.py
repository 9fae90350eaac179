"""New keys and certificates for devices that have old ones: on disk before anybody is told of them.

A folder for each old certificate, ``DIR/<old certificate id>/device.key`` and ``device.crt``. What is there is used
and never made again: the server may know of it already, and there is no other copy of the key.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sekisho.cli.failure import Failure
from sekisho.cli.papers import read_text, write_papers
from sekisho.files import sync_folder
from sekisho.pki import keys, verify
from sekisho.pki.ca import CertificateAuthority
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.keys import KeyType
from sekisho.pki.pem import PemError

KEY: Final = "device.key"
CERTIFICATE: Final = "device.crt"


@dataclass(frozen=True, slots=True)
class NewPapers:
    """The folder, and what signs.

    Args:
        key_type: Kind of the new keys; None: the same as the old one's, P-256 where that is unusual.
        clock: The present time, aware.
    """

    folder: Path
    authority: CertificateAuthority
    key_type: KeyType | None
    lifetime: timedelta
    clock: Callable[[], datetime]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep it to this process: two at a time would make two keys for one device.

        Raises Failure.
        """
        is_new = not self.folder.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise Failure(f"{self.folder}: {error.strerror}") from None
        try:
            if is_new:
                _sync(self.folder.absolute().parent)
            try:
                # It goes with the process, however that ends.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Failure(
                    f"another 'sekisho rotate' is at work in {self.folder}: wait until it is done, or choose another "
                    "folder with --out"
                ) from None
            yield
        finally:
            os.close(descriptor)

    def key_file(self, old_certificate_id: str) -> Path:
        """Where the new key is, or will be."""
        return self.folder / old_certificate_id / KEY

    def certificate_file(self, old_certificate_id: str) -> Path:
        """Where the new certificate is, or will be."""
        return self.folder / old_certificate_id / CERTIFICATE

    def made_here(self) -> set[str]:
        """Ids of all certificates in the folder. A file that is no certificate is passed over."""
        found = set()
        for file in self.folder.glob(f"*/{CERTIFICATE}"):
            try:
                found.add(X509Certificate.from_pem(read_text(file)).certificate_id)
            except (PemError, Failure):
                continue
        return found

    def present(self, old_certificate_id: str) -> X509Certificate | None:
        """The certificate that was made before, or None.

        Raises Failure: it cannot be used, being without its key, or signed by another CA.
        """
        file, key_file = self.certificate_file(old_certificate_id), self.key_file(old_certificate_id)
        if not file.exists():
            return None
        if not key_file.exists():
            raise Failure(f"{file} is there without its key {KEY}: bring the key back, or remove the folder")
        try:
            certificate = X509Certificate.from_pem(read_text(file))
            key = keys.load(read_text(key_file), str(key_file), made_here=True)
        except PemError as error:
            raise Failure(f"{file.parent}: {error}") from None
        if not keys.fits(key, certificate.public_key):
            raise Failure(
                f"{file} does not belong to the key beside it: remove the folder, or bring the right key back"
            )
        if not verify.is_signed_by(certificate, self.authority.certificate.public_key):
            raise Failure(
                f"{file} was not signed by this CA ({self.authority.certificate.subject_text}): choose another folder "
                "with --out, or go on with the CA that you began with"
            )
        return certificate

    def make(self, old: X509Certificate) -> X509Certificate:
        """A key and a certificate of the same subject as the old one's; on disk for good when it returns.

        Raises Failure.
        """
        key_file, file = self.key_file(old.certificate_id), self.certificate_file(old.certificate_id)
        if key_file.exists():
            # The last run ended between the two files.
            try:
                key = keys.load(read_text(key_file), str(key_file), made_here=True)
            except PemError as error:
                raise Failure(str(error)) from None
        else:
            key = keys.generate(self.key_type or keys.kind_of(old.public_key) or KeyType.P_256)
            write_papers({key_file: keys.to_pem(key)})
            _sync(file.parent)
        certificate = self.authority.renew(old, key, now=self.clock(), lifetime=self.lifetime)
        # Last: where it is, everything is.
        write_papers({file: certificate.pem})
        _sync(file.parent)
        _sync(self.folder)
        return certificate


def _sync(folder: Path) -> None:
    try:
        sync_folder(folder)
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}") from None
