"""The server's own identity: what devices see when they connect, and the roots they have to trust.

Two hierarchies of root, intermediate and server certificate: ECDSA P-256, and RSA-2048 for clients that offer no ECDSA.
They live in a folder of the data folder:

    root-ca.pem                    both roots: the file for --cafile
    ecdsa/root.{crt,key}           20 years
    ecdsa/intermediate.{crt,key}   10 years
    ecdsa/server.{crt,key}         397 days; server.crt is the chain that is served
    rsa/…                          the same

Server certificates are made anew at a start when less than 30 days of them are left, or when the names have changed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from sekisho import ids
from sekisho.files import write_atomically
from sekisho.pki import issue, keys, pem, verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issue import Signer
from sekisho.pki.keys import KeyType, PrivateKey
from sekisho.pki.pem import PemError

ROOT_LIFETIME: Final = timedelta(days=20 * 365)
INTERMEDIATE_LIFETIME: Final = timedelta(days=10 * 365)
SERVER_LIFETIME: Final = timedelta(days=397)
"""The longest that Apple's and browsers' clients accept is 398 days."""
RENEW_BEFORE: Final = timedelta(days=30)

ROOT_FILE: Final = "root-ca.pem"

_HIERARCHIES: Final = (("ecdsa", "ECDSA", KeyType.P_256), ("rsa", "RSA", KeyType.RSA_2048))
"""Folder, word in the names, kind of key; the best for each client first."""


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What the gate serves."""

    chains: Sequence[tuple[str, str]] = field(repr=False)
    """(certificate chain PEM, server's certificate first; private key PEM), the best for each client first."""
    root_file: Path
    """What clients have to trust."""


def load_or_create(folder: Path, *, names: Sequence[str], addresses: Sequence[str], now: datetime) -> ServerIdentity:
    """The identity kept in ``folder``, with whatever is missing, about to end, or for other names made anew.

    Args:
        names: DNS names, wildcards among them.
        addresses: IP addresses, for clients that connect by one.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: A file is damaged, or a name is none; the message says which.
    """
    alternative_names = _alternative_names(names, addresses)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    chains = []
    roots = []
    for name, word, key_type in _HIERARCHIES:
        hierarchy = _Hierarchy(folder / name, word, key_type, now)
        root = hierarchy.root()
        intermediate = hierarchy.intermediate(root)
        server = hierarchy.server(intermediate, alternative_names)
        roots.append(root.certificate.pem)
        chains.append((server.certificate.pem + intermediate.certificate.pem, keys.to_pem(server.key)))
    root_file = folder / ROOT_FILE
    _write_if_other(root_file, "".join(roots))
    return ServerIdentity(tuple(chains), root_file)


def load_given(certificate: Path, key: Path) -> tuple[str, str]:
    """A server certificate that someone else issued: (chain PEM, private key PEM), checked to belong together.

    Raises:
        OSError: A file cannot be read.
        ValueError: One is damaged, or the key is not that of the first certificate.
    """
    chain = [X509Certificate.from_der(der) for der in pem.read_chain(_read(certificate))]
    private_key = keys.load(_read(key), f"The private key in {key}")
    if not keys.fits(private_key, chain[0].public_key):
        for position, other in enumerate(chain[1:], 2):
            if keys.fits(private_key, other.public_key):
                raise PemError(
                    f"The server's certificate has to come first in {certificate}; the one of the key is number "
                    f"{position} ({other.subject_text})."
                )
        raise PemError(
            f"The key in {key} does not belong to the certificate in {certificate} ({chain[0].subject_text})."
        )
    return "".join(each.pem for each in chain), keys.to_pem(private_key)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate and its key."""

    certificate: X509Certificate
    key: PrivateKey = field(repr=False)

    @property
    def signer(self) -> Signer:
        return Signer.of(self.certificate.parsed, self.key)


class _Hierarchy:
    """One root, intermediate and server certificate, as files of one folder."""

    def __init__(self, folder: Path, word: str, key_type: KeyType, now: datetime) -> None:
        self._folder = folder
        self._word = word
        self._key_type = key_type
        self._now = now
        folder.mkdir(mode=0o700, exist_ok=True)

    def root(self) -> _Pair:
        """The root. One that is there is never replaced while it is valid: clients were given it."""
        present = self._load("root")
        if present is not None:
            if not keys.fits(present.key, present.certificate.public_key):
                raise PemError(
                    f"{self._folder}: root.key does not belong to root.crt. Restore both from one backup; or remove "
                    "both for a new root, which every client then has to be given."
                )
            if present.certificate.not_after > self._now:
                return present
        key = keys.generate(self._key_type)
        certificate = issue.sign_ca(
            None,
            self._name("Root CA"),
            key,
            path_length=1,
            not_before=self._begins,
            not_after=self._now + ROOT_LIFETIME,
        )
        return self._keep("root", _Pair(certificate, key))

    def intermediate(self, root: _Pair) -> _Pair:
        """The intermediate below ``root``."""
        present = self._load("intermediate")
        if present is not None and self._is_good(present, root):
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
        return self._keep("intermediate", _Pair(certificate, key))

    def server(self, intermediate: _Pair, alternative_names: Sequence[x509.GeneralName]) -> _Pair:
        """The server's certificate below ``intermediate``, for exactly these names."""
        present = self._load("server")
        if (
            present is not None
            and self._is_good(present, intermediate)
            and _names_of(present.certificate) == set(alternative_names)
        ):
            return present
        key = keys.generate(self._key_type)
        certificate = issue.sign_server(
            intermediate.signer,
            issue.common_name("Sekisho"),
            key.public_key(),
            alternative_names=alternative_names,
            not_before=self._begins,
            not_after=min(self._now + SERVER_LIFETIME, intermediate.certificate.not_after),
        )
        return self._keep("server", _Pair(certificate, key), intermediate.certificate)

    @property
    def _begins(self) -> datetime:
        return self._now - issue.BACKDATED

    def _name(self, rank: str) -> x509.Name:
        # Clients that are given the roots of two servers tell them apart by name.
        return issue.common_name(f"Sekisho {self._word} {rank} {ids.short(6)}")

    def _is_good(self, pair: _Pair, issuer: _Pair) -> bool:
        certificate = pair.certificate
        return (
            certificate.not_before <= self._now < certificate.not_after - RENEW_BEFORE
            and verify.is_issued_by(certificate, issuer.certificate)
            # Not so where the server was killed between the writing of the two.
            and keys.fits(pair.key, certificate.public_key)
        )

    def _load(self, rank: str) -> _Pair | None:
        certificate, key = self._folder / f"{rank}.crt", self._folder / f"{rank}.key"
        if not certificate.exists():
            return None
        try:
            first = pem.read_chain(_read(certificate))[0]
            return _Pair(X509Certificate.from_der(first), keys.load(_read(key), made_here=True))
        except PemError as error:
            raise PemError(f"{self._folder}: {rank}.crt or {rank}.key is damaged: {error}") from None

    def _keep(self, rank: str, pair: _Pair, *issuers: X509Certificate) -> _Pair:
        # The certificate comes last: where it is, a key is.
        write_atomically(self._folder / f"{rank}.key", keys.to_pem(pair.key).encode(), mode=0o600)
        chain = "".join(each.pem for each in (pair.certificate, *issuers))
        write_atomically(self._folder / f"{rank}.crt", chain.encode(), mode=0o644)
        return pair


def _alternative_names(names: Sequence[str], addresses: Sequence[str]) -> list[x509.GeneralName]:
    alternative_names: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            # Names in other scripts reach DNS, and certificates, in their ASCII form.
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


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise PemError(f"{path} is not text: it has to be PEM.") from None


def _write_if_other(path: Path, text: str) -> None:
    if not path.exists() or path.read_bytes() != text.encode():
        write_atomically(path, text.encode(), mode=0o644)
