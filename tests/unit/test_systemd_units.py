"""The unit for systemd: systemd accepts it and finds it confined, and the program has what it names."""

from __future__ import annotations

import shlex
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from tests.tools import require

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = FOLDER / "sekisho.service"
INSTALLED = "/opt/sekisho/bin/sekisho"
MAX_EXPOSURE = "20"
"""Tenths: systemd calls 2.0 and less "OK"; a unit without settings has 9.6."""


def settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name].append(value)
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit as if the program were installed where it says, with the setting for port 443 in a drop-in."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text(encoding="utf-8").replace(INSTALLED, require("sekisho")), encoding="utf-8")
    return copy


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [require("systemd-analyze"), "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def with_port_443(unit: Path) -> None:
    drop_ins = unit.with_name(f"{unit.name}.d")
    drop_ins.mkdir()
    (drop_ins / "port-443.conf").write_bytes((FOLDER / "port-443.conf").read_bytes())


@pytest.mark.parametrize("has_drop_in", [False, True])
def test_systemd_accepts_the_unit(installed: Path, has_drop_in: bool) -> None:
    if has_drop_in:
        with_port_443(installed)
    done = analyze("verify", "--man=no", installed)
    # What systemd does not know it ignores with a warning.
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_confined(installed: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MAX_EXPOSURE}", installed)
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


def test_a_unit_that_is_not_confined_would_be_found(tmp_path: Path) -> None:
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    assert analyze("security", "--offline=true", f"--threshold={MAX_EXPOSURE}", bare).returncode != 0


def test_the_watchdog_waits_longer_than_the_server_needs_to_notice_a_hang() -> None:
    from sekisho.server.health import STALE_SECONDS

    (seconds,) = settings(UNIT)["WatchdogSec"]
    assert int(seconds) > 2 * STALE_SECONDS


def test_the_drop_in_changes_settings_that_the_unit_has() -> None:
    drop_in = settings(FOLDER / "port-443.conf")
    assert drop_in["AmbientCapabilities"] == drop_in["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE"]
    assert settings(UNIT)["CapabilityBoundingSet"] == [""]
    assert (settings(UNIT)["PrivateUsers"], drop_in["PrivateUsers"]) == (["yes"], ["no"])


def test_the_user_of_the_unit_is_made() -> None:
    (line,) = [each for each in (FOLDER / "sekisho.sysusers").read_text().splitlines() if not each.startswith("#")]
    assert shlex.split(line) == ["u", *settings(UNIT)["User"], "-", "Sekisho", "/var/lib/sekisho"]
    assert settings(UNIT)["StateDirectory"] == ["sekisho"]
