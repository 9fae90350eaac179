"""What a resolved template asks for: plain values, every function replaced by its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

CertificateStatusWord = Literal["ACTIVE", "INACTIVE"]
PrincipalTypeWord = Literal["EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"]


class Override(StrEnum):
    """What happens where a resource is there already and differs (``OverrideSettings``)."""

    DO_NOTHING = "DO_NOTHING"
    REPLACE = "REPLACE"
    FAIL = "FAIL"
    MERGE = "MERGE"


@dataclass(frozen=True, slots=True)
class ThingOverrides:
    """For each part of a thing, what happens where it differs."""

    attributes: Override = Override.DO_NOTHING
    type_name: Override = Override.DO_NOTHING
    groups: Override = Override.DO_NOTHING


@dataclass(frozen=True, slots=True)
class ThingResource:
    """A thing to be there. None and empty: the template says nothing of it."""

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
    """A certificate to be there: named by id, given in PEM, or issued for a request; exactly one of these is set."""

    logical_id: str
    line: int
    certificate_id: str | None
    certificate_pem: str | None
    ca_certificate_pem: str | None
    """Which CA signed ``certificate_pem``."""
    certificate_signing_request: str | None
    status: CertificateStatusWord
    principal_type: PrincipalTypeWord | None
    """None: not said, so that it is NON_EXCLUSIVE_THING, or as it is attached already."""
    override: Override
    """For its status."""


@dataclass(frozen=True, slots=True)
class PolicyResource:
    """A policy to be attached. With a document it is made where there is none; without one it has to be there."""

    logical_id: str
    line: int
    name: str
    document: str | None


@dataclass(frozen=True, slots=True)
class Resources:
    """All that a template asks for."""

    thing: ThingResource | None
    certificate: CertificateResource | None
    policies: tuple[PolicyResource, ...]
    device_configuration: Mapping[str, Any]
    """Names to strings, numbers and booleans, for the device."""
