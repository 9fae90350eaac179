"""Python functions in separate processes: their calls, and the outcomes of failures."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from sekisho.handlers.processes import Processes
from sekisho.handlers.python_function import INHERITED, PythonFunctions
from sekisho.provisioning.handlers import HandlerFailed
from sekisho.realm import Realm
from sekisho.server.handler_settings import PythonFunction
from sekisho.server.settings import ConfigError
from tests.logs import captured_log, lines_of
from tests.unit.features.arrange import HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE
from tests.unit.handlers.arrange import API, WITHIN, access_key, call, read
from tests.wait import eventually

CODE = '''
import json, os, subprocess, sys, time

calls = 0


def echo(event, context):
    return event


def tell(event, context):
    """All that a function can see of how it is called."""
    return {
        "function_name": context.function_name,
        "aws_request_id": context.aws_request_id,
        "invoked_function_arn": context.invoked_function_arn,
        "memory_limit_in_mb": context.memory_limit_in_mb,
        "log_group_name": context.log_group_name,
        "remaining": context.get_remaining_time_in_millis(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }


def count(event, context):
    global calls
    calls += 1
    return [calls, os.getpid()]


def fail(event, context):
    raise LookupError("no such\\nthing")


def sleep(event, context):
    if "child" in event:
        child = subprocess.Popen(["sleep", "600"])
        open(event["child"], "w").write(str(child.pid))
    time.sleep(600)


def spin(event, context):
    while True:
        pass


def die(event, context):
    if event.get("how") == "exit":
        os._exit(3)
    if event.get("how") == "sys.exit":
        sys.exit(4)
    os.kill(os.getpid(), 11)


def speak(event, context):
    print("to standard output")
    print("to standard error", file=sys.stderr)
    subprocess.run(["echo", "from a child"])
    os.write(2, b"\\xff" + b"x" * 20000 + b"\\n")
    return sys.stdin.read()


def unsayable(event, context):
    return {1, 2}


def decimal(event, context):
    from decimal import Decimal
    return {"n": Decimal("1.5")}


def large(event, context):
    return "x" * (7 * 1024 * 1024)


def wait(event, context):
    open(event["began"], "w").close()
    while not os.path.exists(event["file"]):
        time.sleep(0.01)
    return os.getpid()
'''

Make = Callable[..., PythonFunctions]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a handler of one of the functions above, or of ``function``, and close it after the test."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "fleet.py").write_text(CODE)
    pools: list[Processes] = []

    def one(function: str, **options: Any) -> PythonFunctions:
        workers = options.pop("workers", 1)
        module = "" if ":" in function else "fleet:"
        more = options.pop("more", "")
        text = f'[handlers.h]\nfunction = "{module}{function}"\npath = "code"\nworkers = {workers}\n{more}\n'
        settings = read(tmp_path, text)["h"]
        assert isinstance(settings.target, PythonFunction)
        pool = Processes(options.pop("limit", 8), idle_seconds=options.pop("idle", 300.0))
        pools.append(pool)
        plain: dict[str, Any] = {"api": API, "credentials": access_key, "loading": WITHIN}
        return PythonFunctions(settings, settings.target, pool, **(plain | options))

    yield one
    for each in pools:
        each.close()


def is_running(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        # A zombie is not running; in a container no process may wait for it.
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def test_what_the_function_returns_is_the_answer(make: Make) -> None:
    handler = make("echo")
    for event in ({"a": [1, None, "ü\u2028\n"]}, {}, {"large": "x" * 1_000_000}):
        assert handler.invoke(call(event)) == event


def test_a_number_from_dynamodb_is_converted_as_on_lambda(make: Make) -> None:
    assert make("decimal").invoke(call()) == {"n": 1.5}


def test_context_and_environment_are_those_of_a_lambda(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another account")
    monkeypatch.setenv("AWS_ENDPOINT_URL_IOT", "https://elsewhere.example")
    monkeypatch.setenv("SEKISHO_DATABASE_URL", "postgresql://me:secret@db/x")
    monkeypatch.setenv("NO_PROXY", "intranet")
    monkeypatch.setenv("LC_TIME", "C")
    told = make("tell").invoke(call(timeout=WITHIN))
    assert told["function_name"] == "h"
    assert told["aws_request_id"] == "id-1"
    assert told["invoked_function_arn"] == f"arn:aws:lambda:{HOME.region}:{HOME.account_id}:function:h"
    assert (told["memory_limit_in_mb"], told["log_group_name"]) == ("128", "/aws/lambda/h")
    assert 0 < told["remaining"] <= WITHIN * 1000
    assert told["folder"] == str(tmp_path / "code")
    environment = told["environment"]
    expected = {
        "AWS_ENDPOINT_URL": API,
        "AWS_REGION": HOME.region,
        "AWS_DEFAULT_REGION": HOME.region,
        "AWS_ACCESS_KEY_ID": f"AKIA{HOME.account_id}",
        "AWS_SECRET_ACCESS_KEY": f"secret of {HOME.account_id}",
        "AWS_LAMBDA_FUNCTION_NAME": "h",
        "NO_PROXY": "intranet,127.0.0.1",
        "LC_TIME": "C",
        "PATH": os.environ["PATH"],
    }
    assert {name: environment.get(name) for name in expected} == expected
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_IOT", "SEKISHO_DATABASE_URL"} & set(environment)


def test_a_function_gets_the_named_variables_of_the_environment_and_those_that_every_program_needs(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "AWS_CONFIG_FILE", "GITHUB_TOKEN", "HTTPS_PROXY", "INVENTORY_URL", "CA"):
        monkeypatch.setenv(name, f"{name} of the server")
    more = 'environment = ["INVENTORY_URL", "CA"]\nvariables = { LEVEL = "high", EMPTY = "" }'
    environment = make("tell", more=more).invoke(call())["environment"]
    assert environment["INVENTORY_URL"] == "INVENTORY_URL of the server"
    assert environment["CA"] == "CA of the server"
    assert (environment["LEVEL"], environment["EMPTY"]) == ("high", "")
    known = re.compile(
        r"AWS_ENDPOINT_URL|AWS_IGNORE_CONFIGURED_ENDPOINT_URLS|AWS_(DEFAULT_)?REGION|AWS_ACCESS_KEY_ID"
        r"|AWS_SECRET_ACCESS_KEY|AWS_LAMBDA_\w+|LAMBDA_TASK_ROOT|_HANDLER|no_proxy|NO_PROXY"
        r"|INVENTORY_URL|CA|LEVEL|EMPTY"
    )
    assert [name for name in environment if not known.fullmatch(name) and not INHERITED.fullmatch(name)] == []


def test_a_named_variable_that_is_not_set_prevents_the_start(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET", "")
    with pytest.raises(ConfigError, match=r"\[handlers.h\]: environment names NOT_SET, NOR_THIS, which the server's"):
        make("tell", more='environment = ["NOT_SET", "SET", "NOR_THIS"]')


def test_a_process_is_used_again_and_each_realm_has_its_own(make: Make) -> None:
    handler = make("count")
    first = handler.invoke(call())
    assert handler.invoke(call()) == [2, first[1]]
    others = [handler.invoke(call(realm=realm)) for realm in (OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE)]
    assert [calls for calls, _ in others] == [1, 1]
    assert len({first[1], *(pid for _, pid in others)}) == 3


def test_an_exception_is_logged_with_its_traceback_and_the_process_continues(make: Make) -> None:
    handler = make("fail")
    with captured_log() as logs, pytest.raises(HandlerFailed) as failure:
        handler.invoke(call())
    assert str(failure.value) == "handler 'h' (fleet:fail) raised LookupError: no such thing"
    assert not failure.value.is_permanent
    trace = failure.value.trace
    assert trace is not None
    assert 'raise LookupError("no such\\nthing")' in trace
    assert "worker.py" not in trace
    [line] = lines_of(logs, "handler_raised")
    assert (line["handler"], line["error_type"], line["stack_trace"]) == ("h", "LookupError", trace)
    with pytest.raises(HandlerFailed, match="LookupError"):
        handler.invoke(call())


@pytest.mark.parametrize("function", ["sleep", "spin"])
def test_a_function_that_takes_too_long_is_ended_with_its_child_processes(
    make: Make, tmp_path: Path, function: str
) -> None:
    handler = make(function)
    child = tmp_path / "child"
    event = {"child": str(child)} if function == "sleep" else {}
    begun = time.monotonic()
    with pytest.raises(HandlerFailed, match=r"did not answer within 1 s and was ended") as failure:
        handler.invoke(call(event, timeout=1.0))
    assert not failure.value.is_permanent
    assert time.monotonic() - begun < WITHIN
    if event:
        eventually(lambda: not is_running(int(child.read_text())))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("signal", r"its process ended by signal 11 \(Segmentation fault\)"),
        ("exit", "its process ended with exit code 3"),
        ("sys.exit", r"Runtime.ExitError: the function called sys.exit\(4\)"),
    ],
)
def test_after_a_function_ended_its_process_the_next_call_has_another(make: Make, how: str, said: str) -> None:
    handler = make("die")
    for _ in range(2):
        with pytest.raises(HandlerFailed, match=said):
            handler.invoke(call({"how": how}))


def test_printed_lines_are_logged_and_do_not_change_the_answer(make: Make) -> None:
    handler = make("speak")
    with captured_log() as logs:
        assert handler.invoke(call()) == ""

        def lines() -> list[str]:
            return [line["text"] for line in lines_of(list(logs), "handler_printed")]

        eventually(lambda: sum(map(len, lines())) > 20000)
    assert lines()[:3] == ["to standard output", "to standard error", "from a child"]
    assert max(map(len, lines())) <= 8192
    assert logs[0]["handler"] == "h"
    assert logs[0]["account_id"] == HOME.account_id


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("unsayable", "Runtime.MarshalError: Unable to marshal response: Object of type set is not JSON serializable"),
        ("large", "answered with more than 6291456 bytes"),
        ("nothing", "cannot be loaded: Runtime.HandlerNotFound: Handler 'nothing' missing on module 'fleet'"),
        ("calls", "cannot be loaded: Runtime.HandlerNotFound"),
        ("nowhere:f", "cannot be loaded: Runtime.ImportModuleError: Unable to import module 'nowhere'"),
        (
            "without_boto3:f",
            "Unable to import module 'without_boto3': import of boto3 halted; None in sys.modules."
            " Install it beside Sekisho: pip install 'sekisho[handlers]'",
        ),
        ("broken:f", "cannot be loaded: SyntaxError"),
        ("exiting:f", "cannot be loaded: Runtime.ExitError"),
    ],
)
def test_an_invalid_function_and_an_invalid_answer_are_errors(
    make: Make, tmp_path: Path, function: str, said: str
) -> None:
    (tmp_path / "code" / "broken.py").write_text("def f(:\n")
    # The import of boto3 fails with the type and name of a library that is not installed.
    (tmp_path / "code" / "without_boto3.py").write_text("import sys\nsys.modules['boto3'] = None\nimport boto3\n")
    (tmp_path / "code" / "exiting.py").write_text("import sys\nsys.exit()\n")
    with pytest.raises(HandlerFailed) as failure:
        make(function).invoke(call())
    assert said in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_corrected_module_is_loaded_by_the_next_call(make: Make, tmp_path: Path) -> None:
    module = tmp_path / "code" / "late.py"
    handler = make("late:f")
    with pytest.raises(HandlerFailed, match="ImportModuleError"):
        handler.invoke(call())
    module.write_text("def f(event, context):\n    return 'here'\n")
    assert handler.invoke(call()) == "here"


def test_a_module_that_takes_too_long_to_import_is_ended(make: Make, tmp_path: Path) -> None:
    (tmp_path / "code" / "slow.py").write_text("import time\ntime.sleep(600)\n")
    with pytest.raises(HandlerFailed, match=r"its module was not imported within 0.5 s"):
        make("slow:f", loading=0.5).invoke(call())


def test_modules_of_the_folder_do_not_replace_those_of_the_worker(make: Make, tmp_path: Path) -> None:
    for name in ("json", "queue", "sekisho"):
        (tmp_path / "code" / f"{name}.py").write_text("raise RuntimeError('shadowed')\n")
    assert make("echo").invoke(call({"a": 1})) == {"a": 1}


def test_simultaneous_calls_share_as_many_processes_as_there_are_workers(make: Make, tmp_path: Path) -> None:
    handler = make("wait", workers=2)
    go = tmp_path / "go"
    with ThreadPoolExecutor(4) as threads:
        answers = [
            threads.submit(handler.invoke, call({"file": str(go), "began": str(tmp_path / f"began-{number}")}))
            for number in range(4)
        ]
        eventually(lambda: len(list(tmp_path.glob("began-*"))) == 2)
        go.touch()
        assert len({answer.result(WITHIN) for answer in answers}) == 2


def test_a_call_waits_for_a_free_process_until_its_timeout(make: Make, tmp_path: Path) -> None:
    handler = make("wait")
    go = tmp_path / "go"
    event = {"file": str(go), "began": str(tmp_path / "began")}
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(handler.invoke, call(event))
        eventually((tmp_path / "began").exists)
        with pytest.raises(
            HandlerFailed, match=r"none of its processes was free within 0.2 s; give it more workers"
        ) as busy:
            handler.invoke(call(event, timeout=0.2))
        assert busy.value.is_busy
        go.touch()
        assert answer.result(WITHIN) > 0


def test_the_number_of_processes_is_limited_and_idle_ones_end_for_a_call(make: Make) -> None:
    handler = make("count", limit=3)
    [_, others] = handler.invoke(call(realm=OTHER_ACCOUNT))
    pids = []
    with captured_log() as logs:
        for number in range(12):
            [calls, pid] = handler.invoke(call(realm=Realm(HOME.account_id, f"region-{number}")))
            assert calls == 1
            pids.append(pid)
            # The process ends before another one is started.
            assert sum(map(is_running, [others, *pids])) <= 3
            assert handler._processes.statistics()["running"] <= 3
    assert handler._processes.statistics()["ended_for_room"] == 10
    made_room = lines_of(logs, "handler_process_replaced")
    assert [line["region"] for line in made_room] == [f"region-{number}" for number in range(10)]
    # The account with the most processes makes room for itself.
    assert handler.invoke(call(realm=OTHER_ACCOUNT)) == [2, others]
    assert handler.invoke(call(realm=Realm(HOME.account_id, "region-11"))) == [2, pids[11]]


def test_a_process_is_never_used_for_another_account_even_at_the_limit(make: Make) -> None:
    handler = make("tell", limit=1)
    for realm in (HOME, OTHER_ACCOUNT, SAME_ACCOUNT_ELSEWHERE, HOME):
        told = handler.invoke(call(realm=realm))
        environment = told["environment"]
        assert (environment["AWS_ACCESS_KEY_ID"], environment["AWS_REGION"]) == (
            f"AKIA{realm.account_id}",
            realm.region,
        )
        assert told["invoked_function_arn"] == f"arn:aws:lambda:{realm.region}:{realm.account_id}:function:h"
    assert handler._processes.statistics()["ended_for_room"] == 3


def test_an_account_cannot_use_every_process(make: Make, tmp_path: Path) -> None:
    handler = make("wait", limit=4)
    go = tmp_path / "go"

    def event(number: int) -> dict[str, str]:
        return {"file": str(go), "began": str(tmp_path / f"began-{number}")}

    regions = [Realm(HOME.account_id, f"region-{number}") for number in range(6)]
    with ThreadPoolExecutor(8) as threads:
        slow = [threads.submit(handler.invoke, call(event(n), realm=realm)) for n, realm in enumerate(regions[:5])]
        eventually(lambda: len(list(tmp_path.glob("began-*"))) == 2)
        other = threads.submit(handler.invoke, call(event(10), realm=OTHER_ACCOUNT))
        eventually((tmp_path / "began-10").exists)
        assert len(list(tmp_path.glob("began-*"))) == 3
        with pytest.raises(
            HandlerFailed, match=r"none of the 4 processes of Python functions \(handler_processes\)"
        ) as no:
            handler.invoke(call(event(5), realm=regions[5], timeout=0.1))
        assert no.value.is_busy
        go.touch()
        assert len({each.result(WITHIN) for each in (*slow, other)}) > 2


def test_more_workers_than_an_account_can_have_are_a_configuration_error(make: Make) -> None:
    make("echo", limit=4, workers=2)
    with pytest.raises(ConfigError, match=r"workers is 3, and handler_processes 4, .* write handler_processes = 6"):
        make("echo", limit=4, workers=3)


def test_an_idle_process_ends(make: Make) -> None:
    handler = make("count", idle=0.2)
    [_, pid] = handler.invoke(call())
    eventually(lambda: not is_running(pid))
    assert handler.invoke(call())[0] == 1


def test_closing_ends_idle_processes_and_running_calls(make: Make, tmp_path: Path) -> None:
    handler = make("wait", workers=2)
    go, began = tmp_path / "go", tmp_path / "began"
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(handler.invoke, call({"file": str(go), "began": str(began)}))
        eventually(began.exists)
        handler._processes.close()
        with pytest.raises(HandlerFailed, match="ended by signal 9"):
            answer.result(WITHIN)
    with pytest.raises(HandlerFailed, match="the server is stopping"):
        handler.invoke(call())


def test_a_process_does_not_outlive_the_server(make: Make) -> None:
    handler = make("count")
    [_, pid] = handler.invoke(call())
    [(_, process)] = handler._processes._idle
    # As the kernel does for a killed server.
    process._stdin.close()
    eventually(lambda: not is_running(pid))


def test_an_account_without_an_access_key_is_an_error(make: Make) -> None:
    with pytest.raises(HandlerFailed, match="account 000000000000 has no access key"):
        make("echo").invoke(call(realm=Realm("000000000000", "us-east-1")))


def test_a_code_folder_that_others_can_write_to_is_a_configuration_error(make: Make, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.chmod(0o757)
    with pytest.raises(
        ConfigError, match=rf"\[handlers.h\]: path {code} can be written to by every user .* chmod go-w"
    ):
        make("echo")
    code.chmod(0o755)
    assert make("echo").invoke(call({"a": 1})) == {"a": 1}


def test_a_path_that_is_not_a_folder_is_a_configuration_error(tmp_path: Path) -> None:
    settings = read(tmp_path, '[handlers.h]\nfunction = "f:g"\npath = "nowhere"\n')["h"]
    assert isinstance(settings.target, PythonFunction)
    with (
        pytest.raises(ConfigError, match=r"\[handlers.h\]: path .*nowhere is not a folder"),
        closing(PythonFunctions(settings, settings.target, Processes(8), api=API, credentials=access_key)),
    ):
        pass
