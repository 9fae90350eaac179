"""Bulk registrations and their reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sekisho.realm import Realm


class RegistrationTaskStatus(StrEnum):
    """Where a bulk registration is (the ``iot`` model's Status)."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    CANCELLING = "Cancelling"


class ReportType(StrEnum):
    """Of lines that were provisioned, or of lines that were not (the ``iot`` model's ReportType)."""

    RESULTS = "RESULTS"
    ERRORS = "ERRORS"


@dataclass(frozen=True, slots=True)
class RegistrationTask:
    """A bulk registration: a template, an input with a line per device, and how far it has come."""

    realm: Realm
    task_id: str
    template_body: str
    input_bucket: str
    input_key: str
    role_arn: str
    report_token: str
    """Who knows it may fetch the reports."""
    status: RegistrationTaskStatus
    created_at: datetime
    modified_at: datetime
    message: str | None = None
    """Why it failed."""
    success_count: int = 0
    failure_count: int = 0
    lines_done: int = 0
    """Lines of the input that are behind it, empty ones too."""
    bytes_done: int = 0
    """Where in the input the next line begins."""
    input_bytes: int | None = None
    """Size of the input; None until it was opened."""
    input_version: str | None = None
    """Another one means another content; None until it was opened."""

    @property
    def percentage(self) -> int:
        """How much of the input is done, 0 to 100."""
        if self.status is RegistrationTaskStatus.COMPLETED:
            return 100
        return min(100, self.bytes_done * 100 // self.input_bytes) if self.input_bytes else 0
