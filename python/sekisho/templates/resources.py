"""The resources of a resolved template: plain values, with every function replaced by its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

CertificateStatusWord = Literal["ACTIVE", "INACTIVE"]
PrincipalTypeWord = Literal["EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"]


class Override(StrEnum):
    """What happens where a resource exists and differs (``OverrideSettings``)."""

    DO_NOTHING = "DO_NOTHING"
    REPLACE = "REPLACE"
    FAIL = "FAIL"
    MERGE = "MERGE"


@dataclass(frozen=True, slots=True)
class ThingOverrides:
    """What happens where a part of a thing differs, for each part."""

    attributes: Override = Override.DO_NOTHING
    type_name: Override = Override.DO_NOTHING
    groups: Override = Override.DO_NOTHING


@dataclass(frozen=True, slots=True)
class ThingResource:
    """The thing of a template. None and empty: the template does not set it."""

    logical_id: str
    line: int
    name: str
    attributes: Mapping[str, str]
    type_name: str | None
    groups: tuple[str, ...]
    billing_group: str | None
    overrides: ThingOverrides


@dataclass(frozen=True, slots=True)
class CertificateResource:
    """The certificate of a template: by id, in PEM, or a request to issue one; exactly one of these is set."""

    logical_id: str
    line: int
    certificate_id: str | None
    certificate_pem: str | None
    ca_certificate_pem: str | None
    """The CA that signed ``certificate_pem``."""
    certificate_signing_request: str | None
    status: CertificateStatusWord
    principal_type: PrincipalTypeWord | None
    """None: not set, which means NON_EXCLUSIVE_THING, or the present attachment."""
    override: Override
    """What happens where its status differs."""


@dataclass(frozen=True, slots=True)
class PolicyResource:
    """A policy to attach. With a document it is created where it does not exist; without one it has to exist."""

    logical_id: str
    line: int
    name: str
    document: str | None


@dataclass(frozen=True, slots=True)
class Resources:
    """All resources of a template."""

    thing: ThingResource | None
    certificate: CertificateResource | None
    policies: tuple[PolicyResource, ...]
    device_configuration: Mapping[str, Any]
    """Names to strings, numbers and booleans, for the device."""
