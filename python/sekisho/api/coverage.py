"""Which operations of the models Sekisho has, from the code itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sekisho.api.model import ServiceModel, service_models
from sekisho.api.operation import Operations, installed_operations


@dataclass(frozen=True, slots=True, order=True)
class CoverageRow:
    """One operation of a service. `implemented` is true when a function answers it."""

    service: str
    operation: str
    implemented: bool


def coverage(
    operations: Operations | None = None, models: Mapping[str, ServiceModel] | None = None
) -> list[CoverageRow]:
    """Every operation of every service, by service in the order of `SERVICES`, then by name.

    Args:
        operations: Those of `sekisho.api.operations` unless others are given.
        models: Those of the installed botocore unless others are given.
    """
    registered = installed_operations() if operations is None else operations
    return [
        CoverageRow(service, name, (service, name) in registered)
        for service, model in (service_models() if models is None else models).items()
        for name in sorted(model.operation_names)
    ]
