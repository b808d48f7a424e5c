"""What a sender knows of each event: acknowledged, refused, or unknown because nobody heard the answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Event = Mapping[str, Any]


class Outcome(StrEnum):
    """Of one attempt to send an event."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Entry:
    """One event and what became of every attempt to send it."""

    event: Event
    attempts: list[Outcome] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """An acknowledgement is a promise whatever else was answered; an unknown attempt may have counted."""
        for outcome in (Outcome.OK, Outcome.UNKNOWN):
            if outcome in self.attempts:
                return outcome
        return Outcome.FAILED


@dataclass(slots=True)
class Ledger:
    """All events of a run by their ids, and how long senders waited for answers."""

    entries: dict[str, Entry] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    slowest_answer_seconds: float = 0.0

    def add(self, event: Event) -> None:
        """An event that is about to be sent."""
        self.entries.setdefault(str(event["id"]), Entry(event))

    def note(self, ids: Iterable[str], outcome: Outcome) -> None:
        """The outcome of one attempt with these events."""
        for id_ in ids:
            self.entries[id_].attempts.append(outcome)

    def answered(self, what: str, seconds: float) -> None:
        """A request was answered, or its connection lost, after so long."""
        self.answers[what] = self.answers.get(what, 0) + 1
        self.slowest_answer_seconds = max(self.slowest_answer_seconds, seconds)

    def ids(self, *outcomes: Outcome) -> set[str]:
        """The events that ended in one of these outcomes."""
        return {id_ for id_, entry in self.entries.items() if entry.outcome in outcomes}

    def attempts(self, outcome: Outcome) -> int:
        """Attempts of all events that had this outcome."""
        return sum(entry.attempts.count(outcome) for entry in self.entries.values())
