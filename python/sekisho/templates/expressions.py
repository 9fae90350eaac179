"""The functions of the template language: parses them to expressions, and evaluates those with parameters.

An expression gives a text or a list of texts. Which of them is needed is checked when the template is read, or when it
is evaluated, if only that determines what it gives. Values have a maximum length, because nested functions multiply it.
A text records which parameter each of its parts came from (``Traced``), for ``policy_text``.

Source: Developer Guide, provision-template; AWS CloudFormation User Guide for ``Fn::Sub``, which the former does not
describe completely.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol, TypeVar

from sekisho.templates.error import Place, TemplateError
from sekisho.templates.json_text import Node
from sekisho.templates.use import CERTIFICATE, CERTIFICATE_PARAMETERS, Use

MAX_LENGTH: Final = 65_536
"""Characters of a value."""

_SUBSTITUTE: Final = re.compile(r"\$\{(!?)([^{}]*)\}")
_FUNCTION_PREFIX: Final = "Fn::"
_MAX_INDEX_DIGITS: Final = 6

_T = TypeVar("_T")
Mapped = str | tuple[str, ...]
Mappings = Mapping[str, Mapping[str, Mapping[str, Mapped]]]


@dataclass(frozen=True, slots=True)
class Traced:
    """A text in parts, each with the name of the parameter that it is the value of; None: from the template itself."""

    parts: tuple[tuple[str, str | None], ...]

    def __len__(self) -> int:
        return sum(len(content) for content, _ in self.parts)

    def __str__(self) -> str:
        return "".join(content for content, _ in self.parts)

    def between(self, begin: int, end: int) -> Traced:
        """Return the characters from ``begin`` up to ``end``."""
        found = []
        position = 0
        for content, name in self.parts:
            cut = content[max(0, begin - position) : max(0, end - position)]
            if cut:
                found.append((cut, name))
            position += len(content)
        return Traced(tuple(found))


Result = Traced | tuple[Traced, ...]


class Expression(Protocol):
    """A part of a template that has a value when the parameters have values."""

    @property
    def place(self) -> Place: ...
    @property
    def gives(self) -> str:
        """``text``, ``list``, or ``either`` where only the evaluation determines it."""
        ...

    def value(self, parameters: Mapping[str, str]) -> Result:
        """Evaluate it. Raises TemplateError."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that the functions of a template may use."""

    declared: frozenset[str]
    mappings: Mappings
    template_use: Use = Use.DIRECT
    first_use: dict[str, Place] = field(default_factory=dict)
    """Parameter → the place of its first use; filled while the template is read."""

    def has(self, name: str) -> bool:
        """Return whether it is a parameter: declared, or supplied by the service."""
        return name in self.declared or name in self.template_use.supplied

    def use(self, name: str, place: Place) -> None:
        if not self.has(name):
            raise TemplateError(self._why_not(name), place)
        self.first_use.setdefault(name, place)

    def _why_not(self, name: str) -> str:
        use = self.template_use
        if name in CERTIFICATE_PARAMETERS:
            supplied = ", ".join(sorted(use.supplied)) or "none"
            return (
                f"the parameter {name} is not declared under Parameters. The service supplies it to templates of type "
                f"JITP; {use.value} is supplied {supplied}."
            )
        if name.startswith(CERTIFICATE):
            return (
                f"there is no parameter {_shown(name)}. Those of the certificate are "
                f"{_listed(sorted(CERTIFICATE_PARAMETERS))}."
            )
        return f"the parameter {_shown(name)} is not declared under Parameters. {_declared(self.declared)}"


def traced(expression: Expression, parameters: Mapping[str, str]) -> Traced:
    """Evaluate an expression that has to be a text. Raises TemplateError."""
    value = expression.value(parameters)
    if not isinstance(value, Traced):
        raise TemplateError("a string is needed here, and this gives a list.", expression.place)
    return value


def text(expression: Expression, parameters: Mapping[str, str]) -> str:
    """Evaluate an expression that has to be a text, to a plain string. Raises TemplateError."""
    return str(traced(expression, parameters))


def all_traced(expression: Expression, parameters: Mapping[str, str]) -> tuple[Traced, ...]:
    """Evaluate an expression that has to be a list. Raises TemplateError."""
    value = expression.value(parameters)
    if isinstance(value, Traced):
        raise TemplateError("a list is needed here, and this gives a string.", expression.place)
    return value


def texts(expression: Expression, parameters: Mapping[str, str]) -> tuple[str, ...]:
    """Evaluate an expression that has to be a list, to plain strings. Raises TemplateError."""
    return tuple(map(str, all_traced(expression, parameters)))


def unresolved(name: str, place: Place) -> TemplateError:
    """Make the error of a parameter without a value."""
    # AWS IoT's message begins with these two sentences, and tools compare them.
    reason = (
        f"The certificate's subject has no {name.removeprefix(CERTIFICATE)}"
        if name.startswith(CERTIFICATE)
        else "No value was given"
    )
    return TemplateError(
        f"Invalid registration template. Cannot resolve reference value: {{Ref={name}}}. "
        f"{reason}, and the parameter has no Default.",
        place,
    )


def is_function(node: Node) -> bool:
    """Return whether it is an object that the language reads as a function, valid or not."""
    return isinstance(node.value, Mapping) and any(is_function_name(name) for name in node.value)


def is_function_name(name: str) -> bool:
    """Return whether a member of this name is a function."""
    return name == "Ref" or name.startswith(_FUNCTION_PREFIX)


def read_text(node: Node, scope: Scope, what: str) -> Expression:
    """Read an expression of a text: a string, or a function. Raises TemplateError."""
    if isinstance(node.value, str):
        return Literal(node.value, node.place)
    if not is_function(node):
        raise TemplateError(f"{what} has to be a string or a function, not {node.kind}.", node.place)
    expression = read_function(node, scope)
    if expression.gives == "list":
        raise TemplateError(f"{what} has to be a string, and this function gives a list.", node.place)
    return expression


def read_texts(node: Node, scope: Scope, what: str) -> Expression:
    """Read an expression of a list: an array of strings and functions, or a function. Raises TemplateError."""
    if isinstance(node.value, tuple):
        items = tuple(read_text(each, scope, f"each of {what}") for each in node.value)
        return Array(items, node.place)
    if not is_function(node):
        raise TemplateError(f"{what} has to be an array or a function, not {node.kind}.", node.place)
    expression = read_function(node, scope)
    if expression.gives == "text":
        raise TemplateError(f"{what} has to be an array, and this function gives a string.", node.place)
    return expression


def read_function(node: Node, scope: Scope) -> Expression:
    """Read an object as a function. Raises TemplateError."""
    members = node.value
    if not isinstance(members, Mapping) or len(members) != 1:
        raise TemplateError(
            "a function stands alone in its object: it has one member, the function's name.", node.place
        )
    [(name, argument)] = members.items()
    match name:
        case "Ref":
            return _ref(argument, scope)
        case "Fn::Join":
            return _join(argument, scope)
        case "Fn::Select":
            return _select(argument, scope)
        case "Fn::Split":
            return _split(argument, scope)
        case "Fn::FindInMap":
            return _find_in_map(argument, scope)
        case "Fn::Sub":
            return _sub(argument, scope)
    raise TemplateError(
        f"there is no function {_shown(name)}. The functions are Ref, Fn::Join, Fn::Select, Fn::FindInMap, Fn::Split "
        "and Fn::Sub.",
        argument.name_place,
    )


@dataclass(frozen=True, slots=True)
class Literal:
    """A string without functions."""

    content: str
    place: Place
    gives: ClassVar[str] = "text"

    def value(self, parameters: Mapping[str, str]) -> Result:  # noqa: ARG002 - its value depends on no parameter
        return _constant(self.content)


@dataclass(frozen=True, slots=True)
class Array:
    """``[a, b]``"""

    items: tuple[Expression, ...]
    place: Place
    gives: ClassVar[str] = "list"

    def value(self, parameters: Mapping[str, str]) -> Result:
        return tuple(traced(item, parameters) for item in self.items)


@dataclass(frozen=True, slots=True)
class Ref:
    """``{"Ref": "Parameter"}``"""

    name: str
    place: Place
    gives: ClassVar[str] = "text"

    def value(self, parameters: Mapping[str, str]) -> Result:
        if self.name not in parameters:
            raise unresolved(self.name, self.place)
        return Traced(((parameters[self.name], self.name),))


@dataclass(frozen=True, slots=True)
class Join:
    """``{"Fn::Join": ["separator", [a, b]]}``"""

    separator: str
    items: Expression
    place: Place
    gives: ClassVar[str] = "text"

    def value(self, parameters: Mapping[str, str]) -> Result:
        items = all_traced(self.items, parameters)
        _require_length(len(self.separator) * len(items) + sum(map(len, items)), self.place)
        separator = _constant(self.separator)
        return _joined(part for number, item in enumerate(items) for part in ((separator, item) if number else (item,)))


@dataclass(frozen=True, slots=True)
class Select:
    """``{"Fn::Select": ["1", [a, b]]}``"""

    index: Expression
    items: Expression
    place: Place
    gives: ClassVar[str] = "text"

    def value(self, parameters: Mapping[str, str]) -> Result:
        items, index = all_traced(self.items, parameters), text(self.index, parameters)
        if not _is_index(index):
            raise TemplateError(f"the index of Fn::Select is a number, 0 or more, not {_shown(index)}.", self.place)
        if int(index) >= len(items):
            raise _no_item(index, len(items), self.place)
        return items[int(index)]


@dataclass(frozen=True, slots=True)
class Split:
    """``{"Fn::Split": ["|", "a|b"]}``"""

    delimiter: str
    source: Expression
    place: Place
    gives: ClassVar[str] = "list"

    def value(self, parameters: Mapping[str, str]) -> Result:
        source = traced(self.source, parameters)
        items, begin = [], 0
        for item in str(source).split(self.delimiter):
            items.append(source.between(begin, begin + len(item)))
            begin += len(item) + len(self.delimiter)
        return tuple(items)


@dataclass(frozen=True, slots=True)
class FindInMap:
    """``{"Fn::FindInMap": ["Map", "Top", "Second"]}``"""

    keys: tuple[Expression, Expression, Expression]
    mappings: Mappings
    place: Place
    gives: ClassVar[str] = "either"

    def value(self, parameters: Mapping[str, str]) -> Result:
        first, top, second = (text(key, parameters) for key in self.keys)
        mapping = _entry(self.mappings, first, "Mappings has", self.keys[0].place)
        section = _entry(mapping, top, f"the mapping {_shown(first)} has", self.keys[1].place)
        found = _entry(section, second, f"{_shown(top)} of the mapping {_shown(first)} has", self.keys[2].place)
        return _constant(found) if isinstance(found, str) else tuple(map(_constant, found))


@dataclass(frozen=True, slots=True)
class Sub:
    """``{"Fn::Sub": "${Parameter}-x"}`` or ``{"Fn::Sub": ["${a}-x", {"a": …}]}``"""

    pieces: tuple[Expression | str, ...]
    """Texts and parameters as expressions, and the names of ``variables``, in their order."""
    variables: Mapping[str, Expression]
    place: Place
    gives: ClassVar[str] = "text"

    def value(self, parameters: Mapping[str, str]) -> Result:
        values = {name: traced(each, parameters) for name, each in self.variables.items()}
        found = [values[each] if isinstance(each, str) else traced(each, parameters) for each in self.pieces]
        _require_length(sum(map(len, found)), self.place)
        return _joined(found)


def _ref(argument: Node, scope: Scope) -> Expression:
    if not isinstance(argument.value, str):
        raise TemplateError(f"Ref has to name a parameter, and this is {argument.kind}.", argument.place)
    scope.use(argument.value, argument.place)
    return Ref(argument.value, argument.place)


def _join(argument: Node, scope: Scope) -> Expression:
    separator, items = _arguments(argument, "Fn::Join", '["separator", [items]]', 2)
    return Join(
        _string(separator, "the separator of Fn::Join"),
        read_texts(items, scope, "the items of Fn::Join"),
        argument.name_place,
    )


def _select(argument: Node, scope: Scope) -> Expression:
    index, items = _arguments(argument, "Fn::Select", '["index", [items]]', 2)
    chosen: Expression
    if isinstance(index.value, int) and not isinstance(index.value, bool):
        chosen = Literal(str(index.value) if abs(index.value) < 10**_MAX_INDEX_DIGITS else "", index.place)
    else:
        chosen = read_text(index, scope, "the index of Fn::Select")
    if isinstance(chosen, Literal) and not _is_index(chosen.content):
        raise TemplateError("the index of Fn::Select is a number, 0 or more.", index.place)
    read = Select(chosen, read_texts(items, scope, "the items of Fn::Select"), argument.name_place)
    if isinstance(chosen, Literal) and isinstance(read.items, Array) and int(chosen.content) >= len(read.items.items):
        raise _no_item(chosen.content, len(read.items.items), index.place)
    return read


def _split(argument: Node, scope: Scope) -> Expression:
    delimiter, source = _arguments(argument, "Fn::Split", '["delimiter", "source"]', 2)
    cut = _string(delimiter, "the delimiter of Fn::Split")
    if not cut:
        raise TemplateError("the delimiter of Fn::Split is empty.", delimiter.place)
    return Split(cut, read_text(source, scope, "the source of Fn::Split"), argument.name_place)


def _find_in_map(argument: Node, scope: Scope) -> Expression:
    first, top, second = (
        read_text(each, scope, "each of the three names of Fn::FindInMap")
        for each in _arguments(argument, "Fn::FindInMap", '["map", "top-level key", "second-level key"]', 3)
    )
    read = FindInMap((first, top, second), scope.mappings, argument.name_place)
    if all(isinstance(key, Literal) for key in read.keys):
        read.value({})
    elif isinstance(first, Literal):
        _entry(scope.mappings, first.content, "Mappings has", first.place)
    return read


def _sub(argument: Node, scope: Scope) -> Expression:
    variables: dict[str, Expression] = {}
    template = argument
    if not isinstance(argument.value, str):
        template, given = _arguments(
            argument, "Fn::Sub", '"text with ${Name}" or ["text with ${Name}", {"Name": …}]', 2
        )
        if not isinstance(given.value, Mapping):
            raise TemplateError(f"the variables of Fn::Sub have to be an object, not {given.kind}.", given.place)
        variables = {
            name: read_text(each, scope, f"the variable {_shown(name)} of Fn::Sub")
            for name, each in given.value.items()
        }
    content = _string(template, "the text of Fn::Sub")
    pieces: list[Expression | str] = []
    end = 0
    for found in _SUBSTITUTE.finditer(content):
        pieces.append(Literal(content[end : found.start()], template.place))
        end = found.end()
        literal, name = found.groups()
        if literal:
            pieces.append(Literal(f"${{{name}}}", template.place))
        elif name in variables:
            pieces.append(name)
        elif scope.has(name) or name.startswith(CERTIFICATE):
            scope.use(name, template.place)
            pieces.append(Ref(name, template.place))
        else:
            raise TemplateError(
                f"${{{name[:100]}}} in Fn::Sub is neither one of its variables nor a parameter. For a policy variable, "
                f"which stays as it is, write ${{!{name[:100]}}}.",
                template.place,
            )
    pieces.append(Literal(content[end:], template.place))
    return Sub(tuple(pieces), variables, argument.name_place)


def _constant(content: str) -> Traced:
    """Make a text without values of parameters."""
    return Traced(((content, None),))


def _joined(pieces: Iterable[Traced]) -> Traced:
    # Without empty parts there are at most as many parts as characters, whose number is limited.
    return Traced(tuple(part for piece in pieces for part in piece.parts if part[0]))


def _arguments(node: Node, function: str, form: str, number: int) -> tuple[Node, ...]:
    if not isinstance(node.value, tuple) or len(node.value) != number:
        raise TemplateError(f"{function} has the form {form}.", node.place)
    return node.value


def _string(node: Node, what: str) -> str:
    if not isinstance(node.value, str):
        raise TemplateError(f"{what} has to be a string, not {node.kind}.", node.place)
    return node.value


def _entry(entries: Mapping[str, _T], key: str, where: str, place: Place) -> _T:
    if key not in entries:
        raise TemplateError(f"{where} no {_shown(key)}, only {_listed(entries) or 'nothing'}.", place)
    return entries[key]


def _no_item(index: str, length: int, place: Place) -> TemplateError:
    return TemplateError(f"Fn::Select has no item {index}: of {length} items the first is 0.", place)


def _is_index(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= _MAX_INDEX_DIGITS


def _require_length(length: int, place: Place) -> None:
    if length > MAX_LENGTH:
        raise TemplateError(f"the value would be longer than {MAX_LENGTH} characters.", place)


def _declared(names: Iterable[str]) -> str:
    listed = _listed(sorted(names))
    return f"Declared are {listed}." if listed else "None is."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name[:100] for name in names)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 100 else name[:100] + "…")
