"""The dashboard and the alert rules name metrics, labels and values that exist."""

from __future__ import annotations

import re

import pytest

from sekisho.observe.metrics import METRICS, Kind
from sekisho.observe.refusal_metrics import AWS_METRICS
from sekisho.refusal import RefusalReason
from tests import promql
from tests.monitoring import alert_queries, alert_rules, dashboard_queries, legend_labels, panels, wrong_names


@pytest.mark.parametrize("query", [*alert_queries(), *dashboard_queries()])
def test_a_query_names_what_exists(query: str) -> None:
    assert wrong_names(query) == []


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("sekisho_conections > 1", ["sekisho_conections"]),
        ("rate(sekisho_refusals[5m])", ["sekisho_refusals"]),
        ('sekisho_refusals_total{why="NOT_TLS"}', ["sekisho_refusals_total{why}"]),
        ('sekisho_refusals_total{reason="NOT_TSL"}', ['sekisho_refusals_total{reason="NOT_TSL"}']),
        ('sekisho_refusals_total{reason=~"NOT_TLS|ELSE"}', ['sekisho_refusals_total{reason="ELSE"}']),
        ("sum by (cause) (sekisho_connections)", ["by cause"]),
        ("sekisho_connections / on (instance, part) sekisho_principals", ["by part"]),
        ("1 + 1", ["no metric in 1 + 1"]),
        ("sum(x_total) by (job) > 0 and sekisho_connections", ["x_total"]),
    ],
)
def test_a_query_that_names_something_else_is_found(query: str, wrong: list[str]) -> None:
    assert wrong_names(query) == wrong


@pytest.mark.parametrize("query", ["a ; b", "{job='x'}", 'sekisho_connections{job="a" instance}'])
def test_a_query_that_cannot_be_read_is_an_error(query: str) -> None:
    with pytest.raises(ValueError, match=r"unknown characters|without a metric|not a list"):
        promql.read(query)


def test_legends_name_labels_of_their_query() -> None:
    for panel in panels():
        for label, query in legend_labels(panel):
            assert wrong_names(f"sum by ({label}) ({promql.read(query).selectors[0].metric})") == [], panel["title"]


def test_annotations_of_alerts_name_labels_that_the_rule_keeps() -> None:
    for rule in alert_rules():
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        grouped = promql.read(rule["expr"]).grouped_by
        if grouped:
            assert named <= grouped, rule["alert"]
        else:
            assert named <= {"instance", "part"}, rule["alert"]


def test_a_dashboards_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels())
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def test_names_of_metrics_follow_the_conventions_of_prometheus() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"sekisho_[a-z]+(_[a-z0-9]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.help.endswith(".")
        assert all(len(values) == len(metric.labels) for values in metric.sources)
    sources = [source for metric in METRICS for source in metric.sources.values()]
    assert len(set(sources)) == len(sources), "a statistic is in two metrics"


def test_every_reason_of_a_refusal_has_its_metric_of_aws_iot_or_none() -> None:
    assert set(AWS_METRICS) == set(RefusalReason)
    kinds = r"Connection\.AuthNError|(Connect|PublishIn|PublishOut|PublishRetained|Subscribe)\.\w+"
    assert all(not name or re.fullmatch(kinds, name) for name in AWS_METRICS.values())
