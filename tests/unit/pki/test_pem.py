"""Reading PEM as people paste it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sekisho.pki import pem
from sekisho.pki.certificate import X509Certificate
from sekisho.pki.pem import PemError
from tests.x509 import KeyAndCertificate, new_ca, new_device, new_request, openssl


@pytest.fixture(scope="module")
def device() -> KeyAndCertificate:
    return new_device(new_ca(), "MyDevice")


def refusal(text: str) -> str:
    with pytest.raises(PemError) as error:
        X509Certificate.from_pem(text)
    return str(error.value)


def test_text_around_the_armour_is_skipped(device: KeyAndCertificate, tmp_path: Path) -> None:
    (tmp_path / "d.crt").write_text(device.pem)
    (tmp_path / "d.key").write_text(device.key_pem)
    as_text = openssl("x509", "-in", "d.crt", "-text", cwd=tmp_path)
    assert "Signature Algorithm" in as_text
    openssl(
        "pkcs12", "-export", "-in", "d.crt", "-inkey", "d.key", "-passout", "pass:x", "-name", "関所", "-out", "d.p12",
        cwd=tmp_path,
    )  # fmt: skip
    with_bag_attributes = openssl("pkcs12", "-in", "d.p12", "-passin", "pass:x", "-nokeys", cwd=tmp_path)
    assert "Bag Attributes" in with_bag_attributes
    for text in (as_text, with_bag_attributes):
        assert X509Certificate.from_pem(text).der == device.der


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.strip(),
        lambda text: text.replace("\n", " "),
        lambda text: "\n".join("   " + line + "  " for line in text.splitlines()),
        lambda text: text.replace("CERTIFICATE", "X509 CERTIFICATE"),
    ],
    ids=["crlf", "cr", "byte order mark", "no last line end", "one line", "indented", "old label"],
)
def test_line_ends_and_line_lengths_do_not_matter(device: KeyAndCertificate, change: object) -> None:
    text = change(device.pem)  # type: ignore[operator]
    certificate = X509Certificate.from_pem(text)
    assert certificate.der == device.der
    assert certificate.pem == device.pem


def test_pem_is_written_as_openssl_writes_it(device: KeyAndCertificate, tmp_path: Path) -> None:
    (tmp_path / "d.crt").write_text(device.pem)
    assert pem.write("CERTIFICATE", device.der) == openssl("x509", "-in", "d.crt", cwd=tmp_path)


def test_two_certificates_are_refused_and_named(device: KeyAndCertificate) -> None:
    message = refusal(device.pem + new_ca("AnotherCA").pem)
    assert "contains 2 objects, where one is wanted" in message
    assert "1: CN=MyDevice; 2: CN=AnotherCA" in message


@pytest.mark.parametrize("form", ["PKCS #8", "SEC 1", "encrypted", "beside its certificate", "cut off"])
def test_a_private_key_is_refused_and_never_repeated(device: KeyAndCertificate, tmp_path: Path, form: str) -> None:
    (tmp_path / "d.key").write_text(device.key_pem)
    text = {
        "PKCS #8": lambda: device.key_pem,
        "SEC 1": lambda: openssl("ec", "-in", "d.key", "-no_public", cwd=tmp_path),
        "encrypted": lambda: openssl("pkey", "-in", "d.key", "-aes256", "-passout", "pass:x", cwd=tmp_path),
        "beside its certificate": lambda: device.pem + device.key_pem,
        "cut off": lambda: device.key_pem[:120],
    }[form]()
    message = refusal(text)
    assert "contains a private key" in message
    for line in device.key_pem.splitlines()[1:-1]:
        assert line not in message


def test_a_private_key_with_the_label_of_a_certificate_is_refused_and_never_repeated(device: KeyAndCertificate) -> None:
    message = refusal(device.key_pem.replace("PRIVATE KEY", "CERTIFICATE"))
    assert message == "The text is labelled CERTIFICATE and contains a private key."


def test_other_objects_are_refused_with_what_to_do(device: KeyAndCertificate, tmp_path: Path) -> None:
    (tmp_path / "d.crt").write_text(device.pem)
    request = new_request(device.key)
    assert "a certificate signing request (CSR)" in refusal(request)
    assert "openssl x509 -req" in refusal(request)
    assert "contains a certificate signing request" in refusal(request.replace("CERTIFICATE REQUEST", "CERTIFICATE"))
    assert "a public key" in refusal(openssl("x509", "-in", "d.crt", "-noout", "-pubkey", cwd=tmp_path))
    bundle = openssl("crl2pkcs7", "-nocrl", "-certfile", "d.crt", cwd=tmp_path)
    assert "openssl pkcs7 -print_certs" in refusal(bundle)
    assert "trust settings" in refusal(openssl("x509", "-in", "d.crt", "-trustout", cwd=tmp_path))


def test_der_and_base64_without_armour_are_named(device: KeyAndCertificate) -> None:
    assert "binary (DER)" in refusal(device.der.decode("latin-1"))
    assert "binary (DER)" in refusal(device.der.decode("utf-8", errors="replace"))
    assert "base64 without PEM's armour" in refusal(base64.b64encode(device.der).decode())
    assert "base64 without PEM's armour" in refusal(base64.encodebytes(device.der).decode())


def test_the_message_describes_the_damage(device: KeyAndCertificate) -> None:
    text = device.pem
    lines = text.splitlines()
    assert "there is no line -----END CERTIFICATE-----" in refusal("\n".join(lines[:-1]))
    assert "there is no line -----END CERTIFICATE-----" in refusal(text.replace("END CERT", "END CART"))
    assert "The PEM armour is damaged" in refusal(text.replace("-----BEGIN", "----BEGIN"))
    assert "another object begins" in refusal("\n".join(lines[:3]) + "\n" + text)
    assert "announces" in refusal("\n".join([lines[0], *lines[1:4], lines[-1]]))
    assert "no whole number of bytes" in refusal("\n".join([lines[0], lines[1][:-1], *lines[2:]]))
    assert "characters that base64 does not have" in refusal(text.replace(lines[2], "%" + lines[2][1:]))
    assert "characters that base64 does not have" in refusal(text.replace(lines[2], "é" + lines[2][1:]))
    assert "nothing between" in refusal(f"{lines[0]}\n{lines[-1]}")
    assert "backslash and n" in refusal(text.replace("\n", "\\n"))
    assert "cannot be read" in refusal("\n".join([lines[0], "MAMCAQE=", lines[-1]]))


def test_text_that_is_not_pem_is_described() -> None:
    assert "the name of a file" in refusal("file://d.crt")
    assert "the name of a file" in refusal("./d.crt")
    assert "there are no lines -----BEGIN CERTIFICATE-----" in refusal("hello")
    assert "there are no lines -----BEGIN CERTIFICATE-----" in refusal("")


def test_a_certificate_is_not_a_signing_request(device: KeyAndCertificate) -> None:
    with pytest.raises(PemError, match=r"contains a certificate, where a certificate signing request \(CSR\)"):
        pem.read_certificate_request(device.pem)


def test_a_chain_keeps_its_order(device: KeyAndCertificate) -> None:
    ca = new_ca()
    assert pem.read_chain(device.pem + "between\n" + ca.pem) == [device.der, ca.der]
    with pytest.raises(PemError, match="no lines"):
        pem.read_chain("nothing")
