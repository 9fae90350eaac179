"""What ``sekisho up`` prints, in wide and in narrow terminals."""

from __future__ import annotations

from pathlib import Path

import pytest

from sekisho.cli import announcement
from sekisho.server.run_file import Run
from sekisho.server.settings import Settings

ONLY_HERE = "only this machine can connect: set host to let others"


def shown(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, settings: Settings, root_ca: str
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    run = Run(
        1, "http://127.0.0.1:5883", "127.0.0.1", 8883, "localhost", "eu-central-1", "123456789012", "", root_ca,
        "1.2.3", "localhost.localdomain",
    )  # fmt: skip
    announcement.show(run, settings)
    return capsys.readouterr().out.splitlines()


def test_a_box_that_fits_has_one_width(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(200, capsys, monkeypatch, Settings(data=tmp_path), "/root/ca.pem")
    assert (lines[0][0], lines[-1][0]) == ("╭", "╰")
    assert len({len(line) for line in lines}) == 1
    text = "\n".join(lines)
    for fact in ("http://127.0.0.1:5883", "localhost:8883", "localhost.localdomain:8883", str(tmp_path), ONLY_HERE):
        assert fact in text


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_a_narrow_terminal_gets_no_box_and_whole_paths_and_commands(
    columns: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "a folder [with a long name] for the data of this server"
    lines = shown(columns, capsys, monkeypatch, Settings(data=data), f"{data}/server/root-ca.pem")
    assert not set("╭╮╰╯│─") & set("".join(lines))
    for line in (
        "Sekisho 1.2.3",
        "  http://127.0.0.1:5883",
        f"  {data}",
        f"  {data}/server/root-ca.pem",
        f"""  eval "$(sekisho env --data '{data}')\"""",
        "  aws iot describe-endpoint --endpoint-type iot:Data-ATS",
    ):
        assert line in lines


def test_the_box_of_a_short_path_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(80, capsys, monkeypatch, Settings(data=Path("/data")), "/data/server/root-ca.pem")
    assert lines[0].startswith("╭")
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("host", "is_said"), [("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False)])  # noqa: S104 - nothing listens
def test_a_server_on_the_loopback_says_that_only_this_machine_can_connect(
    host: str, *, is_said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(200, capsys, monkeypatch, Settings(data=tmp_path, host=host), "")
    assert any(ONLY_HERE in line for line in lines) is is_said
