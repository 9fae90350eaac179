"""The wheel: a user's steps in a new virtual environment with nothing of this checkout, from docs/install.md.

``SEKISHO_WHEEL`` names a wheel that is built already, as in a release; its dependencies are then the newest ones
instead of those of constraints.txt.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts.long_description import absolute, base_url, rewrite_sdist
from tests.e2e.command_line import clean_environment
from tests.e2e.pages import typed, typed_lines
from tests.e2e.test_examples import SAYS, copied
from tests.ports import reserve
from tests.tools import require

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "install.md"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this checkout, with the module of the tests."""
    if built := os.environ.get("SEKISHO_WHEEL"):
        return Path(built).resolve()
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([ROOT / "scripts" / "dist", "--for-tests", folder], check=True)
    [file] = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a user's folder: the wheel is in it, and installed in ``venv`` as the page says."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copy(wheel, folder)
    # Of the checkout's virtual environment the user has the AWS CLI alone, and python3 is the one it was made from.
    tools = folder / "tools"
    tools.mkdir()
    (tools / "aws").symlink_to(require("aws"))
    (tools / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    said = in_shell(folder, [each for each in shell_lines() if not is_of_the_first_minutes(each)])
    assert re.fullmatch(r"sekisho \d+[.]\d+[.]\d+\S*", said.splitlines()[-1])
    return folder


def shell_lines() -> list[str]:
    """Return the commands of the page, with free ports."""
    ports = {"8883": str(reserve()), "sekisho up": f"sekisho up --api-port {reserve()}"}
    ports["sekisho up"] += f" --mqtt-port {ports['8883']}"
    return typed_lines(list(typed(PAGE)), ports)


def is_of_the_first_minutes(command: str) -> bool:
    return not any(word in command for word in ("venv", "--version"))


def in_shell(folder: Path, commands: list[str]) -> str:
    """Type the commands in the user's folder, as a user who has nothing of this checkout; return what was printed."""
    (folder / "home").mkdir(exist_ok=True, mode=0o700)
    programs = [folder / "venv" / "bin", folder / "tools", *map(Path, os.environ["PATH"].split(":"))]
    environment = clean_environment() | {
        "PATH": ":".join(str(each) for each in programs if not each.is_relative_to(ROOT)),
        "HOME": str(folder / "home"),
        "PIP_CACHE_DIR": str(Path("~/.cache/pip").expanduser()),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if "SEKISHO_WHEEL" not in os.environ:
        environment["PIP_CONSTRAINT"] = str(ROOT / "constraints.txt")
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        environment.pop(name, None)
    script = ["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT", *commands]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_program_comes_from_the_wheel_alone_and_the_base_has_no_extra(folder: Path) -> None:
    said = in_shell(
        folder,
        [
            "sekisho --help",
            "python -c 'import sekisho, sys; print(sekisho.__file__, *sys.path, sep=\"\\n\")'",
            "pip list --format freeze",
        ],
    )
    assert "Usage: sekisho" in said
    assert f"{folder}/venv/lib" in said
    assert str(ROOT) not in said
    installed = set(re.findall(r"^([\w-]+)==", said, re.MULTILINE))
    assert "botocore" in installed
    assert not {"boto3", "psycopg", "psycopg-binary", "pytest"} & installed


def test_the_first_five_minutes_are_as_the_page_says(folder: Path) -> None:
    for program in ("mosquitto_pub", "openssl"):
        require(program)
    said = in_shell(folder, [each for each in shell_lines() if is_of_the_first_minutes(each)])
    for each in typed(PAGE):
        for line in each.shown:
            assert line in said


def test_a_missing_extra_is_one_sentence_with_a_command_that_installs_it(folder: Path) -> None:
    say = "sekisho up --data other --api-port 0 --mqtt-port 0"
    [line] = in_shell(folder, [f"! {say} --database-url postgresql:///iot"]).splitlines()[-1:]
    assert "PostgreSQL needs psycopg, which is not installed. Install it: pip install 'sekisho[postgres]'" in line
    # The worker ends when its standard input ends, so that is a pipe that stays open.
    worker = "mkfifo -m 600 calls; exec 3<>calls; rm calls; python -m sekisho.handlers.worker activate:activate . <&3"
    (folder / "activate.py").write_text("import boto3\n")
    said = in_shell(folder, [worker])
    command = "pip install 'sekisho[handlers]'"
    assert f"No module named 'boto3'. Install it beside Sekisho: {command}" in said
    in_shell(folder, [command])
    assert "HandlerNotFound" in in_shell(folder, [worker])


@pytest.mark.parametrize(
    ("name", "libraries"),
    [("just-in-time-registration", "boto3"), ("fleet-provisioning-by-claim", "awsiotsdk")],
)
def test_an_example_runs_from_the_wheel(folder: Path, name: str, libraries: str) -> None:
    require("mosquitto_pub")
    example = copied(folder, name)
    ports = f"SEKISHO_API_PORT={reserve()} SEKISHO_MQTT_PORT={reserve()}"
    said = in_shell(folder, [f"pip install --quiet {libraries}", f"{ports} {example}/run.sh"])
    for words in SAYS[name]:
        assert re.search(words, said, re.MULTILINE), f"{words} is not in what it said:\n{said}"


def test_the_metadata_names_licence_extras_and_addresses(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        assert file.testzip() is None
        names = file.namelist()
        [metadata] = [file.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert any(name.endswith(".cyclonedx.json") for name in names)
    head, _, description = metadata.partition("\n\n")
    assert "License-Expression: Apache-2.0" in head
    assert set(re.findall("^Provides-Extra: (.+)$", head, re.MULTILINE)) == {"postgres", "handlers"}
    assert "Project-URL: Repository, https://" in head
    links = re.findall(r"\]\(([^)\s]+)\)", description)
    assert f"{base_url()}/docs/install.md" in links
    assert [link for link in links if not link.startswith("https://")] == []


def test_the_links_of_a_source_distribution_are_absolute(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("[install](docs/install.md), [web](https://example.com), [here](#top)")
    (tmp_path / "other.md").write_text("[install](docs/install.md)")
    file = tmp_path / "sekisho-1.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name in ("README.md", "other.md"):
            archive.add(tmp_path / name, f"sekisho-1/{name}")
    rewrite_sdist(file, "https://host/blob/v1")
    with tarfile.open(file) as archive:

        def text(name: str) -> str:
            content = archive.extractfile(name)
            assert content is not None
            return content.read().decode()

        readme, other = text("sekisho-1/README.md"), text("sekisho-1/other.md")
    assert readme == "[install](https://host/blob/v1/docs/install.md), [web](https://example.com), [here](#top)"
    assert other == "[install](docs/install.md)"
    assert absolute("![logo](docs/logo.png)", "https://host") == "![logo](https://host/docs/logo.png)"
