"""The Rust module is reached through sekisho.gateway, the composition root and the reader of certificates alone.

import-linter reads Python sources and does not see a built extension, so this arrow is held here; the others are import
contracts in pyproject.toml.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python" / "sekisho"
# Decision 0011 says why the reader is one of them.
MAY = {
    Path("app.py"),
    Path("pki/reader.py"),
    *(path.relative_to(PACKAGE) for path in (PACKAGE / "gateway").glob("*.py")),
}
OTHERS = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE) not in MAY)


@pytest.mark.parametrize("module", OTHERS, ids=str)
def test_the_rust_module_is_not_imported(module: Path) -> None:
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [f"{node.module}.{alias.name}" for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not {name for name in imported if name.startswith("sekisho._sekisho")}


def test_there_is_something_to_check() -> None:
    assert Path("registry/certificates.py") in OTHERS
