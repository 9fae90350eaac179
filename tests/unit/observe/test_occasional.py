"""Events that come thousands of times a second have one line per interval, and each is counted."""

from __future__ import annotations

from sekisho.observe.events import LogEvent
from sekisho.observe.occasional import OccasionalLog
from tests.logs import captured_log


def test_a_burst_is_its_first_event_and_one_line_per_interval() -> None:
    now = 0.0
    with captured_log() as lines:
        occasional = OccasionalLog(interval=10.0, now=lambda: now)
        for _ in range(1000):
            occasional.write(LogEvent.HTTP_CONNECTIONS_REFUSED, peer="a")
        assert [line["count"] for line in lines] == [1]
        now = 10.0
        occasional.write(LogEvent.HTTP_CONNECTIONS_REFUSED, peer="b")
        assert [line["count"] for line in lines] == [1, 1000]
        assert lines[1]["peer"] == "b"


def test_a_flush_logs_the_end_of_a_burst_and_another_event_is_not_hidden() -> None:
    now = 0.0
    with captured_log() as lines:
        occasional = OccasionalLog(interval=10.0, now=lambda: now)
        occasional.write(LogEvent.HTTP_CONNECTIONS_REFUSED)
        occasional.write(LogEvent.HTTP_CONNECTIONS_REFUSED)
        occasional.write(LogEvent.HTTP_ACCEPT_FAILED)
        occasional.flush()
        assert [line["code"] for line in lines] == ["http_connections_refused", "http_accept_failed"]
        now = 11.0
        occasional.flush()
        assert [(line["code"], line["count"]) for line in lines[2:]] == [("http_connections_refused", 1)]
        now = 22.0
        occasional.flush()
        occasional.write(LogEvent.HTTP_CONNECTIONS_REFUSED)
        assert len(lines) == 4
