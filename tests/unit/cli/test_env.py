"""Names with a dot in the output of ``sekisho env``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from sekisho.cli import api_client
from sekisho.cli.env import env
from sekisho.server.run_file import Run


@pytest.mark.parametrize("dotted", ["", "localhost.localdomain"])
def test_a_name_with_a_dot_is_exported_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, dotted: str
) -> None:
    run = Run(
        pid=1,
        api="http://127.0.0.1:5883",
        mqtt_host="127.0.0.1",
        mqtt_port=8883,
        endpoint="localhost",
        region="us-east-1",
        account="123456789012",
        store="sekisho.db",
        root_ca="root-ca.pem",
        version="0",
        dotted_endpoint=dotted,
    )
    key = SimpleNamespace(access_key_id="id", secret_access_key="secret", created_at=datetime.now(UTC))
    found = SimpleNamespace(run=run, key=key, folder=tmp_path)
    monkeypatch.setattr(api_client, "access", lambda _data, _account: found)
    env(as_json=True)
    assert json.loads(capsys.readouterr().out).get("SEKISHO_DOTTED_ENDPOINT", "") == dotted
