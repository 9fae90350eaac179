"""The examples: each runs from a copy of its folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command_line import clean_environment
from tests.e2e.test_quickstart import processes_of
from tests.ports import reserve
from tests.tools import require

EXAMPLES = Path(__file__).parents[2] / "examples"
WITHIN = 180.0

SAYS = {
    "just-in-time-registration": (
        "^first connection: refused$",
        "^second connection: accepted$",
        "^activate  function  0 pending, 0 failed$",
        "^lamp-[0-9a-f]{12}$",
    ),
    "just-in-time-provisioning": (
        "^first connection: refused, and provisioned$",
        "^second connection: accepted$",
        '"thingTypeName": "lamp"',
        '"serialNumber": "A-0001"',
        "^japan$",
    ),
    "fleet-provisioning-by-claim": (
        "^A-0001 is lamp-A-0001$",
        "^published on lamps/lamp-A-0001/state with a certificate of its own$",
        "^issuer=CN=Lamp CA$",
        '"batch": "A"',
        # The device whose serial number the hook refuses has no thing.
        "^lamp-A-0001$",
    ),
    "two-accounts-one-ca": (
        "arn:aws:iot:[^:]+:123456789012:cacert/",
        "arn:aws:iot:[^:]+:222222222222:cacert/",
        "^localhost received: I am at localhost$",
        r"^(\S+[.]localhost) received: I am at \1$",
    ),
}
"""The output of each example after success: regular expressions."""


def copied(folder: Path, name: str) -> Path:
    """Copy the example's folder alone, without the repository."""
    copy = folder / name
    shutil.copytree(EXAMPLES / name, copy)
    return copy


def start(example: Path, temporary: Path) -> subprocess.Popen[str]:
    for program in ("aws", "mosquitto_pub", "openssl"):
        require(program)
    temporary.mkdir()
    return subprocess.Popen(
        [example / "run.sh"],
        cwd=temporary.parent,
        env=clean_environment()
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SEKISHO_API_PORT": str(reserve()),
            "SEKISHO_MQTT_PORT": str(reserve()),
            "TMPDIR": str(temporary),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_every_example_is_tested() -> None:
    assert {path.parent.name for path in EXAMPLES.glob("*/run.sh")} == set(SAYS)
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_an_example_succeeds_in_a_copy_of_its_folder_and_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    example, temporary = copied(tmp_path, name), tmp_path / "temporary"
    files = sorted(example.rglob("*"))
    story = start(example, temporary)
    said, complaints = story.communicate(timeout=WITHIN)
    assert story.returncode == 0, f"{said}\n{complaints}"
    for words in SAYS[name]:
        assert re.search(words, said, re.MULTILINE), f"{words} is not in what it said:\n{said}"
    assert "PRIVATE KEY" not in said
    assert processes_of(story.pid) == []
    assert list(temporary.iterdir()) == []
    assert sorted(example.rglob("*")) == files


def test_an_example_with_a_failing_handler_fails_and_leaves_nothing_behind(tmp_path: Path) -> None:
    example, temporary = copied(tmp_path, "fleet-provisioning-by-claim"), tmp_path / "temporary"
    (example / "hook.py").write_text("def allow(event, context):\n    raise RuntimeError('out of order')\n")
    story = start(example, temporary)
    _, complaints = story.communicate(timeout=WITHIN)
    assert story.returncode == 1
    assert "A-0001 was not provisioned: InternalFailure" in complaints
    # The output has the end of the server's log, which contains the reason.
    assert "out of order" in complaints
    assert processes_of(story.pid) == []
    assert list(temporary.iterdir()) == []
