"""The commands of ``sekisho``, as people and scripts use them."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.certificate_files import CertificateFiles, new_self_signed, openssl
from tests.e2e.command_line import answer, clean_environment, failure, failure_line, sekisho, sekisho_process
from tests.e2e.devices import Device, allow, register
from tests.e2e.running_server import START_WITHIN, RunningServer
from tests.tools import require

KEY_TYPES = ("RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384", "P-521")


# env


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_output_of_env_evaluates_in_a_shell_and_unsets_conflicting_variables(
    server: RunningServer, shell: str
) -> None:
    command = f'eval "$({shlex.quote(require("sekisho"))} env --data {shlex.quote(str(server.data))})" && env'
    said = subprocess.run(
        [shell, "-c", command],
        env=clean_environment() | {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "of another account"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    exported = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert exported["SEKISHO_ROOT_CA"] == server.root_ca
    assert exported["SEKISHO_DATA"] == str(server.data)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_IOT", "AWS_ENDPOINT_URL_IOT_DATA_PLANE"):
        assert exported[name] == server.run["api"]
    assert exported["AWS_REGION"] == exported["AWS_DEFAULT_REGION"] == "us-east-1"
    assert {"AWS_PROFILE", "AWS_SESSION_TOKEN"}.isdisjoint(exported)


def test_boto3_finds_the_server_by_the_output_of_env_alone(server: RunningServer) -> None:
    program = (
        "import boto3; boto3.client('iot-data').publish(topic='t1', payload=b'x');"
        "print(boto3.client('iot').describe_endpoint(endpointType='iot:Data-ATS')['endpointAddress'])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], env=server.environment(), check=True, capture_output=True, text=True
    )
    assert said.stdout == "localhost\n"


PROXIED = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ({}, "localhost,127.0.0.1,::1,[::1]"),
        ({"NO_PROXY": "intranet, localhost"}, "intranet,localhost,127.0.0.1,::1,[::1]"),
        ({"NO_PROXY": "upper", "no_proxy": "lower"}, "lower,localhost,127.0.0.1,::1,[::1]"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_aws_tools_behind_a_proxy_reach_the_server_by_the_output_of_env(
    server: RunningServer, present: dict[str, str], expected: str
) -> None:
    kept = {name: value for name, value in clean_environment().items() if name.lower() != "no_proxy"} | PROXIED
    exported = {}
    for form in ("--json", None):
        said = subprocess.run(
            [require("sekisho"), "env", "--data", str(server.data), *([form] if form else [])],
            env=kept | present, check=True, capture_output=True, text=True,
        )  # fmt: skip
        if form:
            exported = json.loads(said.stdout)
            assert exported["NO_PROXY"] == exported["no_proxy"] == expected
        else:
            assert f"export NO_PROXY={shlex.quote(expected)}\n" in said.stdout
            assert f"export no_proxy={shlex.quote(expected)}\n" in said.stdout
    listed = subprocess.run(
        [require("aws"), "iot", "list-things"],
        env=kept | present | exported, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert listed.returncode == 0, listed.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("up", "--data", ""), "path on the command line is empty"),
        (("env", "--data", ""), "path on the command line is empty"),
        (("up", "--config", ""), "path on the command line is empty"),
        (("ca", "create", "--out", ""), "path on the command line is empty"),
        (("up", "--region", "tokyo"), "'tokyo' is neither a region of AWS"),
    ],
)
def test_a_value_with_another_meaning_in_the_shell_is_refused(
    arguments: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    assert named in failure_line(sekisho_process(*arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_variable_is_refused_by_commands_that_read_settings(server: RunningServer) -> None:
    for command in ("up", "env"):
        said = subprocess.run(
            [require("sekisho"), command, "--data", str(server.data)],
            env=clean_environment() | {"SEKISHO_MQTT_PROT": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.returncode == 1
        assert "SEKISHO_MQTT_PROT" in said.stderr
        assert "SEKISHO_MQTT_PORT" in said.stderr


def test_env_without_a_server_or_for_an_unknown_account_says_what_to_do(server: RunningServer, tmp_path: Path) -> None:
    assert "sekisho up" in failure("env", "--data", tmp_path / "missing")
    assert "sekisho account list" in failure("env", "--data", server.data, "--account", "999999999999")


# account


def test_an_account_created_beside_a_running_server_can_be_used_at_once(server: RunningServer) -> None:
    made = answer("account", "create", "--name", "factory", "--data", server.data)
    assert set(made) >= {"accountId", "accessKeyId", "secretAccessKey"}
    assert len(made["accountId"]) == 12
    assert made["accountId"].isdigit()
    sts = boto3.client(
        "sts",
        endpoint_url=server.run["api"],
        region_name="us-east-1",
        aws_access_key_id=made["accessKeyId"],
        aws_secret_access_key=made["secretAccessKey"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    assert sts.get_caller_identity()["Account"] == made["accountId"]
    assert (
        answer("env", "--data", server.data, "--account", made["accountId"])["AWS_ACCESS_KEY_ID"]
        == (made["accessKeyId"])
    )

    listed = {each["accountId"]: each for each in answer("account", "list", "--data", server.data)}
    assert set(listed) >= {"123456789012", made["accountId"]}
    assert listed[made["accountId"]]["name"] == "factory"
    assert listed[made["accountId"]]["accessKeyIds"] == [made["accessKeyId"]]
    assert made["secretAccessKey"] not in sekisho("account", "list", "--data", server.data).stdout
    assert made["secretAccessKey"] not in server.log()


def test_an_account_can_be_created_before_any_server_but_not_twice_or_with_an_invalid_id(tmp_path: Path) -> None:
    said = sekisho("account", "create", "111122223333", "--data", tmp_path / "data")
    assert said.returncode == 0, said.stderr
    assert "111122223333" in said.stdout
    assert "not shown again" in said.stdout
    assert "111122223333" in failure("account", "create", "111122223333", "--data", tmp_path / "data")
    assert "twelve digits" in failure("account", "create", "factory", "--data", tmp_path / "data")


# ca and device


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """Make a CA with ``sekisho ca create``."""
    made = answer("ca", "create", "My CA", "--out", tmp_path_factory.mktemp("ca"))
    device_files = CertificateFiles(Path(made["key"]), Path(made["certificate"]))
    assert made["certificateId"] == device_files.certificate_id
    return device_files


@pytest.fixture(scope="module")
def policy(server: RunningServer) -> str:
    return allow(server.session().iot, "anything")


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_openssl_and_the_registry_accept_a_ca_of_every_key_type(
    server: RunningServer, tmp_path: Path, kind: str
) -> None:
    made = answer("ca", "create", f"CA {kind}", "--key-type", kind, "--out", tmp_path)
    certificate = Path(made["certificate"])
    assert Path(made["key"]).stat().st_mode & 0o777 == 0o600
    assert "OK" in openssl("verify", "-x509_strict", "-CAfile", certificate, certificate)
    assert "CA:TRUE" in openssl("x509", "-in", certificate, "-noout", "-ext", "basicConstraints")
    registered = server.session().iot.register_ca_certificate(
        caCertificate=certificate.read_text(), certificateMode="SNI_ONLY"
    )
    assert registered["certificateId"] == made["certificateId"]


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_a_device_of_every_key_type_is_signed_by_the_own_ca_and_connects(
    server: RunningServer, ca: CertificateFiles, policy: str, tmp_path: Path, kind: str
) -> None:
    made = answer(
        "device", "create", "kettle", "--ca", ca.certificate, "--ca-key", ca.key, "--key-type", kind, "--out", tmp_path
    )
    device_files = CertificateFiles(Path(made["key"]), Path(made["certificate"]))
    assert device_files.key.stat().st_mode & 0o777 == 0o600
    assert made["certificateId"] == device_files.certificate_id
    verify = ("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca.certificate)
    assert "OK" in openssl(*verify, device_files.certificate)
    text = openssl("x509", "-in", device_files.certificate, "-noout", "-text")
    assert "Version: 3" in text
    assert "CN = kettle" in text
    assert {"RSA": f"({kind[4:]} bit)", "P-2": "P-256", "P-3": "P-384", "P-5": "P-521"}[kind[:3]] in text
    assert "CN = kettle" in openssl("req", "-in", made["request"], "-noout", "-verify", "-subject")

    register(server.session(), device_files, policy)
    with Device(server, device_files, f"kettle-{kind}") as device:
        device.publish("t1", "hello", 1)


def test_a_file_is_overwritten_only_when_asked(ca: CertificateFiles, tmp_path: Path) -> None:
    create = ("device", "create", "kettle", "--ca", ca.certificate, "--ca-key", ca.key, "--out", tmp_path)
    before = answer(*create)
    key = Path(before["key"]).read_text()
    line = failure(*create)
    assert str(tmp_path / "kettle") in line
    assert "--force" in line
    assert Path(before["key"]).read_text() == key
    assert answer(*create, "--force")["certificateId"] != before["certificateId"]
    assert "--force" in failure("ca", "create", "My CA", "--out", ca.certificate.parent)


def test_device_files_that_cannot_be_made_are_refused_with_the_cause(ca: CertificateFiles, tmp_path: Path) -> None:
    def device(certificate: Path, key: Path, *more: str) -> str:
        line = failure("device", "create", "kettle", "--ca", certificate, "--ca-key", key, "--out", tmp_path, *more)
        assert "PRIVATE KEY-----" not in line
        return line

    other = new_self_signed(tmp_path)
    assert str(tmp_path / "absent.crt") in device(tmp_path / "absent.crt", ca.key)
    assert "key" in device(ca.certificate, other.key)
    assert "key" in device(ca.key, ca.certificate)
    assert "RSA-2048" in device(ca.certificate, ca.key, "--key-type", "RSA-1024")
    assert not list(tmp_path.glob("kettle*"))


# pub and sub


@pytest.fixture(scope="module")
def device_files(server: RunningServer, policy: str, tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """Register a device that may do anything."""
    made = new_self_signed(tmp_path_factory.mktemp("device"))
    register(server.session(), made, policy)
    return made


def as_device(server: RunningServer, device_files: CertificateFiles) -> tuple[str | Path, ...]:
    return ("--data", server.data, "--cert", device_files.certificate, "--key", device_files.key)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_sub_prints_what_pub_sends(server: RunningServer, device_files: CertificateFiles, version: str) -> None:
    topic, device = f"spoken/{version}", as_device(server, device_files)
    # A retained message comes first, and so shows that the subscription exists.
    assert sekisho("pub", "-t", topic, "-m", "kept", "-q", "1", "-r", "-V", version, *device).returncode == 0
    subscriber = subprocess.Popen(
        [
            require("sekisho"), "sub", "-t", topic, "-q", "1", "-C", "3", "-W", "30", "-V", version, "--json",
            *map(str, device),
        ],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert subscriber.stdout is not None
    printed = subscriber.stdout.readline()
    said = sekisho("pub", "-t", topic, "-m", "grüezi", "-q", "1", "-V", version, *device)
    assert said.returncode == 0, said.stderr
    assert topic in said.stdout
    said = sekisho_process("pub", "-t", topic, "-f", "-", "-q", "1", *device, input="from stdin")
    assert said.returncode == 0, said.stderr
    printed += subscriber.stdout.read()
    subscriber.stdout.close()
    assert subscriber.wait(timeout=START_WITHIN) == 0
    got = [json.loads(line) for line in printed.splitlines()]
    assert [(each["payload"], each["retain"]) for each in got] == [
        ("kept", True), ("grüezi", False), ("from stdin", False),
    ]  # fmt: skip
    assert {(each["topic"], each["encoding"], each["qos"]) for each in got} == {(topic, "utf-8", 1)}


def test_sub_prints_lines_for_people_and_reports_missing_messages(
    server: RunningServer, device_files: CertificateFiles
) -> None:
    device = as_device(server, device_files)
    assert sekisho("pub", "-t", "for/people", "-m", "hello", "-r", *device).returncode == 0
    said = sekisho("sub", "-t", "for/people", "-C", "1", "-W", "20", *device)
    assert (said.returncode, said.stdout) == (0, "for/people  hello\n")
    assert "0 of 1 messages" in failure("sub", "-t", "silence", "-C", "1", "-W", "0.2", *device)


@pytest.mark.parametrize("on_terminal", [True, False])
def test_sub_does_not_let_a_device_control_the_terminal(
    server: RunningServer, device_files: CertificateFiles, on_terminal: bool
) -> None:
    device, payload = as_device(server, device_files), "a\x1b[2J\x9b1m\x07b\nc"
    topic = f"for/terminal/{on_terminal}"
    assert sekisho("pub", "-t", topic, "-m", payload, "-r", "-q", "1", *device).returncode == 0
    command = [require("sekisho"), "sub", "-t", topic, "-C", "1", "-W", "20", *map(str, device)]
    if not on_terminal:
        said = subprocess.run(command, env=clean_environment(), capture_output=True, check=True)
        assert said.stdout == f"{topic}  {payload}\n".encode()
        return
    ours, theirs = pty.openpty()
    try:
        subscriber = subprocess.Popen(command, env=clean_environment(), stdout=theirs, stdin=theirs)
        os.close(theirs)
        shown = b""
        while b"\n" not in shown:
            shown += os.read(ours, 4096)
        assert subscriber.wait(timeout=START_WITHIN) == 0
    finally:
        os.close(ours)
    assert shown.decode().rstrip("\r\n") == f"{topic}  a\\x1b[2J\\x9b1m\\x07b\\nc"


def test_pub_and_sub_report_errors_in_one_line(
    server: RunningServer, device_files: CertificateFiles, ca: CertificateFiles, tmp_path: Path
) -> None:
    device = as_device(server, device_files)
    hello = ("-t", "t1", "-m", "hello")
    # A common mistake: the user's CA is not the server's.
    line = failure("pub", *hello, "--cafile", ca.certificate, *device)
    assert "does not lead to" in line
    assert "--cafile" in line
    assert "no server is running" in failure(
        "pub", *hello, "--data", tmp_path / "missing", "--cert", device_files.certificate, "--key", device_files.key
    )  # fmt: skip
    assert "refused" in failure(
        "pub", *hello, "--host", "127.0.0.1", "--port", "1", "--cafile", server.root_ca, *device
    ).lower()  # fmt: skip
    other = new_self_signed(tmp_path)
    assert "do not go together" in failure(
        "pub", *hello, "--data", server.data, "--cert", device_files.certificate, "--key", other.key
    )  # fmt: skip
    assert "absent.crt" in failure(
        "pub", *hello, "--data", server.data, "--cert", "absent.crt", "--key", device_files.key
    )
    assert "--message or with --file" in failure("pub", "-t", "t1", *device)
    assert "3.1.1" in failure("pub", *hello, "-V", "4", *device)
    unknown = as_device(server, other)
    assert "log says why" in failure("pub", *hello, *unknown)
    assert "log says why" in failure("sub", "-t", "t1", *unknown)


def test_pub_and_sub_report_that_the_policy_does_not_allow_it(server: RunningServer, tmp_path: Path) -> None:
    clients = server.session()
    device_files = new_self_signed(tmp_path)
    quiet = allow(clients.iot, "quiet", {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"})
    register(clients, device_files, quiet)
    device = as_device(server, device_files)
    for version in ("3.1.1", "5"):
        line = failure("pub", "-t", "t1", "-m", "hello", "-q", "1", "-V", version, *device)
        assert "t1" in line
        line = failure("sub", "-t", "t1", "-C", "1", "-W", "20", "-V", version, *device)
        assert "t1" in line


# api, help


def test_api_coverage_agrees_with_the_code(server: RunningServer) -> None:
    rows = {(each["service"], each["operation"]): each["implemented"] for each in answer("api", "coverage")}
    assert rows["iot", "RegisterCACertificate"] is True
    assert rows["iot-data", "Publish"] is True
    assert rows["sts", "GetCallerIdentity"] is True
    assert rows["iot", "CreateJob"] is False
    # Listed operations exist, and others answer that they are not implemented.
    iot = server.session().iot
    with pytest.raises(ClientError, match="CreateJob") as refused:
        iot.create_job(jobId="job", targets=["arn:aws:iot:us-east-1:123456789012:thing/kettle"])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    lines = sekisho("api", "coverage", "--service", "sts").stdout.splitlines()
    assert "yes  sts:GetCallerIdentity" in lines
    assert lines[-1].endswith(" operations")


COMMANDS: tuple[tuple[str, ...], ...] = (
    (), ("up",), ("status",), ("env",), ("account",), ("account", "create"), ("account", "list"), ("ca",),
    ("ca", "create"), ("device",), ("device", "create"), ("pub",), ("sub",), ("api",), ("api", "coverage"),
)  # fmt: skip


def test_every_command_has_help() -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda command: sekisho(*command, "--help"), COMMANDS))
    for command, said in zip(COMMANDS, answers, strict=True):
        assert said.returncode == 0, said.stderr
        assert " ".join(("sekisho", *command)) in said.stdout
    shown = answers[0].stdout
    assert all(command[0] in shown for command in COMMANDS if command)


def test_an_unknown_command_or_option_is_named() -> None:
    for named, arguments in (
        ("upp", ["upp"]),
        ("--dta", ["up", "--dta", "x"]),
        ("--api-port", ["up", "--api-port", "http"]),
        ("--cert", ["pub", "-t", "t1", "-m", "hello"]),
    ):
        said = sekisho(*arguments)
        assert said.returncode == 2
        assert named in said.stderr
        assert "Traceback" not in said.stderr
