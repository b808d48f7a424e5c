"""What one version of a pipeline changes about another, in sentences for whoever reviews it."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from services.pipeline.domain.criteria import Criterion
from services.pipeline.domain.document import Pipeline
from services.pipeline.domain.qualification import Policy
from services.pipeline.domain.stages import MovePolicy, Stage, Stages
from services.pipeline.domain.triggers import stages_named
from services.pipeline.domain.wording import hours_words, trigger_words

_NOTHING = "nothing"


def changes(old: Pipeline, new: Pipeline) -> list[str]:
    """Every difference, in the order of the document; none for documents that mean the same."""
    return [
        *_differences("", {"the name is": old.name}, {"the name is": new.name}),
        *_policy(old.policy, new.policy),
        *_stages(old.stages, new.stages),
        *_differences("", _moves(old.stages.moves), _moves(new.stages.moves)),
        *_differences("", {"business hours are": _hours(old)}, {"business hours are": _hours(new)}),
    ]


def _policy(old: Policy, new: Policy) -> Iterator[str]:
    yield from _differences("", {"the framework is": old.framework}, {"the framework is": new.framework})
    before, after = ({criterion.name: criterion for criterion in policy.criteria} for policy in (old, new))
    yield from (f"the criterion {name} is gone" for name in before if name not in after)
    for name, criterion in after.items():
        if name in before:
            yield from _differences(f"the criterion {name}: ", _criterion(before[name]), _criterion(criterion))
        else:
            yield f"the criterion {name} is new: {criterion.words}"
    yield from _differences(
        "", {"to be qualified takes": _number(old.at_least)}, {"to be qualified takes": _number(new.at_least)}
    )
    gone, come = ([(item.words, item.reason) for item in policy.exclusions] for policy in (old, new))
    yield from (
        f"nobody is disqualified any more when {words} ({reason})"
        for words, reason in gone
        if (words, reason) not in come
    )
    yield from (
        f"whoever is disqualified now: {words} ({reason})" for words, reason in come if (words, reason) not in gone
    )


def _stages(old: Stages, new: Stages) -> Iterator[str]:
    for stage in old.order:
        if new.find(stage.id) is None:
            yield f"the stage {stage.id} is gone: leads in it stay there until a person or a CRM moves them"
    for stage in new.order:
        known = old.find(stage.id)
        if known is None:
            yield f"the stage {stage.id} is new{_place(new, stage)}"
        else:
            yield from _differences(f"the stage {stage.id}: ", _stage(known), _stage(stage))
    before = [stage.id for stage in old.order if new.find(stage.id)]
    after = [stage.id for stage in new.order if old.find(stage.id)]
    if before != after:
        yield f"the order of the stages is now {', '.join(stage.id for stage in new.order)}"


def _differences(subject: str, old: Mapping[str, str | None], new: Mapping[str, str | None]) -> Iterator[str]:
    for facet in (*new, *(facet for facet in old if facet not in new)):
        before, after = old.get(facet), new.get(facet)
        if before != after:
            yield f"{subject}{facet} {after or _NOTHING} instead of {before or _NOTHING}"


def _criterion(criterion: Criterion) -> dict[str, str | None]:
    return {"the condition is": criterion.words, "evidence lasts": _lasting(criterion.expires_after)}


def _stage(stage: Stage) -> dict[str, str | None]:
    rule = stage.enter_when
    origins = ", ".join(dict.fromkeys(stages_named(rule))) if rule is not None else ""
    return {
        "moved here by the rule": (trigger_words(rule) + (f", from {origins}" if origins else ""))
        if rule is not None
        else None,
        "due": f"{stage.due.count}{stage.due.unit}" if stage.due is not None else None,
        "the probability is": f"{stage.probability:g}" if stage.probability is not None else None,
        "requires": ", ".join(stage.requires) or None,
        "ends as": stage.terminal,
        "takes": "everybody first" if stage.initial else None,
        "resets": ", ".join(stage.resets) or None,
        "known to CRMs as": ", ".join(stage.known_as) or None,
    }


def _place(stages: Stages, stage: Stage) -> str:
    return f", after {stages.order[stage.index - 1].id}" if stage.index else ", the first"


def _moves(moves: MovePolicy) -> dict[str, str | None]:
    said = {True: "allowed", False: "refused"}
    return {
        "moving back is": said[moves.back],
        "skipping stages is": said[moves.skip],
        "leaving an ending is": said[moves.from_terminal],
    }


def _hours(pipeline: Pipeline) -> str:
    if pipeline.hours is None or not pipeline.hours.holidays:
        return hours_words(pipeline.hours)
    return f"{hours_words(pipeline.hours)} ({', '.join(day.isoformat() for day in sorted(pipeline.hours.holidays))})"


def _lasting(expires_after: timedelta | None) -> str:
    if expires_after is None:
        return "for ever"
    return f"{expires_after.days}d" if expires_after == timedelta(days=expires_after.days) else f"{expires_after}"


def _number(value: int | None) -> str | None:
    return None if value is None else f"at least {value} criteria"
