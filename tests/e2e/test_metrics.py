"""`GET /metrics` of a running server: every statistic, both formats, and a real Prometheus that scrapes it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from sekisho.observe.metrics import INFO_NAME, METRICS, PROCESS_METRICS, REFUSALS, label_names, statistics_of
from sekisho.refusal import RefusalReason
from tests.e2e.pages import in_bash, typed, typed_lines
from tests.e2e.running_server import RunningServer
from tests.monitoring import ALERTS, DEPLOY, PROMETHEUS, alert_queries, alert_rules, dashboard_queries
from tests.ports import reserve
from tests.tools import require
from tests.wait import eventually

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"
HANDLERS = """
[handlers.hook]
function = "hook:handle"

[handlers.web]
url = "http://127.0.0.1:9/"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run a server with a Python handler and a webhook, which have statistics of their own."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "hook.py").write_text("def handle(event, context):\n    return event\n")
    settings = folder / "sekisho.toml"
    settings.write_text(HANDLERS)
    running = RunningServer(folder / "data", "--config", str(settings)).start()
    yield running
    running.stop()


def scrape(server: RunningServer, accept: str = "text/plain") -> tuple[str, str]:
    with urlopen(Request(f"{server.run['api']}/metrics", headers={"Accept": accept})) as answer:
        return answer.read().decode(), answer.headers["content-type"]


def values(server: RunningServer) -> Mapping[tuple[str, str], float]:
    """The value of each sample by its name and its reason or part, if it has one."""
    text, _ = scrape(server)
    return {
        (sample.name, sample.labels.get("reason", sample.labels.get("part", ""))): sample.value
        for family in read_text(text)
        for sample in family.samples
    }


def health(server: RunningServer) -> dict[str, Any]:
    with urlopen(f"{server.run['api']}/_sekisho/health") as answer:
        report: dict[str, Any] = json.load(answer)
    return report


def connect_without_tls(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.mqtt_port)) as connection:
        connection.sendall(b"no TLS at all\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            connection.recv(100)


def test_the_list_of_metrics_names_every_statistic_and_no_other(server: RunningServer) -> None:
    report = health(server)
    there = set(statistics_of(report))
    named = {source for metric in METRICS for source in metric.sources.values()}
    assert there - named == set(), "statistics that sekisho.observe.metrics does not name"
    refusals = {f"mqtt.refused.{reason}" for reason in RefusalReason}
    assert named - there - refusals == set(), "metrics without a statistic"
    # Members of the report that are no statistics; a new one has to be named here, or in SECTIONS.
    assert set(report) == {"status", "failing", "parts", "pid", "version", "mqtt", "api", "store", "threads"}


def test_an_answer_has_every_metric_with_its_labels_and_type(server: RunningServer) -> None:
    text, content_type = scrape(server)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    samples = [sample for family in read_text(text) for sample in family.samples]
    found = {sample.name: frozenset(sample.labels) for sample in samples}
    assert found == label_names()
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text
        assert f"# HELP {metric.name} {metric.description}\n" in text
    for name, kind in PROCESS_METRICS.items():
        assert f"# TYPE {name} {kind}\n" in text
    by_name = {sample.name: sample for sample in samples}
    assert by_name[INFO_NAME].labels == {"version": server.run["version"]}
    assert server.run["account"] not in text
    assert str(server.data) not in text


def test_openmetrics_is_answered_where_it_is_accepted(server: RunningServer) -> None:
    text, content_type = scrape(server, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    families = read_openmetrics(text)  # type: ignore[no-untyped-call]
    names = {sample.name for family in families for sample in family.samples}
    assert names == set(label_names())


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=new", "text/plain; version=x", "", "*/*"])
def test_an_accept_header_without_a_known_version_gets_the_text_format(server: RunningServer, accept: str) -> None:
    text, content_type = scrape(server, accept)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert list(read_text(text))


def test_every_reason_of_a_refusal_has_a_sample_before_the_first_refusal_and_counts(server: RunningServer) -> None:
    before = values(server)
    assert {reason for name, reason in before if name == REFUSALS.name} == set(RefusalReason)
    connect_without_tls(server)

    def is_counted() -> bool:
        now = values(server)
        risen = {key for key in now if key[0] == REFUSALS.name and now[key] > before[key]}
        return risen == {(REFUSALS.name, "NOT_TLS")}

    eventually(is_counted, "the refusal is not counted")


def test_values_are_those_of_the_health_report(server: RunningServer) -> None:
    server.session().iot.create_thing(thingName="kettle")
    report, now = statistics_of(health(server)), values(server)
    assert now["sekisho_store_commits_total", ""] >= report["store.commits"] >= 1
    assert now["sekisho_connections", ""] == report["mqtt.connections"] == 0
    assert now["sekisho_part_ok", "store"] == 1
    assert now["sekisho_api_connections", ""] >= 1


def test_metrics_are_answered_while_the_store_is_down(own_server: RunningServer) -> None:
    own_server.data.joinpath("sekisho.db").rename(own_server.data / "moved.db")
    eventually(lambda: values(own_server)["sekisho_part_ok", "store"] == 0, "the store is not reported")
    now = values(own_server)
    assert now["sekisho_part_ok", "mqtt"] == 1
    assert now["sekisho_gateway_listening", ""] == 1


# A real Prometheus


class Prometheus:
    """Debian's Prometheus with the files of deploy/, which scrapes a server every 200 ms."""

    def __init__(self, folder: Path, target: str) -> None:
        self.address = f"127.0.0.1:{reserve()}"
        settings = PROMETHEUS.read_text().replace("localhost:5883", target).replace("15s", "200ms")
        (folder / "prometheus.yml").write_text(settings)
        (folder / ALERTS.name).write_text(ALERTS.read_text())
        self._log = folder / "prometheus.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    require("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'prometheus-data'}", f"--web.listen-address={self.address}",
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its HTTP API. Raises OSError, with the reason of an error."""
        try:
            with urlopen(f"http://{self.address}/api/v1/{path}?{urlencode(parameters)}") as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            raise OSError(error.read().decode()) from None

    def value(self, query: str) -> float | None:
        """Return the value of a query with at most one result; None before there is one."""
        result = self.ask("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None

    def is_ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self.value('up{job="sekisho"}') == 1
        except OSError:
            return False

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def prometheus(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    running = Prometheus(tmp_path_factory.mktemp("prometheus"), server.run["api"].removeprefix("http://"))
    try:
        eventually(running.is_ready, "Prometheus has not scraped the server")
        yield running
    finally:
        running.stop()


def test_prometheus_reads_every_metric_with_its_type_and_help(prometheus: Prometheus) -> None:
    metadata = prometheus.ask("metadata")
    for metric in METRICS:
        # Prometheus asks for OpenMetrics, where the name of a counter's family has no suffix.
        [entry] = metadata.get(metric.name) or metadata[metric.name.removesuffix("_total")]
        assert (entry["type"], entry["help"]) == (metric.kind, metric.description)
    there = set(prometheus.ask("label/__name__/values"))
    assert set(label_names()) <= there


def test_prometheus_evaluates_every_query_of_the_alerts_and_the_dashboard(prometheus: Prometheus) -> None:
    for query in [*alert_queries(), *dashboard_queries()]:
        prometheus.ask("query", query=query)
    # Those that select without a condition have a result.
    plain = [query for query in dashboard_queries() if query.startswith(("sekisho", "process"))]
    assert len(plain) > 10
    assert [query for query in plain if not prometheus.ask("query", query=query)["result"]] == []

    def rules() -> list[Any]:
        return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]

    eventually(lambda: all(rule["health"] == "ok" for rule in rules()), "a rule is not evaluated")
    assert {rule["name"] for rule in rules()} == {rule["alert"] for rule in alert_rules()}


def test_prometheus_counts_refusals(prometheus: Prometheus, server: RunningServer) -> None:
    query = 'sekisho_refusals_total{reason="NOT_TLS"}'
    before = prometheus.value(query)
    assert before is not None
    connect_without_tls(server)
    eventually(lambda: (prometheus.value(query) or 0) > before, "the refusal did not reach Prometheus")


def test_promtool_accepts_the_files() -> None:
    for kind, file in (("rules", ALERTS), ("config", PROMETHEUS)):
        said = subprocess.run(
            [require("promtool"), "check", kind, str(file)], capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stdout + said.stderr


def test_promtool_finds_nothing_to_improve_in_the_metrics(server: RunningServer) -> None:
    text, _ = scrape(server)
    said = subprocess.run(
        [require("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_the_page_is_typed_as_it_says(tmp_path: Path) -> None:
    for program in ("curl", "prometheus", "promtool"):
        require(program)
    api, mqtt, own = str(reserve()), str(reserve()), str(reserve())
    commands = list(typed(PAGE))
    replacements = {
        "sekisho up": f"sekisho up --api-port {api} --mqtt-port {mqtt}",
        "127.0.0.1:5883/' ": f"127.0.0.1:{api}/; s/15s/1s/' ",
        "127.0.0.1:5883": f"127.0.0.1:{api}",
        "127.0.0.1:9090": f"127.0.0.1:{own}",
        "deploy/": f"{DEPLOY}/",
    }
    script = typed_lines(commands, replacements)
    done = in_bash(["trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT", *script], tmp_path)
    assert done.returncode == 0, done.stdout
    for line in (line for each in commands for line in each.shown):
        assert line in done.stdout
