"""New keys and certificates on disk: which file exists at which moment."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sekisho.cli import device_files
from sekisho.cli.device_files import DeviceFiles
from sekisho.cli.failure import Failure
from sekisho.pki import ca, keys
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.keys import KeyType
from tests.x509 import new_ca, new_device

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CA = ca.create("Next", KeyType.P_256, now=NOW, lifetime=timedelta(days=3650))


def device_files_in(folder: Path, key_type: KeyType | None = None) -> DeviceFiles:
    return DeviceFiles(folder, CA, key_type, timedelta(days=30), lambda: NOW)


def old_certificate() -> X509Certificate:
    return X509Certificate.from_pem(new_device(new_ca("Old"), "pump").pem)


def test_existing_files_are_found(tmp_path: Path) -> None:
    old = old_certificate()
    made = device_files_in(tmp_path / "out").make(old)
    found = device_files_in(tmp_path / "out").present(old.certificate_id)
    assert found is not None
    assert found.certificate_id == made.certificate_id
    assert made.subject == old.subject
    assert made.not_after == NOW + timedelta(days=30)
    assert device_files_in(tmp_path / "out").made_here() == {made.certificate_id}
    assert device_files_in(tmp_path / "out").present("ab" * 32) is None
    assert device_files_in(tmp_path / "nowhere").made_here() == set()


def test_a_file_that_is_not_a_certificate_is_neither_counted_nor_used(tmp_path: Path) -> None:
    old = old_certificate()
    made = device_files_in(tmp_path).make(old)
    broken = tmp_path / ("cd" * 32)
    broken.mkdir()
    (broken / "device.crt").write_text("nothing")
    (broken / "device.key").write_text("nothing")
    assert device_files_in(tmp_path).made_here() == {made.certificate_id}
    with pytest.raises(Failure, match=str(broken)):
        device_files_in(tmp_path).present("cd" * 32)


def test_the_key_is_on_disk_before_its_certificate_and_both_when_make_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of calls to the disk, with a sync of the folder after every rename."""
    asked: list[str] = []
    replace_, sync = Path.replace, os.fsync

    def note_replace(path: Path, target: str | Path) -> Path:
        asked.append(f"name {Path(target).name}")
        return replace_(path, target)

    def note_sync(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        asked.append(f"sync {place.name}" if place.is_dir() else "sync file")
        sync(descriptor)

    monkeypatch.setattr(Path, "replace", note_replace)
    monkeypatch.setattr(os, "fsync", note_sync)
    old = old_certificate()
    device_files_in(tmp_path / "out").make(old)
    assert asked == [
        "sync file",
        "name device.key",
        f"sync {old.certificate_id}",
        "sync file",
        "name device.crt",
        f"sync {old.certificate_id}",
        "sync out",
    ]


def test_a_new_folder_is_synced_and_used_by_one_process_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(device_files, "sync_folder", synced.append)
    for expected in ([tmp_path], []):
        with device_files_in(tmp_path / "out").held():
            assert synced == expected
            with (
                pytest.raises(Failure, match="another 'sekisho rotate' works in"),
                device_files_in(tmp_path / "out").held(),
            ):
                pass
        synced.clear()


def test_a_folder_that_cannot_be_created_is_a_failure_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(Failure, match=str(tmp_path / "file" / "out")),
        device_files_in(tmp_path / "file" / "out").held(),
    ):
        pass


def test_a_run_that_ends_between_the_two_files_leaves_a_key_that_the_next_run_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = old_certificate()
    with monkeypatch.context() as patch:

        def end(_folder: Path) -> None:
            raise KeyboardInterrupt

        patch.setattr(device_files, "sync_folder", end)
        with pytest.raises(KeyboardInterrupt):
            device_files_in(tmp_path).make(old)
    key = device_files_in(tmp_path).key_file(old.certificate_id).read_text()
    assert device_files_in(tmp_path).present(old.certificate_id) is None
    made = device_files_in(tmp_path).make(old)
    assert device_files_in(tmp_path).key_file(old.certificate_id).read_text() == key
    assert keys.fits(keys.load(key), made.public_key)


def test_a_folder_that_cannot_be_synced_is_a_failure_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Failure, match="Input/output error"):
        device_files_in(tmp_path).make(old_certificate())


@pytest.mark.parametrize("kind", [KeyType.P_256, KeyType.P_384, KeyType.P_521, KeyType.RSA_2048])
def test_a_new_key_has_the_kind_of_the_old_one(tmp_path: Path, kind: KeyType) -> None:
    old = X509Certificate.from_pem(new_device(new_ca(), key=keys.generate(kind)).pem)
    assert keys.kind_of(device_files_in(tmp_path).make(old).public_key) is kind


def test_a_new_key_has_the_requested_kind(tmp_path: Path) -> None:
    made = device_files_in(tmp_path, KeyType.P_384).make(old_certificate())
    assert keys.kind_of(made.public_key) is KeyType.P_384


def test_only_supported_kinds_of_key_have_a_name() -> None:
    assert keys.kind_of(None) is None
    assert keys.kind_of(rsa.generate_private_key(public_exponent=65537, key_size=2560).public_key()) is None
    assert keys.kind_of(ec.generate_private_key(ec.SECP256K1()).public_key()) is None
