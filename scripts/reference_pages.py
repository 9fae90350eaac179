"""Writes docs/reference and docs/limits.md from the program itself (``make reference``).

A test fails when a page on disk differs from what this writes. To change a page, change its source: a help text, a
docstring, the sentence of a refusal, a registered operation or a row of `scripts.bounds`.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from itertools import groupby
from logging import getLevelName
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

from scripts.bounds import BOUNDS, other_limits
from scripts.docstrings import below_names
from sekisho import _sekisho
from sekisho.api.coverage import coverage
from sekisho.cli.app import app
from sekisho.cli.examples import EXAMPLES
from sekisho.observe import metrics as observed
from sekisho.observe.event_fields import FIELDS, LINE_FIELDS
from sekisho.observe.events import LogEvent
from sekisho.observe.refusal_metrics import AWS_METRICS
from sekisho.server.settings import FILE_ALONE, Settings

FOLDER: Final = Path(__file__).parents[1] / "docs"

_WRITTEN: Final = "`make reference` writes this page from the program; do not edit it."


def cli() -> str:
    """Return the page of commands and their options, from the declarations of the command line."""
    lines = ["# The command line", "", _WRITTEN, ""]
    lines += [
        "A command exits with 0 when it did what was asked, with 1 when it could not (one line on standard error says "
        "why, and what to do), and with 2 when it was called wrongly.",
        "",
    ]
    for path, command in commands():
        if getattr(command, "commands", None):
            continue
        lines += [f"## `{path}`", "", _sentence(command.help), ""]
        lines += ["| option | |", "|---|---|"]
        lines += [f"| {_spelling(option)} | {_meaning(option)} |" for option in command.params]
        lines += ["", "```console", *(f"$ {line}" for line in EXAMPLES[path.partition(" ")[2]]), "```", ""]
    return "\n".join(lines)


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command and group with the words that call it, in the order of ``sekisho --help``."""
    yield from _below("sekisho", get_command(app))


def settings() -> str:
    """Return the page of settings, from the fields of ``Settings`` and the docstrings below them."""
    lines = ["# Settings", "", _WRITTEN, ""]
    lines += [
        "A setting has one name everywhere: `mqtt_port` in `sekisho.toml`, `SEKISHO_MQTT_PORT` in the environment, "
        "`--mqtt-port` on the command line of `sekisho up` (if that has the option). The last of these that sets it "
        "takes precedence:",
        "",
        "1. the default below;",
        "2. `AWS_REGION` or `AWS_DEFAULT_REGION`, for `region`, if the file does not set it;",
        "3. the file: `sekisho.toml` in the data folder, or the one that `--config` or `SEKISHO_CONFIG` names;",
        "4. the environment;",
        "5. the command line.",
        "",
        "In the file a value has the setting's own type, and a relative path is relative to the file's folder. In the "
        "environment every value is text; an empty value counts as unset. An unknown name is an error in both. "
        "The server does not start if other users can write to the file, to the data folder, or to what a setting "
        "names for a key, a certificate or a handler.",
        "",
        "| in the file | in the environment | on the command line | default | |",
        "|---|---|---|---|---|",
    ]
    options = {name for path, command in commands() if path == "sekisho up" for p in command.params for name in p.opts}
    meanings = _field_docstrings(Settings)
    for field in fields(Settings):
        option = f"--{field.name.replace('_', '-')}"
        variable = "–" if field.name in FILE_ALONE else f"`SEKISHO_{field.name.upper()}`"
        default = "–" if field.name in FILE_ALONE else _default(field.default)
        lines.append(
            f"| `{field.name}` | {variable} | {f'`{option}`' if option in options else '–'} "
            f"| {default} | {_cell(meanings[field.name])} |"
        )
    return "\n".join([*lines, ""])


def refusals() -> str:
    """Return the page of the gateway's reasons for refusals, with their sentences."""
    lines = ["# Reasons for refusals", "", _WRITTEN, ""]
    lines += [
        "Each refusal of the gateway has one of these reasons. It is the `reason` of a `connection_refused` line (or "
        "`publish_refused`, `subscription_refused`, `unsubscribe_refused`, `delivery_refused`, `packet_refused`) in "
        "[the log](log-events.md), and the label `reason` of `sekisho_refusals_total` in [the metrics](metrics.md). A "
        "log line also has the account, region, certificate id, client id, address and server name, as far as they are "
        "known.",
        "",
        "| reason | what happened, and what to do |",
        "|---|---|",
    ]
    lines += [f"| `{name}` | {_cell(sentence)} |" for name, sentence in _sekisho.refusal_reasons()]
    return "\n".join([*lines, ""])


def log_events() -> str:
    """Return the page of the log's events, from their registry."""
    lines = ["# The events of the log", "", _WRITTEN, ""]
    lines += [
        "Each line of the log is about one of these events. Programs that read the log read its `code`: a code does "
        "not change between versions, and the code of an event that was removed is not used again. The sentence, and "
        "the order of fields, may change. Later versions may add events, and fields to events.",
        "",
        "A line has those of its event's fields that are known. A line about an unexpected exception also has an "
        "`exception`.",
        "",
        "| code | level | what happened | fields |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{event.code}` | {getLevelName(event.level).lower()} | {_cell(event.sentence)} "
        f"| {', '.join(f'`{name}`' for name in event.fields) or '–'} |"
        for event in LogEvent
    ]
    for title, meanings in (("Fields of every line", LINE_FIELDS), ("Fields of events", FIELDS)):
        lines += ["", f"## {title}", "", "| field | |", "|---|---|"]
        lines += [f"| `{name}` | {_cell(meaning)} |" for name, meaning in meanings.items()]
    return "\n".join([*lines, ""])


def metrics() -> str:
    """Return the page of metrics, from their list."""
    lines = ["# Metrics", "", _WRITTEN, ""]
    lines += [
        "What `GET /metrics` on the API's port answers, in the text format of Prometheus or in OpenMetrics. "
        "[Monitoring](../monitoring.md) says how to read it. *Statistic* is the place of the number in the JSON of "
        "`GET /_sekisho/health`. *AWS IoT* is the metric of the same meaning in CloudWatch, which counts for one "
        "account and Region; these count for the server.",
        "",
        "A counter begins at 0 when the server starts. Metrics of handlers are absent where there are no handlers.",
        "",
        "| metric | type | labels | | AWS IoT | statistic |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{each.name}` | {each.kind} | {_labels(each)} | {_cell(each.help)} | {_code(each.aws)} "
        f"| {_statistics(each)} |"
        for each in observed.METRICS
    ]
    lines += [f"| `{observed.INFO_NAME}` | gauge | `version` | {_cell(observed.INFO_HELP)} | – | `version` |"]
    lines += ["", "## The process", "", "On Linux the answer also has the usual metrics of a process:", ""]
    lines += ["| metric | type |", "|---|---|"]
    lines += [f"| `{name}` | {kind} |" for name, kind in observed.PROCESS_METRICS.items()]
    lines += ["", "## Refusals", ""]
    lines += [
        "`sekisho_refusals_total` has a sample for each [reason](refusals.md), also while it is 0. `aws_metric` is "
        "empty where AWS IoT has no metric for it.",
        "",
        "| reason | aws_metric |",
        "|---|---|",
    ]
    lines += [f"| `{reason}` | {_code(name)} |" for reason, name in sorted(AWS_METRICS.items())]
    return "\n".join([*lines, ""])


def operations() -> str:
    """Return the page of implemented operations, by service."""
    lines = ["# API operations", "", _WRITTEN, ""]
    lines += [
        "`sekisho api coverage` prints the same for the installed botocore. An operation that is not implemented "
        "answers with an error that names it.",
        "",
    ]
    for service, group in groupby(coverage(), key=lambda row: row.service):
        rows = list(group)
        here = [row.operation for row in rows if row.implemented]
        lines += [f"## {service}", ""]
        lines += [f"- {name}" for name in here] or ["None yet."]
        lines.append("")
    return "\n".join(lines)


def limits() -> str:
    """Return the page of limits: first those on what peers and accounts share, then the others of the control plane."""
    lines = ["# Limits", "", _WRITTEN, ""]
    lines += [
        "Everything that devices, accounts and callers share has a limit. The numbers are read from the code when the "
        "page is written. A name in `code style` under *set by* is a [setting](reference/settings.md), others are "
        "constants. [Security](security.md) says which of them protects against which kind of peer.",
        "",
    ]
    for subject, rows in groupby(BOUNDS, key=lambda row: row.subject):
        lines += [f"## {subject}", ""]
        lines += [
            "| limited | per | default | set by | beyond the limit | metric or log |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.what} | {row.per} | {row.value} | {row.set_by} | {row.beyond} | {row.seen_as or '–'} |"
            for row in rows
        ]
        lines.append("")
    lines += [
        "## Quotas and sizes",
        "",
        "Most are those of AWS IoT. A request beyond one is refused with the error that AWS documents for it.",
        "",
        "| limit | value | |",
        "|---|---|---|",
    ]
    lines += [f"| {each.name} | {each.value} | {_cell(each.meaning)} |" for each in other_limits()]
    return "\n".join([*lines, ""])


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "limits.md": limits,
    "reference/cli.md": cli,
    "reference/settings.md": settings,
    "reference/refusals.md": refusals,
    "reference/log-events.md": log_events,
    "reference/metrics.md": metrics,
    "reference/operations.md": operations,
}


def write() -> None:
    """Write every page. Raises OSError."""
    for name, page in PAGES.items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_text(page(), encoding="utf-8")


def _below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _below(f"{path} {name}", inner)


def _code(name: str) -> str:
    return f"`{name}`" if name else "–"


def _labels(metric: observed.Metric) -> str:
    if not metric.labels or metric is observed.REFUSALS:
        return ", ".join(f"`{name}`" for name in metric.labels) or "–"
    return f"`{metric.labels[0]}`: " + ", ".join(f"`{value}`" for (value,) in metric.sources)


def _statistics(metric: observed.Metric) -> str:
    if metric is observed.REFUSALS:
        return "`mqtt.refused.<reason>`"
    return ", ".join(f"`{source}`" for source in metric.sources.values())


def _spelling(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{(option.metavar or option.name.upper()).strip('[]{}')}`"
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len, reverse=True))
    if getattr(option, "is_flag", False):
        return names
    return f"{names} {option.metavar or option.name.upper().replace('_', '-')}"


def _meaning(option: Any) -> str:
    words = [_cell(option.help or "")]
    if option.required:
        words.append("Required.")
    elif not getattr(option, "is_flag", False) and option.default not in (None, "") and "[default" not in words[0]:
        words.append(f"[default: {option.default}]")
    return " ".join(words)


def _field_docstrings(kind: type) -> dict[str, str]:
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - it is the source of a class
    return below_names(body.body)


def _default(value: object) -> str:
    if value is MISSING:
        return "`$HOME/.sekisho`"
    return "–" if value in (None, "", ()) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str) -> str:
    return _sentence(text).replace("|", "\\|")


if __name__ == "__main__":
    write()
