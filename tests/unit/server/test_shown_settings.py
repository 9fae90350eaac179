"""Settings with their sources, and those that a running server does not use yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sekisho.server.run_file import Run
from sekisho.server.settings import ConfigError, Settings, read
from sekisho.server.shown_settings import SECRET, shown, waiting

SECRET_TEXT = "0123456789abcdef"
PASSWORD = "hunter2"


def running(data: Path, environment: Mapping[str, str] | None = None, **chosen: Any) -> Run:
    loaded = read({"data": data, **chosen}, environment=environment or {})
    return Run(
        1, "", "127.0.0.1", 8883, "localhost", "us-east-1", "123456789012", "", "", "0",
        config_file=str(loaded.file), settings=shown(loaded),
    )  # fmt: skip


def test_every_setting_has_its_value_and_its_source(tmp_path: Path) -> None:
    file = tmp_path / "sekisho.toml"
    file.write_text('mqtt_port = 1002\nlog_file = "log"\nregions = ["here"]\n[handlers.a]\nfunction = "a:b"\n')
    settings = shown(
        read({"data": tmp_path, "api_port": 3}, environment={"SEKISHO_WORKERS": "2", "AWS_REGION": "eu-west-1"})
    )
    assert list(settings) == [each.name for each in fields(Settings)]
    in_file = {"kind": "file", "name": str(file)}
    assert settings["host"] == {"value": "127.0.0.1", "source": {"kind": "default", "name": ""}}
    assert settings["mqtt_port"] == {"value": 1002, "source": in_file}
    assert settings["log_file"] == {"value": str(tmp_path / "log"), "source": in_file}
    assert settings["regions"] == {"value": ["here"], "source": in_file}
    assert settings["handlers"] == {"value": {"a": "function"}, "source": in_file}
    assert settings["workers"] == {"value": 2, "source": {"kind": "environment", "name": "SEKISHO_WORKERS"}}
    assert settings["region"] == {"value": "eu-west-1", "source": {"kind": "environment", "name": "AWS_REGION"}}
    assert settings["api_port"] == {"value": 3, "source": {"kind": "command line", "name": "--api-port"}}


def test_secrets_are_set_or_unset(tmp_path: Path) -> None:
    (tmp_path / "sekisho.toml").write_text(
        f'endpoint_secret = "{SECRET_TEXT}"\ns3_endpoint_url = "http://me:{PASSWORD}@localhost:9000"\n'
        f'[handlers.a]\nfunction = "a:b"\nvariables = {{ TOKEN = "{SECRET_TEXT}" }}\n'
    )
    url = f"postgresql://me:{PASSWORD}@db/iot"
    settings = shown(read({"data": tmp_path}, environment={"SEKISHO_DATABASE_URL": url}))
    assert {settings[name]["value"] for name in SECRET} == {"set"}
    assert settings["s3_endpoint_url"]["value"] == "http://localhost:9000"
    text = json.dumps(settings)
    assert SECRET_TEXT not in text
    assert PASSWORD not in text
    assert {shown(read({"data": tmp_path}, environment={}))["database_url"]["value"]} == {"unset"}


def test_values_of_the_file_that_a_running_server_does_not_use_wait(tmp_path: Path) -> None:
    file = tmp_path / "sekisho.toml"
    file.write_text('workers = 1\nlog_level = "info"\naccount_share = 40\n')
    run = running(tmp_path, {"SEKISHO_LOG_LEVEL": "error"}, mqtt_port=1)
    assert waiting(run, tmp_path) == {}
    file.write_text('workers = 2\nlog_level = "debug"\nmqtt_port = 2\n')
    assert waiting(run, tmp_path) == {"workers": ("restart", 2), "account_share": ("reload", 50)}
    file.unlink()
    assert waiting(run, tmp_path) == {"workers": ("restart", 0), "account_share": ("reload", 50)}


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    run = running(tmp_path)
    (tmp_path / "sekisho.toml").write_text("workers = -1\n")
    with pytest.raises(ConfigError, match="workers is a whole number"):
        waiting(run, tmp_path)
