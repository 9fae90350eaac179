"""The files of deploy/ for Prometheus and Grafana: what they query, and whether it exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from sekisho.observe.metrics import METRICS, label_names
from tests import promql

DEPLOY: Final = Path(__file__).parents[1] / "deploy"
ALERTS: Final = DEPLOY / "prometheus" / "alerts.yml"
PROMETHEUS: Final = DEPLOY / "prometheus" / "prometheus.yml"
DASHBOARD: Final = DEPLOY / "grafana" / "sekisho.json"

_OF_PROMETHEUS: Final = frozenset({"job", "instance"})
"""Labels that Prometheus adds to every sample that it scrapes."""


def alert_rules() -> list[Mapping[str, Any]]:
    """Return the rules of the file of alerts."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alert_queries() -> list[str]:
    """Return the query of each alert rule."""
    return [rule["expr"] for rule in alert_rules()]


def panels() -> list[Mapping[str, Any]]:
    """Return the panels of the dashboard that are no rows."""
    found = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def dashboard_queries() -> list[str]:
    """Return the query of each target of the dashboard, with values for its variables."""
    values = {"$__rate_interval": "1m", "$job": "sekisho", "$instance": ".*"}
    queries = []
    for target in (target for panel in panels() for target in panel["targets"]):
        query = target["expr"]
        for variable, value in values.items():
            query = query.replace(variable, value)
        queries.append(query)
    return queries


def legend_labels(panel: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the labels that the legends of a panel name, each with its query."""
    for target in panel["targets"]:
        for label in re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]):
            yield label, target["expr"]


def wrong_names(query: str) -> list[str]:
    """Return what a query names and an answer of ``/metrics`` does not have: metrics, labels, values of labels."""
    names = {**label_names(), "up": frozenset[str]()}
    read = promql.read(query)
    wrong = [] if read.selectors else [f"no metric in {query}"]
    possible = set(_OF_PROMETHEUS)
    for selector in read.selectors:
        if selector.metric not in names:
            wrong.append(selector.metric)
            continue
        labels = names[selector.metric] | _OF_PROMETHEUS
        possible |= labels
        for matcher in selector.matchers:
            if matcher.label not in labels:
                wrong.append(f"{selector.metric}{{{matcher.label}}}")
            elif matcher.label not in _OF_PROMETHEUS:
                wrong += _wrong_values(selector.metric, matcher)
    return wrong + [f"by {label}" for label in sorted(read.grouped_by - possible)]


def _wrong_values(metric: str, matcher: promql.Matcher) -> list[str]:
    [found] = [each for each in METRICS if each.name == metric]
    place = found.labels.index(matcher.label)
    values = {labels[place] for labels in found.sources}
    asked = matcher.text.split("|") if "~" in matcher.sign else [matcher.text]
    return [f'{metric}{{{matcher.label}="{value}"}}' for value in asked if value not in values]
