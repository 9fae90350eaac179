"""Dependencies that import-linter cannot see: those on the Rust module, and those of Rust modules on one another.

The Rust module is used only by sekisho.gateway, the server's start and the reader of certificates. The modules of a
crate do not use one another in a circle. The other rules are import contracts in pyproject.toml.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.unit.crate_modules import cycles

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "sekisho"
# Decision 0011 explains why the reader is one of them.
MAY = {
    Path("server/server.py"),
    Path("server/cannot_start.py"),
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


def test_there_are_modules_to_check() -> None:
    assert Path("certificates/rules.py") in OTHERS


CRATES = sorted([*(ROOT / "crates").iterdir(), ROOT / "bench" / "load"])


@pytest.mark.parametrize("crate", CRATES, ids=lambda crate: crate.name)
def test_the_modules_of_a_crate_do_not_use_one_another_in_a_circle(crate: Path) -> None:
    assert cycles(crate / "src") == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"lib.rs": "mod a; mod b;", "a.rs": "use crate::b::B;", "b.rs": "pub struct B;"}, []),
        (
            {
                "lib.rs": "mod a; mod b;",
                "a.rs": "use crate::b::B; pub struct A;",
                "b.rs": "use super::a::{A as X}; pub struct B;",
            },
            [["a.rs", "b.rs"]],
        ),
        # Through a name that the root exports, and through a path in the code.
        (
            {"lib.rs": "mod a; mod b; pub use b::B;", "a.rs": "use crate::B;", "b.rs": "pub fn b() { crate::a::f() }"},
            [["a.rs", "b.rs"]],
        ),
        # A constant of the root, which uses the module itself.
        ({"lib.rs": "mod a; use a::A; pub const N: u8 = 1;", "a.rs": "use crate::N;"}, [["a.rs", "lib.rs"]]),
        # A parent and its child.
        (
            {"lib.rs": "mod a;", "a.rs": "mod c; use c::C; pub struct A;", "a/c.rs": "use super::A;"},
            [["a.rs", "a/c.rs"]],
        ),
        # Comments, literals and unit tests do not count.
        (
            {
                "lib.rs": "mod a; mod b;",
                "a.rs": "use crate::b::B;",
                "b.rs": '// use crate::a;\nconst T: &str = "use crate::a;";\n'
                "#[cfg(test)]\nmod tests { fn f() { { use crate::a::A; } } }",
            },
            [],
        ),
    ],
)
def test_circles_are_found(tmp_path: Path, files: dict[str, str], expected: list[list[str]]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert cycles(tmp_path) == expected
