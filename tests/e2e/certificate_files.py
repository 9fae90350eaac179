"""Keys and certificates in files, made with the openssl command line as users do, X.509 v1 included."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests import x509
from tests.tools import require


@dataclass(frozen=True)
class CertificateFiles:
    """A private key and its certificate, in two files."""

    key: Path
    certificate: Path

    @property
    def pem(self) -> str:
        """The certificate in PEM."""
        return self.certificate.read_text()

    @property
    def certificate_id(self) -> str:
        """SHA-256 of the DER in hexadecimal, of the first certificate where the file contains a chain."""
        end = "-----END CERTIFICATE-----\n"
        leaf = self.pem.partition(end)[0] + end
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()


def openssl(*arguments: str | Path, stdin: str | None = None) -> str:
    """Run openssl and return its standard output."""
    command = [require("openssl"), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, input=stdin).stdout


def new_key(path: Path, kind: str = "RSA-2048") -> Path:
    """Generate a private key: RSA-<bits>, P-256, P-384, P-521."""
    if kind.startswith("RSA-"):
        openssl("genrsa", "-out", path, kind.removeprefix("RSA-"))
    else:
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{kind}", "-out", path)
    return path


def new_ca(folder: Path, name: str = "MyCA", kind: str = "P-256") -> CertificateFiles:
    """Make the article's CA."""
    stem = folder / f"ca-{name}-{len(list(folder.iterdir()))}"
    key = new_key(stem.with_suffix(".key"), kind)
    certificate = stem.with_suffix(".crt")
    openssl(
        "req", "-x509", "-new", "-nodes", "-key", key, "-sha256", "-days", "1024", "-out", certificate,
        "-subj", f"/CN={name}",
    )  # fmt: skip
    return CertificateFiles(key, certificate)


def new_device(
    folder: Path, ca: CertificateFiles, name: str = "MyDevice", kind: str = "P-256", *, days: int = 500
) -> CertificateFiles:
    """Make the article's device certificate: v1 on OpenSSL 3.0 and 3.1."""
    stem = folder / f"{name}-{len(list(folder.iterdir()))}"
    key = new_key(stem.with_suffix(".key"), kind)
    request, certificate = stem.with_suffix(".csr"), stem.with_suffix(".crt")
    openssl("req", "-new", "-key", key, "-out", request, "-subj", f"/CN={name}")
    openssl(
        "x509", "-req", "-in", request, "-CA", ca.certificate, "-CAkey", ca.key, "-CAcreateserial",
        "-out", certificate, "-days", str(days), "-sha256",
    )  # fmt: skip
    return CertificateFiles(key, certificate)


def new_server(folder: Path, ca: CertificateFiles, name: str) -> CertificateFiles:
    """Make a server certificate whose subjectAltName is the DNS name ``name``: ``s.key`` and ``s.crt``."""
    key, request, certificate = folder / "s.key", folder / "s.csr", folder / "s.crt"
    new_key(key, "P-256")
    openssl("req", "-new", "-key", key, "-out", request, "-subj", "/CN=gateway")
    names = folder / "names.cnf"
    names.write_text(f"subjectAltName=DNS:{name}\n")
    openssl(
        "x509", "-req", "-in", request, "-CA", ca.certificate, "-CAkey", ca.key, "-CAcreateserial", "-days", "30",
        "-out", certificate, "-extfile", names,
    )  # fmt: skip
    return CertificateFiles(key, certificate)


def new_self_signed(folder: Path, name: str = "SelfSigned", kind: str = "P-256") -> CertificateFiles:
    """Make a self-signed device certificate."""
    stem = folder / f"{name}-{len(list(folder.iterdir()))}"
    key = new_key(stem.with_suffix(".key"), kind)
    certificate = stem.with_suffix(".crt")
    openssl("req", "-x509", "-new", "-key", key, "-days", "30", "-out", certificate, "-subj", f"/CN={name}")
    return CertificateFiles(key, certificate)


def in_files(folder: Path, issued: x509.KeyAndCertificate, *chain: x509.KeyAndCertificate) -> CertificateFiles:
    """Write a certificate, its chain and its key to files, as clients read them."""
    stem = folder / f"device-{issued.certificate_id[:16]}-{len(chain)}"
    key, certificate = stem.with_suffix(".key"), stem.with_suffix(".crt")
    key.write_text(issued.key_pem)
    certificate.write_text("".join(each.pem for each in (issued, *chain)))
    return CertificateFiles(key, certificate)
