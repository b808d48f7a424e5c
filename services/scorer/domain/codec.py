"""A state as JSON and back, and what was told: compact, because it is written with every batch that touches its lead.

Entries are arrays in the order of their fields. A state belongs to a model version and can be recomputed, so
a change of form needs no migration: it gets another number, and what is stored under an older one is recomputed.
Retractions that folding has applied are written once, with what is folded.
"""

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from msgspec import DecodeError
from msgspec.json import Decoder, Encoder

from services.scorer.domain.assessment import Told
from services.scorer.domain.states.state import (
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

if TYPE_CHECKING:
    from shared.events.json import Json as _Value
else:
    # A type of msgspec's cannot speak of itself.
    _Value = object

_FORM: Final = 2
_Encodable: TypeAlias = tuple[object, ...]
_Reset: TypeAlias = tuple[Occurrence, str]


class _Adjustment(NamedTuple):
    origin: Occurrence
    score: str
    points: float
    half_life_us: int | None
    expires_after_days: int | None
    actor: str
    reason: str


class _Sum(NamedTuple):
    score: str
    rule: str
    counted: tuple[Portion, ...]
    withheld: tuple[Portion, ...]
    latest: Occurrence | None


class _Adjusted(NamedTuple):
    score: str
    points: float
    portion: Portion
    latest: Occurrence


class _Settled(NamedTuple):
    until_us: int
    sums: list[_Sum]
    limits: list[tuple[str, str, str, int, int]]
    forgotten: str
    adjusted: list[_Adjusted]
    resets: list[_Reset]
    voided: frozenset[EventKey]


class _State(NamedTuple):
    form: Literal[2]
    occurrences: list[tuple[str, str, str, tuple[Occurrence, ...]]]
    adjustments: list[_Adjustment]
    facts: list[tuple[str, list[tuple[Occurrence, _Value]]]]
    resets: list[_Reset]
    voided: frozenset[EventKey]
    settled: list[_Settled]


_ENCODE: Final = Encoder().encode
_DECODE: Final = Decoder(_State).decode
_DECODE_TOLD: Final = Decoder(Told).decode


def encode_state(state: LeadState) -> bytes:
    """The state as JSON; equal states give equal bytes."""
    return _ENCODE(
        (
            _FORM,
            [(score, rule, by, found) for (score, rule, by), found in sorted(state.occurrences.items())],
            [_adjustment(given) for given in state.adjustments],
            [(name, [(_origin(fact), fact.value) for fact in facts]) for name, facts in sorted(state.facts.items())],
            [(_origin(reset), reset.score) for reset in state.resets],
            sorted(state.voided.difference(*(part.voided for part in state.settled))),
            [_settled(part) for part in state.settled],
        )
    )


def decode_state(body: str | bytes) -> LeadState:
    """The state in `body`. Raises InvalidInput for another form: recompute the lead then."""
    try:
        found = _DECODE(body)
    except DecodeError as error:
        raise InvalidInput("the stored state has another form", code="state_form") from error
    settled = tuple(_decoded_settled(part) for part in found.settled)
    return LeadState(
        occurrences={LimitKey(score, rule, by): origins for score, rule, by, origins in found.occurrences},
        adjustments=tuple(_decoded_adjustment(given) for given in found.adjustments),
        facts={name: tuple(Fact(*origin, value) for origin, value in facts) for name, facts in found.facts},
        resets=_decoded_resets(found.resets),
        voided=found.voided.union(*(part.voided for part in settled)),
        settled=settled,
    )


def encode_told(told: Told) -> bytes:
    """What was told last, as JSON."""
    return _ENCODE(told)


def decode_told(body: str | bytes) -> Told:
    """What was told last, from its JSON."""
    return _DECODE_TOLD(body)


def _origin(entry: Origin) -> _Encodable:
    return entry.at_us, entry.event_id, entry.source, entry.event_type


def _adjustment(given: Adjustment) -> _Encodable:
    return (
        _origin(given),
        given.score,
        given.points,
        given.half_life_us,
        given.expires_after_days,
        given.actor,
        given.reason,
    )


def _settled(part: Settled) -> _Encodable:
    return (
        part.until_us,
        [
            (key.score, key.rule, found.counted, found.withheld, found.latest)
            for key, found in sorted(part.sums.items())
        ],
        sorted((*key.limit, key.period, number) for key, number in part.limits.items()),
        part.forgotten.hex(),
        [(past.score, past.points, past.portion, past.latest) for past in part.adjusted],
        [(_origin(reset), reset.score) for reset in part.resets],
        sorted(part.voided),
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
        sums={
            RuleKey(score, rule): RuleSum(counted, withheld, latest)
            for score, rule, counted, withheld, latest in part.sums
        },
        limits={
            PeriodKey(LimitKey(score, rule, by), period): number for score, rule, by, period, number in part.limits
        },
        forgotten=bytes.fromhex(part.forgotten),
        adjusted=tuple(AdjustedSum(*past) for past in part.adjusted),
        resets=_decoded_resets(part.resets),
        voided=part.voided,
    )


def _decoded_resets(resets: list[_Reset]) -> tuple[Reset, ...]:
    return tuple(Reset(*origin, score) for origin, score in resets)
