"""The server certificate that a user gives, instead of Sekisho's own: read, checked against its names, with its root.

Source: RFC 9525, section 6.3 (names), RFC 5280, section 6.1 (chains).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509

from sekisho.pki import keys, pem, verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError
from sekisho.pki.verify import NotAcceptable


@dataclass(frozen=True, slots=True)
class GivenCertificate:
    """A server certificate with its chain, its key and, where it is known, its root."""

    file: Path
    chain: Sequence[X509Certificate]
    """The server's certificate first."""
    key_pem: str = field(repr=False)
    root: X509Certificate | None
    """What clients trust; None where neither the user nor the chain has it."""

    @property
    def chain_pem(self) -> str:
        """The chain as the gateway serves it."""
        return "".join(each.pem for each in self.chain)

    @property
    def names(self) -> Sequence[str]:
        """DNS names of the subjectAltName. A common name counts for no client of today (RFC 9525, section 2)."""
        try:
            extension = self.chain[0].parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return ()
        return [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]

    def not_covered(self, names: Iterable[str]) -> Sequence[str]:
        """Return those of ``names``, in lower case, that a client does not find in the certificate."""
        own = self.names
        return [name for name in names if not any(_covers(each, name) for each in own)]

    def check_names(self, endpoints: Iterable[str]) -> None:
        """Raise NotAcceptable where the certificate does not have the name of an endpoint."""
        if missing := self.not_covered(endpoints):
            has = ", ".join(self.names) or "no name at all"
            raise NotAcceptable(
                f"{', '.join(missing)} is an endpoint and not among the subjectAltName names of {self.file}, which "
                f"has {has}. Set endpoint to the name by which devices connect, or have a certificate issued for it"
            )


def load(certificate: Path, key: Path, root: Path | None, *, now: datetime) -> GivenCertificate:
    """Load the files and check that they belong together and are valid now.

    Args:
        root: File of the root that the chain leads to; None: the last of the chain, if it is a root.

    Raises:
        OSError: A file cannot be read.
        PemError, ValueError: One is damaged, the key is not that of the first certificate, or the chain does not lead
            to the root.
        NotAcceptable: The certificate has expired, or is not valid yet.
    """
    chain = [X509Certificate.from_der(der) for der in pem.read_chain(pem.read_file(certificate))]
    private_key = keys.load(pem.read_file(key), f"The private key in {key}")
    _check_key(private_key, chain, certificate, key)
    verify.check_validity(chain[0], now, f"The certificate in {certificate}")
    last = chain[-1]
    found = _root_of(last, root, certificate) if root is not None else last if verify.is_self_signed(last) else None
    return GivenCertificate(certificate, chain, keys.to_pem(private_key), found)


def _check_key(private_key: keys.PrivateKey, chain: Sequence[X509Certificate], certificate: Path, key: Path) -> None:
    if keys.fits(private_key, chain[0].public_key):
        return
    for position, other in enumerate(chain[1:], 2):
        if keys.fits(private_key, other.public_key):
            raise PemError(
                f"The server's certificate has to come first in {certificate}; the one of the key is number "
                f"{position} ({other.subject_text})."
            )
    raise PemError(f"The key in {key} does not belong to the certificate in {certificate} ({chain[0].subject_text}).")


def _root_of(last: X509Certificate, root: Path, certificate: Path) -> X509Certificate:
    """The root in the file that issued the last certificate of the chain, or is it."""
    roots = [X509Certificate.from_der(der) for der in pem.read_chain(pem.read_file(root))]
    for each in roots:
        if each.der == last.der or verify.is_issued_by(last, each):
            return each
    raise NotAcceptable(
        f"The chain in {certificate} ends with {last.subject_text}, issued by {last.issuer_text}, which no certificate "
        f"in {root} is. Add the missing intermediate certificates to {certificate}, or name the right root."
    )


def _covers(pattern: str, name: str) -> bool:
    """Whether a name of a certificate stands for ``name``: equal, or a wildcard for its first label (RFC 9525, 6.3)."""
    if pattern == name:
        return True
    first, _, rest = name.partition(".")
    return bool(first) and pattern == f"*.{rest}"
