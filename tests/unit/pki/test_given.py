"""The server certificate that a user gives."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from sekisho.clock import utc_now
from sekisho.pki import given
from sekisho.pki.given import GivenCertificate
from sekisho.pki.pem import PemError
from sekisho.pki.verify import NotAcceptable
from tests.x509 import KeyAndCertificate, new_ca, new_device


def load(certificate: Path, key: Path, root: Path | None = None) -> GivenCertificate:
    return given.load(certificate, key, root, now=utc_now())


def named(ca: KeyAndCertificate, *names: str) -> KeyAndCertificate:
    return new_device(ca, "a", extensions=[x509.SubjectAlternativeName([x509.DNSName(name) for name in names])])


def written(folder: Path, issued: KeyAndCertificate, *chain: KeyAndCertificate) -> tuple[Path, Path]:
    certificate, key = folder / "s.crt", folder / "s.key"
    certificate.write_text("issued by hand\n" + "".join(each.pem for each in (issued, *chain)))
    key.write_text(issued.key_pem)
    return certificate, key


def test_a_chain_that_ends_with_its_root_names_it(tmp_path: Path) -> None:
    root = new_ca("Corporate")
    issued = named(root, "iot.example.com")
    loaded = load(*written(tmp_path, issued, root))
    assert loaded.chain_pem == issued.pem + root.pem
    assert loaded.key_pem == issued.key_pem
    assert loaded.root is not None
    assert loaded.root.pem == root.pem


def test_a_chain_without_its_root_has_none_unless_it_is_given(tmp_path: Path) -> None:
    root, other = new_ca("Corporate"), new_ca("Other")
    certificate, key = written(tmp_path, named(root, "iot.example.com"))
    assert load(certificate, key).root is None
    roots = tmp_path / "roots.pem"
    roots.write_text(other.pem + root.pem)
    loaded = load(certificate, key, roots)
    assert loaded.root is not None
    assert loaded.root.pem == root.pem
    roots.write_text(other.pem)
    with pytest.raises(NotAcceptable, match=r"issued by CN=Corporate.*, which no certificate in .*roots.pem is"):
        load(certificate, key, roots)


@pytest.mark.parametrize(
    ("names", "asked", "missing"),
    [
        (["iot.example.com"], ["iot.example.com"], []),
        (["IOT.example.com"], ["iot.example.com"], []),
        (["*.example.com"], ["iot.example.com", "a.b.example.com", "example.com"], ["a.b.example.com", "example.com"]),
        (["a.example.com", "b.example.com"], ["b.example.com", "c.example.com"], ["c.example.com"]),
        (["*"], ["localhost"], ["localhost"]),
    ],
)
def test_names_are_covered_as_clients_compare_them(
    tmp_path: Path, names: list[str], asked: list[str], missing: list[str]
) -> None:
    loaded = load(*written(tmp_path, named(new_ca("Corporate"), *names)))
    assert list(loaded.not_covered(asked)) == missing


def test_a_common_name_is_no_name_of_a_server(tmp_path: Path) -> None:
    loaded = load(*written(tmp_path, new_device(new_ca("Corporate"), "iot.example.com")))
    assert loaded.names == ()
    assert loaded.not_covered(["iot.example.com"]) == ["iot.example.com"]


def test_a_certificate_that_has_expired_or_is_not_valid_yet_is_refused(tmp_path: Path) -> None:
    root, now = new_ca("Corporate"), utc_now()
    day = timedelta(days=1)
    for begins, ends, why in ((now - 9 * day, now - day, "expired on"), (now + day, now + 9 * day, "not valid before")):
        with pytest.raises(NotAcceptable, match=why):
            load(*written(tmp_path, new_device(root, "a", begins=begins, ends=ends)))


def test_a_certificate_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    root = new_ca("Corporate")
    issued, other = new_device(root, "iot.example.com"), new_device(root, "other")
    certificate, key = written(tmp_path, issued)
    key.write_text(other.key_pem)
    with pytest.raises(PemError, match=r"does not belong to the certificate in .*s.crt \(CN=iot.example.com\)"):
        load(certificate, key)
    certificate.write_text(root.pem + issued.pem)
    key.write_text(issued.key_pem)
    with pytest.raises(PemError, match=r"has to come first in .*s.crt; the one of the key is number 2"):
        load(certificate, key)
    certificate.write_bytes(issued.der)
    with pytest.raises(PemError, match=r"s.crt is not text"):
        load(certificate, key)
    certificate.write_text(issued.key_pem)
    with pytest.raises(PemError, match="contains a private key"):
        load(certificate, key)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing", key)
