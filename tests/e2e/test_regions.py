"""The list of regions, a server certificate for each, and a start in spite of unlisted regions in the registry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.e2e.certificate_files import CertificateFiles, new_self_signed
from tests.e2e.devices import V5, Device, Refused, allow, endpoint, register
from tests.e2e.running_server import START_WITHIN, RunningServer
from tests.tools import require

MADE_UP = [f"made-up-region-number-{n:08}-xx" for n in range(1300)]


def shown(server: RunningServer, device_files: CertificateFiles, server_name: str | None) -> set[str]:
    """Return the names and addresses in the leaf that the server sends to a client with this SNI."""
    handshake = subprocess.run(
        [
            require("openssl"), "s_client", "-connect", f"127.0.0.1:{server.mqtt_port}", "-cert",
            str(device_files.certificate), "-key", str(device_files.key),
            *(["-servername", server_name] if server_name else ["-noservername"]),
        ],
        input="", capture_output=True, text=True, timeout=START_WITHIN, check=False,
    )  # fmt: skip
    leaf = re.search("-----BEGIN.*?-----END CERTIFICATE-----\n", handshake.stdout, re.DOTALL)
    assert leaf, handshake
    text = subprocess.run(
        [require("openssl"), "x509", "-noout", "-ext", "subjectAltName"],
        input=leaf[0], capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(re.findall(r"(?:DNS|IP Address):([^,\s]+)", text.stdout))


DEFAULT = {"localhost", "localhost.localdomain", "127.0.0.1", "0:0:0:0:0:0:0:1"}


def test_an_unlisted_region_is_refused_everywhere_and_leaves_nothing_behind(server: RunningServer) -> None:
    for region in ("tokyo", "plant-1", "us-east-9"):
        clients = server.session(region=region)
        for ask in (clients.iot.describe_endpoint, clients.iot.list_things):
            with pytest.raises(ClientError, match=f"'{region}' is neither a region of AWS.*setting regions") as refusal:
                ask()
            assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        with pytest.raises(ClientError, match=f"'{region}' is neither a region of AWS"):
            clients.iot_data.publish(topic="t", payload=b"")
    assert server.rows("SELECT DISTINCT region FROM endpoints") == [("us-east-1",)]


def test_a_client_sees_the_names_of_its_own_region_only(server: RunningServer, tmp_path: Path) -> None:
    device_files = new_self_signed(tmp_path)
    west, north = (endpoint(server.session(region=region)) for region in ("eu-west-1", "eu-north-1"))
    assert shown(server, device_files, west) == {"*.iot.eu-west-1.localhost"}
    assert shown(server, device_files, west.upper()) == {"*.iot.eu-west-1.localhost"}
    assert shown(server, device_files, north) == {"*.iot.eu-north-1.localhost"}
    # A guess shows nothing: an unused region looks the same.
    for region in ("eu-west-1", "sa-east-1"):
        assert shown(server, device_files, f"a-ats.iot.{region}.localhost") == {f"*.iot.{region}.localhost"}
    for name in ("localhost", "example.com", "a.b.iot.eu-west-1.localhost", "a-ats.iot.x1.localhost", None):
        assert shown(server, device_files, name) == DEFAULT


def test_a_device_connects_in_each_region_with_only_the_root_file(server: RunningServer, tmp_path: Path) -> None:
    clients = server.session(region="eu-west-2")
    device_files = new_self_signed(tmp_path)
    allow(clients.iot, "anything")
    register(clients, device_files, "anything")
    with Device(server, device_files, "pump", server_name=endpoint(clients), version=V5) as device:
        device.connect()


@pytest.fixture
def grown(own_server: RunningServer, tmp_path: Path) -> RunningServer:
    """Stop a server whose registry has endpoints in unlisted regions and whose certificate has all their names."""
    own_server.session().iot.create_keys_and_certificate()
    assert own_server.stop() == 0
    with own_server.stopped_database() as connection:
        connection.executemany(
            "INSERT INTO endpoints (account_id, region, prefix) VALUES ('123456789012', ?, ?)",
            [(region, f"a{n:013}") for n, region in enumerate(MADE_UP)],
        )
    folder = own_server.data / "server" / "ecdsa"
    names = ",".join(["DNS:localhost", *(f"DNS:*.iot.{region}.localhost" for region in MADE_UP)])
    (tmp_path / "names").write_text(f"subjectAltName={names}\n")
    for arguments in (
        ["req", "-new", "-key", folder / "server.key", "-subj", "/CN=Sekisho", "-out", tmp_path / "csr"],
        [
            "x509", "-req", "-in", tmp_path / "csr", "-CA", folder / "intermediate.crt", "-CAkey",
            folder / "intermediate.key", "-days", "300", "-extfile", tmp_path / "names", "-out", folder / "server.crt",
        ],
    ):  # fmt: skip
        subprocess.run([require("openssl"), *map(str, arguments)], check=True, capture_output=True)
    return own_server


def test_a_data_folder_with_a_large_certificate_and_unlisted_regions_starts(
    grown: RunningServer, tmp_path: Path
) -> None:
    root = Path(grown.root_ca).read_bytes()
    large = (grown.data / "server" / "ecdsa" / "server.crt").read_bytes()
    assert len(large) > 65_536
    grown.start()
    device_files = new_self_signed(tmp_path)
    assert shown(grown, device_files, None) == DEFAULT
    assert Path(grown.root_ca).read_bytes() == root
    assert (grown.data / "server" / "ecdsa" / "replaced" / "server.crt").read_bytes() == large
    line = grown.wait_for_log("endpoints_not_served")
    assert line["count"] == len(MADE_UP)
    assert "regions = [" in line["remedy"]
    assert grown.rows("SELECT count(*) FROM endpoints") == [(len(MADE_UP) + 1,)]
    assert len(list((grown.data / "server").rglob("*"))) < 40, "no certificates for made-up regions"

    # Without SNI a certificate determines its realm, whose region must be in the list too.
    clients = grown.session()
    allow(clients.iot, "anything")
    arn = register(clients, device_files, "anything")
    assert grown.stop() == 0
    identifier = arn.rsplit("/", 1)[1]
    with grown.stopped_database() as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(
            "UPDATE certificates SET region = ?, mode = 'DEFAULT' WHERE certificate_id = ?", (MADE_UP[7], identifier)
        )
    grown.start()
    with pytest.raises(Refused), Device(grown, device_files, "pump", server_name=None, version=V5) as device:
        device.connect()
    line = grown.wait_for_log(
        "connection_refused", reason="DEVICE_CERTIFICATE_NOT_REGISTERED", certificate_id=identifier
    )
    assert f"{MADE_UP[7]!r} is neither a region of AWS" in line["detail"]


def test_a_sites_own_region_is_served(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "sekisho.toml").write_text('regions = ["plant-1"]\n')
    server = RunningServer(data).start()
    try:
        name = endpoint(server.session(region="plant-1"))
        assert name.endswith("-ats.iot.plant-1.localhost")
        assert shown(server, new_self_signed(tmp_path), name) == {"*.iot.plant-1.localhost"}
    finally:
        server.stop()
