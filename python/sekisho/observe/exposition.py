"""The answer of ``GET /metrics``, written by prometheus-client. Imported with the first scrape: it takes 0.1 s."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sekisho.observe.metrics import INFO_HELP, INFO_NAME, METRICS, Kind, samples_of, statistics_of


class _Report(Collector):
    """The metrics of one health report."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self._report = report

    def collect(self) -> Iterator[Family]:
        info = GaugeMetricFamily(INFO_NAME, INFO_HELP, labels=["version"])
        info.add_metric([self._report["version"]], 1)
        yield info
        statistics = statistics_of(self._report)
        for metric in METRICS:
            make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            family = make(metric.name, metric.description, labels=metric.labels)
            for sample in samples_of(metric, statistics):
                family.add_metric(sample.labels, sample.value)
            yield family


def exposition(report: Mapping[str, Any], accept: str) -> tuple[bytes, str]:
    """Return the metrics of a health report, and their content type.

    Args:
        accept: The Accept header, which selects OpenMetrics or the text format. What it does not have, or cannot be
            read, gives the text format.
    """
    # One registry for each answer: the default one belongs to the program that imports Sekisho.
    registry = CollectorRegistry()
    registry.register(_Report(report))
    ProcessCollector(registry=registry)
    try:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type
    except (TypeError, ValueError):
        # prometheus-client raises for versions that are not numbers.
        encode, content_type = choose_encoder("")
        return encode(registry), content_type
