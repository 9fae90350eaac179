"""A process is killed while it writes: nothing acknowledged is lost, and no transaction is kept in part."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sekisho import arn
from sekisho.certificates.store import CertificateRows
from sekisho.pages import Window
from sekisho.policies.store import PolicyRows
from sekisho.store.store import Store
from sekisho.things.store import ThingRows
from tests.store.builders import HOME, certificate, certificate_id

# Each thread prints a number after the transaction with it, and continues until the process is killed.
WRITER = """
import os
import sys
import threading
from itertools import count
from sekisho import arn
from sekisho.certificates.store import CertificateRows
from sekisho.policies.store import PolicyRows
from sekisho.store.store import Store
from sekisho.things.store import ThingRows
from tests.store.builders import HOME, certificate, certificate_id, policy, thing, version

url, first, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def write(first):
    for number in count(first, threads):
        with store.write() as tx:
            CertificateRows(tx).add(certificate(number))
            ThingRows(tx).add(thing(f"thing {number}", attributes={"n": str(number)}))
            PolicyRows(tx).attach(HOME, "p", arn.certificate(HOME, certificate_id(number)))
        # One call, so that lines of several threads do not mix.
        os.write(1, f"{number}\\n".encode())

with Store(url, lambda _: None) as store:
    with store.write() as tx:
        if PolicyRows(tx).get(HOME, "p") is None:
            PolicyRows(tx).add(policy(), version())
    writers = [threading.Thread(target=write, args=(first + number,)) for number in range(threads)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
"""


@pytest.mark.parametrize("threads", [1, 8], ids=["one writer", "eight that share commits"])
def test_kill_9_loses_nothing_acknowledged(url: str, threads: int) -> None:
    acknowledged: list[int] = []
    first = 0
    # One database that is killed repeatedly: each run begins with what the last one left.
    for kills, many in enumerate((1, 30, 100, 7), start=1):
        acknowledged += _write_and_kill(url, first, threads, after=many)
        with Store(url, lambda _: None) as store:
            # A thread acknowledges each number before the next, so each kill leaves at most one unacknowledged.
            first = _check(store, acknowledged, unheard=kills * threads) + 1


def _write_and_kill(url: str, first: int, threads: int, *, after: int) -> list[int]:
    """Kill the writer when it has acknowledged ``after`` transactions; return all that it acknowledged."""
    command = [sys.executable, "-c", WRITER, url, str(first), str(threads)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    too_late = threading.Timer(60, process.kill)
    too_late.start()
    try:
        heard = [process.stdout.readline() for _ in range(after)]
        assert all(heard), "the writer ended by itself"
        process.kill()
        # Numbers printed after the last line that was read count too; an incomplete line does not.
        heard += [line for line in process.stdout if line.endswith("\n")]
    finally:
        too_late.cancel()
        process.kill()
        process.stdout.close()
        process.wait()
    return [int(line) for line in heard]


def _check(store: Store, acknowledged: list[int], *, unheard: int) -> int:
    """Check that every acknowledged transaction exists, and each is complete; return the highest number."""
    numbers: list[int] = []
    after: int | None = None
    with store.read() as tx:
        while True:
            page = ThingRows(tx).page(HOME, Window(limit=100, after=after))
            numbers += [int(each.attributes["n"]) for each in page.items]
            after = page.next_after
            if after is None:
                break
        for number in numbers:
            assert CertificateRows(tx).get(HOME, certificate_id(number)) is not None
            attached = PolicyRows(tx).attached_to(HOME, arn.certificate(HOME, certificate_id(number)), Window(limit=2))
            assert [each.name for each in attached.items] == ["p"]
            found = ThingRows(tx).page(HOME, Window(limit=2), attribute=("n", str(number)))
            assert len(found.items) == 1
        for number in range(max(numbers) + 1, max(numbers) + 3):
            assert CertificateRows(tx).get(HOME, certificate_id(number)) is None
    assert set(acknowledged) <= set(numbers)
    assert len(numbers) - len(acknowledged) <= unheard
    return max(numbers)


@pytest.mark.parametrize("kept", [True, False])
def test_a_copy_of_an_sqlite_database_in_use_is_complete(tmp_path: Path, kept: bool) -> None:
    """A snapshot of the disk, as a power cut or a backup of the volume leaves it: the file and its log, and perhaps
    not the index of the log (``-shm``)."""
    original, copy = tmp_path / "original.db", tmp_path / "copy.db"
    with Store(f"sqlite:///{original}", lambda _: None) as store:
        for number in range(20):
            with store.write() as tx:
                CertificateRows(tx).add(certificate(number))
        for suffix in ("", "-wal", "-shm") if kept else ("", "-wal"):
            Path(f"{copy}{suffix}").write_bytes(Path(f"{original}{suffix}").read_bytes())
    with Store(f"sqlite:///{copy}", lambda _: None) as store, store.read() as tx:
        assert len(CertificateRows(tx).page(HOME, Window(limit=250)).items) == 20
