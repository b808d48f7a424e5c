"""From where to where the document lets leads move: what its guards say, asked for every pair of stages."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from services.pipeline.domain.stages import Move, Mover, Stage, Stages, refusal
from services.pipeline.domain.triggers import AllOf, AnyOf, StandsIn, Trigger

_SOMEBODY = "somebody"


@dataclass(frozen=True, slots=True)
class Ways:
    """The stages from which `target` can be entered, in the order of the document."""

    target: Stage
    origins: tuple[Stage, ...]


def rule_ways(stages: Stages) -> tuple[Ways, ...]:
    """How each stage with a rule can be entered by it, `requires` aside."""
    free = _without_requirements(stages)
    return tuple(
        Ways(target, tuple(origin for origin in stages.order if _rule_leads(free, origin, target)))
        for target in stages.order
        if target.enter_when is not None
    )


def hand_ways(stages: Stages) -> tuple[Ways, ...]:
    """From where people and CRMs can move a lead onward into each stage that no rule leads to, `requires` aside."""
    free = _without_requirements(stages)
    return tuple(
        Ways(target, tuple(origin for origin in stages.order if _hand_leads(free, origin, target)))
        for target in stages.order
        if target.enter_when is None and not target.initial
    )


def _rule_leads(stages: Stages, origin: Stage, target: Stage) -> bool:
    assert target.enter_when is not None
    namings = set(_namings(target.enter_when, origin.id))
    return any(_is_allowed(stages, origin, target, by="rule", named=named) for named in namings)


def _hand_leads(stages: Stages, origin: Stage, target: Stage) -> bool:
    return origin.index < target.index and _is_allowed(stages, origin, target, by="person")


def _is_allowed(stages: Stages, origin: Stage, target: Stage, *, by: Mover, named: bool = False) -> bool:
    move = Move(target.id, by, actor=_SOMEBODY, reason=_SOMEBODY, named=named)
    return refusal(stages, move, current=origin.id, fields={}) is None


def _without_requirements(stages: Stages) -> Stages:
    return Stages(tuple(replace(stage, requires=()) for stage in stages.order), stages.moves)


def _namings(trigger: Trigger, stage: str) -> Iterator[bool]:
    """For each way in which `trigger` can hold in `stage`, whether it names the stage."""
    match trigger:
        case StandsIn(stages):
            yield from (True,) if stage in stages else ()
        case AllOf(parts):
            found = [set(_namings(part, stage)) for part in parts]
            yield from {any(together) for together in product(*found)}
        case AnyOf(parts):
            yield from {naming for part in parts for naming in _namings(part, stage)}
        case _:
            yield False
