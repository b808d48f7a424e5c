"""What would lift a lead: the few cheapest events of the model by which it would reach the next band, or a threshold.

Advice is tried out before it is given: suggested events are matched, combined with the lead's state and scored like
any others, so limits, caps, groups and weights are what they are. Cheapest is fewest; of one kind of event the
number is the least that does it, mixtures beyond three events are good ones, not proven to be the least.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations_with_replacement
from math import fsum
from typing import Final, Literal, TypeAlias

from msgspec import structs

from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.counting.tally import Tally, attributes_at, curve_from, tally_of
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.model import (
    AttributeRule,
    AttributeScore,
    CombinedScore,
    EventRule,
    Model,
    ScoreThreshold,
)
from services.scorer.domain.scores.ledger import ledger_from
from services.scorer.domain.scores.standing import positions, standing_at
from services.scorer.domain.states.state import LeadState, RuleKey, combine, combine_all
from services.scorer.domain.what_if.condition_examples import Assignment, Steps, example, fields_of
from services.scorer.domain.what_if.condition_words import in_words
from shared.documents.conditions import AllOf
from shared.events.curve import microseconds, scores_at, worth_at
from shared.events.json import Json
from shared.events.scores import Standing

MOST_EVENTS: Final = 20
_MOST_WAYS: Final = 5
_MOST_OPTIONS: Final = 12
_LARGEST_MIXTURE: Final = 3
_MIXED_OPTIONS: Final = 6
_TRIED_FACTS: Final = 3
_NOTHING: Final = 1e-9
_CLAMPS: Final = frozenset({"group_clamp", "score_clamp"})


@dataclass(frozen=True, slots=True)
class Goal:
    """A band of a score, or a threshold, that the lead is below."""

    kind: Literal["band", "threshold"]
    name: str
    score: str | None
    at_least: float | None

    def is_reached(self, model: Model, standing: Standing) -> bool:
        """Whether a lead that stands so is there."""
        if self.kind == "threshold":
            return positions(model, standing)[self.name].position == "reached"
        return self.score is not None and self.at_least is not None and standing.scores[self.score] >= self.at_least


@dataclass(frozen=True, slots=True)
class Option:
    """A kind of event that scores, or facts that would. `rules` are those that it matches, by score.

    `conditions` is what the event must be like, in words; `example` is one that is so: its fields, or attributes.
    """

    kind: Literal["event", "facts"]
    event_types: tuple[str, ...]
    rules: tuple[RuleKey, ...]
    title: str
    conditions: tuple[str, ...]
    example: Mapping[str, Json]
    assignment: Assignment
    distinct: tuple[Steps, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """An option, so many times."""

    option: Option
    count: int


@dataclass(frozen=True, slots=True)
class Way:
    """Steps that, taken now, bring the lead there, and where it would stand then."""

    steps: tuple[Step, ...]
    standing: Standing

    @property
    def events(self) -> int:
        """How many events it takes."""
        return sum(step.count for step in self.steps if step.option.kind == "event")

    def words(self) -> str:
        """`2 x Webinar attended, Demo requested; learn: Decision maker (job_title matches ...)`."""
        events = ", ".join(_step_words(step) for step in self.steps if step.option.kind == "event")
        facts = ", ".join(_step_words(step) for step in self.steps if step.option.kind == "facts")
        return "; ".join(part for part in (events, f"learn: {facts}" if facts else "") if part)


@dataclass(frozen=True, slots=True)
class Lift:
    """How to reach a goal: by events alone, and with facts that would have to be learnt besides.

    Where there is no way, `most` is the furthest that was found, and `held_back` what caps took there, in words.
    """

    goal: Goal
    ways: tuple[Way, ...]
    with_facts: tuple[Way, ...]
    most: Standing | None
    held_back: tuple[str, ...]


_Plan: TypeAlias = tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class _Trial:
    """The lead after some steps. `value` is what the goal is about, `drive` the same before all caps."""

    plan: _Plan
    standing: Standing
    value: float
    drive: float


def default_score(model: Model) -> str | None:
    """The score that matters most: the last combined one with bands, else the last with bands, else the last."""
    banded = [name for name in model.scores if model.bands.get(name)]
    combined = [name for name in banded if isinstance(model.scores[name], CombinedScore)]
    return next(reversed([*model.scores][-1:] + banded[-1:] + combined[-1:]), None)


def goals(model: Model, standing: Standing, score: str) -> tuple[Goal, ...]:
    """The next band of `score`, and every threshold that is not reached and has to do with it."""
    return (*_next_band(model, standing, score), *_thresholds(model, standing, score))


def lift(model: Model, state: LeadState, at: datetime, goal: Goal) -> Lift:
    """How the lead of `state` would reach `goal` at `at`. Raises HistoryNeeded where the state cannot tell."""
    return _Search(model, state, at, goal).lift()


def _next_band(model: Model, standing: Standing, score: str) -> Iterator[Goal]:
    above = [band for band in model.bands.get(score, ()) if band.at_least > standing.scores[score]]
    if above:
        yield Goal("band", above[-1].name, score, above[-1].at_least)


def _thresholds(model: Model, standing: Standing, score: str) -> Iterator[Goal]:
    parts = set(_weights(model, score))
    for name, position in positions(model, standing).items():
        threshold = model.thresholds[name]
        about = (threshold.score,) if isinstance(threshold, ScoreThreshold) else (model.grade or ())
        related = any(one == score or parts & set(_weights(model, one)) for one in about)
        if related and position.position != "reached":
            yield Goal("threshold", name, *_level(threshold))


def _level(threshold: object) -> tuple[str | None, float | None]:
    return (threshold.score, threshold.enter) if isinstance(threshold, ScoreThreshold) else (None, None)


def _weights(model: Model, score: str) -> dict[str, float]:
    """How much each score that is built from rules counts in `score`."""
    found = model.scores[score]
    if not isinstance(found, CombinedScore):
        return {score: 1.0}
    weights: dict[str, float] = {}
    for part, weight in found.weights.items():
        for name, inner in _weights(model, part).items():
            weights[name] = weights.get(name, 0.0) + weight * inner
    return weights


def event_options(model: Model) -> tuple[Option, ...]:
    """Every kind of event that some rule looks for and of which an example can be made; those alike are one."""
    found: dict[tuple[RuleKey, ...], Option] = {}
    for event_type, rules in model.rules_by_type.items():
        for chosen in _choices([rule for _, rule in rules]):
            option = _event_option(model, event_type, rules, chosen)
            if option is None:
                continue
            known = found.get(option.rules)
            types = (*known.event_types, event_type) if known else (event_type,)
            found[option.rules] = replace(known or option, event_types=tuple(dict.fromkeys(types)))
    return tuple(found.values())


def _choices(rules: Sequence[EventRule]) -> Iterator[tuple[EventRule, ...]]:
    """Which conditions an event shall meet: none, each alone, all together."""
    conditional = [rule for rule in rules if rule.condition is not None]
    yield ()
    yield from ((rule,) for rule in conditional)
    if len(conditional) > 1:
        yield tuple(conditional)


def _event_option(
    model: Model, event_type: str, rules: Sequence[tuple[str, EventRule]], chosen: Sequence[EventRule]
) -> Option | None:
    assignment: Assignment | None = {}
    if chosen:
        assignment = example(AllOf(tuple(rule.condition for rule in chosen if rule.condition is not None)))
    if assignment is None:
        return None
    matched = {RuleKey(key.score, key.rule) for key in state_of(model, _event(event_type, assignment)).occurrences}
    by_key = {RuleKey(score, rule.id): rule for score, rule in rules}
    hit = [rule for key, rule in by_key.items() if key in matched]
    if not hit or not {rule.id for rule in chosen} <= {rule.id for rule in hit}:
        return None
    return Option(
        kind="event",
        event_types=(event_type,),
        rules=tuple(sorted(matched)),
        title=max(hit, key=lambda rule: rule.points).title,
        conditions=tuple(in_words(rule.condition) for rule in chosen if rule.condition is not None),
        example=_example(event_type, assignment),
        assignment=assignment,
        distinct=tuple(
            {rule.limit.by for rule in hit if rule.limit and rule.limit.by and rule.limit.by not in assignment}
        ),
    )


def _example(event_type: str, assignment: Assignment) -> Mapping[str, Json]:
    fields = fields_of(assignment)
    return {"type": event_type, **{name: value for name, value in fields.items() if name != "type"}}


def fact_options(model: Model, attributes: Mapping[str, Json]) -> tuple[Option, ...]:
    """What could be learnt of a lead with these attributes so that a rule holds which does not hold yet."""
    found = (
        _fact_option(score.name, rule, attributes)
        for score in model.scores.values()
        if isinstance(score, AttributeScore)
        for rule in score.rules.values()
        if rule.points > 0
    )
    return tuple(option for option in found if option is not None)


def _fact_option(score: str, rule: AttributeRule, attributes: Mapping[str, Json]) -> Option | None:
    if rule.condition({"attributes": dict(attributes)}):
        return None
    assignment = example(rule.condition)
    if assignment is None or any(steps[1] in attributes for steps in assignment):
        # What is known already is not to be learnt; that it may be wrong is for people to say.
        return None
    learnt = fields_of(assignment).get("attributes", {})
    return Option(
        kind="facts",
        event_types=(),
        rules=(RuleKey(score, rule.id),),
        title=rule.title,
        conditions=(in_words(rule.condition),),
        example=learnt if isinstance(learnt, dict) else {},
        assignment=assignment,
        distinct=(),
    )


def _event(event_type: str, assignment: Assignment, *, at: datetime | None = None, number: int = 0) -> Event:
    fields = fields_of(assignment)
    source, properties = fields.get("source"), fields.get("properties")
    moment = at or datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return Event(
        id=f"advice-{number:04}",
        source=source if isinstance(source, str) else "advice",
        type=event_type,
        occurred_at=moment,
        properties=properties if isinstance(properties, dict) else {},
        attributes={},
    )


class _Search:
    """Tries plans on one lead until some reach the goal."""

    def __init__(self, model: Model, state: LeadState, at: datetime, goal: Goal) -> None:
        self._model = model
        self._state = state
        self._at = at
        self._at_us = microseconds(at)
        self._goal = goal
        about = (goal.score,) if goal.score else (model.grade or ())
        self._about = about
        self._weights = [_weights(model, score) for score in about]
        self._tried: dict[tuple[int, ...], _Trial] = {}
        self._start = self._trial(())

    def lift(self) -> Lift:
        events = self._useful(event_options(self._model))
        facts = self._useful(fact_options(self._model, attributes_at(self._state, self._at)))
        ways = self._ways(self._by_events(events, ()))
        with_facts = self._ways(self._by_facts(events, facts, need_events=not ways))
        furthest = None if ways or with_facts else self._greedy(events, facts)
        return Lift(
            goal=self._goal,
            ways=ways,
            with_facts=with_facts,
            most=furthest.standing if furthest else None,
            held_back=self._held_back(furthest.plan) if furthest else (),
        )

    def _useful(self, options: Sequence[Option]) -> list[Option]:
        """Those that alone drive the lead up, the strongest first."""
        tried = [self._trial((option,)) for option in options]
        better = [trial for trial in tried if trial.drive > self._start.drive + _NOTHING]
        best = sorted(better, key=lambda trial: (-trial.value, -trial.drive))[:_MOST_OPTIONS]
        return [trial.plan[0] for trial in best]

    def _by_events(self, events: Sequence[Option], given: _Plan) -> Iterator[_Trial]:
        """Plans of `given` and events: of one kind, of a few kinds, or whatever helps most, step after step."""
        alone = [trial for option in events if (trial := self._repeated(given, option)) is not None]
        yield from alone
        least = min((len(trial.plan) for trial in alone), default=MOST_EVENTS + 1) - len(given)
        mixed = list(self._mixed(events, given, up_to=min(least, _LARGEST_MIXTURE)))
        yield from mixed
        if not mixed and least > _LARGEST_MIXTURE + 1:
            trial = self._greedy(events, (), given)
            if self._is_there(trial):
                yield self._pruned(trial)

    def _repeated(self, given: _Plan, option: Option) -> _Trial | None:
        before = self._trial(given).drive
        for count in range(1, MOST_EVENTS + 1):
            trial = self._trial((*given, *(option,) * count))
            if self._is_there(trial):
                return trial
            if trial.drive <= before + _NOTHING:
                return None
            before = trial.drive
        return None

    def _mixed(self, events: Sequence[Option], given: _Plan, *, up_to: int) -> Iterator[_Trial]:
        for size in range(2, up_to + 1):
            plans = (
                plan
                for plan in combinations_with_replacement(events[:_MIXED_OPTIONS], size)
                if len(set(map(id, plan))) > 1
            )
            found = [trial for plan in plans if self._is_there(trial := self._trial((*given, *plan)))]
            if found:
                yield from found
                return

    def _by_facts(self, events: Sequence[Option], facts: Sequence[Option], *, need_events: bool) -> Iterator[_Trial]:
        alone = [trial for fact in facts if self._is_there(trial := self._trial((fact,)))]
        yield from alone
        if alone or not facts:
            return
        together = self._greedy((), facts)
        if self._is_there(together):
            yield self._pruned(together)
        elif need_events and self._is_there(everything := self._greedy(events, facts)):
            one_fact = [trial for fact in facts[:_TRIED_FACTS] for trial in self._by_events(events, (fact,))]
            yield from one_fact or [self._pruned(everything)]

    def _greedy(self, events: Sequence[Option], facts: Sequence[Option], given: _Plan = ()) -> _Trial:
        """Take what helps most, again and again; a fact is learnt once."""
        trial, left = self._trial(given), list(facts)
        for _ in range(MOST_EVENTS + len(left)):
            if self._is_there(trial):
                break
            tried = [self._trial((*trial.plan, option)) for option in (*left, *events)]
            best = max(tried, key=lambda one: (one.value, one.drive), default=trial)
            if best.value <= trial.value + _NOTHING and best.drive <= trial.drive + _NOTHING:
                break
            trial = best
            left = [fact for fact in left if fact is not best.plan[-1]]
        return trial

    def _pruned(self, trial: _Trial) -> _Trial:
        """Without the steps that it does not take."""
        for index in reversed(range(len(trial.plan))):
            shorter = self._trial((*trial.plan[:index], *trial.plan[index + 1 :]))
            if self._is_there(shorter):
                trial = shorter
        return trial

    def _is_there(self, trial: _Trial) -> bool:
        return self._goal.is_reached(self._model, trial.standing)

    def _ways(self, found: Iterator[_Trial]) -> tuple[Way, ...]:
        ways: dict[tuple[tuple[RuleKey, ...], ...], Way] = {}
        for trial in found:
            way = Way(_steps(trial.plan), trial.standing)
            ways.setdefault(tuple(sorted(option.rules for option in trial.plan)), way)
        best = sorted(ways.values(), key=lambda way: (sum(step.count for step in way.steps), len(way.steps)))
        return tuple(best[:_MOST_WAYS])

    def _trial(self, plan: _Plan) -> _Trial:
        """The lead after `plan`; the order of its steps changes nothing."""
        key = tuple(sorted(map(id, plan)))
        if key not in self._tried:
            self._tried[key] = self._computed(plan)
        return replace(self._tried[key], plan=plan)

    def _computed(self, plan: _Plan) -> _Trial:
        tally = self._tally(plan)
        curve = curve_from(self._model, tally, self._at_us)
        values = scores_at(curve, self._at)
        raw = {
            name: fsum(worth_at(portion, self._at_us) for line in lines for portion in line.counted)
            for name, lines in tally.items()
        }
        drive = fsum(weight * raw[name] for weights in self._weights for name, weight in weights.items())
        return _Trial(
            plan=plan,
            standing=standing_at(self._model, curve, self._at),
            value=fsum(values[score] for score in self._about),
            drive=drive,
        )

    def _tally(self, plan: _Plan) -> Tally:
        events = combine_all(state_of(self._model, event) for event in self._events(plan))
        return tally_of(self._model, combine(self._state, events))

    def _held_back(self, plan: _Plan) -> tuple[str, ...]:
        ledger = ledger_from(self._model, self._tally(plan), self._at_us)
        clamps = (entry for entries in ledger.values() for entry in entries if entry.kind in _CLAMPS)
        return tuple(entry.reason for entry in clamps if entry.worth < 0)

    def _events(self, plan: _Plan) -> Iterator[Event]:
        for number, option in enumerate(plan):
            if option.kind == "facts":
                event = _event("facts_learnt", {}, at=self._at, number=number)
                yield structs.replace(event, attributes=option.example)
            else:
                another: Assignment = dict.fromkeys(option.distinct, f"another {number}")
                yield _event(option.event_types[0], {**option.assignment, **another}, at=self._at, number=number)


def _step_words(step: Step) -> str:
    times = f"{step.count} x " if step.count > 1 else ""
    conditions = " and ".join(step.option.conditions)
    return f"{times}{step.option.title}{f' ({conditions})' if conditions else ''}"


def _steps(plan: _Plan) -> tuple[Step, ...]:
    counts: dict[int, Step] = {}
    for option in plan:
        counts[id(option)] = Step(option, counts[id(option)].count + 1 if id(option) in counts else 1)
    return tuple(counts.values())
