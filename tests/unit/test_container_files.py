"""The files for containers name settings, options and paths that the program has. No container engine is needed."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from sekisho.server.settings import Settings, load
from tests.e2e.command_line import sekisho

FOLDER = Path(__file__).parents[2] / "deploy" / "container"
CONTAINERFILE = (FOLDER / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
VARIABLES = {f"SEKISHO_{field.name.upper()}" for field in fields(Settings)}


def lines_of(instruction: str) -> list[str]:
    """Return the arguments of an instruction in the last stage of the Containerfile."""
    stage = re.split(r"^FROM .*$", CONTAINERFILE, flags=re.MULTILINE)[-1]
    return re.findall(rf"^{instruction} (.*)$", stage, re.MULTILINE)


def image_environment() -> dict[str, str]:
    return dict(each.split("=", 1) for line in lines_of("ENV") for each in shlex.split(line))


def test_the_variables_are_settings() -> None:
    named = {
        name for name in [*image_environment(), *SERVICES["sekisho"]["environment"]] if name.startswith("SEKISHO_")
    }
    assert {"SEKISHO_DATA", "SEKISHO_HOST", "SEKISHO_ENDPOINT", "SEKISHO_DATABASE_URL"} == named
    assert named <= VARIABLES


def test_the_server_accepts_what_compose_sets() -> None:
    environment = image_environment() | SERVICES["sekisho"]["environment"]
    settings = load({}, environment={**environment, "HOME": "/nowhere"})
    assert settings.database_url == SERVICES["sekisho"]["environment"]["SEKISHO_DATABASE_URL"]
    assert settings.endpoint in SERVICES["sekisho"]["networks"]["default"]["aliases"]
    assert not settings.is_loopback


def test_the_published_ports_are_those_of_the_server() -> None:
    settings = load({}, environment={"HOME": "/nowhere"})
    listening = {str(settings.mqtt_port), str(settings.api_port)}
    assert set(lines_of("EXPOSE")[0].split()) == listening
    assert {each.split(":")[-1] for each in SERVICES["sekisho"]["ports"]} == listening
    api = [each for each in SERVICES["sekisho"]["ports"] if each.endswith(f":{settings.api_port}")]
    assert all(each.startswith("127.0.0.1:") for each in api)


def test_the_server_runs_without_root_on_a_volume_of_its_own() -> None:
    (folder,) = lines_of("VOLUME")
    assert image_environment()["SEKISHO_DATA"] == folder
    assert [each.split(":")[1] for each in SERVICES["sekisho"]["volumes"]] == [folder]
    (user,) = lines_of("USER")
    assert f"--uid {user} " in CONTAINERFILE
    assert int(user) > 0


def test_the_commands_exist_with_their_options() -> None:
    (health,) = [json.loads(line.partition(" CMD ")[2]) for line in lines_of("HEALTHCHECK")]
    commands = [
        [*json.loads(lines_of("ENTRYPOINT")[0]), *json.loads(lines_of("CMD")[0])],
        health,
        ["sekisho", *shlex.split(SERVICES["device"]["command"])],
    ]
    assert [command[1] for command in commands] == ["up", "status", "pub"]
    for program, command, *arguments in commands:
        assert program == "sekisho"
        shown = sekisho(command, "--help")
        assert shown.returncode == 0
        assert {each for each in arguments if each.startswith("--")} <= set(re.findall(r"--[\w-]+", shown.stdout))


def test_the_device_connects_to_the_endpoint_of_the_server() -> None:
    arguments = shlex.split(SERVICES["device"]["command"])
    assert arguments[arguments.index("--host") + 1] == SERVICES["sekisho"]["environment"]["SEKISHO_ENDPOINT"]
    for option in ("--cafile", "--cert", "--key"):
        assert arguments[arguments.index(option) + 1].startswith(f"{SERVICES['device']['volumes'][0].split(':')[1]}/")
