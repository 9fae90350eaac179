"""A site's own host name for devices, with Sekisho's certificate or with the site's own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_self_signed, new_server
from tests.e2e.command_line import answer, failure_line, sekisho, sekisho_process
from tests.e2e.devices import allow, register
from tests.e2e.pages import in_bash, typed, typed_lines
from tests.e2e.running_server import RunningServer
from tests.ports import reserve
from tests.tools import require

NAME = "iot.factory.example"
PAGE = Path(__file__).parents[2] / "docs" / "own-name.md"


def site_chain(folder: Path, name: str) -> tuple[Path, Path, CertificateFiles]:
    """Chain with its root, key, and the root of a site that runs its own CA."""
    ca = new_ca(folder, "Site CA")
    issued = new_server(folder, ca, name)
    chain = folder / "chain.pem"
    chain.write_text(issued.pem + ca.pem)
    return chain, issued.key, ca


def published(server: RunningServer, device: CertificateFiles, *options: str) -> subprocess.CompletedProcess[str]:
    return sekisho(
        "pub", "--data", server.data, "--cert", device.certificate, "--key", device.key, "--topic", "t1",
        "--message", "hello", *options,
    )  # fmt: skip


@pytest.mark.parametrize("is_sites_own", [False, True], ids=["Sekisho's certificate", "the site's certificate"])
def test_devices_connect_by_the_name_of_the_setting(tmp_path: Path, is_sites_own: bool) -> None:
    arguments = ["--endpoint", NAME]
    chain, key, ca = site_chain(tmp_path, NAME)
    if is_sites_own:
        arguments += ["--server-certificate", str(chain), "--server-key", str(key)]
    server = RunningServer(tmp_path / "data", *arguments).start()
    try:
        clients = server.session()
        assert clients.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"] == NAME
        device = new_self_signed(tmp_path)
        register(clients, device, allow(clients.iot, "anything"))
        # The name is in no resolver: the command connects to the running server by it all the same.
        said = published(server, device)
        assert said.returncode == 0, f"{said.stdout}{said.stderr}\n{server.log()[-2000:]}"
        root = Path(server.run["root_ca"]).read_text()
        if is_sites_own:
            assert root == ca.pem
        with urlopen(f"{server.run['api']}/_sekisho/root-ca.pem") as answer:
            assert answer.read().decode() == root
        with urlopen(f"{server.run['api']}/_sekisho/env") as answer:
            script = answer.read().decode()
        assert f"export AWS_ENDPOINT_URL={server.run['api']}" in script
        assert f"{NAME} port {server.mqtt_port}" in script
        assert "SECRET" not in script
    finally:
        server.stop()


def test_a_name_below_localhost_needs_no_resolver(server: RunningServer, tmp_path: Path) -> None:
    answer("account", "create", "333322221111", "--data", server.data)
    account = server.session("333322221111")
    name = account.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert name.endswith(".localhost")
    device = new_self_signed(tmp_path)
    register(account, device, allow(account.iot, "anything"))
    said = published(server, device, "--host", name)
    assert said.returncode == 0, said.stderr


def test_a_certificate_for_another_name_stops_the_start_with_what_to_do(tmp_path: Path) -> None:
    chain, key, _ = site_chain(tmp_path, NAME)
    said = sekisho_process(
        "up", "--data", tmp_path / "data", "--server-certificate", chain, "--server-key", key, "--api-port", "0",
        "--mqtt-port", "0",
    )  # fmt: skip
    line = failure_line(said)
    assert "localhost is an endpoint and not among the subjectAltName names" in line
    assert f"which has {NAME}. Set endpoint" in line


def test_the_page_is_typed_as_it_says(tmp_path: Path) -> None:
    for program in ("aws", "curl", "openssl"):
        require(program)
    api, mqtt = str(reserve()), str(reserve())
    commands = list(typed(PAGE))
    ports = {"sekisho up": f"sekisho up --api-port {api} --mqtt-port {mqtt}"}
    done = in_bash(["trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT", *typed_lines(commands, ports)], tmp_path)
    assert done.returncode == 0, done.stdout
    for line in (line for each in commands for line in each.shown):
        assert line in done.stdout
