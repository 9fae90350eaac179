"""TLS with devices: the server's chain, versions and cipher suites, and every kind of device certificate."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.certificate_files import CertificateFiles, new_ca, new_device, new_key, new_self_signed, openssl
from tests.e2e.devices import V311, Device, allow, register
from tests.e2e.running_server import RunningServer
from tests.tools import require


@pytest.fixture(scope="module")
def device(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """Register a device that may do anything."""
    device_files = new_self_signed(tmp_path_factory.mktemp("device"))
    allow(server.session().iot, "anything")
    register(server.session(), device_files, "anything")
    return device_files


def s_client(server: RunningServer, device: CertificateFiles, *arguments: str) -> str:
    """Do one handshake and return the output of openssl."""
    said = subprocess.run(
        [
            require("openssl"), "s_client", "-connect", f"127.0.0.1:{server.mqtt_port}", "-servername", "localhost",
            "-verify_hostname", "localhost", "-CAfile", server.root_ca, "-cert", str(device.certificate), "-key",
            str(device.key), *arguments,
        ],
        input="",
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return said.stdout + said.stderr


def chain_in(said: str, folder: Path) -> list[Path]:
    """Write the certificates in the output of -showcerts to files, the server's first."""
    files = []
    for number, pem in enumerate(re.findall("-----BEGIN.*?-----END CERTIFICATE-----\n", said, re.DOTALL)):
        file = folder / f"shown-{number}.pem"
        file.write_text(pem)
        files.append(file)
    return files


def test_the_server_s_chain_leads_to_its_root_file(
    server: RunningServer, device: CertificateFiles, tmp_path: Path
) -> None:
    said = s_client(server, device, "-showcerts")
    assert "Verify return code: 0 (ok)" in said
    leaf, *intermediates = chain_in(said, tmp_path)
    assert intermediates, "the intermediate is part of what the server shows"
    untrusted = [argument for file in intermediates for argument in ("-untrusted", file)]
    assert "OK" in openssl("verify", "-CAfile", server.root_ca, *untrusted, leaf)
    assert "DNS:localhost" in openssl("x509", "-in", leaf, "-noout", "-ext", "subjectAltName")
    # The root file is necessary: a device needs only the root, but the server's certificate is not signed by it.
    with pytest.raises(subprocess.CalledProcessError):
        openssl("verify", "-CAfile", server.root_ca, leaf)


def test_the_server_names_no_ca_in_its_request_for_a_client_certificate(
    server: RunningServer, device: CertificateFiles
) -> None:
    assert "No client certificate CA names sent" in s_client(server, device)


@pytest.mark.parametrize(("option", "version"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_tls_1_2_and_1_3_are_supported(
    server: RunningServer, device: CertificateFiles, option: str, version: str
) -> None:
    said = s_client(server, device, option)
    assert f"New, {version}" in said
    assert "Verification: OK" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("-tls1_2", "-sigalgs", "RSA+SHA256:RSA+SHA384:RSA+SHA512"),
        ("-tls1_3", "-sigalgs", "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256"),
    ],
)
def test_a_client_with_rsa_only_gets_an_rsa_chain_that_leads_to_the_same_file(
    server: RunningServer, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    said = s_client(server, new_self_signed(tmp_path, kind="RSA-2048"), "-showcerts", *arguments)
    assert "Verification: OK" in said, said
    chain = chain_in(said, tmp_path)
    text = openssl("x509", "-in", chain[0], "-noout", "-text")
    assert "Public Key Algorithm: rsaEncryption" in text
    assert "Public-Key: (2048 bit)" in text
    # No certificate of the chain may need ECDSA, because such a client could not verify it.
    for file in chain:
        assert "ecdsa" not in openssl("x509", "-in", file, "-noout", "-text").lower()


def test_a_client_with_ecdsa_gets_p_256(server: RunningServer, device: CertificateFiles, tmp_path: Path) -> None:
    for arguments in ((), ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")):
        chain = chain_in(s_client(server, device, "-showcerts", *arguments), tmp_path)
        assert "ASN1 OID: prime256v1" in openssl("x509", "-in", chain[0], "-noout", "-text")


def signed_by_own_ca(kind: str) -> Callable[[Path], CertificateFiles]:
    def make(folder: Path) -> CertificateFiles:
        return new_device(folder, new_ca(folder), kind=kind)

    return make


def rsa_pss(folder: Path) -> CertificateFiles:
    """Make a key that may be used with PSS only (id-RSASSA-PSS): TLS 1.3."""
    key, certificate = folder / "pss.key", folder / "pss.crt"
    openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    openssl("req", "-x509", "-new", "-key", key, "-days", "30", "-out", certificate, "-subj", "/CN=pss")
    return CertificateFiles(key, certificate)


def version_1(folder: Path) -> CertificateFiles:
    """Make a certificate without extensions, with any version of openssl."""
    ca = new_ca(folder)
    key, request, certificate = folder / "v1.key", folder / "v1.csr", folder / "v1.crt"
    new_key(key, "P-256")
    openssl("req", "-new", "-key", key, "-out", request, "-subj", "/CN=v1")
    no_extensions = folder / "none.cnf"
    no_extensions.write_text("[none]\nsubjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n")
    openssl(
        "x509", "-req", "-in", request, "-CA", ca.certificate, "-CAkey", ca.key, "-CAcreateserial", "-days", "30",
        "-out", certificate, "-extfile", no_extensions, "-extensions", "none",
    )  # fmt: skip
    return CertificateFiles(key, certificate)


def with_ca_in_the_chain(folder: Path) -> CertificateFiles:
    """Write leaf and CA to one file, as JITR recipes do."""
    ca = new_ca(folder)
    alone = new_device(folder, ca)
    chain = folder / "chain.crt"
    chain.write_text(alone.pem + ca.pem)
    return CertificateFiles(alone.key, chain)


TLS_1_2_AND_1_3 = ("-tls1_2", "-tls1_3")


@pytest.mark.parametrize(
    ("make", "versions"),
    [
        pytest.param(signed_by_own_ca("RSA-2048"), TLS_1_2_AND_1_3, id="RSA-2048"),
        pytest.param(signed_by_own_ca("RSA-3072"), TLS_1_2_AND_1_3, id="RSA-3072"),
        pytest.param(signed_by_own_ca("RSA-4096"), TLS_1_2_AND_1_3, id="RSA-4096"),
        pytest.param(signed_by_own_ca("P-256"), TLS_1_2_AND_1_3, id="P-256"),
        pytest.param(signed_by_own_ca("P-384"), TLS_1_2_AND_1_3, id="P-384"),
        pytest.param(signed_by_own_ca("P-521"), TLS_1_2_AND_1_3, id="P-521"),
        pytest.param(rsa_pss, ("-tls1_3",), id="RSA-PSS"),
        pytest.param(version_1, TLS_1_2_AND_1_3, id="X.509 v1"),
        pytest.param(new_self_signed, TLS_1_2_AND_1_3, id="self-signed"),
        pytest.param(with_ca_in_the_chain, TLS_1_2_AND_1_3, id="CA in the chain"),
    ],
)
@pytest.mark.usefixtures("device")
def test_every_kind_of_device_certificate_connects(
    server: RunningServer, tmp_path: Path, make: Callable[[Path], CertificateFiles], versions: tuple[str, ...]
) -> None:
    device_files = make(tmp_path)
    leaf = device_files.pem.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    iot = server.session().iot
    arn = iot.register_certificate_without_ca(certificatePem=leaf, status="ACTIVE")["certificateArn"]
    iot.attach_policy(policyName="anything", target=arn)
    for version in versions:
        speak(server, device_files, version)


def speak(server: RunningServer, device_files: CertificateFiles, version: str) -> None:
    """Publish with mosquitto over this TLS version, and check the acknowledgement."""
    said = subprocess.run(
        [
            require("mosquitto_pub"), "-h", "localhost", "-p", str(server.mqtt_port), "--cafile", server.root_ca,
            "--cert", str(device_files.certificate), "--key", str(device_files.key), "--tls-version",
            {"-tls1_2": "tlsv1.2", "-tls1_3": "tlsv1.3"}[version], "-t", "t1", "-m", "hello", "-q", "1", "-d",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )  # fmt: skip
    assert "received PUBACK" in said.stdout, f"{said.stdout}{said.stderr}\n{server.log()[-1000:]}"


def test_a_users_server_certificate_replaces_sekishos_own(tmp_path: Path) -> None:
    ca = new_ca(tmp_path, "HouseCA")
    key, request, certificate = tmp_path / "s.key", tmp_path / "s.csr", tmp_path / "s.crt"
    new_key(key, "P-384")
    openssl("req", "-new", "-key", key, "-out", request, "-subj", "/CN=localhost")
    names = tmp_path / "names.cnf"
    names.write_text("subjectAltName=DNS:localhost\n")
    openssl(
        "x509", "-req", "-in", request, "-CA", ca.certificate, "-CAkey", ca.key, "-CAcreateserial", "-days", "30",
        "-out", certificate, "-extfile", names,
    )  # fmt: skip
    chain = tmp_path / "chain.pem"
    chain.write_text(certificate.read_text() + ca.pem)

    server = RunningServer(tmp_path / "data", "--server-certificate", str(chain), "--server-key", str(key)).start()
    try:
        clients = server.session()
        device_files = new_self_signed(tmp_path)
        register(clients, device_files, allow(clients.iot, "anything"))
        server.run["root_ca"] = str(ca.certificate)
        with Device(server, device_files, "sensor", version=V311) as sensor:
            sensor.publish("t1", "hello", 1)
        assert "subject=CN = localhost" in s_client(server, device_files)
    finally:
        server.stop()
