"""What came to pass with a lead, as values: each becomes a message, a line of the timeline, or both."""

from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from services.pipeline.domain.qualification import Verdict
from services.pipeline.domain.stages import Mover, Stage
from services.pipeline.domain.thresholds import Crossing
from shared.events.scores import RecordedEvent, ScoreChange, ThresholdPosition
from shared.events.stages import Evidence


class Happened(Struct, frozen=True, gc=False):
    """An event was recorded for the lead, perhaps under an id that it no longer has."""

    at: datetime
    event: RecordedEvent


class Scored(Struct, frozen=True, gc=False):
    """The lead's scores are others; `absorbed` is set when they are of a lead that is no more."""

    at: datetime
    change: ScoreChange
    absorbed: str | None = None


class Crossed(Struct, frozen=True, gc=False):
    """The lead changed sides of a threshold; `position` is None when the model has it no more."""

    at: datetime
    threshold: str
    crossing: Crossing
    position: ThresholdPosition | None
    change: ScoreChange


class Judged(Struct, frozen=True, gc=False):
    """The verdict is another; `lapsed` names the criteria whose evidence expired at that moment."""

    at: datetime
    verdict: Verdict
    evidence: tuple[Evidence, ...]
    previous: Verdict
    lapsed: tuple[str, ...] = ()


class Moved(Struct, frozen=True, gc=False):
    """The lead stands in another stage. `resets`: scores that begin anew with that.

    `merged` is the lead that brought its stage along when it turned out to be this one: no move, but a choice
    between two stages that each had come to by moves.
    """

    at: datetime
    from_stage: str | None
    to: Stage
    by: Mover
    actor: str | None
    why: str
    override: bool
    entered_at: datetime | None
    due_at: datetime | None
    resets: tuple[str, ...] = ()
    merged: str | None = None


class MoveRefused(Struct, frozen=True, gc=False):
    """Somebody asked for a move that the document forbids; nothing changed."""

    at: datetime
    from_stage: str | None
    to: str
    by: Mover
    actor: str | None
    code: str
    message: str


class Stalled(Struct, frozen=True, gc=False):
    """The lead has stayed past its due time; `at` is that time."""

    at: datetime
    stage: str
    since: datetime


class Absorbed(Struct, frozen=True, gc=False):
    """Another lead turned out to be this one; its history is this lead's now."""

    at: datetime
    absorbed: str


class Separated(Struct, frozen=True, gc=False):
    """Another lead is not this one after all; `restored` if this is the one that comes back."""

    at: datetime
    other: str
    restored: bool
    actor: str
    reason: str


Fact: TypeAlias = Happened | Scored | Crossed | Judged | Moved | MoveRefused | Stalled | Absorbed | Separated
Kind: TypeAlias = Literal[
    "event", "score", "threshold", "qualification", "stage", "refusal", "stall", "merge", "unmerge"
]
