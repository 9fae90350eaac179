"""The modules of the Rust crates that are held to it import one another without a circle.

A circle keeps every module of it from being tested or changed without the others. Python's import-linter does not read
Rust, so the ``use`` lines are read here. Code of tests is not part of the graph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CRATES = Path(__file__).parents[2] / "crates"
WITHOUT_CIRCLE = ["gateway"]

_TESTS = re.compile(r"^#\[cfg\(test\)\]\n(pub )?mod (\w+)( \{.*\Z|;)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"//.*")
_PATH = re.compile(r"\b((?:crate|self|super)(?:::\w+)*)(?:::\{([^}]*))?")


def _modules(source: Path) -> Mapping[str, str]:
    """The code of each module by its path, such as ``bridge::events``; test modules left out."""
    texts = {}
    tests = set()
    for file in sorted(source.rglob("*.rs")):
        parts = file.relative_to(source).with_suffix("").parts
        name = "::".join(part for part in parts if part not in ("lib", "mod"))
        text = file.read_text(encoding="utf-8")
        tests |= {f"{name}::{found[2]}".removeprefix("::") for found in _TESTS.finditer(text) if found[3] == ";"}
        texts[name] = _COMMENT.sub("", _TESTS.sub("", text))
    return {name: text for name, text in texts.items() if name not in tests}


def _used(name: str, text: str, modules: Set[str]) -> Set[str]:
    """The modules that the paths in a module's code lead to: of each the longest that is a module."""
    found = set()
    for path, group in _PATH.findall(text):
        for item in group.split(",") if group else [""]:
            found.add(_module([*path.split("::"), *item.strip().split("::")], name.split("::"), modules))
    return found - {name, ""}


def _module(path: list[str], own: list[str], modules: Set[str]) -> str:
    absolute = [] if path[0] == "crate" else list(own)
    for segment in path:
        if segment == "super":
            absolute.pop()
        elif segment not in ("crate", "self", ""):
            absolute.append(segment)
    while absolute and "::".join(absolute) not in modules:
        absolute.pop()
    return "::".join(absolute)


def _graph(source: Path) -> Mapping[str, Set[str]]:
    modules = _modules(source)
    return {name: _used(name, text, modules.keys()) for name, text in modules.items() if name}


@pytest.mark.parametrize("crate", WITHOUT_CIRCLE)
def test_modules_have_no_circle(crate: str) -> None:
    try:
        TopologicalSorter(_graph(CRATES / crate / "src")).prepare()
    except CycleError as error:
        pytest.fail(f"these modules of {crate} import one another in a circle: {' <- '.join(error.args[1])}")


def test_the_graph_is_that_of_the_use_lines() -> None:
    graph = _graph(CRATES / "gateway" / "src")
    assert "testing" not in graph
    assert not any(name.startswith("bridge::tests") for name in graph)
    assert graph["realm_name"] == set()
    assert {"bridge::events", "principals", "realms", "admitted"} <= graph["admission"]
    assert {"bridge::admissions", "bridge::events", "fair_queue"} <= graph["bridge"]


def test_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "lib.rs").write_text("pub mod one;\npub mod two;\n")
    (tmp_path / "one.rs").write_text("use crate::{two::{Two, Other}, other};\n")
    (tmp_path / "two").mkdir()
    (tmp_path / "two.rs").write_text(
        "mod three;\nuse self::three::Three;\n#[cfg(test)]\nmod tests {\nuse crate::lib;\n}\n"
    )
    (tmp_path / "two" / "three.rs").write_text("fn of(one: &super::super::one::One) {}\n")
    graph = _graph(tmp_path)
    assert graph == {"one": {"two"}, "two": {"two::three"}, "two::three": {"one"}}
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()
