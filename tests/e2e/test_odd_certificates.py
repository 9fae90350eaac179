"""A registered certificate can connect: odd encodings, and every kind of key, over TLS 1.2 and 1.3.

The reference is OpenSSL, through Python's ``ssl``.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.serialization import load_der_public_key

from sekisho.pki import der, pem
from tests.der import A_CA, attribute, certificate, name, spki
from tests.e2e.certificate_files import CertificateFiles, openssl
from tests.e2e.devices import WITHIN, allow
from tests.e2e.running_server import RunningServer
from tests.odd_certificates import ODD, Odd
from tests.x509 import p256

CA_KEY = p256()
CA_NAME = name(attribute(b"Odd CA"))
CA_PEM = pem.write(pem.CERTIFICATE, certificate(CA_KEY, CA_NAME, CA_NAME, spki(CA_KEY), extensions=[A_CA]))

BOTH = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(scope="module", autouse=True)
def trusted(server: RunningServer) -> None:
    """Register a CA that registers automatically, and a policy that allows everything."""
    iot = server.session().iot
    allow(iot, "anything")
    iot.register_ca_certificate(
        caCertificate=CA_PEM, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )


def connects(
    server: RunningServer, device_files: CertificateFiles, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> bool:
    """Return whether the server answers an MQTT CONNECT with a CONNACK that accepts it."""
    context = ssl.create_default_context(cafile=server.root_ca)
    # OpenSSL's own minimum sizes are not tested here.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(device_files.certificate, device_files.key)
    connect = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04odd1"
    with (
        suppress(ConnectionError, ssl.SSLError, TimeoutError),
        socket.create_connection(("127.0.0.1", server.mqtt_port), WITHIN) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(connect)
        return wrapped.recv(4) == b"\x20\x02\x00\x00"
    return False


def written(folder: Path, made: bytes, key_pem: str) -> CertificateFiles:
    device_files = CertificateFiles(folder / "odd.key", folder / "odd.pem")
    device_files.key.write_text(key_pem)
    device_files.certificate.write_text(pem.write(pem.CERTIFICATE, made))
    return device_files


def generated(folder: Path, *options: str) -> tuple[str, bytes]:
    """Generate a key with OpenSSL; returns PEM and SubjectPublicKeyInfo."""
    key, public = folder / "key.pem", folder / "public.der"
    openssl("genpkey", *options, "-out", key)
    openssl("pkey", "-in", key, "-pubout", "-outform", "DER", "-out", public)
    return key.read_text(), public.read_bytes()


@pytest.mark.parametrize(
    "odd", [pytest.param(odd, id=what) for what, odd in ODD.items() if odd.openssl and not odd.refusal]
)
def test_a_certificate_that_openssl_verifies_registers_at_its_first_connection_and_is_accepted(
    server: RunningServer, tmp_path: Path, odd: Odd
) -> None:
    key_pem, public = generated(tmp_path, "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    made = odd.make(CA_KEY, CA_NAME, public)
    device_files = written(tmp_path, made, key_pem)
    certificate_id = hashlib.sha256(made).hexdigest()
    iot = server.session().iot
    assert not connects(server, device_files)
    refused = server.wait_for_refusal(certificate_id=certificate_id)
    assert refused["reason"] == "DEVICE_CERTIFICATE_PENDING_ACTIVATION"
    described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    iot.attach_policy(policyName="anything", target=described["certificateArn"])
    for version in BOTH:
        assert connects(server, device_files, version)


def _rsa(bits: int, exponent: int = 65537) -> list[str]:
    return ["-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}", "-pkeyopt", f"rsa_keygen_pubexp:{exponent}"]


def _pss(*restrictions: str) -> list[str]:
    options = ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]
    return options + [word for restriction in restrictions for word in ("-pkeyopt", restriction)]


def _ec(curve: str, *more: str) -> list[str]:
    return ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", *more]


TAKEN = {
    "RSA-2048": _rsa(2048),
    "RSA-3072": _rsa(3072),
    "RSA, exponent 3": _rsa(2048, 3),
    "RSA, exponent of 33 bits": _rsa(2048, 2**32 + 15),
    "RSA-PSS": _pss(),
    "RSA-PSS for SHA-256": _pss(
        "rsa_pss_keygen_md:sha256", "rsa_pss_keygen_mgf1_md:sha256", "rsa_pss_keygen_saltlen:32"
    ),
    "RSA-PSS for SHA-512": _pss(
        "rsa_pss_keygen_md:sha512", "rsa_pss_keygen_mgf1_md:sha512", "rsa_pss_keygen_saltlen:64"
    ),
    "P-256": _ec("P-256"),
    "P-384": _ec("P-384"),
    "P-521": _ec("P-521"),
}
REFUSED = {
    "RSA-1024": (_rsa(1024), "an RSA key of 1024 bits; allowed are RSA of 2048 bits and more"),
    "RSA, exponent of 34 bits": (_rsa(2048, 2**33 + 17), "with a public exponent of 34 bits; this server verifies"),
    "RSA-PSS for SHA-1": (
        _pss("rsa_pss_keygen_md:sha1", "rsa_pss_keygen_mgf1_md:sha1", "rsa_pss_keygen_saltlen:20"),
        "whose parameters allow none of TLS's signatures",
    ),
    "written out curve": (_ec("P-256", "-pkeyopt", "ec_param_enc:explicit"), "TLS needs a named curve"),
    "secp256k1": (_ec("secp256k1"), "an EC key on the curve secp256k1; allowed are"),
    "brainpool": (_ec("brainpoolP256r1"), "an EC key on the curve brainpoolP256r1; allowed are"),
    "SM2": (_ec("SM2"), "; allowed are"),
    "Ed25519": (["-algorithm", "ED25519"], "a key of the kind Ed25519; allowed are"),
    "Ed448": (["-algorithm", "ED448"], "a key of the kind Ed448; allowed are"),
}


def made_for(public: bytes, number: int = 17) -> bytes:
    """Make a certificate of the CA for a key."""
    return certificate(CA_KEY, CA_NAME, name(attribute(b"key")), public, serial=bytes((number,)))


@pytest.mark.parametrize("options", TAKEN.values(), ids=TAKEN)
def test_a_certificate_with_a_registered_kind_of_key_connects(
    server: RunningServer, tmp_path: Path, options: list[str]
) -> None:
    key_pem, public = generated(tmp_path, *options)
    device_files = written(tmp_path, made_for(public), key_pem)
    iot = server.session().iot
    arn = iot.register_certificate(certificatePem=device_files.pem, setAsActive=True)["certificateArn"]
    iot.attach_policy(policyName="anything", target=arn)
    # rustls names no scheme for RSA-PSS keys in a CertificateRequest of TLS 1.2.
    versions = BOTH[1:] if "RSA-PSS" in options else BOTH
    assert all(connects(server, device_files, version) for version in versions)


def _refused_everywhere(server: RunningServer, public: bytes, words: str) -> None:
    iot = server.session().iot
    text = pem.write(pem.CERTIFICATE, made_for(public))
    for register in (iot.register_certificate, iot.register_certificate_without_ca):
        with pytest.raises(ClientError) as refused:
            register(certificatePem=text)
        assert refused.value.response["Error"]["Code"] == "CertificateValidationException"
        assert words in str(refused.value)


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)
def test_a_key_that_cannot_connect_is_not_registered_and_the_gateway_logs_the_reason(
    server: RunningServer, tmp_path: Path, options: list[str], words: str
) -> None:
    key_pem, public = generated(tmp_path, *options)
    _refused_everywhere(server, public, words)
    device_files = written(tmp_path, made_for(public), key_pem)
    if options[1] in ("ED448", "RSA-PSS") or options[-1].partition(":")[2] in ("SM2", "secp256k1", "brainpoolP256r1"):
        # OpenSSL finds no signature scheme for these, and sends no certificate.
        return
    with suppress(ssl.SSLError):
        assert not connects(server, device_files)
    refused = server.wait_for_refusal(certificate_id=device_files.certificate_id)
    assert refused["reason"] in ("DEVICE_CERTIFICATE_KEY_UNSUPPORTED", "DEVICE_CERTIFICATE_NOT_REGISTERED")
    assert words.partition(";")[0] in refused["detail"]


def test_keys_that_no_program_makes_are_refused(server: RunningServer) -> None:
    rsa_encryption = der.sequence(der.object_identifier("1.2.840.113549.1.1.1"), der.NULL)
    modulus = (1 << 2047) + 12345

    def key(n: int, e: int) -> bytes:
        return der.sequence(rsa_encryption, der.bit_string(der.sequence(der.integer(n), der.integer(e))))

    point = spki(p256())
    dsa = der.sequence(der.sequence(der.object_identifier("1.2.840.10040.4.1")), der.bit_string(der.integer(5)))
    unknown = der.sequence(der.sequence(der.object_identifier("1.2.3.4")), der.bit_string(b"x"))
    for public, words in (
        (key((1 << 16383) + 1, 65537), "an RSA key of 16384 bits; this server verifies clients with up to 8192 bits"),
        (key(modulus, 1), "whose public exponent is no odd number from 3 on"),
        (key(modulus, 65536), "whose public exponent is no odd number from 3 on"),
        (key(modulus + 1, 65537), "that is no RSA key"),
        (point[:-1] + bytes((point[-1] ^ 1,)), "whose point is not on the curve"),
        (point[:-65] + bytes((6 + point[-1] % 2,)) + point[-64:], "not in a form that TLS takes"),
        (dsa, "a key of the kind DSA; allowed are"),
        (unknown, "a key of the unknown algorithm 1.2.3.4"),
    ):
        _refused_everywhere(server, public, words)


def test_an_rsa_key_without_parameters_and_a_compressed_point_connect(server: RunningServer, tmp_path: Path) -> None:
    iot = server.session().iot
    key_pem, public = generated(tmp_path, *_rsa(2048))
    bare = der.sequence(der.sequence(der.object_identifier("1.2.840.113549.1.1.1")), public[19:])
    assert load_der_public_key(bare) == load_der_public_key(public)
    device_files = written(tmp_path, made_for(bare, 18), key_pem)
    arn = iot.register_certificate(certificatePem=device_files.pem, setAsActive=True)["certificateArn"]
    iot.attach_policy(policyName="anything", target=arn)
    assert [connects(server, device_files, version) for version in BOTH] == [True, True]
    (folder := tmp_path / "ec").mkdir()
    key_pem, _ = generated(folder, *_ec("P-256"))
    openssl("ec", "-in", folder / "key.pem", "-pubout", "-conv_form", "compressed", "-outform", "DER", "-out",
            folder / "public.der")  # fmt: skip
    public = (folder / "public.der").read_bytes()
    assert public[-33] in (2, 3)
    device_files = written(folder, made_for(public, 19), key_pem)
    arn = iot.register_certificate(certificatePem=device_files.pem, setAsActive=True)["certificateArn"]
    iot.attach_policy(policyName="anything", target=arn)
    # In TLS 1.2 OpenSSL does not offer a certificate of a compressed point.
    assert connects(server, device_files, ssl.TLSVersion.TLSv1_3)
