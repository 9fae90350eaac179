"""The page about services is typed as it says, and the commands of the unit work together with a service manager."""

from __future__ import annotations

import shlex
import signal
import subprocess
from pathlib import Path

from tests.e2e.command_line import clean_environment
from tests.e2e.pages import in_bash, typed, typed_lines
from tests.notify_socket import service_manager
from tests.ports import reserve
from tests.tools import require

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "service.md"
UNIT = ROOT / "deploy" / "systemd" / "sekisho.service"
STOP_WITHIN = 60.0
"""Seconds; ``TimeoutStopSec`` of the unit."""


def test_the_page_is_typed_as_it_says(tmp_path: Path) -> None:
    require("aws")
    free = {"sekisho up": f"sekisho up --api-port {reserve()} --mqtt-port {reserve()}"}
    script = ["trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT", *typed_lines(list(typed(PAGE)), free)]
    done = in_bash(script, tmp_path)
    assert done.returncode == 0, done.stdout
    for line in (line for each in typed(PAGE) for line in each.shown):
        assert line in done.stdout


def unit_command(name: str, folder: Path) -> list[str]:
    """Return the command of a setting of the unit, with folders of the test."""
    (line,) = [each for each in UNIT.read_text(encoding="utf-8").splitlines() if each.startswith(f"{name}=")]
    places = {
        "/opt/sekisho/bin/sekisho": require("sekisho"),
        "/etc/sekisho/sekisho.toml": str(folder / "sekisho.toml"),
        "/var/lib/sekisho": str(folder / "data"),
    }
    return [places.get(each, each) for each in shlex.split(line.partition("=")[2])]


def test_the_commands_of_the_unit_start_reload_and_stop_a_server(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text("api_port = 0\nmqtt_port = 0\n")
    with service_manager(f"{tmp_path}/notify") as manager, (tmp_path / "log").open("w") as log:
        environment = clean_environment() | {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "60000000"}
        server = subprocess.Popen(unit_command("ExecStart", tmp_path), stdout=log, stderr=log, env=environment)
        try:
            assert manager.message()["READY"] == "1"
            (tmp_path / "sekisho.toml").write_text('api_port = 0\nmqtt_port = 0\nlog_level = "debug"\n')
            reload = subprocess.run(
                unit_command("ExecReload", tmp_path),
                env=clean_environment(), capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert (reload.returncode, reload.stdout) == (0, "reloaded: log_level\n"), reload.stderr
            manager.wait_for(lambda told: told.get("RELOADING") == "1")
            manager.wait_for(lambda told: told == {"READY": "1"})
            server.send_signal(signal.SIGTERM)
            manager.wait_for(lambda told: told.get("STOPPING") == "1")
            assert server.wait(STOP_WITHIN) == 0
        finally:
            server.kill()
            server.wait()
