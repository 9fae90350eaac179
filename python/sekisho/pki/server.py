"""The server's certificates, and the roots that devices have to trust.

Two hierarchies of root, intermediate and server certificates: ECDSA P-256, and RSA-2048 for clients without ECDSA. They
live in a folder of the data folder:

    root-ca.pem                      both roots: the file for --cafile, readable by every user
    ecdsa/root.{crt,key}             20 years
    ecdsa/intermediate.{crt,key}     10 years
    ecdsa/server.{crt,key}           397 days; the chain for clients that name no endpoint of a region
    ecdsa/regions.crt                397 days; for each region a certificate of the same key, without its chain
    ecdsa/replaced/                  files that were replaced
    rsa/…                            the same

A root is created once and never replaced, because clients trust only that root. A certificate below it is issued again
when it expires soon, when its names have changed, and when it cannot be used. So none of them prevents a start.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509

from sekisho import ids
from sekisho.files import create_folder, remove_leftovers, write_atomically
from sekisho.observe.event_log import log
from sekisho.observe.events import LogEvent
from sekisho.pki import issue, keys, pem, verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issue import Signer
from sekisho.pki.keys import KeyType, PrivateKey
from sekisho.pki.pem import PemError

ROOT_LIFETIME: Final = timedelta(days=20 * 365)
INTERMEDIATE_LIFETIME: Final = timedelta(days=10 * 365)
SERVER_LIFETIME: Final = timedelta(days=397)
"""Apple's clients and browsers accept at most 398 days."""
RENEW_BEFORE: Final = timedelta(days=30)

ROOT_FILE: Final = "root-ca.pem"

_HIERARCHIES: Final = (("ecdsa", "ECDSA", KeyType.P_256), ("rsa", "RSA", KeyType.RSA_2048))
"""Folder, word in the names, kind of key; in the order of preference."""

_REGIONS_FILE: Final = "regions.crt"
_REPLACED: Final = "replaced"

Chain: TypeAlias = tuple[str, str]
"""Certificate chain in PEM, the server's certificate first; private key in PEM."""


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """The certificates that the gateway serves, in the order of preference."""

    chains: Sequence[Chain] = field(repr=False)
    """For clients whose SNI is not an endpoint of a region."""
    by_name: Mapping[str, Sequence[Chain]] = field(repr=False)
    """For clients whose SNI is an endpoint of a region: by the certificate's only DNS name, a wildcard."""
    root_file: Path
    """The file of the roots that clients have to trust."""


def load_or_create(
    folder: Path,
    *,
    names: Sequence[str],
    addresses: Sequence[str],
    now: datetime,
    further_names: Sequence[str] = (),
) -> ServerIdentity:
    """Load the identity in ``folder``, and issue server certificates that are missing, expire soon or are unusable.

    Args:
        names: DNS names of the default certificate.
        addresses: IP addresses, for clients that connect by one.
        further_names: DNS names, wildcards, with one certificate each. The caller limits their number.

    Raises:
        OSError: A file of a root cannot be read or written.
        ValueError: A root is damaged, lost or expired, or is not that of ``root-ca.pem``; or a name is invalid. The
            message says which, and what to do.
    """
    default_names = _alternative_names(names, addresses)
    further = {name: _alternative_names([name], ()) for name in further_names}
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    # Other users may enter it to read the roots; the rest is in folders that only the owner can enter.
    folder.chmod(0o711)
    chains: list[Chain] = []
    by_name: dict[str, list[Chain]] = {name: [] for name in further}
    hierarchies = [_Hierarchy(folder / name, word, key_type, now) for name, word, key_type in _HIERARCHIES]
    roots = [hierarchy.root() for hierarchy in hierarchies]
    root_file = _root_file(folder / ROOT_FILE, [root.certificate for root in roots])
    for hierarchy, root in zip(hierarchies, roots, strict=True):
        intermediate = hierarchy.intermediate(root)
        server = hierarchy.server(intermediate, default_names)
        key = keys.to_pem(server.key)
        chains.append((server.certificate.pem + intermediate.certificate.pem, key))
        for name, certificate in hierarchy.further(intermediate, server.key, further).items():
            by_name[name].append((certificate.pem + intermediate.certificate.pem, key))
    return ServerIdentity(chains, by_name, root_file)


def clean_up(folder: Path) -> None:
    """Remove temporary files of a killed server. Call it only while no server runs on the folder. Raises OSError."""
    remove_leftovers(folder)
    for name, _, _ in _HIERARCHIES:
        remove_leftovers(folder / name)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate and its key."""

    certificate: X509Certificate
    key: PrivateKey = field(repr=False)

    @property
    def signer(self) -> Signer:
        return Signer.of(self.certificate, self.key)


class _Hierarchy:
    """One root, intermediate and server certificates, as files of one folder."""

    def __init__(self, folder: Path, word: str, key_type: KeyType, now: datetime) -> None:
        self._folder = folder
        self._word = word
        self._key_type = key_type
        self._now = now

    def root(self) -> _Pair:
        """Load the root, or create one where no file of it exists.

        Raises OSError, or PemError, which says what to do.
        """
        certificate_file, key_file = self._files("root")
        self._put_an_interrupted_start_aside()
        for file, other in ((certificate_file, key_file), (key_file, certificate_file)):
            if not file.exists() and other.exists():
                copy = f" {ROOT_FILE} has a copy of it." if file is certificate_file else ""
                raise PemError(f"{file} is missing beside {other.name}.{copy} {self._advice}")
        if not certificate_file.exists():
            return self._new_root()
        present = self._load("root")
        if not keys.fits(present.key, present.certificate.public_key):
            raise PemError(f"{self._folder}: root.key does not belong to root.crt. {self._advice}")
        if present.certificate.not_after <= self._now:
            raise PemError(
                f"{certificate_file} ended on {present.certificate.not_after:%Y-%m-%d}, and this machine's clock says "
                f"{self._now:%Y-%m-%d}. Set the clock right. For a new root, which every client then has to be given, "
                f"move the folder {self._folder.parent} away."
            )
        if self._now < present.certificate.not_before:
            log.write(
                LogEvent.CLOCK_BEFORE_ROOT,
                file=str(certificate_file),
                not_before=present.certificate.not_before.isoformat(),
                clock=self._now.isoformat(),
            )
        return present

    def intermediate(self, root: _Pair) -> _Pair:
        """Load or issue the intermediate below ``root``."""
        present, why = self._usable("intermediate", root)
        if present is not None:
            return present
        key = keys.generate(self._key_type)
        certificate = issue.sign_ca(
            root.signer,
            self._name("CA"),
            key,
            path_length=0,
            not_before=self._begins,
            not_after=min(self._now + INTERMEDIATE_LIFETIME, root.certificate.not_after),
        )
        return self._keep("intermediate", _Pair(certificate, key), why)

    def server(self, intermediate: _Pair, alternative_names: Sequence[x509.GeneralName]) -> _Pair:
        """Load or issue the default server certificate below ``intermediate``, for exactly these names."""
        present, why = self._usable("server", intermediate)
        if present is not None:
            if _names_of(present.certificate) == set(alternative_names):
                return present
            why = "it is for other names"
        key = keys.generate(self._key_type)
        made = _Pair(self._leaf(intermediate, key, alternative_names), key)
        return self._keep("server", made, why, intermediate.certificate)

    def further(
        self, intermediate: _Pair, key: PrivateKey, wanted: Mapping[str, Sequence[x509.GeneralName]]
    ) -> Mapping[str, X509Certificate]:
        """Return a certificate of ``key`` for each name: that in the file if it is usable, else a new one."""
        file = self._folder / _REGIONS_FILE
        present: dict[frozenset[x509.GeneralName], X509Certificate] = {}
        why = ""
        try:
            if wanted and (file.exists() or file.is_symlink()):
                certificates = map(X509Certificate.from_der, pem.read_chain(pem.read_file(file)))
                present = {frozenset(_names_of(each)): each for each in certificates}
        except (OSError, PemError) as error:
            why = str(error)
        good: dict[str, X509Certificate] = {}
        for name, alternative_names in wanted.items():
            certificate = present.get(frozenset(alternative_names))
            if certificate is None or self._why_not(_Pair(certificate, key), intermediate):
                certificate = self._leaf(intermediate, key, alternative_names)
            good[name] = certificate
        if set(good.values()) != set(present.values()):
            self._write(file, "".join(each.pem for each in good.values()).encode(), why)
        return good

    def _leaf(
        self, intermediate: _Pair, key: PrivateKey, alternative_names: Sequence[x509.GeneralName]
    ) -> X509Certificate:
        return issue.sign_server(
            intermediate.signer,
            issue.common_name("Sekisho"),
            key.public_key(),
            alternative_names=alternative_names,
            not_before=self._begins,
            not_after=min(self._now + SERVER_LIFETIME, intermediate.certificate.not_after),
        )

    @property
    def _begins(self) -> datetime:
        return self._now - issue.BACKDATED

    @property
    def _advice(self) -> str:
        folder = self._folder.parent
        return (
            f"Restore {folder} from a backup. For a new root, which every client then has to be given, move this "
            "folder away."
        )

    def _name(self, rank: str) -> bytes:
        # Clients that trust the roots of two servers tell them apart by name.
        return issue.common_name(f"Sekisho {self._word} {rank} {ids.short(6)}")

    def _put_an_interrupted_start_aside(self) -> None:
        """Move the folder away if an earlier version was killed in its first start, after it wrote the root's key.

        No client has this root: that version wrote the file for clients last, and had signed nothing.
        """
        if (self._folder.parent / ROOT_FILE).exists() or not self._folder.exists():
            return
        if [file.name for file in self._folder.iterdir()] == ["root.key"]:
            self._folder.rename(self._folder.with_name(f"{self._folder.name}.interrupted.{ids.short(8)}"))

    def _new_root(self) -> _Pair:
        root_file = self._folder.parent / ROOT_FILE
        if root_file.exists() or (self._folder.exists() and any(self._folder.iterdir())):
            left = root_file if root_file.exists() else self._folder
            raise PemError(f"{self._folder}: root.crt and root.key are missing, but {left} is there. {self._advice}")
        key = keys.generate(self._key_type)
        certificate = issue.sign_ca(
            None,
            self._name("Root CA"),
            key,
            path_length=1,
            not_before=self._begins,
            not_after=self._now + ROOT_LIFETIME,
        )
        # Both files or none: a key without its certificate would look like one whose certificate was lost.
        create_folder(
            self._folder,
            {"root.key": (keys.to_pem(key).encode(), 0o600), "root.crt": (certificate.pem.encode(), 0o644)},
        )
        return _Pair(certificate, key)

    def _usable(self, rank: str, issuer: _Pair) -> tuple[_Pair | None, str]:
        """Load the pair of ``rank`` if it can be served long enough; else None and why, empty where there is none."""
        try:
            pair = self._load(rank)
        except FileNotFoundError as error:
            return None, str(error) if any(file.exists() for file in self._files(rank)) else ""
        except (OSError, PemError) as error:
            return None, str(error)
        why = self._why_not(pair, issuer)
        return (None, why) if why else (pair, "")

    def _why_not(self, pair: _Pair, issuer: _Pair) -> str:
        """Return why a certificate below ``issuer`` cannot be served for long enough, or an empty text."""
        certificate = pair.certificate
        if not verify.is_issued_by(certificate, issuer.certificate):
            return "another CA has signed it"
        if not keys.fits(pair.key, certificate.public_key):
            # The server was killed between writing the two files.
            return "the key does not belong to the certificate"
        # A certificate that expires with its issuer cannot be valid for longer.
        ends = certificate.not_after
        if self._now >= ends or (self._now >= ends - RENEW_BEFORE and ends < issuer.certificate.not_after):
            return f"it ends on {certificate.not_after:%Y-%m-%d}"
        # A clock before the root's notBefore is wrong: nothing is replaced.
        if issuer.certificate.not_before <= self._now < certificate.not_before:
            return f"it begins on {certificate.not_before:%Y-%m-%d} only"
        return ""

    def _load(self, rank: str) -> _Pair:
        certificate, key = self._files(rank)
        try:
            first = pem.read_chain(pem.read_file(certificate))[0]
            return _Pair(X509Certificate.from_der(first), keys.load(pem.read_file(key), made_here=True))
        except PemError as error:
            raise PemError(
                f"{self._folder}: {rank}.crt or {rank}.key is damaged: {error}"
                + (f" {self._advice}" if rank == "root" else "")
            ) from None

    def _files(self, rank: str) -> tuple[Path, Path]:
        return self._folder / f"{rank}.crt", self._folder / f"{rank}.key"

    def _keep(self, rank: str, pair: _Pair, why: str, *issuers: X509Certificate) -> _Pair:
        """Write a new pair in place of one that could not be used, because of ``why``."""
        certificate, key = self._files(rank)
        # The certificate last: where it exists, its key does.
        self._write(key, keys.to_pem(pair.key).encode(), why)
        self._write(certificate, "".join(each.pem for each in (pair.certificate, *issuers)).encode(), why)
        return pair

    def _write(self, file: Path, content: bytes, why: str) -> None:
        """Write a file below the root. After an error the certificate is still served. ``why``: for the log."""
        try:
            if why:
                self._put_aside(file)
                log.write(LogEvent.SERVER_CERTIFICATE_REPLACED, file=str(file), reason=why)
            write_atomically(file, content, mode=0o600 if file.suffix == ".key" else 0o644)
        except OSError as error:
            log.write(LogEvent.SERVER_CERTIFICATE_NOT_SAVED, file=str(file), reason=str(error))

    def _put_aside(self, file: Path) -> None:
        """Move a file to the folder ``replaced``, which keeps all intermediates, and of others the last one."""
        if not file.exists() and not file.is_symlink():
            return
        folder = self._folder / _REPLACED
        folder.mkdir(mode=0o700, exist_ok=True)
        when = f".{self._now:%Y%m%dT%H%M%S}" if file.stem == "intermediate" else ""
        aside = folder / f"{file.stem}{when}{file.suffix}"
        if aside.exists() and (when or aside.is_dir() or file.is_dir()):
            # A folder in place of a file cannot be the source or the target of this rename.
            aside = aside.with_suffix(f".{ids.short(8)}{file.suffix}")
        file.rename(aside)


def _root_file(file: Path, roots: Sequence[X509Certificate]) -> Path:
    """Return ``root-ca.pem``, after writing these roots to it where it is missing or unreadable.

    Further certificates in it are kept. Raises PemError where it has other roots in place of these: clients have that
    file.
    """
    wanted = "".join(root.pem for root in roots)
    if file.exists():
        try:
            present = set(pem.read_chain(pem.read_file(file)))
        except PemError as error:
            aside = file.with_suffix(".pem.replaced")
            file.rename(aside)
            log.write(LogEvent.ROOTS_FILE_REPLACED, file=str(file), reason=str(error))
        else:
            missing = [root for root in roots if pem.read_certificate(root.pem) not in present]
            if not missing:
                return file
            raise PemError(
                f"{file} lacks the root {missing[0].subject_text} of the folders beside it. Clients were given what is "
                f"in this file: restore {file.parent} from one backup. If the folders beside it are right, move the "
                "file away, and it is written anew."
            )
    write_atomically(file, wanted.encode(), mode=0o644)
    return file


def _alternative_names(names: Sequence[str], addresses: Sequence[str]) -> list[x509.GeneralName]:
    alternative_names: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            # DNS and certificates have names in other scripts in their ASCII form.
            alternative_names.append(x509.DNSName(name if name.isascii() else name.encode("idna").decode()))
        except (ValueError, UnicodeError):
            raise ValueError(f"{name!r} is no DNS name.") from None
    for address in dict.fromkeys(addresses):
        alternative_names.append(x509.IPAddress(ipaddress.ip_address(address)))
    return alternative_names


def _names_of(certificate: X509Certificate) -> set[x509.GeneralName]:
    try:
        return set(certificate.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return set()
