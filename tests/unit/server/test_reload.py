"""A reload is made, or it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path

from sekisho.server.reload import RELOADED, Reload
from sekisho.server.settings import ConfigError, Settings
from tests.logs import captured_log


class Part:
    """Records what it is told to use."""

    def __init__(self, events: list[str], name: str, error: Exception | None = None) -> None:
        self.events = events
        self.name = name
        self.error = error

    def __call__(self, settings: Settings, undo: ExitStack) -> Callable[[], None]:
        undo.callback(self.events.append, f"{self.name} taken back")
        self.events.append(f"{self.name} prepared for {settings.log_level}")
        if self.error is not None:
            raise self.error
        return lambda: self.events.append(f"{self.name} in effect")


def test_every_part_is_prepared_before_the_first_takes_effect(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    events: list[str] = []
    reload = Reload(settings, lambda: replace(settings, log_level="debug"), [Part(events, "a"), Part(events, "b")], ())
    with captured_log() as lines:
        outcome = reload()
    assert events == ["a prepared for debug", "b prepared for debug", "a in effect", "b in effect"]
    assert (outcome.number, outcome.error, list(outcome.changed)) == (1, "", ["log_level"])
    assert lines[0]["code"] == "settings_reloaded"
    assert reload().changed == [], "the same settings again"


def test_what_was_prepared_is_taken_back_in_the_reverse_order_where_a_part_fails(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    events: list[str] = []
    parts = [Part(events, "a"), Part(events, "b", KeyError("no such thing")), Part(events, "c")]
    reload = Reload(settings, lambda: replace(settings, log_level="debug"), parts, (KeyError,))
    with captured_log() as lines:
        outcome = reload()
    assert events == ["a prepared for debug", "b prepared for debug", "b taken back", "a taken back"]
    assert "no such thing" in outcome.error
    assert lines[0]["code"] == "settings_not_reloaded"


def test_settings_that_cannot_be_read_reach_no_part(tmp_path: Path) -> None:
    def load() -> Settings:
        raise ConfigError("there is no setting 'x'")

    events: list[str] = []
    reload = Reload(Settings(data=tmp_path), load, [Part(events, "a")], ())
    with captured_log():
        assert [reload().error, reload().number] == ["there is no setting 'x'", 2]
    assert events == []


def test_settings_that_only_a_start_takes_are_named_and_kept(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    events: list[str] = []
    reload = Reload(settings, lambda: replace(settings, workers=3, log_level="error"), [Part(events, "a")], ())
    with captured_log():
        outcome = reload()
        assert (list(outcome.changed), list(outcome.needs_restart)) == (["log_level"], ["workers"])
        assert list(reload().needs_restart) == ["workers"]


def test_the_settings_that_a_reload_takes_are_settings() -> None:
    assert {each.name for each in fields(Settings)} >= RELOADED
