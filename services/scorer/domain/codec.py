"""A state as JSON and back: compact, because it is written with every batch that touches its lead.

Entries are arrays in the order of their fields. A state belongs to a model version and can be recomputed, so
a change of form needs no migration: it gets another number, and what is stored under an older one is recomputed.
Retractions that folding has applied are written once, with what is folded.
"""

from typing import Literal, NamedTuple, TypeAlias

from pydantic import TypeAdapter, ValidationError

from services.scorer.domain.state import (
    AdjustedSum,
    Adjustment,
    EventKey,
    Fact,
    LeadState,
    LimitKey,
    Occurrence,
    Origin,
    PeriodKey,
    Portion,
    Reset,
    RuleKey,
    RuleSum,
    Settled,
)
from shared.errors import InvalidInput
from shared.events.json import Json

_Origin: TypeAlias = tuple[int, str, str, str]
_Portion: TypeAlias = tuple[float, int, int | None, int | None, int]
_Reset: TypeAlias = tuple[_Origin, str]


class _Adjustment(NamedTuple):
    origin: _Origin
    score: str
    points: float
    half_life_us: int | None
    expires_after_days: int | None
    actor: str
    reason: str


class _Sum(NamedTuple):
    score: str
    rule: str
    counted: list[_Portion]
    withheld: list[_Portion]
    latest: _Origin | None


class _Adjusted(NamedTuple):
    score: str
    points: float
    portion: _Portion
    latest: _Origin


class _Settled(NamedTuple):
    until_us: int
    sums: list[_Sum]
    limits: list[tuple[str, str, str, int, int]]
    forgotten: str
    adjusted: list[_Adjusted]
    resets: list[_Reset]
    voided: list[tuple[str, str]]


class _State(NamedTuple):
    form: Literal[2]
    occurrences: list[tuple[str, str, str, list[_Origin]]]
    adjustments: list[_Adjustment]
    facts: list[tuple[str, list[tuple[_Origin, Json]]]]
    resets: list[_Reset]
    voided: list[tuple[str, str]]
    settled: list[_Settled]


_STATE: TypeAdapter[_State] = TypeAdapter(_State)


def encode_state(state: LeadState) -> Json:
    """The state as JSON; equal states give equal JSON."""
    document = _State(
        form=2,
        occurrences=[(*key, [_origin(each) for each in found]) for key, found in sorted(state.occurrences.items())],
        adjustments=[_adjustment(given) for given in state.adjustments],
        facts=[
            (name, [(_origin(fact), fact.value) for fact in facts]) for name, facts in sorted(state.facts.items())
        ],
        resets=[(_origin(reset), reset.score) for reset in state.resets],
        voided=sorted(state.voided.difference(*(part.voided for part in state.settled))),
        settled=[_settled(part) for part in state.settled],
    )
    encoded: Json = _STATE.dump_python(document, mode="json")
    return encoded


def decode_state(document: Json) -> LeadState:
    """The state in `document`. Raises InvalidInput for another form: recompute the lead then."""
    try:
        found = _STATE.validate_python(document)
    except ValidationError as error:
        raise InvalidInput("the stored state has another form", code="state_form") from error
    settled = tuple(_decoded_settled(part) for part in found.settled)
    return LeadState(
        occurrences={
            LimitKey(score, rule, by): tuple(Occurrence(*origin) for origin in origins)
            for score, rule, by, origins in found.occurrences
        },
        adjustments=tuple(_decoded_adjustment(given) for given in found.adjustments),
        facts={name: tuple(Fact(*origin, value) for origin, value in facts) for name, facts in found.facts},
        resets=_decoded_resets(found.resets),
        voided=_decoded_keys(found.voided).union(*(part.voided for part in settled)),
        settled=settled,
    )


def _origin(entry: Origin) -> _Origin:
    return entry.at_us, entry.event_id, entry.source, entry.event_type


def _adjustment(given: Adjustment) -> _Adjustment:
    return _Adjustment(
        _origin(given),
        given.score,
        given.points,
        given.half_life_us,
        given.expires_after_days,
        given.actor,
        given.reason,
    )


def _settled(part: Settled) -> _Settled:
    return _Settled(
        until_us=part.until_us,
        sums=[_sum(key, found) for key, found in sorted(part.sums.items())],
        limits=sorted((*key.limit, key.period, number) for key, number in part.limits.items()),
        forgotten=part.forgotten.hex(),
        adjusted=[_Adjusted(past.score, past.points, past.portion, _origin(past.latest)) for past in part.adjusted],
        resets=[(_origin(reset), reset.score) for reset in part.resets],
        voided=sorted(part.voided),
    )


def _sum(key: RuleKey, found: RuleSum) -> _Sum:
    return _Sum(
        key.score,
        key.rule,
        list(found.counted),
        list(found.withheld),
        None if found.latest is None else _origin(found.latest),
    )


def _decoded_adjustment(given: _Adjustment) -> Adjustment:
    return Adjustment(
        *given.origin,
        score=given.score,
        points=given.points,
        half_life_us=given.half_life_us,
        expires_after_days=given.expires_after_days,
        actor=given.actor,
        reason=given.reason,
    )


def _decoded_settled(part: _Settled) -> Settled:
    return Settled(
        until_us=part.until_us,
        sums={RuleKey(found.score, found.rule): _decoded_sum(found) for found in part.sums},
        limits={
            PeriodKey(LimitKey(score, rule, by), period): number for score, rule, by, period, number in part.limits
        },
        forgotten=bytes.fromhex(part.forgotten),
        adjusted=tuple(
            AdjustedSum(past.score, past.points, Portion(*past.portion), Occurrence(*past.latest))
            for past in part.adjusted
        ),
        resets=_decoded_resets(part.resets),
        voided=_decoded_keys(part.voided),
    )


def _decoded_sum(found: _Sum) -> RuleSum:
    return RuleSum(
        counted=tuple(Portion(*portion) for portion in found.counted),
        withheld=tuple(Portion(*portion) for portion in found.withheld),
        latest=None if found.latest is None else Occurrence(*found.latest),
    )


def _decoded_resets(resets: list[_Reset]) -> tuple[Reset, ...]:
    return tuple(Reset(*origin, score) for origin, score in resets)


def _decoded_keys(keys: list[tuple[str, str]]) -> frozenset[EventKey]:
    return frozenset(EventKey(*key) for key in keys)
