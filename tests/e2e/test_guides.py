"""The guides to provisioning: their commands run in the order of the page, on a separate server.

``Error:`` below a command says that it fails; other lines below one are lines that it prints. The port is a free one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.certificate_files import openssl
from tests.e2e.pages import Typed, blocks, in_bash, typed, typed_lines
from tests.e2e.running_server import RunningServer
from tests.tools import require

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "provisioning"
EXAMPLES = ROOT / "examples"

EXAMPLE_OF = {
    "register-beforehand.md": None,
    "just-in-time-registration.md": "just-in-time-registration",
    "just-in-time-provisioning.md": "just-in-time-provisioning",
    "fleet-provisioning.md": "fleet-provisioning-by-claim",
}
"""The example whose files the reader of each guide has."""


def test_every_guide_is_tested() -> None:
    assert {page.name for page in GUIDES.glob("*.md")} == {"README.md", *EXAMPLE_OF}
    assert list(typed(GUIDES / "README.md")) == []


@pytest.mark.parametrize("guide", [name for name, example in EXAMPLE_OF.items() if example])
def test_code_and_settings_of_a_guide_are_those_of_its_example(guide: str) -> None:
    example = EXAMPLES / str(EXAMPLE_OF[guide])
    written = "\n".join(file.read_text() for pattern in ("*.py", "*.toml") for file in example.glob(pattern))
    lines = {line.partition("  #")[0].strip() for line in written.splitlines()}
    for language in ("python", "toml"):
        for block in blocks(GUIDES / guide, language):
            assert [line for line in block.splitlines() if line.strip() and line.strip() not in lines] == []


@pytest.mark.parametrize("guide", sorted(EXAMPLE_OF))
def test_the_commands_of_a_guide_have_the_documented_output(tmp_path: Path, guide: str) -> None:
    for program in ("aws", "mosquitto_pub", "openssl"):
        require(program)
    folder, data = tmp_path / "reader", tmp_path / "data"
    example = EXAMPLE_OF[guide]
    if example is None:
        folder.mkdir()
        [register] = blocks(GUIDES / guide, "json")
        (folder / "register.json").write_text(register)
    else:
        shutil.copytree(EXAMPLES / example, folder)
    data.mkdir(mode=0o700)
    if guide == "fleet-provisioning.md":
        # The page's handlers sign with it from the server's start.
        openssl("genrsa", "-out", folder / "ca.key", "2048")
        openssl(
            "req", "-x509", "-new", "-nodes", "-key", folder / "ca.key", "-days", "30", "-out", folder / "ca.crt",
            "-subj", "/CN=Lamp CA",
        )  # fmt: skip
    for file in ("sekisho.toml", "activate.py", "hook.py", "ca.crt", "ca.key"):
        if (folder / file).exists():
            shutil.copy(folder / file, data)

    commands = list(typed(GUIDES / guide))
    assert len(commands) > 4
    server = RunningServer(data).start()
    try:
        said = type_in(server, folder, commands)
    finally:
        server.stop()
    for each in commands:
        for line in each.shown:
            assert line in said


def type_in(server: RunningServer, folder: Path, commands: list[Typed]) -> str:
    """Type the commands with the server's environment; return all that was printed."""
    script = [f'eval "$(sekisho env --data {server.data})"', *typed_lines(commands, {"8883": str(server.mqtt_port)})]
    done = in_bash(script, folder)
    assert done.returncode == 0, f"{done.stdout}\n{server.log()}"
    return done.stdout
