"""Buckets that are folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sekisho.buckets.folder import FolderBuckets
from sekisho.provisioning.bulk.input import InputError
from tests.logs import captured_log

OWN, OTHER = "123456789012", "222222222222"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "buckets"
    (root / OWN / "fleet" / "2026").mkdir(parents=True)
    (root / OWN / "fleet" / "2026" / "input.json").write_bytes(b"0123456789")
    (root / OTHER / "theirs").mkdir(parents=True)
    (root / OTHER / "theirs" / "input.json").write_text("theirs")
    (tmp_path / "secret").write_text("secret")
    return root


def content(buckets: FolderBuckets, bucket: str, key: str, offset: int = 0) -> bytes:
    with buckets.open(OWN, bucket, key, offset) as source:
        return b"".join(iter(lambda: source.read(3), b""))


@pytest.mark.parametrize("offset", [0, 4, 10])
def test_a_file_is_read_from_the_given_offset(root: Path, offset: int) -> None:
    buckets = FolderBuckets(root)
    assert content(buckets, "fleet", "2026/input.json", offset) == b"0123456789"[offset:]
    with buckets.open(OWN, "fleet", "2026/input.json", offset) as source:
        assert source.size == 10


def test_changed_content_has_another_version(root: Path) -> None:
    def version() -> str:
        with FolderBuckets(root).open(OWN, "fleet", "2026/input.json", 0) as source:
            return source.version

    before = version()
    assert version() == before
    file = root / OWN / "fleet" / "2026" / "input.json"
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
        (f"../{OTHER}/theirs", "input.json"),
        (f"{OTHER}/theirs", "input.json"),
        ("fleet", f"../../{OTHER}/theirs/input.json"),
        ("fleet", "a\0b"),
        ("", "fleet"),
    ],
)
def test_names_that_lead_out_of_the_folder_are_refused(root: Path, bucket: str, key: str) -> None:
    with pytest.raises(InputError, match="is not valid"):
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
def test_a_path_that_is_not_a_file_is_refused(root: Path, bucket: str, key: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        content(FolderBuckets(root), bucket, key)
    # The message does not contain the server's path, which clients of the API must not learn.
    assert str(root) not in str(refused.value)


def test_a_pipe_is_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / OWN / "fleet" / "pipe")
    with pytest.raises(InputError, match="not a file"):
        content(FolderBuckets(root), "fleet", "pipe")


@pytest.mark.parametrize(("bucket", "key"), [("theirs", "input.json"), (OTHER, "theirs/input.json")])
def test_an_account_sees_only_its_own_buckets_and_the_error_names_their_folder(
    root: Path, bucket: str, key: str
) -> None:
    with pytest.raises(InputError) as refused:
        content(FolderBuckets(root), bucket, key)
    assert str(refused.value) == (
        f"The input file {key} in bucket {bucket} cannot be opened: No such file or directory. Its path is "
        f"{OWN}/{bucket}/{key} in the server's bulk_folder."
    )


def test_an_error_about_a_file_in_the_old_place_names_the_new_one(root: Path) -> None:
    (root / "old").mkdir()
    (root / "old" / "input.json").write_text("old")
    with pytest.raises(InputError, match=f"Its path is {OWN}/old/input.json"):
        content(FolderBuckets(root), "old", "input.json")
    with captured_log() as logs:
        FolderBuckets(root).warn_of_folders_without_account()
    [line] = logs
    assert (line["log_level"], line["folders"], line["count"]) == ("warning", [str(root / "old")], 1)
    (root / "old" / "input.json").unlink()
    (root / "old").rmdir()
    with captured_log() as logs:
        FolderBuckets(root).warn_of_folders_without_account()
        FolderBuckets(root / "nowhere").warn_of_folders_without_account()
    assert logs == []


@pytest.mark.parametrize("link", ["linked", "fleet/linked", "fleet/linked.json", "fleet/2026/loop"])
def test_links_are_not_followed(root: Path, link: str) -> None:
    targets = {
        "linked": root / OTHER / "theirs",
        "fleet/linked": root / OTHER / "theirs",
        "fleet/linked.json": root.parent / "secret",
        "fleet/2026/loop": Path("loop"),
    }
    (root / OWN / link).symlink_to(targets[link])
    bucket, _, key = (link if link.endswith((".json", "loop")) else f"{link}/input.json").partition("/")
    with pytest.raises(InputError, match="is a symbolic link, and links in an account's folder are not followed"):
        content(FolderBuckets(root), bucket, key)


def test_an_accounts_folder_may_be_a_link_of_the_operator(root: Path, tmp_path: Path) -> None:
    (root / OWN).rename(tmp_path / "elsewhere")
    (root / OWN).symlink_to(tmp_path / "elsewhere")
    assert content(FolderBuckets(root), "fleet", "2026/input.json") == b"0123456789"


def test_a_folder_that_is_replaced_by_a_link_during_the_walk_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each step, the named folder is replaced by a link to another account's folder."""
    real = os.open
    opened: list[int] = []

    def exchanging(path: str | Path, flags: int, *, dir_fd: int | None = None) -> int:
        descriptor = real(path, flags, dir_fd=dir_fd)
        opened.append(descriptor)
        if path == "fleet":
            (root / OWN / "fleet").rename(root / OWN / "before")
            (root / OTHER / "theirs" / "2026").mkdir()
            (root / OTHER / "theirs" / "2026" / "input.json").write_text("theirs")
            (root / OWN / "fleet").symlink_to(root / OTHER / "theirs")
        return descriptor

    monkeypatch.setattr(os, "open", exchanging)
    assert content(FolderBuckets(root), "fleet", "2026/input.json") == b"0123456789"
    assert len(opened) == 4
    for descriptor in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
