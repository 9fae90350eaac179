"""Files are written completely or not at all."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from sekisho.files import (
    WritableByOthers,
    create_folder,
    refuse_writable_by_others,
    remove_leftovers,
    sync_folder,
    write_atomically,
)


def test_a_file_has_its_content_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    write_atomically(path, b"secret", mode=0o600)
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_is_replaced_with_the_new_mode(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_atomically(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "inside").write_bytes(b"kept")
    with pytest.raises(OSError, match="taken"):
        write_atomically(folder, b"new", mode=0o600)
    assert (folder / "inside").read_bytes() == b"kept"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod"])
def test_an_error_names_the_file_for_every_call_that_can_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "write":
        real = os.fdopen

        class Full:
            def __init__(self, descriptor: int, mode: str) -> None:
                self._file = real(descriptor, mode)

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *_: object) -> None:
                self._file.close()

            def fileno(self) -> int:
                return self._file.fileno()

            def write(self, _content: bytes) -> None:
                full()

        monkeypatch.setattr(os, "fdopen", Full)
    else:
        monkeypatch.setattr(os, call, full)
    path = tmp_path / "device.key"
    with pytest.raises(OSError, match="No space left on device") as error:
        write_atomically(path, b"secret", mode=0o600)
    assert error.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def test_an_error_with_a_folder_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error") as error:
        sync_folder(tmp_path)
    assert error.value.filename == str(tmp_path)
    with pytest.raises(OSError, match="Input/output error") as error:
        create_folder(tmp_path, {"a.key": (b"", 0o600)})
    assert error.value.filename == str(tmp_path)


def test_a_folder_is_created_with_all_its_files_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "ecdsa"
    create_folder(folder, {"root.key": (b"secret", 0o600), "root.crt": (b"public", 0o644)})
    assert {(file.name, file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) for file in folder.iterdir()} == {
        ("root.key", b"secret", 0o600),
        ("root.crt", b"public", 0o644),
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(OSError, match="ecdsa"):
        create_folder(folder, {"root.key": (b"another", 0o600)})
    assert (folder / "root.key").read_bytes() == b"secret"
    assert list(tmp_path.iterdir()) == [folder]


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = ["root.key", ".root.key", ".notes.ab12cd34", ".bashrc.ab12cd34.tmp", "sekisho.toml", ".server.key.swp"]
    for name in [*kept, ".root.key.ab12cd_4", ".run.json.ab12cd34.tmp"]:
        (tmp_path / name).write_text("x")
    left = tmp_path / ".ecdsa.ab12cd34.tmp"
    left.mkdir()
    (left / "root.key").touch()
    remove_leftovers(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == set(kept)
    remove_leftovers(tmp_path / "absent")


@pytest.mark.parametrize("mode", [0o777, 0o707, 0o1777, 0o702])
def test_a_folder_that_every_user_can_write_to_is_refused_with_the_command_that_corrects_it(
    tmp_path: Path, mode: int
) -> None:
    folder = tmp_path / "the data"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(WritableByOthers, match=f"type chmod go-w '{folder}'"):
        refuse_writable_by_others(folder)
    folder.chmod(0o755)
    refuse_writable_by_others(folder)


def test_a_parent_folder_that_every_user_can_write_to_is_refused_unless_it_is_sticky(tmp_path: Path) -> None:
    above = tmp_path / "above"
    file = above / "data" / "sekisho.toml"
    file.parent.mkdir(parents=True)
    file.touch()
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    above.chmod(0o777)
    for path in (file, link):
        with pytest.raises(WritableByOthers, match=f"{above}, which holds {path}, can be written to by every user"):
            refuse_writable_by_others(path)
    above.chmod(0o1777)
    refuse_writable_by_others(file)
    refuse_writable_by_others(link)


def test_a_group_with_other_users_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sekisho.toml"
    file.touch()
    file.chmod(0o664)
    me = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(grp, "getgrgid", lambda _: SimpleNamespace(gr_mem=[me.pw_name]))
    monkeypatch.setattr(pwd, "getpwall", lambda: [me])
    refuse_writable_by_others(file)
    monkeypatch.setattr(grp, "getgrgid", lambda _: SimpleNamespace(gr_mem=[me.pw_name, "mallory"]))
    with pytest.raises(WritableByOthers, match="by the group of mallory: type chmod go-w"):
        refuse_writable_by_others(file)

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(grp, "getgrgid", unknown)
    refuse_writable_by_others(file)
    other = SimpleNamespace(pw_name="eve", pw_uid=me.pw_uid + 4242, pw_gid=file.stat().st_gid)
    monkeypatch.setattr(pwd, "getpwall", lambda: [me, other])
    with pytest.raises(WritableByOthers, match="by the group of eve"):
        refuse_writable_by_others(file)
