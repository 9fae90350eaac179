"""Provisioning templates, which are checked when they are created and resolved when a device is provisioned.

``parse`` refuses every error that does not depend on a device: also an unknown property, and a function with an
undeclared name, so that a template does not fail only when devices use it.

Source: Developer Guide, provision-template, jit-provisioning and provision-wo-cert.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Final, get_args

from sekisho.templates.error import Place, TemplateError
from sekisho.templates.expressions import (
    MAX_LENGTH,
    Expression,
    Literal,
    Mapped,
    Mappings,
    Scope,
    Traced,
    is_function,
    is_function_name,
    read_function,
    read_text,
    read_texts,
    text,
    texts,
    traced,
    unresolved,
)
from sekisho.templates.json_text import Node, is_text, plain, read
from sekisho.templates.policy_text import document_of, string_of
from sekisho.templates.resources import (
    CertificateResource,
    CertificateStatusWord,
    Override,
    PolicyResource,
    PrincipalTypeWord,
    Resources,
    ThingOverrides,
    ThingResource,
)
from sekisho.templates.use import Use

THING: Final = "AWS::IoT::Thing"
CERTIFICATE_TYPE: Final = "AWS::IoT::Certificate"
POLICY: Final = "AWS::IoT::Policy"

_SECTIONS: Final = ("Parameters", "Mappings", "Resources", "DeviceConfiguration")
_RESOURCE_PARTS: Final = ("Type", "Properties", "OverrideSettings")
_THING_PROPERTIES: Final = ("ThingName", "AttributePayload", "ThingTypeName", "ThingGroups", "BillingGroup")
_CERTIFICATE_SOURCES: Final = ("CertificateId", "CertificatePem", "CertificateSigningRequest")
_CERTIFICATE_PROPERTIES: Final = (*_CERTIFICATE_SOURCES, "CACertificatePem", "Status", "ThingPrincipalType")
_POLICY_PROPERTIES: Final = ("PolicyName", "PolicyDocument")
_STATUSES: Final[tuple[CertificateStatusWord, ...]] = get_args(CertificateStatusWord)
_PRINCIPAL_TYPES: Final[tuple[PrincipalTypeWord, ...]] = get_args(PrincipalTypeWord)
_NO_MERGE: Final = (Override.DO_NOTHING, Override.REPLACE, Override.FAIL)


@dataclass(frozen=True, slots=True)
class _Form:
    """The pattern of a name, and its description for messages."""

    pattern: re.Pattern[str]
    words: str

    def require(self, value: str, what: str, place: Place) -> str:
        if self.pattern.fullmatch(value) is None:
            raise TemplateError(f"{what} cannot be {_shown(value)}: it is {self.words}.", place)
        return value


# The patterns are those of the iot service model.
_NAME: Final = _Form(re.compile(r"[a-zA-Z0-9:_-]{1,128}"), "1 to 128 of a-z A-Z 0-9 : _ -")
_POLICY_NAME: Final = _Form(re.compile(r"[\w+=,.@-]{1,128}", re.ASCII), "1 to 128 of a-z A-Z 0-9 _ + = , . @ -")
_ATTRIBUTE_NAME: Final = _Form(re.compile(r"[a-zA-Z0-9_.,@/:#-]{1,128}"), "1 to 128 of a-z A-Z 0-9 _ . , @ / : # -")
_ATTRIBUTE_VALUE: Final = _Form(
    re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}"), "at most 800 of a-z A-Z 0-9 _ . , @ / : # = [ ] -"
)
_CERTIFICATE_ID: Final = _Form(re.compile(r"(?:0x)?[a-fA-F0-9]{64}"), "64 hexadecimal digits")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, whose value is given when the template is used."""

    name: str
    default: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class _Document:
    """A policy document given as an object, with functions in any part of it."""

    node: Node
    expressions: Mapping[Place, Expression]

    def text(self, parameters: Mapping[str, str], from_device: Set[str]) -> str:
        found = self._value(self.node, parameters, from_device)
        return json.dumps(found, separators=(",", ":"), ensure_ascii=False)

    def _value(self, node: Node, parameters: Mapping[str, str], from_device: Set[str]) -> Any:
        if node.place in self.expressions:
            value = self.expressions[node.place].value(parameters)
            if isinstance(value, Traced):
                return string_of(value, from_device, node.place)
            return [string_of(each, from_device, node.place) for each in value]
        if isinstance(node.value, tuple):
            return [self._value(each, parameters, from_device) for each in node.value]
        if isinstance(node.value, Mapping):
            return {name: self._value(each, parameters, from_device) for name, each in node.value.items()}
        return node.value


@dataclass(frozen=True, slots=True)
class _Thing:
    logical_id: str
    place: Place
    name: Expression
    attributes: Mapping[str, Expression]
    type_name: Expression | None
    groups: Expression | None
    billing_group: Expression | None
    overrides: ThingOverrides

    def resolve(self, parameters: Mapping[str, str]) -> ThingResource:
        return ThingResource(
            logical_id=self.logical_id,
            line=self.place.line,
            name=_name(self.name, parameters, "ThingName"),
            attributes={
                name: _ATTRIBUTE_VALUE.require(text(each, parameters), f"the attribute {name!r}", each.place)
                for name, each in self.attributes.items()
            },
            type_name=None if self.type_name is None else _name(self.type_name, parameters, "ThingTypeName"),
            groups=() if self.groups is None else _group_names(self.groups, parameters),
            billing_group=None if self.billing_group is None else _name(self.billing_group, parameters, "BillingGroup"),
            overrides=self.overrides,
        )


@dataclass(frozen=True, slots=True)
class _Certificate:
    logical_id: str
    place: Place
    properties: Mapping[str, Expression]
    override: Override

    def resolve(self, parameters: Mapping[str, str]) -> CertificateResource:
        values = {name: text(each, parameters) for name, each in self.properties.items()}
        if "CertificateId" in values:
            _CERTIFICATE_ID.require(values["CertificateId"], "CertificateId", self.properties["CertificateId"].place)
        return CertificateResource(
            logical_id=self.logical_id,
            line=self.place.line,
            certificate_id=values.get("CertificateId"),
            certificate_pem=values.get("CertificatePem"),
            ca_certificate_pem=values.get("CACertificatePem"),
            certificate_signing_request=values.get("CertificateSigningRequest"),
            status=_status(values["Status"], self.properties["Status"].place) if "Status" in values else "ACTIVE",
            principal_type=_principal_type(values["ThingPrincipalType"], self.properties["ThingPrincipalType"].place)
            if "ThingPrincipalType" in values
            else None,
            override=self.override,
        )


@dataclass(frozen=True, slots=True)
class _Policy:
    logical_id: str
    place: Place
    name: Expression | None
    document: Expression | _Document | None

    @property
    def is_built_as_text(self) -> bool:
        """Whether a function builds the document as JSON text."""
        return self.document is not None and not isinstance(self.document, _Document | Literal)

    def resolve(self, parameters: Mapping[str, str], from_device: Set[str]) -> PolicyResource:
        document = (
            self.document.text(parameters, from_device)
            if isinstance(self.document, _Document)
            else None
            if self.document is None
            else document_of(traced(self.document, parameters), from_device, self.document.place)
        )
        if self.name is None:
            name = name_of(document or "")
        else:
            name = _POLICY_NAME.require(text(self.name, parameters), "PolicyName", self.name.place)
        return PolicyResource(self.logical_id, self.place.line, name, document)


_Resource = _Thing | _Certificate | _Policy


@dataclass(frozen=True, slots=True)
class Template:
    """A valid template. ``parse`` constructs it."""

    parameters: Mapping[str, Parameter]
    _resources: tuple[_Resource, ...]
    _device_configuration: Mapping[str, Expression | int | float | bool]
    _first_use: Mapping[str, Place]
    use: Use = Use.DIRECT

    @property
    def certificate_source(self) -> str | None:
        """``CertificateId``, ``CertificatePem`` or ``CertificateSigningRequest``; None without a certificate."""
        for resource in self._resources:
            if isinstance(resource, _Certificate):
                return next(source for source in _CERTIFICATE_SOURCES if source in resource.properties)
        return None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about parts that are valid but dangerous, for the log of the operation that stores the template."""
        return tuple(
            f"line {each.place.line}: the policy {_shown(each.logical_id)} builds its PolicyDocument as JSON text out "
            "of parameters. Their values are escaped inside strings; a device's value outside of a string is refused "
            "when the device is provisioned. Give PolicyDocument as a JSON object with functions in its strings."
            for each in self._resources
            if isinstance(each, _Policy) and each.is_built_as_text
        )

    def resolve(self, parameters: Mapping[str, str], *, from_device: Set[str] = frozenset()) -> Resources:
        """Return the resources of the template for the values of its parameters.

        Args:
            parameters: Values by name. Those that are neither declared nor supplied are ignored.
            from_device: Parameters whose values come from a device or its certificate. Such a value must not widen a
                policy (``policy_text``). The other values, and Defaults, are the account's own.

        Raises:
            TemplateError: A parameter has no value, a function fails with these values, or a value is not valid in its
                place.
        """
        values = {name: each.default for name, each in self.parameters.items() if each.default is not None}
        for name, value in parameters.items():
            if name not in self.parameters and name not in self.use.supplied:
                continue
            if not is_text(value):
                raise TemplateError(f"the value of the parameter {name!r} has half of a surrogate pair.")
            if len(value) > MAX_LENGTH:
                raise TemplateError(f"the value of the parameter {name!r} is longer than {MAX_LENGTH} characters.")
            values[name] = value
        for name, place in self._first_use.items():
            if name not in values:
                raise unresolved(name, place)
        resolved = [
            each.resolve(values, from_device) if isinstance(each, _Policy) else each.resolve(values)
            for each in self._resources
        ]
        return Resources(
            thing=next((each for each in resolved if isinstance(each, ThingResource)), None),
            certificate=next((each for each in resolved if isinstance(each, CertificateResource)), None),
            policies=tuple(each for each in resolved if isinstance(each, PolicyResource)),
            device_configuration={
                name: each if isinstance(each, int | float) else text(each, values)
                for name, each in self._device_configuration.items()
            },
        )


def parse(body: str, use: Use = Use.DIRECT) -> Template:
    """Read and check a template.

    Args:
        use: What it is used for, which determines the parameters that need no declaration.

    Raises:
        TemplateError: It is not valid; the message says what is wrong, and where.
    """
    root = read(body)
    if isinstance(root.value, str):
        raise TemplateError(
            "the template is JSON text inside JSON text: its quotes are escaped once too often. The value has to be "
            "the template's JSON itself, as a string.",
            root.place,
        )
    sections = _object(root, "the template")
    if "templateBody" in sections:
        raise TemplateError(
            "the template contains a templateBody: the whole configuration was given where the template belongs.",
            sections["templateBody"].name_place,
        )
    _require_known(sections, _SECTIONS, "the template")
    parameters = _parameters(sections)
    scope = Scope(frozenset(parameters), _mappings(sections), use)
    resources = _resources(root, sections, scope)
    configuration = _device_configuration(sections, scope)
    return Template(parameters, resources, configuration, scope.first_use, use)


def name_of(document: str) -> str:
    """Derive the name of a policy without one from its document: 40 hexadecimal digits in upper case."""
    return hashlib.sha1(document.encode(), usedforsecurity=False).hexdigest().upper()


def _parameters(sections: Mapping[str, Node]) -> dict[str, Parameter]:
    if "Parameters" not in sections:
        return {}
    parameters = {}
    for name, node in _object(sections["Parameters"], "Parameters").items():
        what = f"the parameter {_shown(name)}"
        parts = _object(node, what)
        _require_known(parts, ("Type", "Default"), what)
        if "Type" not in parts or parts["Type"].value != "String":
            raise TemplateError(f'{what} has to be an object with "Type": "String".', node.name_place)
        default: str | None = None
        if "Default" in parts:
            given = parts["Default"]
            if not isinstance(given.value, str):
                raise TemplateError(f"the Default of {what} has to be a string, not {given.kind}.", given.place)
            default = given.value
        parameters[name] = Parameter(name, default, node.name_place)
    return parameters


def _mappings(sections: Mapping[str, Node]) -> Mappings:
    if "Mappings" not in sections:
        return {}
    return {
        name: {
            top: {
                second: _mapped(value, f"{_shown(second)} of {_shown(top)} of the mapping {_shown(name)}")
                for second, value in _mapping_part(section, f"{_shown(top)} of the mapping {_shown(name)}").items()
            }
            for top, section in _mapping_part(mapping, f"the mapping {_shown(name)}").items()
        }
        for name, mapping in _mapping_part(sections["Mappings"], "Mappings").items()
    }


def _mapping_part(node: Node, what: str) -> Mapping[str, Node]:
    members = _object(node, what)
    for name, member in members.items():
        if is_function_name(name):
            raise TemplateError("functions are not allowed in Mappings.", member.name_place)
    return members


def _mapped(node: Node, what: str) -> Mapped:
    if is_function(node):
        raise TemplateError("functions are not allowed in Mappings.", node.place)
    if isinstance(node.value, str):
        return node.value
    found = plain(node)
    if isinstance(found, list) and all(isinstance(each, str) for each in found):
        return tuple(found)
    raise TemplateError(f"{what} has to be a string or an array of strings.", node.place)


def _resources(root: Node, sections: Mapping[str, Node], scope: Scope) -> tuple[_Resource, ...]:
    if "Resources" not in sections:
        raise TemplateError("the template has no Resources: there is nothing to provision.", root.place)
    section = sections["Resources"]
    members = _object(section, "Resources")
    if not members:
        raise TemplateError("Resources is empty: there is nothing to provision.", section.place)
    readers = {THING: _thing, CERTIFICATE_TYPE: _certificate, POLICY: _policy}
    first: dict[str, str] = {}
    resources: list[_Resource] = []
    for logical_id, node in members.items():
        what = f"the resource {_shown(logical_id)}"
        parts = node.value if isinstance(node.value, Mapping) else {}
        kind = parts["Type"].value if "Type" in parts else None
        if not isinstance(kind, str) or kind not in readers:
            raise TemplateError(
                f"{what} has to be an object whose Type is one of {', '.join(readers)}.",
                parts["Type"].place if "Type" in parts else node.name_place,
            )
        _require_known(parts, _RESOURCE_PARTS, what)
        if kind != POLICY and kind in first:
            raise TemplateError(
                f"{what} is a second {kind}, besides {_shown(first[kind])}; a template has one.", node.name_place
            )
        first.setdefault(kind, logical_id)
        resources.append(readers[kind](logical_id, node, parts, scope))
    return tuple(resources)


def _thing(logical_id: str, node: Node, parts: Mapping[str, Node], scope: Scope) -> _Resource:
    what = f"the thing {_shown(logical_id)}"
    properties = _properties(parts, what)
    if "PackageVersions" in properties:
        raise TemplateError(
            f"{what} has PackageVersions, but software packages are not supported. Remove it.",
            properties["PackageVersions"].name_place,
        )
    _require_known(properties, _THING_PROPERTIES, what)
    if "ThingName" not in properties:
        raise TemplateError(f"{what} has no ThingName.", node.name_place)
    overrides = _overrides(
        parts,
        what,
        {"AttributePayload": tuple(Override), "ThingTypeName": _NO_MERGE, "ThingGroups": tuple(Override)},
    )
    attributes: dict[str, Expression] = {}
    if "AttributePayload" in properties:
        for name, each in _object(properties["AttributePayload"], "AttributePayload").items():
            _ATTRIBUTE_NAME.require(name, "the name of an attribute", each.name_place)
            attributes[name] = read_text(each, scope, f"the attribute {_shown(name)}")
    return _Thing(
        logical_id=logical_id,
        place=node.name_place,
        name=read_text(properties["ThingName"], scope, "ThingName"),
        attributes=attributes,
        type_name=_optional(properties, "ThingTypeName", scope),
        groups=read_texts(properties["ThingGroups"], scope, "ThingGroups") if "ThingGroups" in properties else None,
        billing_group=_optional(properties, "BillingGroup", scope),
        overrides=ThingOverrides(
            attributes=overrides["AttributePayload"],
            type_name=overrides["ThingTypeName"],
            groups=overrides["ThingGroups"],
        ),
    )


def _certificate(logical_id: str, node: Node, parts: Mapping[str, Node], scope: Scope) -> _Resource:
    what = f"the certificate {_shown(logical_id)}"
    properties = _properties(parts, what)
    _require_known(properties, _CERTIFICATE_PROPERTIES, what)
    given = [source for source in _CERTIFICATE_SOURCES if source in properties]
    if len(given) != 1:
        raise TemplateError(
            f"{what} has {' and '.join(given) or 'none of its sources'}; it has to have exactly one of "
            f"{', '.join(_CERTIFICATE_SOURCES)}.",
            properties[given[1]].name_place if given else node.name_place,
        )
    if "CACertificatePem" in properties and "CertificatePem" not in properties:
        raise TemplateError(
            f"{what} has a CACertificatePem without CertificatePem. Give both, or neither.",
            properties["CACertificatePem"].name_place,
        )
    for name, check in (("Status", _status), ("ThingPrincipalType", _principal_type)):
        if name in properties and isinstance(word := properties[name].value, str):
            check(word, properties[name].place)
    return _Certificate(
        logical_id=logical_id,
        place=node.name_place,
        properties={name: read_text(each, scope, name) for name, each in properties.items()},
        override=_overrides(parts, what, {"Status": _NO_MERGE})["Status"],
    )


def _policy(logical_id: str, node: Node, parts: Mapping[str, Node], scope: Scope) -> _Resource:
    what = f"the policy {_shown(logical_id)}"
    properties = _properties(parts, what)
    _require_known(properties, _POLICY_PROPERTIES, what)
    if not properties:
        raise TemplateError(f"{what} has neither PolicyName nor PolicyDocument.", node.name_place)
    _overrides(parts, what, {})
    document: Expression | _Document | None = None
    if "PolicyDocument" in properties:
        given = properties["PolicyDocument"]
        if isinstance(given.value, Mapping) and not is_function(given):
            expressions: dict[Place, Expression] = {}
            _read_document(given, scope, expressions)
            document = _Document(given, expressions)
        else:
            document = read_text(given, scope, "PolicyDocument")
    return _Policy(logical_id, node.name_place, _optional(properties, "PolicyName", scope), document)


def _read_document(node: Node, scope: Scope, expressions: dict[Place, Expression]) -> None:
    if is_function(node):
        expressions[node.place] = read_function(node, scope)
        return
    members = node.value.values() if isinstance(node.value, Mapping) else node.value
    if isinstance(members, str | int | float | bool | None):
        return
    for each in members:
        _read_document(each, scope, expressions)


def _device_configuration(sections: Mapping[str, Node], scope: Scope) -> dict[str, Expression | int | float | bool]:
    if "DeviceConfiguration" not in sections:
        return {}
    configuration: dict[str, Expression | int | float | bool] = {}
    for name, node in _object(sections["DeviceConfiguration"], "DeviceConfiguration").items():
        if isinstance(node.value, int | float):
            configuration[name] = node.value
        else:
            configuration[name] = read_text(node, scope, f"{_shown(name)} of DeviceConfiguration")
    return configuration


def _properties(parts: Mapping[str, Node], what: str) -> Mapping[str, Node]:
    return _object(parts["Properties"], f"{what}: Properties") if "Properties" in parts else {}


def _overrides(
    parts: Mapping[str, Node], what: str, allowed: Mapping[str, tuple[Override, ...]]
) -> dict[str, Override]:
    chosen = dict.fromkeys(allowed, Override.DO_NOTHING)
    if "OverrideSettings" not in parts:
        return chosen
    settings = _object(parts["OverrideSettings"], f"{what}: OverrideSettings")
    if settings and not allowed:
        raise TemplateError(f"{what} cannot have OverrideSettings.", parts["OverrideSettings"].name_place)
    _require_known(settings, tuple(allowed), f"OverrideSettings of {what}")
    for name, node in settings.items():
        if node.value not in allowed[name]:
            raise TemplateError(f"OverrideSettings of {what}: {name} is one of {', '.join(allowed[name])}.", node.place)
        chosen[name] = Override(str(node.value))
    return chosen


def _optional(properties: Mapping[str, Node], name: str, scope: Scope) -> Expression | None:
    return read_text(properties[name], scope, name) if name in properties else None


def _name(expression: Expression, parameters: Mapping[str, str], what: str) -> str:
    return _NAME.require(text(expression, parameters), what, expression.place)


def _group_names(groups: Expression, parameters: Mapping[str, str]) -> tuple[str, ...]:
    names = texts(groups, parameters)
    for name in names:
        _NAME.require(name, "a name in ThingGroups", groups.place)
    return tuple(dict.fromkeys(names))


def _status(word: str, place: Place) -> CertificateStatusWord:
    # AWS's samples also write "Active".
    for status in _STATUSES:
        if word.upper() == status:
            return status
    raise TemplateError(f"Status is one of {', '.join(_STATUSES)}, not {_shown(word)}.", place)


def _principal_type(word: str, place: Place) -> PrincipalTypeWord:
    for each in _PRINCIPAL_TYPES:
        if word == each:
            return each
    raise TemplateError(f"ThingPrincipalType is one of {', '.join(_PRINCIPAL_TYPES)}, not {_shown(word)}.", place)


def _object(node: Node, what: str) -> Mapping[str, Node]:
    if not isinstance(node.value, Mapping):
        raise TemplateError(f"{what} has to be an object, not {node.kind}.", node.place)
    return node.value


def _require_known(members: Mapping[str, Node], known: tuple[str, ...], what: str) -> None:
    for name, node in members.items():
        if name not in known:
            raise TemplateError(f"{what} cannot have {_shown(name)}. It may have {', '.join(known)}.", node.name_place)


def _shown(value: str) -> str:
    return repr(value if len(value) <= 100 else value[:100] + "…")
