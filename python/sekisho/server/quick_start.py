"""Shortens the start of a server, most of whose time goes into imports."""

from __future__ import annotations

import gc
import importlib
import sys


def begin() -> None:
    """Prepare this process for the imports of a server; to be called before the first of them.

    - The garbage collector is off until ``end``. Imports create a hundred thousand objects, hardly any of which become
      garbage, and the collector would examine all of them again and again.
    - structlog imports rich where it is installed, for tracebacks that the log does not use: ``observe.logging``
      renders exceptions itself. rich takes four times as long as structlog.
    """
    gc.disable()
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    # With None in its place, an import raises ModuleNotFoundError (Python reference, "The module cache").
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


def end() -> None:
    """Turn the garbage collector on again. It no longer examines what exists now: that lives as long as the process."""
    gc.freeze()
    gc.enable()
