"""Finds programs that tests use. Where one is missing, the test is skipped with its name; in CI it fails."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

INSTALL = "scripts/install-test-tools"


def find(program: str) -> Path | None:
    """Return the program's path: beside the running Python, on PATH, or where Debian keeps servers."""
    beside = Path(sys.executable).parent / program
    if beside.is_file():
        return beside
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return Path(found) if found else None


def require_file(path: str, package: str) -> Path:
    """Return a file of one of Debian's packages, such as a C header. Skips or fails like ``require``."""
    file = Path(path)
    if not file.is_file():
        _missing(f"{path} is missing; install it with {INSTALL} (Debian: {package})")
    return file


def require(program: str) -> str:
    """Return the program's path. Where it is missing, skips the test, or fails it under CI=true."""
    path = find(program)
    if path is None:
        _missing(f"{program} is missing; install it with {INSTALL}")
    return str(path)


def _missing(message: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
