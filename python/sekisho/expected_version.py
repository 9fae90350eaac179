"""The ``expectedVersion`` of requests that change things and groups of things (optimistic locking)."""

from __future__ import annotations

from sekisho.errors import VersionConflictException


def require_version(resource: str, version: int, expected: int | None) -> None:
    """Raise VersionConflictException where a request expects another version of a resource.

    Args:
        resource: Its kind and name, such as ``thing pump``.
        version: Its present version.
        expected: The ``expectedVersion`` of the request; None: any.
    """
    if expected is not None and expected != version:
        raise VersionConflictException(
            f"The version for {resource} does not match the expected version. "
            f"(version={version}, expectedVersion={expected})"
        )
