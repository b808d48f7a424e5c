"""Stages, and the one guard that every move passes: a rule's, a CRM's, a person's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from services.pipeline.domain.criteria import is_given
from services.pipeline.domain.due import Due
from services.pipeline.domain.triggers import (
    Fresh,
    Match,
    Situation,
    Trigger,
    events_named,
    matching,
    stages_named,
)
from shared.events.json import Json

Mover = Literal["rule", "crm", "person"]
Fields = Mapping[str, Json]
REASON = "reason"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a document; `index` is its place in the order.

    `known_as`: what CRMs call it. `resets`: scores that begin anew when a lead enters.
    """

    id: str
    index: int
    initial: bool = False
    terminal: Literal["won", "lost"] | None = None
    due: Due | None = None
    probability: float | None = None
    requires: tuple[str, ...] = ()
    enter_when: Trigger | None = None
    known_as: tuple[str, ...] = ()
    resets: tuple[str, ...] = ()

    @property
    def named_origins(self) -> tuple[str, ...]:
        """The stages that `stage_in` of its rule names."""
        return stages_named(self.enter_when) if self.enter_when is not None else ()


@dataclass(frozen=True, slots=True)
class MovePolicy:
    """What the document allows in general."""

    back: bool = True
    skip: bool = True
    from_terminal: bool = False


@dataclass(frozen=True)
class Stages:
    """The stages of a document in their order, exactly one of them initial."""

    order: tuple[Stage, ...]
    moves: MovePolicy

    def find(self, stage_id: str | None) -> Stage | None:
        """The stage of that id; None for one that this document does not have."""
        return None if stage_id is None else self._by_id.get(stage_id)

    def called(self, name: str) -> Stage | None:
        """The stage of that id, or that CRMs know by that name."""
        return self.find(name) or next((stage for stage in self.order if name in stage.known_as), None)

    def ending(self, terminal: Literal["won", "lost"]) -> Stage | None:
        """Where a deal that was won or lost goes, unless somebody says more: the first such stage."""
        return next((stage for stage in self.order if stage.terminal == terminal), None)

    @property
    def initial(self) -> Stage:
        """Where every lead begins."""
        return next(stage for stage in self.order if stage.initial)

    @cached_property
    def asking(self) -> tuple[Stage, ...]:
        """Stages that have a rule, as they are tried: terminal ones first, then in the order of the document."""
        asking = (stage for stage in self.order if stage.enter_when is not None)
        return tuple(sorted(asking, key=lambda stage: (stage.terminal is None, stage.index)))

    def heed(self, fresh: Fresh) -> bool:
        """Whether anything of this may set off a rule; most events are of a type that no rule names."""
        if fresh.entered or fresh.left or fresh.judged or fresh.moved:
            return True
        return not fresh.events.isdisjoint(self._events_named)

    @cached_property
    def _events_named(self) -> frozenset[str]:
        return frozenset(name for stage in self.asking if stage.enter_when for name in events_named(stage.enter_when))

    @cached_property
    def _by_id(self) -> dict[str, Stage]:
        return {stage.id: stage for stage in reversed(self.order)}


@dataclass(frozen=True, slots=True)
class Move:
    """A wish to move a lead. `named`: the rule that asks names the stage it comes from."""

    to: str
    by: Mover
    actor: str | None = None
    reason: str | None = None
    override: bool = False
    named: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a move is not made; `code` is stable."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class _Question:
    stages: Stages
    move: Move
    origin: Stage | None
    target: Stage
    fields: Fields
    is_stray: bool


_Guard = Callable[[_Question], Refusal | None]


def refusal(stages: Stages, move: Move, *, current: str | None, fields: Fields) -> Refusal | None:
    """Why `move` is refused for a lead that stands in `current`; None when it may be made.

    `fields` is what conditions see. An override, with actor and reason, passes the guards of `OVERRIDABLE`;
    an unknown stage and a move to where the lead stands are refused to everybody.

    A lead whose stage this version of the document lacks is a stray: there is neither back nor skip for it,
    people and CRMs may move it anywhere that `requires` allows, and rules leave it where it is.
    """
    target = stages.find(move.to)
    if target is None:
        return Refusal("unknown_stage", f"the pipeline has no stage {move.to}")
    if move.to == current:
        return Refusal("same_stage", f"the lead stands in {move.to} already")
    origin = stages.find(current)
    question = _Question(stages, move, origin, target, fields, is_stray=current is not None and origin is None)
    if move.override:
        return _override_without_reason(question)
    return next((found for guard in OVERRIDABLE if (found := guard(question))), None)


def _override_without_reason(question: _Question) -> Refusal | None:
    if question.move.actor and question.move.reason and question.move.by != "rule":
        return None
    return Refusal("override_unexplained", "an override needs an actor and a reason")


def _rule_not_forward(question: _Question) -> Refusal | None:
    if question.move.by != "rule":
        return None
    if question.is_stray:
        return Refusal("rule_not_forward", "the pipeline has the lead's stage no more: where is forward?")
    if question.move.named or not _is_back(question):
        return None
    return Refusal("rule_not_forward", "a rule moves forward, or names the stage it comes from")


def _from_terminal(question: _Question) -> Refusal | None:
    origin = question.origin
    if question.stages.moves.from_terminal or origin is None or origin.terminal is None:
        return None
    return Refusal("from_terminal_refused", f"{origin.id} ends the pursuit: nothing leaves it")


def _back(question: _Question) -> Refusal | None:
    if question.stages.moves.back or not _is_back(question) or _names_origin(question):
        return None
    return Refusal("back_refused", f"{question.target.id} lies behind, and the pipeline allows no way back")


def _skip(question: _Question) -> Refusal | None:
    if question.stages.moves.skip or question.target.terminal == "lost" or _names_origin(question):
        return None
    if question.is_stray:
        return None
    skipped = _between(question)
    if not skipped:
        return None
    return Refusal("skip_refused", f"the move would skip {', '.join(stage.id for stage in skipped)}")


def _requires(question: _Question) -> Refusal | None:
    missing = [need for need in question.target.requires if not _has(question, need)]
    if not missing:
        return None
    return Refusal("requirement_missing", f"{question.target.id} requires {', '.join(missing)}")


OVERRIDABLE: tuple[_Guard, ...] = (_rule_not_forward, _from_terminal, _back, _skip, _requires)


def _has(question: _Question, need: str) -> bool:
    return bool(question.move.reason) if need == REASON else is_given(question.fields, need)


def _names_origin(question: _Question) -> bool:
    """A document that names a way in `stage_in` has allowed it."""
    return question.origin is not None and question.origin.id in question.target.named_origins


def _is_back(question: _Question) -> bool:
    return question.origin is not None and question.target.index < question.origin.index


def _between(question: _Question) -> list[Stage]:
    """Stages that a forward move passes over: no terminal ones, and none that only stand aside."""
    start = question.origin.index if question.origin is not None else -1
    passed = question.stages.order[start + 1 : question.target.index]
    return [stage for stage in passed if stage.terminal is None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stage whose rule asks for the lead, and how the rule matched."""

    stage: Stage
    match: Match


def candidates(stages: Stages, situation: Situation, seen: frozenset[str]) -> list[Candidate]:
    """Stages whose rule asks for the lead because of something fresh, in the order they are tried.

    Terminal stages come first (who is ruled out is not advanced on the way), then the order of the document.
    A rule that would lead back without naming where it comes from does not ask at all, and none does for a
    lead whose stage the document lacks. `seen` are stages
    this settling has been in: none is entered twice, so settling ends.
    """
    found = [
        Candidate(stage, matched)
        for stage in stages.asking
        if stage.id not in seen and (matched := _asks(stage, stages, situation))
    ]
    return [candidate for candidate in found if candidate.match.fresh]


def after_move(fresh: Fresh) -> Fresh:
    """The same moment for the next rule in a row: the lead has just moved."""
    return Fresh(fresh.entered, fresh.left, fresh.events, fresh.judged, moved=True)


def further(stages: Stages, one: str, other: str) -> str:
    """Of two stages of leads that turned out to be one: won before open before lost, then the later."""
    return max(one, other, key=lambda stage_id: _reach(stages.find(stage_id)))


def _asks(stage: Stage, stages: Stages, situation: Situation) -> Match | None:
    origin = stages.find(situation.stage)
    if stage.enter_when is None or origin is None:
        return None
    matched = matching(stage.enter_when, situation)
    return None if matched and not matched.named and stage.index < origin.index else matched


def _reach(stage: Stage | None) -> tuple[int, int]:
    if stage is None:
        return (-1, -1)
    return {"won": 2, None: 1, "lost": 0}[stage.terminal], stage.index
