"""Events that come thousands of times a second cost a line per interval, and each is counted."""

from __future__ import annotations

import structlog

from sekisho.observe.occasional import OccasionalLog


def test_a_burst_is_its_first_event_and_one_line_per_interval() -> None:
    now = 0.0
    with structlog.testing.capture_logs() as lines:
        occasional = OccasionalLog(structlog.get_logger(), interval=10.0, now=lambda: now)
        for _ in range(1000):
            occasional.warn("refused", peer="a")
        assert [line["count"] for line in lines] == [1]
        now = 10.0
        occasional.warn("refused", peer="b")
        assert [line["count"] for line in lines] == [1, 1000]
        assert lines[1]["peer"] == "b"


def test_the_end_of_a_burst_is_told_by_a_flush_and_another_event_is_not_hidden() -> None:
    now = 0.0
    with structlog.testing.capture_logs() as lines:
        occasional = OccasionalLog(structlog.get_logger(), interval=10.0, now=lambda: now)
        occasional.warn("refused")
        occasional.warn("refused")
        occasional.warn("failed")
        occasional.flush()
        assert [line["event"] for line in lines] == ["refused", "failed"]
        now = 11.0
        occasional.flush()
        assert [(line["event"], line["count"]) for line in lines[2:]] == [("refused", 1)]
        now = 22.0
        occasional.flush()
        occasional.warn("refused")
        assert len(lines) == 4
