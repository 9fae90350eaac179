"""The classes that read and write the rows of each feature."""

from __future__ import annotations

import inspect
import sys

from sekisho.store.tables import load_all


def row_classes() -> list[type]:
    """Return every ``...Rows`` class of every feature's ``store.py``."""
    load_all("sqlite")
    return [
        member
        for name, module in sorted(sys.modules.items())
        if name.startswith("sekisho.") and name.endswith(".store")
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__name__.endswith("Rows") and member.__module__ == name
    ]
