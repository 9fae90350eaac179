"""Access of other users to the files of a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.command_line import clean_environment
from tests.e2e.running_server import START_WITHIN, RunningServer
from tests.e2e.test_data_folder import refusal
from tests.tools import require
from tests.wait import eventually

FREE_PORTS = ("--api-port", "0", "--mqtt-port", "0")
NOBODY = 65534

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")


def as_another_user(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program as a user other than the server's."""
    return subprocess.run(
        [
            require("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *map(str, command)
        ],
        capture_output=True, text=True, timeout=START_WITHIN, check=False,
    )  # fmt: skip


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Return a folder that every user may enter; pytest's folders are only for its own user."""
    folder = Path(tempfile.mkdtemp(prefix="sekisho-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(open_path: Path) -> Iterator[RunningServer]:
    """Run a server whose data folder has every kind of file."""
    data = open_path / "data"
    running = RunningServer(data).start()
    running.session().iot.create_keys_and_certificate()
    running.session(region="eu-west-1").iot.describe_endpoint()
    yield running
    running.kill()


@as_root
def test_other_users_can_read_only_the_root_certificates(server: RunningServer) -> None:
    said = as_another_user("cat", server.environment()["SEKISHO_ROOT_CA"])
    assert said.stdout.count("BEGIN CERTIFICATE") == 2, said.stderr
    assert as_another_user("ls", server.data).returncode != 0
    files = [file for file in server.data.rglob("*") if file.is_file()]
    assert {"sekisho.db", "run.json", "lock", "root.key", "ca.key", "regions.crt"} <= {file.name for file in files}
    readable = [file for file in files if as_another_user("cat", file).returncode == 0]
    assert readable == [server.data / "server" / "root-ca.pem"]


@as_root
def test_after_a_start_others_can_read_the_root_certificates_in_an_earlier_versions_folder(
    server: RunningServer,
) -> None:
    assert server.stop() == 0
    server.data.chmod(0o700)
    (server.data / "server").chmod(0o700)
    (server.data / "sekisho.toml").write_text('log_level = "info"\n')
    server.start()
    assert as_another_user("cat", server.root_ca).returncode == 0


@as_root
def test_files_protected_by_the_mode_of_an_earlier_versions_folder_stay_private(server: RunningServer) -> None:
    assert server.stop() == 0
    server.data.chmod(0o700)
    settings, notes, code = (server.data / name for name in ("sekisho.toml", "notes.txt", "code"))
    settings.write_text(f'database_url = "sqlite:///{server.data}/sekisho.db"\n')
    notes.write_text("where the spare key is\n")
    code.mkdir()
    (code / "handler.py").touch()
    server.start()
    assert server.data.stat().st_mode & 0o777 == 0o711
    assert as_another_user("cat", server.root_ca).returncode == 0
    for file in (settings, notes, code / "handler.py"):
        assert as_another_user("cat", file).returncode != 0
    # If a file is made public after that, it is its owner's choice; a password in it is logged.
    assert server.stop() == 0
    settings.chmod(0o644)
    server.start()
    line = server.wait_for_log("settings_readable")
    assert line["remedy"] == f"type chmod 600 {settings}"


@as_root
def test_a_folder_with_files_of_another_user_keeps_its_mode(server: RunningServer) -> None:
    assert server.stop() == 0
    server.data.chmod(0o700)
    file = server.data / "notes.txt"
    file.write_text("of another user\n")
    os.chown(file, NOBODY, NOBODY)
    server.start()
    line = server.wait_for_log("root_certificates_unreadable")
    assert line["files_of_other_owners"] == ["notes.txt"]
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the data folder of a server that has ended."""
    running = RunningServer(tmp_path_factory.mktemp("used") / "data").start()
    running.session().iot.create_keys_and_certificate()
    assert running.stop() == 0
    return running.data


def a_configuration(data: Path) -> Path:
    (data / "sekisho.toml").touch()
    return data / "sekisho.toml"


def a_signers_key(data: Path) -> Path:
    (data / "sekisho.toml").write_text('[handlers.sign]\nca_certificate = "own.crt"\nca_key = "own.key"\n')
    (data / "own.key").touch()
    return data / "own.key"


def a_handlers_folder(data: Path) -> Path:
    (data / "sekisho.toml").write_text('[handlers.call]\nfunction = "a:b"\npath = "code"\n')
    (data / "code").mkdir()
    return data / "code"


@pytest.mark.parametrize(
    "place",
    [
        lambda data: data,
        lambda data: data.parent,
        lambda data: data / "server",
        lambda data: data / "server" / "root-ca.pem",
        lambda data: data / "server" / "rsa" / "root.key",
        lambda data: data / "issuing" / "ca.key",
        lambda data: data / "sekisho.db",
        a_configuration,
        a_signers_key,
        a_handlers_folder,
    ],
    ids=["data", "above", "server", "roots", "root key", "issuing key", "database", "file", "signer", "handler"],
)
def test_files_that_others_can_write_to_are_refused_with_the_command_that_corrects_it(
    used: Path, tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    data = tmp_path / "above" / "data"
    data.parent.mkdir()
    shutil.copytree(used, data)
    writable = place(data)
    writable.chmod(writable.stat().st_mode | 0o002)
    line = refusal("up", "--data", data, *FREE_PORTS)
    assert line.endswith(f"type chmod go-w {writable}")


def test_files_left_by_a_killed_first_start_are_removed(used: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(used, data)
    left = [
        data / ".run.json.ab12cd34.tmp",
        data / ".issuing.ab12cd34.tmp",
        data / "server" / ".rsa.ab12cd34.tmp",
        # Of an earlier version.
        data / "server" / "ecdsa" / ".root.key.ab12cd34",
    ]
    for file in left:
        file.write_text("-----BEGIN PRIVATE KEY-----")
    server = RunningServer(data).start()
    try:
        assert not [file for file in left if file.exists()]
    finally:
        server.stop()


@pytest.mark.parametrize("seen", ["server/ecdsa", "server/rsa", "server/root-ca.pem"])
def test_a_killed_first_start_continues(tmp_path: Path, seen: str) -> None:
    data = tmp_path / "data"
    process = subprocess.Popen(
        [require("sekisho"), "up", "--data", str(data), *FREE_PORTS],
        env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: (data / seen).exists() or process.poll() is not None)
    assert process.poll() is None
    process.kill()
    process.wait()
    server = RunningServer(data).start()
    try:
        assert not [file for file in data.rglob("*") if file.name.endswith(".tmp")]
        assert Path(server.root_ca).read_text().count("BEGIN CERTIFICATE") == 2
    finally:
        server.stop()


@as_root
def test_a_full_disk_is_reported_with_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    # In a separate mount namespace, which ends with the process. Some sizes are sufficient for some of the files.
    for pages in range(2, 14, 3):
        said = subprocess.run(
            [
                require("unshare"), "--mount", "sh", "-c",
                'mount -t tmpfs -o size="$3" none "$1" && exec "$2" up --data "$1/data" --api-port 0 --mqtt-port 0',
                "sh", str(folder), require("sekisho"), str(pages * os.sysconf("SC_PAGE_SIZE")),
            ],
            env=clean_environment(), capture_output=True, text=True, timeout=START_WITHIN, check=False,
        )  # fmt: skip
        if "unshare" in said.stderr or "mount:" in said.stderr:
            pytest.skip(f"mounts cannot be made here: {said.stderr.strip()}")
        assert said.returncode == 1
        [line] = [line for line in said.stderr.splitlines() if line.startswith("sekisho: ")]
        assert f"{folder}/data" in line, line
        assert "Traceback" not in said.stderr
