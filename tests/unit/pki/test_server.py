"""The server's own identity, checked by openssl as by a client."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sekisho import files
from sekisho.pki import pem, server
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError
from sekisho.pki.server import ServerIdentity
from tests.logs import captured_log, lines_of
from tests.x509 import new_ca, openssl

pytestmark = pytest.mark.usefixtures("few_rsa_keys")

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = ("localhost", "*.iot.eu-central-1.localhost")
ADDRESSES = ("127.0.0.1", "::1")


def identity(
    folder: Path,
    *,
    names: Sequence[str] = NAMES,
    addresses: Sequence[str] = ADDRESSES,
    now: datetime = NOW,
    further: Sequence[str] = (),
) -> ServerIdentity:
    return server.load_or_create(folder, names=names, addresses=addresses, now=now, further_names=further)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an identity, to be copied, because RSA keys take long."""
    folder = tmp_path_factory.mktemp("identity") / "server"
    identity(folder)
    return folder


@pytest.fixture
def folder(made_once: Path, tmp_path: Path) -> Path:
    """Return a folder with an identity."""
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


def test_the_preferred_chain_comes_first_and_each_has_one_kind_of_key(folder: Path) -> None:
    made = identity(folder)
    for (chain, _key), kind in zip(made.chains, (EllipticCurvePublicKey, RSAPublicKey), strict=True):
        certificates = [X509Certificate.from_der(der) for der in pem.read_chain(chain)]
        assert len(certificates) == 2
        assert all(isinstance(each.public_key, kind) for each in certificates)
        assert [each.is_ca for each in certificates] == [False, True]
    assert len(pem.read_chain(made.root_file.read_text())) == 2


def test_only_the_owner_can_read_keys(folder: Path) -> None:
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


def test_other_names_get_another_leaf_below_the_same_root(folder: Path) -> None:
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


def test_an_intermediate_is_renewed_below_the_same_root(folder: Path) -> None:
    first = identity(folder)
    later = NOW + timedelta(days=10 * 365 - 10)
    second = identity(folder, now=later)
    assert pem.read_chain(second.chains[0][0])[1] != pem.read_chain(first.chains[0][0])[1]
    assert second.root_file.read_text() == first.root_file.read_text()
    for chain, _key in second.chains:
        certificates = [X509Certificate.from_der(der) for der in pem.read_chain(chain)]
        assert certificates[0].not_after <= certificates[1].not_after


def test_no_certificate_is_valid_for_longer_than_its_issuer(folder: Path) -> None:
    identity(folder)
    late = NOW + timedelta(days=20 * 365 - 100)
    for (chain, _key), root in zip(
        identity(folder, now=late).chains, pem.read_chain((folder / "root-ca.pem").read_text()), strict=True
    ):
        certificates = [*map(X509Certificate.from_der, pem.read_chain(chain)), X509Certificate.from_der(root)]
        assert certificates[0].not_after <= certificates[1].not_after <= certificates[2].not_after


def test_a_leaf_without_its_key_is_made_again(folder: Path) -> None:
    first = identity(folder)
    (folder / "ecdsa" / "server.key").write_text((folder / "ecdsa" / "intermediate.key").read_text())
    second = identity(folder)
    assert leaf(second.chains[0]).certificate_id != leaf(first.chains[0]).certificate_id
    assert second.chains[1] == first.chains[1]


def roots_of(folder: Path) -> dict[str, bytes]:
    """Return every file that must never change."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("root*")
        if file.is_file() and "replaced" not in file.parts
    }


def scratched(file: Path) -> None:
    file.write_text("scratched")


def emptied(file: Path) -> None:
    file.write_text("")


def swapped(file: Path) -> None:
    file.write_text((file.parent / "intermediate.key").read_text())


@pytest.mark.parametrize("hierarchy", ["ecdsa", "rsa"])
@pytest.mark.parametrize(
    ("name", "damage", "complaint"),
    [
        ("root.crt", Path.unlink, r"root\.crt is missing beside root\.key\. root-ca\.pem has a copy of it"),
        ("root.key", Path.unlink, r"root\.key is missing beside root\.crt"),
        ("root.crt", scratched, r"root\.crt or root\.key is damaged"),
        ("root.key", scratched, r"root\.crt or root\.key is damaged"),
        ("root.crt", emptied, r"root\.crt or root\.key is damaged"),
        ("root.key", emptied, r"root\.crt or root\.key is damaged"),
        ("root.key", swapped, r"root\.key does not belong to root\.crt"),
    ],
)
def test_a_root_is_never_replaced(
    folder: Path, hierarchy: str, name: str, damage: Callable[[Path], None], complaint: str
) -> None:
    file = folder / hierarchy / name
    kept = file.read_bytes()
    damage(file)
    before = roots_of(folder)
    with pytest.raises(PemError, match=complaint) as refusal:
        identity(folder)
    assert f"Restore {folder} from a backup" in str(refusal.value)
    assert roots_of(folder) == before
    file.write_bytes(kept)
    identity(folder)


def test_a_root_of_which_both_files_are_lost_is_not_replaced(folder: Path) -> None:
    for name in ("root.crt", "root.key"):
        (folder / "rsa" / name).unlink()
    before = roots_of(folder)
    with pytest.raises(PemError, match=r"rsa: root\.crt and root\.key are missing, but .*root-ca\.pem is there"):
        identity(folder)
    shutil.rmtree(folder / "rsa")
    with pytest.raises(PemError, match=r"rsa: root\.crt and root\.key are missing, but .*root-ca\.pem is there"):
        identity(folder)
    assert roots_of(folder) == before


@pytest.mark.parametrize("hierarchy", ["ecdsa", "rsa"])
def test_an_interrupted_first_start_of_an_earlier_version_continues(folder: Path, hierarchy: str) -> None:
    (folder / "root-ca.pem").unlink()
    key = (folder / hierarchy / "root.key").read_text()
    for file in (folder / hierarchy).iterdir():
        if file.name != "root.key":
            file.unlink()
    made = identity(folder)
    assert len(pem.read_chain(made.root_file.read_text())) == 2
    [aside] = folder.glob(f"{hierarchy}.interrupted.*")
    assert (aside / "root.key").read_text() == key
    # With a signed certificate, or the file for clients, it is a lost root.
    (folder / hierarchy / "root.crt").unlink()
    with pytest.raises(PemError, match=r"root\.crt is missing"):
        identity(folder)


def test_a_clock_that_is_far_ahead_replaces_no_root(folder: Path) -> None:
    before = roots_of(folder)
    with pytest.raises(PemError, match=r"root\.crt ended on .*, and this machine's clock says .*Set the clock right"):
        identity(folder, now=NOW + timedelta(days=25 * 365))
    assert roots_of(folder) == before


def test_a_clock_before_the_root_replaces_nothing(folder: Path) -> None:
    first = identity(folder)
    with captured_log() as lines:
        second = identity(folder, now=NOW - timedelta(days=20 * 365))
    assert second.chains == first.chains
    assert lines[0]["code"] == "clock_before_root"


def test_certificates_made_while_the_clock_was_ahead_are_made_again_when_it_is_right(folder: Path) -> None:
    root = identity(folder).root_file.read_text()
    identity(folder, now=NOW + timedelta(days=11 * 365))
    made = identity(folder)
    assert made.root_file.read_text() == root
    for chain, _ in made.chains:
        for certificate in map(X509Certificate.from_der, pem.read_chain(chain)):
            assert certificate.not_before <= NOW < certificate.not_after


def test_a_root_file_with_other_roots_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    other = identity(tmp_path / "other" / "server").root_file.read_text()
    (folder / "root-ca.pem").write_text(other)
    with pytest.raises(PemError, match=r"root-ca\.pem lacks the root CN=Sekisho ECDSA Root CA"):
        identity(folder)
    assert (folder / "root-ca.pem").read_text() == other


def test_the_root_file_keeps_added_certificates(folder: Path) -> None:
    file = folder / "root-ca.pem"
    more = file.read_text() + new_ca("Corporate").pem
    file.write_text(more)
    identity(folder)
    assert file.read_text() == more


@pytest.mark.parametrize("damage", [emptied, scratched])
def test_a_damaged_root_file_is_written_again(folder: Path, damage: Callable[[Path], None]) -> None:
    file = folder / "root-ca.pem"
    text = file.read_text()
    damage(file)
    identity(folder)
    assert file.read_text() == text


class Killed(BaseException):
    """Raised in place of a kill."""


def test_a_first_start_that_was_killed_at_any_write_continues_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write, real_unlink, real_rmtree = files._write, Path.unlink, shutil.rmtree
    for count in range(30):
        writes = iter(range(count))

        def write(descriptor: int, content: bytes, mode: int, writes: object = writes) -> None:
            if next(writes, None) is None:  # type: ignore[call-overload]
                raise Killed
            real_write(descriptor, content, mode)

        folder = tmp_path / str(count) / "server"
        with monkeypatch.context() as patch:
            patch.setattr(files, "_write", write)
            # A killed process cleans up nothing.
            patch.setattr(Path, "unlink", lambda *_, **__: None)
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
            try:
                identity(folder)
            except Killed:
                pass
            else:
                assert count > 10
                return
        assert (real_write, real_unlink, real_rmtree) == (files._write, Path.unlink, shutil.rmtree)
        server.clean_up(folder)
        assert not [file for file in folder.rglob("*") if file.name.startswith(".")]
        identity(folder)
    raise AssertionError("a start writes more files than thirty")


WEST, NORTH = "*.iot.eu-west-1.localhost", "*.iot.eu-north-1.localhost"


@pytest.mark.parametrize("hierarchy", ["ecdsa", "rsa"])
@pytest.mark.parametrize("name", ["server.crt", "server.key", "intermediate.crt", "intermediate.key", "regions.crt"])
@pytest.mark.parametrize("damage", ["scratched", "emptied", "lost", "binary", "a folder"])
def test_no_certificate_below_a_root_prevents_a_start(folder: Path, hierarchy: str, name: str, damage: str) -> None:
    first = identity(folder, further=[WEST])
    file = folder / hierarchy / name
    match damage:
        case "scratched":
            scratched(file)
        case "emptied":
            emptied(file)
        case "lost":
            file.unlink()
        case "binary":
            file.write_bytes(b"\xff\x00" * 1000)
        case _:
            file.unlink()
            file.mkdir()
            (file / "inside").touch()
    before = roots_of(folder)
    with captured_log() as lines:
        second = identity(folder, further=[WEST])
    assert len(second.chains) == len(second.by_name[WEST]) == 2
    assert (second.chains, second.by_name) != (first.chains, first.by_name)
    assert roots_of(folder) == before
    if damage != "lost":
        assert str(file) in [line["file"] for line in lines]
        assert any(each.name.startswith(file.stem) for each in (folder / hierarchy / "replaced").iterdir())
    third = identity(folder, further=[WEST])
    assert (third.chains, third.by_name) == (second.chains, second.by_name)


def test_each_further_name_has_its_own_certificate_which_stays(folder: Path) -> None:
    first = identity(folder, further=[WEST])
    second = identity(folder, further=[NORTH, WEST])
    assert second.by_name[WEST] == first.by_name[WEST]
    for name, chains in second.by_name.items():
        for chain in chains:
            names = leaf(chain).parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert [each.value for each in names] == [name]
    for (shared, key), (default, default_key) in zip(second.by_name[WEST], second.chains, strict=True):
        assert key == default_key
        assert pem.read_chain(shared)[1:] == pem.read_chain(default)[1:]
    third = identity(folder, further=[NORTH])
    assert third.by_name == {NORTH: second.by_name[NORTH]}
    assert len(pem.read_chain((folder / "ecdsa" / "regions.crt").read_text())) == 1


def test_further_certificates_are_renewed_and_made_for_a_new_key(folder: Path) -> None:
    first = identity(folder, further=[WEST])
    later = NOW + timedelta(days=368)
    second = identity(folder, further=[WEST], now=later)
    assert leaf(second.by_name[WEST][0]).not_after == later + timedelta(days=397)
    assert leaf(first.by_name[WEST][0]).not_after < leaf(second.by_name[WEST][0]).not_after
    third = identity(folder, further=[WEST], names=["other.example"], now=later)
    assert third.by_name[WEST][0][1] == third.chains[0][1] != second.chains[0][1]


def test_a_certificate_with_too_many_names_is_put_aside(folder: Path) -> None:
    grown = identity(folder, names=["localhost", *(f"*.iot.x{n}.localhost" for n in range(1300))])
    second = identity(folder)
    assert len(second.chains[0][0]) < 3000 < len(grown.chains[0][0])
    assert (folder / "ecdsa" / "replaced" / "server.crt").read_text() == grown.chains[0][0]


def test_keys_of_intermediates_are_kept(folder: Path) -> None:
    identity(folder)
    kept = (folder / "ecdsa" / "intermediate.key").read_text()
    scratched(folder / "ecdsa" / "intermediate.crt")
    identity(folder)
    scratched(folder / "ecdsa" / "intermediate.crt")
    identity(folder, now=NOW + timedelta(seconds=1))
    aside = [file.read_text() for file in (folder / "ecdsa" / "replaced").glob("intermediate.*.key")]
    assert len(aside) == 2
    assert kept in aside


def test_a_leaf_that_cannot_be_written_is_served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _content: bytes, **_mode: int) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(server, "write_atomically", full)
    with captured_log() as lines:
        made = identity(folder, names=["other.example"], further=[WEST])
    assert len(made.chains) == len(made.by_name[WEST]) == 2
    errors = lines_of(lines, "server_certificate_not_saved")
    assert "No space left on device" in errors[0]["reason"]
    assert "server" in errors[0]["file"]


def test_near_the_end_of_a_root_little_is_made_again(folder: Path) -> None:
    identity(folder)
    late = NOW + timedelta(days=20 * 365 - 10)
    assert identity(folder, now=late).chains == identity(folder, now=late + timedelta(days=1)).chains


def test_a_lost_root_file_is_written_again(folder: Path) -> None:
    first = identity(folder)
    text = first.root_file.read_text()
    first.root_file.unlink()
    assert identity(folder).root_file.read_text() == text


def test_invalid_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'a\.\.ü' is no DNS name"):
        identity(tmp_path, names=["a..ü"])
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        identity(tmp_path, addresses=["here"])
