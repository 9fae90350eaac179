"""Bulk registrations and their reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class RegistrationTaskStatus(StrEnum):
    """The status of a bulk registration (the ``iot`` model's Status)."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    CANCELLING = "Cancelling"


class ReportType(StrEnum):
    """RESULTS: of lines that were provisioned. ERRORS: of lines that failed (the ``iot`` model's ReportType)."""

    RESULTS = "RESULTS"
    ERRORS = "ERRORS"


@dataclass(frozen=True, slots=True)
class RegistrationTask:
    """A bulk registration: a template, an input with a line per device, and its progress."""

    realm: Realm
    task_id: str
    template_body: str
    input_bucket: str
    input_key: str
    role_arn: str
    report_token: str
    """A secret, with which the reports can be fetched."""
    status: RegistrationTaskStatus
    created_at: datetime
    modified_at: datetime
    message: str | None = None
    """Why it failed."""
    success_count: int = 0
    failure_count: int = 0
    lines_done: int = 0
    """Lines of the input that are processed, including empty ones."""
    bytes_done: int = 0
    """The offset of the next line in the input."""
    input_bytes: int | None = None
    """The size of the input; None until it was opened."""
    input_version: str | None = None
    """``Input.version``; None until it was opened."""

    @property
    def percentage(self) -> int:
        """The processed part of the input, 0 to 100."""
        if self.status is RegistrationTaskStatus.COMPLETED:
            return 100
        return min(100, self.bytes_done * 100 // self.input_bytes) if self.input_bytes else 0
