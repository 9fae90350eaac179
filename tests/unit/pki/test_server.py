"""The server's own identity, judged by openssl as a client would."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sekisho.pki import pem, server
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError
from sekisho.pki.server import ServerIdentity
from tests.x509 import new_ca, new_device, openssl

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = ("localhost", "*.iot.eu-central-1.localhost")
ADDRESSES = ("127.0.0.1", "::1")


def identity(
    folder: Path, *, names: Sequence[str] = NAMES, addresses: Sequence[str] = ADDRESSES, now: datetime = NOW
) -> ServerIdentity:
    return server.load_or_create(folder, names=names, addresses=addresses, now=now)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an identity, to be copied: RSA keys take their time."""
    folder = tmp_path_factory.mktemp("identity") / "server"
    identity(folder)
    return folder


@pytest.fixture
def folder(made_once: Path, tmp_path: Path) -> Path:
    """A folder with an identity."""
    return Path(shutil.copytree(made_once, tmp_path / "server"))


def leaf(chain: tuple[str, str]) -> X509Certificate:
    return X509Certificate.from_der(pem.read_chain(chain[0])[0])


@pytest.mark.parametrize("number", [0, 1], ids=["ECDSA", "RSA"])
def test_clients_with_the_root_file_trust_every_name_and_address(number: int, folder: Path, tmp_path: Path) -> None:
    made = identity(folder)
    chain, key = made.chains[number]
    (tmp_path / "leaf.crt").write_text(chain)
    (tmp_path / "leaf.key").write_text(key)
    for check in (
        ["-verify_hostname", "localhost"],
        ["-verify_hostname", "a1b2c3-ats.iot.eu-central-1.localhost"],
        ["-verify_ip", "127.0.0.1"],
        ["-verify_ip", "::1"],
    ):
        assert "OK" in openssl(
            "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", made.root_file, "-untrusted", "leaf.crt",
            *check, "leaf.crt", cwd=tmp_path,
        )  # fmt: skip
    public = openssl("pkey", "-in", "leaf.key", "-pubout", cwd=tmp_path)
    assert openssl("x509", "-in", "leaf.crt", "-noout", "-pubkey", cwd=tmp_path) == public
    assert leaf(made.chains[number]).not_after == NOW + timedelta(days=397)


def test_the_better_chain_comes_first_and_each_is_of_one_kind(folder: Path) -> None:
    made = identity(folder)
    for (chain, _key), kind in zip(made.chains, (EllipticCurvePublicKey, RSAPublicKey), strict=True):
        certificates = [X509Certificate.from_der(der) for der in pem.read_chain(chain)]
        assert len(certificates) == 2
        assert all(isinstance(each.public_key, kind) for each in certificates)
        assert [each.is_ca for each in certificates] == [False, True]
    assert len(pem.read_chain(made.root_file.read_text())) == 2


def test_keys_are_for_the_owner_alone(folder: Path) -> None:
    made = identity(folder)
    modes = {path.relative_to(folder): path.stat().st_mode & 0o777 for path in folder.rglob("*.*") if path.is_file()}
    assert len([path for path in modes if path.suffix == ".key"]) == 6
    for path, mode in modes.items():
        assert mode == (0o600 if path.suffix == ".key" else 0o644), path
    assert "PRIVATE" not in repr(made)


def test_a_second_start_changes_nothing(folder: Path) -> None:
    first = identity(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    second = identity(folder, now=NOW + timedelta(days=300))
    assert second.chains == first.chains
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_other_names_get_another_leaf_under_the_same_root(folder: Path) -> None:
    first = identity(folder)
    root = first.root_file.read_text()
    second = identity(folder, names=(*NAMES, "iot.example.com"))
    assert leaf(second.chains[0]).certificate_id != leaf(first.chains[0]).certificate_id
    assert second.root_file.read_text() == root
    assert identity(folder, names=("iot.example.com", *reversed(NAMES))).chains == second.chains


def test_a_leaf_is_renewed_when_less_than_thirty_days_are_left(folder: Path) -> None:
    first = identity(folder)
    assert identity(folder, now=NOW + timedelta(days=366)).chains == first.chains
    later = NOW + timedelta(days=368)
    second = identity(folder, now=later)
    assert leaf(second.chains[0]).not_after == later + timedelta(days=397)
    assert second.root_file.read_text() == first.root_file.read_text()


def test_an_intermediate_is_renewed_under_the_same_root(folder: Path) -> None:
    first = identity(folder)
    later = NOW + timedelta(days=10 * 365 - 10)
    second = identity(folder, now=later)
    assert pem.read_chain(second.chains[0][0])[1] != pem.read_chain(first.chains[0][0])[1]
    assert second.root_file.read_text() == first.root_file.read_text()
    for chain, _key in second.chains:
        certificates = [X509Certificate.from_der(der) for der in pem.read_chain(chain)]
        assert certificates[0].not_after <= certificates[1].not_after


def test_nothing_outlives_its_issuer(folder: Path) -> None:
    identity(folder)
    late = NOW + timedelta(days=20 * 365 - 100)
    for (chain, _key), root in zip(
        identity(folder, now=late).chains, pem.read_chain((folder / "root-ca.pem").read_text()), strict=True
    ):
        certificates = [*map(X509Certificate.from_der, pem.read_chain(chain)), X509Certificate.from_der(root)]
        assert certificates[0].not_after <= certificates[1].not_after <= certificates[2].not_after


def test_an_expired_root_is_replaced(folder: Path) -> None:
    first = identity(folder).root_file.read_text()
    assert identity(folder, now=NOW + timedelta(days=20 * 365 + 1)).root_file.read_text() != first


def test_a_leaf_whose_key_was_not_written_is_made_anew(folder: Path) -> None:
    first = identity(folder)
    (folder / "ecdsa" / "server.key").write_text((folder / "ecdsa" / "intermediate.key").read_text())
    second = identity(folder)
    assert leaf(second.chains[0]).certificate_id != leaf(first.chains[0]).certificate_id
    assert second.chains[1] == first.chains[1]


def test_a_root_is_never_replaced_because_it_is_damaged(folder: Path) -> None:
    identity(folder)
    key = folder / "ecdsa" / "root.key"
    kept = key.read_text()
    key.write_text("scratched")
    with pytest.raises(PemError, match=re.escape(f"{folder / 'ecdsa'}: root.crt or root.key is damaged")):
        identity(folder)
    key.write_text((folder / "ecdsa" / "intermediate.key").read_text())
    with pytest.raises(PemError, match=r"root.key does not belong to root.crt"):
        identity(folder)
    key.write_text(kept)
    identity(folder)


def test_a_lost_root_file_is_written_again(folder: Path) -> None:
    first = identity(folder)
    text = first.root_file.read_text()
    first.root_file.unlink()
    assert identity(folder).root_file.read_text() == text


def test_names_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'a\.\.ü' is no DNS name"):
        identity(tmp_path, names=["a..ü"])
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        identity(tmp_path, addresses=["here"])


def test_a_certificate_of_ones_own_is_loaded_with_its_chain(tmp_path: Path) -> None:
    root = new_ca("Corporate")
    papers = new_device(root, "iot.example.com")
    certificate, key = tmp_path / "s.crt", tmp_path / "s.key"
    certificate.write_text("issued by hand\n" + papers.pem + root.pem)
    key.write_text(papers.key_pem)
    chain, private_key = server.load_given(certificate, key)
    assert chain == papers.pem + root.pem
    assert private_key == papers.key_pem


def test_a_certificate_of_ones_own_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    root = new_ca("Corporate")
    papers, other = new_device(root, "iot.example.com"), new_device(root, "other")
    certificate, key = tmp_path / "s.crt", tmp_path / "s.key"
    certificate.write_text(papers.pem)
    key.write_text(other.key_pem)
    with pytest.raises(PemError, match=r"does not belong to the certificate in .*s.crt \(CN=iot.example.com\)"):
        server.load_given(certificate, key)
    certificate.write_text(root.pem + papers.pem)
    key.write_text(papers.key_pem)
    with pytest.raises(PemError, match=r"has to come first in .*s.crt; the one of the key is number 2"):
        server.load_given(certificate, key)
    certificate.write_bytes(papers.der)
    with pytest.raises(PemError, match=r"s.crt is not text"):
        server.load_given(certificate, key)
    certificate.write_text(papers.key_pem)
    with pytest.raises(PemError, match="contains a private key"):
        server.load_given(certificate, key)
    with pytest.raises(FileNotFoundError):
        server.load_given(tmp_path / "missing", key)
