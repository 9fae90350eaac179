"""Settings as people and programs read them: values without secrets, each with its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final, TypeAlias

from sekisho.server.handler_settings import HandlerSettings
from sekisho.server.reload import RELOADED
from sekisho.server.run_file import Run
from sekisho.server.settings import DEFAULT, Loaded, Settings, read

SECRET: Final = frozenset(each.name for each in fields(Settings) if not each.repr)
"""Settings of which only is shown whether they are set."""

Shown: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Setting → ``value`` as JSON and ``source`` (``kind``, ``name``), in the order of ``Settings``."""

_PASSWORD: Final = re.compile(r"(?<=//)[^/@]*@")


def shown(loaded: Loaded) -> Shown:
    """Return the settings without secrets."""
    return {
        each.name: {
            "value": _value(each.name, getattr(loaded.settings, each.name)),
            "source": asdict(loaded.sources[each.name]),
        }
        for each in fields(Settings)
    }


def waiting(run: Run, data: Path) -> Mapping[str, tuple[str, Any]]:
    """Return the settings for which the file has another value than the running server uses.

    Only the file can change while a server runs: a value from its environment or its command line stays. Of secrets,
    a change is known after ``sekisho reload`` alone.

    Returns:
        Setting → ``reload`` or ``restart``, after which the server uses the file's value, and that value.

    Raises ConfigError: the file cannot be read, or a value in it is wrong.
    """
    now = shown(read({"data": data}, environment={}, config_file=_existing(run)).checked())
    found = {
        name: ("reload" if name in RELOADED else "restart", now[name]["value"])
        for name, used in run.settings.items()
        if name in now
        and used["source"]["kind"] in (DEFAULT.kind, "file")
        and now[name]["source"]["kind"] in (DEFAULT.kind, "file")
        and now[name]["value"] != used["value"]
    }
    told = {name: ("restart", now[name]["value"]) for name in run.reload.get("needs_restart", ()) if name in now}
    return told | found


def _existing(run: Run) -> Path | None:
    # The default file may be missing.
    file = Path(run.config_file)
    return file if run.config_file and file.exists() else None


def _value(name: str, value: Any) -> Any:
    if name in SECRET:
        return "set" if value else "unset"
    match value:
        case Path():
            return str(value)
        case tuple():
            return list(value)
        case HandlerSettings():
            return value.kind
        case Mapping():
            return {key: _value(name, inner) for key, inner in value.items()}
        case str():
            return _PASSWORD.sub("", value)
        case _:
            return value
