"""What became of each element of a request. Nothing that came in is without one."""

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from shared.errors import InvalidInput
from shared.events.accepting import AcceptedEvent


class Status(StrEnum):
    """`ignored` events are published like accepted ones: facts that models usually give no points for."""

    ACCEPTED = "accepted"
    IGNORED = "ignored"
    PARKED = "parked"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an element did not become an event: stable code, path, words."""

    code: str
    message: str
    field: str | None = None

    @classmethod
    def of(cls, error: InvalidInput) -> "Reason":
        return cls(error.code, str(error), error.field)


class Outcome(Struct, frozen=True, gc=False):
    """One element: the event it became, or the reason why not. `index` is its place in the request; an
    element that says two things has two outcomes.
    """

    status: Status
    id: str | None
    event: AcceptedEvent | None = None
    reason: Reason | None = None
    index: int = 0


def refused(error: InvalidInput, element_id: str | None = None, *, index: int = 0) -> Outcome:
    """An element that its sender must mend."""
    return Outcome(Status.REFUSED, element_id, reason=Reason.of(error), index=index)


def parked(code: str, message: str, *, element_id: str | None = None, index: int = 0) -> Outcome:
    """An element that is well formed but means nothing to leadflow yet."""
    return Outcome(Status.PARKED, element_id, reason=Reason(code, message), index=index)
