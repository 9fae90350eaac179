"""Make the links of the README absolute in a wheel and a source distribution, where the repository's files are missing.

    python -m scripts.long_description FILE...

The links lead to the tag of the version, below the URL that pyproject.toml names ``Repository``. The files are
replaced; in a wheel the hash in RECORD is renewed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)\s]+)\)")


def base_url() -> str:
    """Return the URL below which the files of this version are, without a slash at its end."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['urls']['Repository']}/blob/v{project['version']}"


def absolute(text: str, base: str) -> str:
    """Return Markdown with its links to files below ``base``. Links to headings and to other sites stay."""

    def link(match: re.Match[str]) -> str:
        image, label, target = match.groups()
        return f"{image}[{label}]({base}/{target})"

    return _LINK.sub(link, text)


def rewrite_wheel(file: Path, base: str) -> None:
    """Replace the description in a wheel's METADATA."""
    with zipfile.ZipFile(file) as wheel:
        contents = [(member, wheel.read(member)) for member in wheel.infolist()]
    [metadata] = [member.filename for member, _ in contents if member.filename.endswith(".dist-info/METADATA")]
    described = absolute({member.filename: data for member, data in contents}[metadata].decode(), base).encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(described).digest()).rstrip(b"=").decode()
    replacement = file.with_suffix(".new")
    with zipfile.ZipFile(replacement, "w") as wheel:
        for member, data in contents:
            if member.filename == metadata:
                data = described
            elif member.filename.endswith(".dist-info/RECORD"):
                rows = list(csv.reader(io.StringIO(data.decode())))
                record = io.StringIO()
                csv.writer(record, lineterminator="\n").writerows(
                    [name, f"sha256={digest}", len(described)] if name == metadata else [name, *rest]
                    for name, *rest in rows
                )
                data = record.getvalue().encode()
            wheel.writestr(member, data)
    replacement.replace(file)


def rewrite_sdist(file: Path, base: str) -> None:
    """Replace the README and the description in PKG-INFO of a source distribution."""
    replacement = file.with_suffix(".new")
    with tarfile.open(file) as old, tarfile.open(replacement, "w:gz") as new:
        for member in old:
            data = old.extractfile(member).read() if member.isfile() else b""  # type: ignore[union-attr]
            if member.name.partition("/")[2] in ("README.md", "PKG-INFO"):
                data = absolute(data.decode(), base).encode()
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    replacement.replace(file)


def main() -> None:
    """Rewrite the files that the arguments name."""
    for name in sys.argv[1:]:
        file = Path(name)
        (rewrite_wheel if file.suffix == ".whl" else rewrite_sdist)(file, base_url())


if __name__ == "__main__":
    main()
