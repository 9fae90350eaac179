"""Compares admission with a small and a large registry, in turn."""

from __future__ import annotations

import time

from bench.provisioning.arrangement import prepare
from bench.provisioning.measure import Measure
from bench.provisioning.stage import DeviceFiles, Stage, say

_CONCURRENCY = 16


def measure(stage: Stage, devices: int, small: int, large: int) -> Measure:
    """Measure connects. ``devices``: the number that connects, of the registered ones. Raises CannotMeasure."""

    def first(size: int) -> str:
        return f"first connect, {size:,} registered"

    def again(size: int) -> str:
        return f"seen before, {size:,} registered"

    found = Measure("registry-size", "connect", {first(large): first(small), again(large): again(small)})
    home = stage.folder / "registry-size"
    known = DeviceFiles(home, "known")
    connecting = known.make(devices)
    for size in (small, large):
        began = time.monotonic()
        prepare(stage, home / str(size), known, connecting, total=size)
        file = home / str(size) / "data" / "sekisho.db"
        say(f"{size} certificates filled in within {time.monotonic() - began:.0f} s, {file.stat().st_size >> 20} MiB")
    for number in range(stage.rounds):
        # The order changes, so that neither always has the warmer machine.
        for size in (small, large) if number % 2 == 0 else (large, small):
            # The gateway of a server that has just started has nothing cached.
            with stage.server(home / str(size)) as server:
                for subject in (first(size), again(size)):
                    what = f"registry-size, {subject}"
                    sample = stage.attempts(what, server, connecting, "accepted", concurrency=_CONCURRENCY)
                    found.add(subject, sample)
    return found
