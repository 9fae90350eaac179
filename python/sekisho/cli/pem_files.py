"""Reads and writes the PEM files that a command line names; overwrites only with ``--force``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sekisho.cli.failure import Failure
from sekisho.files import write_atomically
from sekisho.pki.keys import KeyType


def key_of(text: str) -> KeyType:
    """Return the kind of key that ``--key-type`` names, in any case. Raises Failure."""
    for kind in KeyType:
        if kind.value.lower() == text.lower():
            return kind
    raise Failure(f"--key-type is one of {', '.join(kind.value for kind in KeyType)}, not {text!r}")


def file_name(name: str) -> str:
    """Return a file name made of ``name``: characters other than letters, digits and ``._-`` become a hyphen."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"


def refuse_to_overwrite(paths: Sequence[Path], *, force: bool) -> None:
    """Check that no file exists yet, unless ``force``. Raises Failure, which names the first that does."""
    for path in paths:
        if path.exists() and not force:
            raise Failure(f"{path} is there already: choose another name or folder, or overwrite it with --force")


def write_pem_files(texts: Mapping[Path, str]) -> None:
    """Write each file atomically, ``.key`` with mode 0600, others with 0644. Raises Failure."""
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode(), mode=0o600 if path.suffix == ".key" else 0o644)
        except OSError as error:
            raise Failure(f"{path}: {error.strerror}") from None


def read_text(path: Path) -> str:
    """Return the text of a PEM file. Raises Failure."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failure(f"{path} is no PEM file: it is not text. DER: openssl x509 -inform DER -in {path}") from None
