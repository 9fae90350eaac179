"""Runs commands of ``sekisho`` in the process of the tests: a new process spends most of its time on imports."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any
from unittest import mock

from sekisho.cli.app import main
from tests.tools import require

COMMAND_TIMEOUT_SECONDS = 60.0
"""Seconds that a command in a separate process may take."""

_one_at_a_time = threading.Lock()
"""The environment, the arguments and the standard streams belong to the whole process."""


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what configures AWS tools or Sekisho."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SEKISHO_"))}
    return kept | {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "PYTHONUNBUFFERED": "1",
    }


def sekisho(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command other than ``up`` in this process, with an empty standard input and a clean environment."""
    command = ["sekisho", *map(str, arguments)]
    with (
        _one_at_a_time,
        mock.patch.dict(os.environ, clean_environment(), clear=True),
        mock.patch("sys.argv", command),
        mock.patch("sys.stdin", _stream()),
        contextlib.redirect_stdout(_stream()) as standard_output,
        contextlib.redirect_stderr(_stream()) as standard_error,
    ):
        try:
            code: Any = main()
        except SystemExit as exit_:
            code = exit_.code
    return subprocess.CompletedProcess(command, code or 0, _text(standard_output), _text(standard_error))


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


def sekisho_process(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in a separate process, for ``up`` and for tests of streams, signals and environments."""
    return subprocess.run(
        [require("sekisho"), *map(str, arguments)],
        **({"env": clean_environment()} | options),
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_SECONDS,
        check=False,
    )


def answer(*arguments: str | Path) -> Any:
    """Return the answer of a command with --json."""
    done = sekisho(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def failure(*arguments: str | Path) -> str:
    """Return the one line of a failed command's error."""
    return failure_line(sekisho(*arguments))


def failure_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line on standard error of a command that failed."""
    assert done.returncode == 1, done
    [line] = done.stderr.splitlines()
    assert line.startswith("sekisho: ")
    return line
