"""What a real server tells systemd, from its start to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command_line import answer, failure
from tests.e2e.running_server import RunningServer
from tests.notify_socket import service_manager


def test_a_server_tells_the_service_manager_what_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with service_manager(f"{tmp_path}/notify") as manager, monkeypatch.context() as environment:
        environment.setenv("NOTIFY_SOCKET", manager.address)
        environment.setenv("WATCHDOG_USEC", "200000")
        server = RunningServer(tmp_path / "data").start()
        try:
            assert manager.message() == {"READY": "1", "STATUS": "ready"}
            manager.wait_for(lambda told: told == {"WATCHDOG": "1"})
            assert answer("reload", "--data", server.data)["error"] == ""
            assert "MONOTONIC_USEC" in manager.wait_for(lambda told: told.get("RELOADING") == "1")
            manager.wait_for(lambda told: told == {"READY": "1"})
            # One that changes nothing is over too.
            (server.data / "sekisho.toml").write_text("workers = ")
            assert "nothing was changed" in failure("reload", "--data", server.data)
            manager.wait_for(lambda told: told.get("RELOADING") == "1")
            manager.wait_for(lambda told: told == {"READY": "1"})
            assert server.stop() == 0
            manager.wait_for(lambda told: told == {"STOPPING": "1", "STATUS": "stopping"})
        finally:
            server.kill()
