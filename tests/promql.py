"""Reads which metrics and labels a PromQL query names.

Not a parser of the grammar: it separates the words of a query by their place, which is enough to find each name, and
raises for characters that it does not know. `promtool` and Prometheus check the grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<range>\[[^\]]*\])
    | (?P<number>\d[\w.]*)
    | (?P<name>[a-zA-Z_:][\w:]*)
    | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},])
    )""",
    re.VERBOSE,
)
_GROUPING: Final = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS: Final = {"and", "or", "unless", "bool", "offset", "inf", "nan", *_GROUPING}


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on a label: ``label`` ``sign`` ``"text"``."""

    label: str
    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric that a query reads."""

    metric: str
    matchers: tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """The names in a query."""

    selectors: list[Selector] = field(default_factory=list)
    grouped_by: set[str] = field(default_factory=set)
    """Labels after ``by``, ``without``, ``on``, ``ignoring``, ``group_left`` and ``group_right``."""


def read(query: str) -> Query:
    """Return the names in a query. Raises ValueError."""
    tokens = list(_tokens(query))
    found = Query()
    at = 0
    while at < len(tokens):
        kind, token = tokens[at]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        at += 1
        if token == "{":
            raise ValueError(f"a selector without a metric's name: {query}")
        if kind != "name":
            continue
        if token in _GROUPING and following == "(":
            end = tokens.index(("sign", ")"), at)
            found.grouped_by.update(name for kind, name in tokens[at:end] if kind == "name")
            at = end + 1
        elif token not in _WORDS and following == "{":
            end = tokens.index(("sign", "}"), at)
            found.selectors.append(Selector(token, _matchers(tokens[at + 1 : end])))
            at = end + 1
        elif token not in _WORDS and following != "(" and not _is_aggregation(tokens, at):
            found.selectors.append(Selector(token, ()))
    return found


def _is_aggregation(tokens: list[tuple[str, str]], at: int) -> bool:
    """Whether the name before ``at`` is that of ``sum by (label) (...)``."""
    return at < len(tokens) and tokens[at][1] in ("by", "without")


def _matchers(tokens: list[tuple[str, str]]) -> tuple[Matcher, ...]:
    tokens = [token for token in tokens if token != ("sign", ",")]
    if len(tokens) % 3:
        raise ValueError(f"not a list of matchers: {tokens}")
    return tuple(
        Matcher(label, sign, text.strip('"'))
        for (_, label), (_, sign), (_, text) in zip(tokens[::3], tokens[1::3], tokens[2::3], strict=True)
    )


def _tokens(query: str) -> list[tuple[str, str]]:
    tokens = []
    at = 0
    query = query.strip()
    while at < len(query):
        match = _TOKEN.match(query, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"unknown characters at {at}: {query}")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return tokens
