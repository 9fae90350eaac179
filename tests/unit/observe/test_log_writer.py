"""The log never fails and never delays its callers, whatever its destination does."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator

import pytest

from sekisho.observe import log_writer
from sekisho.observe.log_writer import LogWriter

WITHIN = 15.0


def gap(count: int) -> bytes:
    return f"{count} dropped\n".encode()


def wait_for(event: threading.Event) -> None:
    assert event.wait(WITHIN)


class Destination:
    """Records what is written; each call runs ``behave`` first."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.tried = threading.Event()
        self.behave: Callable[[], None] = lambda: None
        self.most = 1 << 20

    def write(self, data: bytes | memoryview) -> int:
        self.tried.set()
        self.behave()
        part = bytes(data[: self.most])
        self.written += part
        return len(part)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "RETRY_SECONDS", 0.01)


@pytest.fixture
def destination() -> Destination:
    return Destination()


@pytest.fixture
def writer(destination: Destination) -> Iterator[LogWriter]:
    made = LogWriter(destination.write, gap)
    yield made
    destination.behave = lambda: None
    made.stop()


def test_lines_are_written_in_order(writer: LogWriter, destination: Destination) -> None:
    for number in range(1000):
        writer.put(f"{number}\n".encode())
    assert writer.flush(WITHIN)
    assert destination.written.decode().split() == [str(number) for number in range(1000)]
    assert (writer.state.written, writer.state.dropped, writer.state.waiting) == (1000, 0, 0)


def test_a_line_that_is_written_in_parts_arrives_complete(writer: LogWriter, destination: Destination) -> None:
    destination.most = 3
    writer.put(b"one line in parts\n")
    assert writer.flush(WITHIN)
    assert destination.written == b"one line in parts\n"


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("code", [errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF, errno.EAGAIN])
def test_after_an_error_the_same_line_is_written_again(writer: LogWriter, destination: Destination, code: int) -> None:
    def fail() -> None:
        raise OSError(code, os.strerror(code))

    destination.behave = fail
    writer.put(b"first\n")
    assert destination.tried.wait(WITHIN)
    writer.put(b"second\n")
    if code != errno.EAGAIN:
        assert not writer.flush(WITHIN), "a flush does not wait for a destination that fails"
        assert os.strerror(code) in str(writer.state.error)
    destination.behave = lambda: None
    destination.tried.clear()
    assert destination.tried.wait(WITHIN)
    while writer.state.error is not None:
        assert destination.tried.wait(WITHIN)
    assert writer.flush(WITHIN)
    assert destination.written == b"first\nsecond\n"
    assert writer.state.error is None


@pytest.mark.usefixtures("quick_retries")
def test_after_an_incomplete_line_a_new_line_begins(writer: LogWriter, destination: Destination) -> None:
    calls = 0

    def fail_at_second() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, "full")

    destination.behave, destination.most = fail_at_second, 4
    writer.put(b"abcdefgh\n")
    while destination.written != b"abcd\nabcdefgh\n":
        assert destination.tried.wait(WITHIN)
        destination.tried.clear()


def test_a_blocked_destination_delays_no_caller_and_dropped_lines_are_counted_in_their_place(
    writer: LogWriter, destination: Destination
) -> None:
    release = threading.Event()
    destination.behave = lambda: wait_for(release)
    writer.put(b"0\n")
    assert destination.tried.wait(WITHIN)
    for number in range(1, log_writer.MAX_WAITING_LINES + 500):
        writer.put(f"{number}\n".encode())
    state = writer.state
    assert state.waiting == log_writer.MAX_WAITING_LINES
    assert state.dropped == 500
    assert not writer.flush(0.01)
    release.set()
    assert writer.flush(WITHIN)
    writer.put(b"after\n")
    assert writer.flush(WITHIN)
    lines = destination.written.decode().splitlines()
    expected = [*map(str, range(log_writer.MAX_WAITING_LINES)), f"{state.dropped} dropped", "after"]
    assert lines == expected


def test_waiting_bytes_are_bounded_too(writer: LogWriter, destination: Destination) -> None:
    release = threading.Event()
    destination.behave = lambda: wait_for(release)
    line = b"x" * (1024 * 1024 - 1) + b"\n"
    for _ in range(20):
        writer.put(line)
    assert writer.state.waiting == log_writer.MAX_WAITING_BYTES // len(line)
    assert writer.state.dropped == 20 - writer.state.waiting
    release.set()
    assert writer.flush(WITHIN)


def test_a_pipe_whose_reader_stops_blocks_no_caller_and_gets_all_lines_later() -> None:
    reader, pipe = os.pipe()
    os.set_blocking(pipe, False)
    writer = LogWriter(lambda data: os.write(pipe, data), gap, pipe)
    try:
        lines = [b"%d %s\n" % (number, b"x" * 1000) for number in range(300)]
        for line in lines:
            writer.put(line)
        expected = b"".join(lines)
        got = b""
        while len(got) < len(expected):
            got += os.read(reader, 1 << 16)
        assert got == expected
        assert writer.flush(WITHIN)
    finally:
        writer.stop()
        os.close(reader)
        os.close(pipe)
