"""Every error leadflow raises on purpose, and what each means to whoever catches it.

LeadflowError
├── InvalidInput          the sender's fault: refused with a 4xx, or dead-lettered; never retried
│   └── InvalidDocument   a model or pipeline document, with every fault and its path
├── Refused               a business "no" with a stable code (a move the document forbids, say)
├── RateLimited           the caller is ahead of its pace; says when to come again
├── TransientError        somebody else's trouble: retried by policy, nothing committed
│   ├── LogUnavailable    the log did not answer in time; says whether the records may still count
│   └── DatabaseUnavailable
├── CommitRejected        another consumer owns the partitions now: drop the batch, its effects are idempotent
└── Misconfigured         leadflow cannot start like this; says what to do
"""

from collections.abc import Sequence
from dataclasses import dataclass


class LeadflowError(Exception):
    """Base of all errors that leadflow raises on purpose."""


class InvalidInput(LeadflowError):
    """What was sent cannot be accepted. `code` is stable, `field` the path of what is wrong."""

    def __init__(self, message: str, *, code: str = "invalid", field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document: where (`scores.engagement.rules[2].points`) and what."""

    path: str
    message: str


class InvalidDocument(InvalidInput):
    """A document with all its faults, so that its author can mend them in one go."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults), code="invalid_document")
        self.faults = tuple(faults)


class Refused(LeadflowError):
    """A rule of the business says no. `code` is stable and names the rule."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class RateLimited(LeadflowError):
    """The caller sends faster than it may. Nothing was done; the same call will be taken later."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TransientError(LeadflowError):
    """A dependency is in trouble; the same call may succeed later."""


class LogUnavailable(TransientError):
    """The log did not confirm in time. With `outcome_unknown` the records may still appear."""

    def __init__(self, message: str, *, outcome_unknown: bool) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown


class DatabaseUnavailable(TransientError):
    """PostgreSQL did not answer in time, or refused the connection."""


class CommitRejected(LeadflowError):
    """The group has moved on: these offsets are somebody else's to commit."""


class Misconfigured(LeadflowError):
    """leadflow cannot run like this; the message says what is wrong and what to do."""
