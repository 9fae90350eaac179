"""Buckets that are folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sekisho.buckets.folder import FolderBuckets
from sekisho.provisioning.bulk_input import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "buckets"
    (root / "fleet" / "2026").mkdir(parents=True)
    (root / "fleet" / "2026" / "input.json").write_bytes(b"0123456789")
    (tmp_path / "secret").write_text("secret")
    return root


def content(buckets: FolderBuckets, bucket: str, key: str, offset: int = 0) -> bytes:
    with buckets.open(bucket, key, offset) as source:
        return b"".join(iter(lambda: source.read(3), b""))


@pytest.mark.parametrize("offset", [0, 4, 10])
def test_a_file_is_read_from_where_it_is_asked_for(root: Path, offset: int) -> None:
    buckets = FolderBuckets(root)
    assert content(buckets, "fleet", "2026/input.json", offset) == b"0123456789"[offset:]
    with buckets.open("fleet", "2026/input.json", offset) as source:
        assert source.size == 10


def test_another_content_is_another_version(root: Path) -> None:
    def version() -> str:
        with FolderBuckets(root).open("fleet", "2026/input.json", 0) as source:
            return source.version

    before = version()
    assert version() == before
    file = root / "fleet" / "2026" / "input.json"
    file.write_bytes(b"0123456780")
    os.utime(file, ns=(1, 1))
    assert version() != before


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("fleet", "../../secret"),
        ("fleet", "2026/../../../secret"),
        ("..", "secret"),
        (".", "fleet/2026/input.json"),
        ("fleet", "/etc/passwd"),
        ("fleet", "2026//input.json"),
        ("fleet", "./2026/input.json"),
        ("fleet", "2026/input.json/"),
        ("fleet/2026", "input.json"),
        ("/etc", "passwd"),
        ("fleet", "a\0b"),
        ("", "fleet"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(root: Path, bucket: str, key: str) -> None:
    with pytest.raises(InputError, match="is not one"):
        content(FolderBuckets(root), bucket, key)


@pytest.mark.parametrize(
    ("bucket", "key", "reason"),
    [
        ("fleet", "2025/input.json", "No such file"),
        ("other", "input.json", "No such file"),
        ("fleet", "2026", "not a file"),
        ("fleet", "2026/input.json/more", "Not a directory"),
        ("fleet", "k" * 300, "too long"),
    ],
)
def test_what_is_no_file_says_so(root: Path, bucket: str, key: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        content(FolderBuckets(root), bucket, key)
    # Where the server keeps its files is nobody's business who only may name buckets.
    assert str(root) not in str(refused.value)


def test_a_pipe_is_refused_and_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "fleet" / "pipe")
    with pytest.raises(InputError, match="not a file"):
        content(FolderBuckets(root), "fleet", "pipe")
