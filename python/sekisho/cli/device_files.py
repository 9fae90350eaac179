"""Files of new keys and certificates, each to replace an old certificate: on disk before they are registered.

A folder for each old certificate contains ``DIR/<old certificate id>/device.key`` and ``device.crt``. An existing file
is used and never made again: the certificate may be registered already, and there is no other copy of the key.
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
from sekisho.cli.pem_files import read_text, write_pem_files
from sekisho.files import sync_folder
from sekisho.pki import keys, verify
from sekisho.pki.ca import CertificateAuthority
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.keys import KeyType
from sekisho.pki.pem import PemError

KEY: Final = "device.key"
CERTIFICATE: Final = "device.crt"


@dataclass(frozen=True, slots=True)
class DeviceFiles:
    """The folder, and the CA that signs.

    Args:
        key_type: Kind of the new keys; None: the kind of the old key, or P-256 where ``KeyType`` does not have that.
        clock: The present time, aware.
    """

    folder: Path
    authority: CertificateAuthority
    key_type: KeyType | None
    lifetime: timedelta
    clock: Callable[[], datetime]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and lock it, because two processes at a time would make two keys for one device.

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
                # The kernel releases the lock when the process ends, however it ends.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Failure(
                    f"another 'sekisho rotate' works in {self.folder}: wait until it has ended, or choose another "
                    "folder with --out"
                ) from None
            yield
        finally:
            os.close(descriptor)

    def key_file(self, old_certificate_id: str) -> Path:
        """Return the path of the new key."""
        return self.folder / old_certificate_id / KEY

    def certificate_file(self, old_certificate_id: str) -> Path:
        """Return the path of the new certificate."""
        return self.folder / old_certificate_id / CERTIFICATE

    def made_here(self) -> set[str]:
        """Return the ids of all certificates in the folder. A file that is not a certificate is skipped."""
        found = set()
        for file in self.folder.glob(f"*/{CERTIFICATE}"):
            try:
                found.add(X509Certificate.from_pem(read_text(file)).certificate_id)
            except (PemError, Failure):
                continue
        return found

    def present(self, old_certificate_id: str) -> X509Certificate | None:
        """Return the certificate that an earlier run made, or None.

        Raises Failure where it cannot be used: its key is missing, or another CA signed it.
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
        if not verify.is_signed_by(certificate, self.authority.certificate):
            raise Failure(
                f"{file} was not signed by this CA ({self.authority.certificate.subject_text}): choose another folder "
                "with --out, or go on with the CA that you began with"
            )
        return certificate

    def make(self, old: X509Certificate) -> X509Certificate:
        """Make a key and a certificate with the subject of the old one. Both are synced to disk when it returns.

        Raises Failure.
        """
        key_file, file = self.key_file(old.certificate_id), self.certificate_file(old.certificate_id)
        if key_file.exists():
            # An earlier run ended between writing the key and writing the certificate.
            try:
                key = keys.load(read_text(key_file), str(key_file), made_here=True)
            except PemError as error:
                raise Failure(str(error)) from None
        else:
            key = keys.generate(self.key_type or keys.kind_of(old.public_key) or KeyType.P_256)
            write_pem_files({key_file: keys.to_pem(key)})
            _sync(file.parent)
        certificate = self.authority.renew(old, key, now=self.clock(), lifetime=self.lifetime)
        # The certificate last: where it exists, its key exists.
        write_pem_files({file: certificate.pem})
        _sync(file.parent)
        _sync(self.folder)
        return certificate


def _sync(folder: Path) -> None:
    try:
        sync_folder(folder)
    except OSError as error:
        raise Failure(f"{folder}: {error.strerror}") from None
