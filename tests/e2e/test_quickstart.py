"""``scripts/quickstart`` runs to its end, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.e2e.command_line import clean_environment
from tests.ports import reserve
from tests.tools import require

QUICKSTART = Path(__file__).parents[2] / "scripts" / "quickstart"
WITHIN = 120.0


def start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the script in a session of its own, with this folder for temporary folders."""
    for program in ("aws", "mosquitto_pub", "mosquitto_sub", "openssl"):
        require(program)
    # The script needs real port numbers, not 0: it prints them in its commands.
    ports = {"SEKISHO_API_PORT": str(reserve()), "SEKISHO_MQTT_PORT": str(reserve())}
    return subprocess.Popen(
        [str(QUICKSTART)],
        env=clean_environment() | ports | {"TMPDIR": str(folder)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests in the background inherit SIGINT ignored, and a shell cannot trap an ignored signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def processes_of(session: int) -> list[str]:
    """Return command lines of the processes in a session."""
    alive = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.getsid(int(entry.name)) == session and "Z" not in (entry / "stat").read_text().rsplit(")", 1)[1]:
                alive.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (ProcessLookupError, FileNotFoundError):
            continue
    return alive


def test_the_script_runs_to_its_end_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # Settings of the environment must not change where the commands go.
    story = start(tmp_path, AWS_PROFILE="work", AWS_REGION="eu-west-3", AWS_ENDPOINT_URL="http://127.0.0.1:1")
    said, complaints = story.communicate(timeout=WITHIN)
    assert story.returncode == 0, f"{said}\n{complaints}"
    assert 'received on t1: {"id":1}' in said
    for step in (
        "$ openssl genrsa -out ca.key 2048",
        "register-ca-certificate",
        '"certificateMode": "SNI_ONLY"',
        "aws iot register-certificate \\",
        "register-certificate-without-ca",
        "aws iot attach-thing-principal",
        "describe-endpoint --endpoint-type iot:Data-ATS",
        "Verification: OK",
        "received CONNACK (0)",
        "What to try next",
    ):
        assert step in said
    assert "PRIVATE KEY" not in said
    assert processes_of(story.pid) == []
    assert list(tmp_path.iterdir()) == []


def test_a_failing_step_stops_the_script_and_shows_the_end_of_the_log(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    folder = tmp_path / "temporary"
    folder.mkdir()
    # The venv's own aws comes first on the script's PATH, so the failing step is one of openssl's.
    broken = programs / "openssl"
    broken.write_text("#!/bin/sh\necho 'openssl: out of order' >&2\nexit 3\n")
    broken.chmod(0o755)
    story = start(folder, PATH=f"{programs}:{os.environ['PATH']}")
    said, complaints = story.communicate(timeout=WITHIN)
    assert story.returncode == 3
    assert "out of order" in complaints
    assert "The quickstart stopped here. The end of the server log:" in complaints
    assert "genrsa" not in said
    assert processes_of(story.pid) == []
    assert list(folder.iterdir()) == []


def test_a_busy_port_stops_the_script_with_the_servers_message(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        story = start(tmp_path, SEKISHO_API_PORT=str(taken.getsockname()[1]))
        _, complaints = story.communicate(timeout=WITHIN)
    assert story.returncode == 1
    assert "--api-port" in complaints
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_the_script_and_leaves_nothing_behind(tmp_path: Path) -> None:
    story = start(tmp_path)
    assert story.stdout is not None
    for line in story.stdout:
        if "register-ca-certificate" in line:
            break
    # Like a terminal: to all processes in the foreground.
    os.killpg(story.pid, signal.SIGINT)
    story.communicate(timeout=WITHIN)
    assert story.returncode == 130
    assert processes_of(story.pid) == []
    assert list(tmp_path.iterdir()) == []
