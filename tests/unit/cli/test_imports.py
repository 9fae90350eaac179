"""What commands import. Each runs in a process of its own, whose time goes into imports for the most part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from inspect import getdoc
from pathlib import Path

import pytest

from sekisho.accounts.rules import Accounts
from sekisho.cli.commands import SUMMARIES
from sekisho.server import run_file
from sekisho.server.run_file import Run
from sekisho.store.store import Store

ACCOUNT = "123456789012"
TIMEOUT_SECONDS = 60.0

COMMAND = """
import json, sys
from sekisho.cli.app import main
try:
    code = main()
except SystemExit as end:
    code = end.code
print(json.dumps([code or 0, sorted(sys.modules)]), file=sys.stderr)
"""

COMPLETION = """
import json, sys
from sekisho.cli.app import main
try:
    main()
except SystemExit:
    pass
print(json.dumps({name: module is not None for name, module in sys.modules.items()}), file=sys.stderr)
"""

SERVER = """
import json, os, signal, sys
from pathlib import Path
from sekisho.cli.app import main
from sekisho.server import quick_start

def end(end=quick_start.end):
    end()
    Path(os.environ["MODULES"]).write_text(json.dumps(sorted(sys.modules)))
    os.kill(os.getpid(), signal.SIGTERM)

quick_start.end = end
main()
"""

ONLY_FOR_A_SERVER = {
    "alembic",
    "asyncio",
    "boto3",
    "botocore",
    "cbor2",
    "cryptography",
    "h11",
    "paho",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "regex",
    "rich",
    "sekisho._sekisho",
    "sqlalchemy",
    "starlette",
    "structlog",
    "urllib3",
    "uvicorn",
}
NOT_FOR_A_SERVER_ON_SQLITE = {
    "alembic",
    "boto3",
    "botocore",
    "paho",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "rich",
    "sqlalchemy.dialects.postgresql",
}


class Health(BaseHTTPRequestHandler):
    """Answers as a server whose parts are well."""

    def do_GET(self) -> None:
        content = json.dumps({"pid": os.getpid(), "status": "ok", "parts": {}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a server that answers, with the default account in its registry."""
    file = tmp_path / "sekisho.db"
    with (
        Store(f"sqlite:///{file}", lambda _changes: None) as store,
        ThreadingHTTPServer(("127.0.0.1", 0), Health) as server,
    ):
        Accounts(store, lambda: datetime.now(UTC)).create(ACCOUNT)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        api = f"http://127.0.0.1:{server.server_port}"
        place = str(file)
        run_file.write(
            tmp_path, Run(os.getpid(), api, "127.0.0.1", 8883, "localhost", "us-east-1", ACCOUNT, place, "", "0")
        )
        yield tmp_path
        server.shutdown()
        thread.join()


def imported(*arguments: str | Path) -> tuple[str, set[str]]:
    """Run a command; return what it prints and the modules that it has imported."""
    done = _run(COMMAND, *arguments)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    assert "sekisho.cli.app" in modules
    return done.stdout, set(modules)


def _run(program: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SEKISHO_"))}
    return subprocess.run(
        # The first argument is the name of the program.
        [sys.executable, "-c", f"import sys; sys.argv[0] = 'sekisho'\n{program}", *map(str, arguments)],
        env=others | environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["up", "--help"], ["env", "--help"]], ids=" ".join)
def test_help_imports_nothing_that_only_a_server_needs(arguments: list[str]) -> None:
    printed, modules = imported(*arguments)
    assert "sekisho" in printed
    assert ONLY_FOR_A_SERVER.isdisjoint(modules)


def test_help_imports_no_command_and_one_command_imports_no_other() -> None:
    commands = {f"sekisho.cli.{name}" for name in SUMMARIES}
    assert commands.isdisjoint(imported("--help")[1])
    assert commands & imported("env", "--help")[1] == {"sekisho.cli.env"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [("", "rotate"), ("up --log-", "--log-level"), ("up --region eu-c", "eu-central-1"), ("rotate ", "status")],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_imports_no_other_command_and_nothing_that_only_a_server_needs(
    shell: str, words: str, expected: str
) -> None:
    typed = f"sekisho {words}"
    done = _run(
        COMPLETION,
        _SEKISHO_COMPLETE=f"complete_{shell}",
        COMP_WORDS="\n".join(typed.split(" ")),
        COMP_CWORD=str(typed.count(" ")),
        _TYPER_COMPLETE_ARGS=typed,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    modules = {name for name, is_imported in json.loads(done.stderr.splitlines()[-1]).items() if is_imported}
    assert expected in done.stdout
    assert ONLY_FOR_A_SERVER.isdisjoint(modules)
    allowed = {f"sekisho.cli.{words.split()[0]}"} if words else set()
    assert {f"sekisho.cli.{name}" for name in SUMMARIES if name != "completion"} & modules <= allowed


def test_env_imports_nothing_that_only_a_server_needs(data: Path) -> None:
    printed, modules = imported("env", "--data", data)
    assert "export AWS_SECRET_ACCESS_KEY=" in printed
    assert ONLY_FOR_A_SERVER.isdisjoint(modules)


def test_status_imports_nothing_that_only_a_server_needs(data: Path) -> None:
    printed, modules = imported("status", "--data", data)
    assert "api: answers at" in printed
    assert (ONLY_FOR_A_SERVER | {"sqlite3"}).isdisjoint(modules)


def test_a_server_on_sqlite_imports_no_tool_of_others(tmp_path: Path) -> None:
    file = tmp_path / "modules.json"
    free = ["--api-port", "0", "--mqtt-port", "0", "--json"]
    _run(SERVER, "up", "--data", tmp_path / "data", *free, MODULES=str(file))
    modules = set(json.loads(file.read_text()))
    assert {"sqlalchemy", "uvicorn", "structlog"} <= modules
    assert NOT_FOR_A_SERVER_ON_SQLITE.isdisjoint(modules)


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_list_of_commands_says_what_each_command_says(name: str) -> None:
    module = import_module(f"sekisho.cli.{name}")
    said = module.app.info.help if hasattr(module, "app") else getdoc(getattr(module, name))
    assert str(said).partition("\n\n")[0].replace("\n", " ") == SUMMARIES[name], "mend SUMMARIES in cli/commands.py"
