"""Lists the operations of the models, and which of them Sekisho has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sekisho.api.model import ServiceModel, service_models
from sekisho.api.operation import Operations, installed_operations


@dataclass(frozen=True, slots=True, order=True)
class CoverageRow:
    """One operation of a service. `implemented`: Sekisho has a function for it."""

    service: str
    operation: str
    implemented: bool


def coverage(
    operations: Operations | None = None, models: Mapping[str, ServiceModel] | None = None
) -> list[CoverageRow]:
    """Return every operation of every service, in the order of `SERVICES`, then by name.

    Args:
        operations: By default those of `sekisho.api.operations`.
        models: By default those of the installed botocore.
    """
    registered = installed_operations() if operations is None else operations
    return [
        CoverageRow(service, name, (service, name) in registered)
        for service, model in (service_models() if models is None else models).items()
        for name in sorted(model.operation_names)
    ]
