"""Reads what is written under annotated names; Python itself keeps no such docstring."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import pairwise


def below_names(body: Sequence[ast.stmt]) -> dict[str, str]:
    """The text under each annotated name of a class or module body that has one."""
    found = {}
    for statement, following in pairwise(body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = text.replace("``", "`")
    return found
