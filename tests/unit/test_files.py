"""Files are whole or not there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from sekisho.files import write_atomically


def test_a_file_has_its_content_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    write_atomically(path, b"secret", mode=0o600)
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_there_is_replaced_with_the_new_mode(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_atomically(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "inside").write_bytes(b"kept")
    with pytest.raises(OSError, match="taken"):
        write_atomically(folder, b"new", mode=0o600)
    assert (folder / "inside").read_bytes() == b"kept"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_write_that_fails_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as failure:
        write_atomically(tmp_path / "run.json", b"{}", mode=0o600)
    assert failure.value.filename == str(tmp_path / "run.json")
    assert list(tmp_path.iterdir()) == []
