"""The modules of a Rust crate and what each uses of the others, read from its source text.

Understands only enough of Rust for one question: does a module reach itself through `use` and `crate::` paths?
Follows re-exports to the file that defines a name. Skips unit tests (`#[cfg(test)] mod ...`) and comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

Name = tuple[str, ...]
"""The path of a module from the root of its crate, which is ()."""

NOT_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|r(?P<hashes>#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'""", re.DOTALL
)
TEST_MODULE = re.compile(r"#\[cfg\(test\)\]\s*mod\s+\w+\s*\{")
USE = re.compile(r"(?P<public>\bpub(?:\([^)]*\))?\s+)?\buse\s+(?P<tree>[^;]+);")
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


def cycles(source: Path) -> list[list[str]]:
    """Return the groups of modules that use one another, each sorted, as paths relative to the folder `source`."""
    modules = {_module(path.relative_to(source)): path for path in sorted(source.rglob("*.rs"))}
    code = {module: _code(path.read_text(encoding="utf-8")) for module, path in modules.items()}
    exports = {module: _exports(text) for module, text in code.items()}
    uses = {
        module: {found for path in _paths(text) if (found := _definer(module, path, exports)) not in (None, module)}
        for module, text in code.items()
    }
    reached = {module: _reached(module, uses) for module in modules}
    circles = {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in modules
        if module in reached[module]
    }
    return sorted(sorted(modules[module].relative_to(source).as_posix() for module in circle) for circle in circles)


def _module(path: Path) -> Name:
    parts = path.with_suffix("").parts
    return parts[:-1] if parts[-1] in ("lib", "main", "mod") else parts


def _code(text: str) -> str:
    """Return the text without comments, literals and unit tests."""
    text = NOT_CODE.sub(" ", text)
    while test := TEST_MODULE.search(text):
        depth, end = 1, test.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        text = text[: test.start()] + text[end:]
    return text


def _tree(tree: str) -> Iterator[tuple[Name, str]]:
    """Yield each path of a use tree and the name that it binds: `a::{b, c as d}` gives a::b with b and a::c with d."""
    tree = tree.strip()
    prefix, brace, rest = tree.partition("{")
    if not brace:
        path, _, alias = tree.partition(" as ")
        parts = tuple(part.strip() for part in path.split("::") if part.strip())
        if parts and parts[-1] == "self":
            parts = parts[:-1]
        if parts:
            yield parts, alias.strip() or parts[-1]
        return
    depth, start = 0, 0
    inner = rest.rpartition("}")[0]
    for position, character in enumerate(inner + ","):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            if item := inner[start:position].strip():
                yield from _tree(prefix.strip() + item)
            start = position + 1


def _exports(text: str) -> dict[str, Name]:
    return {name: path for use in USE.finditer(text) if use["public"] for path, name in _tree(use["tree"])}


def _paths(text: str) -> Iterator[Name]:
    for use in USE.finditer(text):
        for path, _ in _tree(use["tree"]):
            yield path
    for path in PATH.findall(USE.sub(" ", text)):
        yield tuple(path.split("::"))


def _definer(module: Name, path: Name, exports: dict[Name, dict[str, Name]], depth: int = 0) -> Name | None:
    """Return the module that defines what `path` means within `module`; None for a name of another crate."""
    at = module
    first, *rest = path
    if first == "crate":
        at = ()
    elif first == "super":
        at = module[:-1]
    elif first != "self":
        if (*module, first) not in exports:
            return None
        rest = [first, *rest]
    for name in rest:
        if (*at, name) in exports:
            at = (*at, name)
        elif name == "super":
            at = at[:-1]
        elif name in exports[at] and depth < len(exports):
            return _definer(at, exports[at][name], exports, depth + 1)
        else:
            break
    return at


def _reached(module: Name, uses: dict[Name, set[Name]]) -> set[Name]:
    reached: set[Name] = set()
    waiting = [module]
    while waiting:
        for other in uses[waiting.pop()]:
            if other not in reached:
                reached.add(other)
                waiting.append(other)
    return reached
