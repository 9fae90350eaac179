"""The CA with which the service issues device certificates."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from sekisho import files
from sekisho.pki import keys, verify
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.issuing import IssuingAuthority
from sekisho.pki.pem import PemError
from tests.x509 import new_request, p256

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_issued_certificates_have_the_properties_of_aws_iots_own(tmp_path: Path) -> None:
    issued = IssuingAuthority.load_or_create(tmp_path / "issuing").issue_with_key(NOW)
    certificate = issued.certificate
    assert issued.private_key_pem.startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert issued.public_key_pem.startswith("-----BEGIN PUBLIC KEY-----")
    assert certificate.subject_text == "CN=AWS IoT Certificate"
    assert certificate.not_before == NOW - timedelta(minutes=2)
    assert certificate.not_after == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert isinstance(certificate.public_key, rsa.RSAPublicKey)
    assert certificate.public_key.key_size == 2048
    assert certificate.parsed.signature_algorithm_oid == x509.SignatureAlgorithmOID.RSA_WITH_SHA256
    assert keys.fits(keys.load(issued.private_key_pem), certificate.public_key)
    verify.check_device_certificate(certificate, NOW)


def test_nothing_is_written_before_the_first_certificate(tmp_path: Path) -> None:
    folder = tmp_path / "issuing"
    authority = IssuingAuthority.load_or_create(folder)
    assert not folder.exists()
    authority.issue_for_request(new_request(p256()), NOW)
    assert {(path.name, path.stat().st_mode & 0o777) for path in folder.iterdir()} == {
        ("ca.key", 0o600),
        ("ca.crt", 0o644),
    }


def test_the_authority_is_the_same_after_a_restart(tmp_path: Path) -> None:
    request = new_request(p256())
    first = IssuingAuthority.load_or_create(tmp_path).issue_for_request(request, NOW)
    second = IssuingAuthority.load_or_create(tmp_path).issue_for_request(request, NOW)
    assert first.certificate_id != second.certificate_id
    own = X509Certificate.from_pem((tmp_path / "ca.crt").read_text())
    assert verify.is_issued_by(first, own)
    assert verify.is_issued_by(second, own)


def test_many_threads_create_one_authority(tmp_path: Path) -> None:
    authority = IssuingAuthority.load_or_create(tmp_path)
    request = new_request(p256())
    with ThreadPoolExecutor(8) as pool:
        issued = list(pool.map(lambda _: authority.issue_for_request(request, NOW), range(8)))
    assert len({each.authority_key_identifier for each in issued}) == 1
    assert len({each.certificate_id for each in issued}) == 8


def test_two_instances_that_find_no_authority_create_one(tmp_path: Path) -> None:
    first, second = (IssuingAuthority.load_or_create(tmp_path / "issuing") for _ in range(2))
    issuers = [each.issue_with_key(NOW).certificate.parsed.issuer for each in (first, second)]
    assert issuers[0] == issuers[1]
    authority = X509Certificate.from_pem((tmp_path / "issuing" / "ca.crt").read_text())
    for each in (first, second):
        assert verify.is_issued_by(each.issue_with_key(NOW).certificate, authority)


def test_a_request_keeps_its_subject(tmp_path: Path) -> None:
    key = p256()
    issued = IssuingAuthority.load_or_create(tmp_path).issue_for_request(new_request(key, "pump 7"), NOW)
    assert issued.subject_text == "CN=pump 7"
    assert issued.public_key == key.public_key()


def test_a_damaged_authority_is_not_replaced(tmp_path: Path) -> None:
    IssuingAuthority.load_or_create(tmp_path).issue_for_request(new_request(p256()), NOW)
    (tmp_path / "ca.key").write_text("scratched")
    with pytest.raises(PemError, match=rf"{tmp_path}: The CA's private key cannot be read"):
        IssuingAuthority.load_or_create(tmp_path)


@pytest.mark.parametrize(("lost", "other"), [("ca.crt", "ca.key"), ("ca.key", "ca.crt")])
def test_an_authority_with_a_missing_file_is_not_replaced(tmp_path: Path, lost: str, other: str) -> None:
    folder = tmp_path / "issuing"
    IssuingAuthority.load_or_create(folder).issue_for_request(new_request(p256()), NOW)
    (folder / lost).unlink()
    kept = (folder / other).read_bytes()
    with pytest.raises(PemError, match=rf"{lost} is missing beside {other}\. Restore {folder} from a backup"):
        IssuingAuthority.load_or_create(folder)
    assert (folder / other).read_bytes() == kept


def test_the_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        IssuingAuthority.load_or_create(tmp_path / name).issue_for_request(new_request(p256()), NOW)
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "two" / "ca.key").read_bytes())
    with pytest.raises(PemError, match=rf"{tmp_path / 'one'}: The CA's private key does not belong"):
        IssuingAuthority.load_or_create(tmp_path / "one")


def test_a_kill_during_the_creation_leaves_no_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    authority = IssuingAuthority.load_or_create(tmp_path / "issuing")
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_folder", killed)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            authority.issue_for_request(new_request(p256()), NOW)
    assert [path.name for path in tmp_path.iterdir()] != []
    files.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
    IssuingAuthority.load_or_create(tmp_path / "issuing").issue_for_request(new_request(p256()), NOW)
