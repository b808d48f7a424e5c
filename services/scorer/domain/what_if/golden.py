"""Golden histories: what a model must make of the histories in a file beside it, so that it is tested like code."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.events.event import Event
from services.scorer.domain.events.text import read_moment
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.ledger import ledger_of
from services.scorer.domain.scores.standing import positions, standing_of
from services.scorer.domain.states.state import LeadState, combine_all
from shared.documents.durations import duration_us
from shared.documents.reading import Section, as_number
from shared.errors import Fault, InvalidDocument, InvalidInput
from shared.events.json import Json
from shared.events.scores import LedgerEntry

Value = TypeVar("Value")

# A Monday, so that days and weeks begin where a reader expects it.
_START: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
_SOURCE: Final = "golden"
_RELATIVE: Final = re.compile(r"\+?(?:[1-9][0-9]{0,8}[smhdw])+", re.ASCII)
_PART: Final = re.compile(r"[0-9]+[smhdw]", re.ASCII)

# Two published numbers that differ by less are the same.
_NEARLY: Final = 0.005 - 1e-9


@dataclass(frozen=True, slots=True)
class Expectation:
    """Where the lead must stand at `at`; what is not named may be anything.

    `thresholds` are positions: reached, between, below. `reasons` are the rules that give points in a score.
    """

    at: datetime
    scores: Mapping[str, float]
    bands: Mapping[str, str | None]
    grade: tuple[str | None] | None
    thresholds: Mapping[str, str]
    reasons: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Case:
    """A history by name, of which each event counts once, and what is expected of it."""

    name: str
    events: tuple[Event, ...]
    expectations: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What stands somewhere else than expected; `ledger` says why, if it is a score's doing."""

    at: datetime
    what: str
    expected: str
    found: str
    ledger: tuple[LedgerEntry, ...]


def parse_golden(document: Json) -> tuple[Case, ...]:
    """The cases in `document` (parsed YAML or JSON). Raises InvalidDocument with every fault."""
    faults: list[Fault] = []
    section = Section(document, "", faults)
    start = section.parsed("start", partial(_moment, start=_START), _START)
    cases = tuple(_case(each, start) for each in section.items("cases"))
    if section.is_mapping and not cases:
        section.fault("cases", "must be a list of cases, at least one")
    section.finish()
    if faults:
        raise InvalidDocument(faults)
    return cases


def mismatches(model: Model, case: Case) -> tuple[Mismatch, ...]:
    """Where `model` sees the lead of `case` otherwise than expected; nothing where it passes."""
    state = combine_all(state_of(model, event) for event in case.events)
    return tuple(found for expected in case.expectations for found in _differing(model, state, expected))


def _case(section: Section, start: datetime) -> Case:
    name = section.text("name")
    if not name:
        section.fault("name", "is missing")
    start = section.parsed("start", partial(_moment, start=start), start)
    events: dict[tuple[str, str], Event] = {}
    for number, each in enumerate(section.items("events"), 1):
        event = _event(each, start, number)
        events.setdefault((event.source, event.id), event)
    expectations = tuple(_expectation(each, start) for each in section.items("expect"))
    if not expectations:
        section.fault("expect", "must be a list of expectations, at least one")
    section.finish()
    return Case(name, tuple(events.values()), expectations)


def _event(section: Section, start: datetime, number: int) -> Event:
    if not section.has("at"):
        section.fault("at", "is missing")
    event = Event(
        id=section.text("id") or f"event {number}",
        source=section.text("source") or _SOURCE,
        type=section.name("type"),
        occurred_at=section.parsed("at", partial(_moment, start=start), start),
        properties=_mapping(section, "properties"),
        attributes=_mapping(section, "attributes"),
    )
    section.finish()
    return event


def _expectation(section: Section, start: datetime) -> Expectation:
    if not section.has("at"):
        section.fault("at", "is missing")
    expectation = Expectation(
        at=section.parsed("at", partial(_moment, start=start), start),
        scores=_values(section, "scores", _number),
        bands=_values(section, "bands", _text_or_null),
        grade=(section.parsed("grade", _text_or_null, None),) if section.has("grade") else None,
        thresholds=_values(section, "thresholds", _position),
        reasons=_values(section, "reasons", _rules),
    )
    section.finish()
    return expectation


def _moment(value: Json, start: datetime) -> datetime:
    """A time, or how long after the start: `0`, `36h`, `+1d12h`."""
    if value == 0 and not isinstance(value, bool):
        return start
    try:
        if isinstance(value, str) and _RELATIVE.fullmatch(value):
            return start + timedelta(microseconds=sum(duration_us(part) for part in _PART.findall(value)))
        return read_moment(value, "")
    except (InvalidInput, OverflowError):
        raise ValueError("must be a time with its zone, or how long after the start: 0, 36h, +1d12h") from None


def _mapping(section: Section, key: str) -> Mapping[str, Json]:
    value = section.value(key) if section.has(key) else {}
    if isinstance(value, dict):
        return value
    section.fault(key, "must be a mapping")
    return {}


def _values(section: Section, key: str, parse: Callable[[Json], Value]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in _mapping(section, key).items():
        try:
            found[name] = parse(value)
        except ValueError as error:
            section.fault(f"{key}.{name}", str(error))
    return found


def _number(value: Json) -> float:
    number = as_number(value)
    if number is None:
        raise ValueError("must be a number")
    return number


def _text_or_null(value: Json) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("must be a name, or null for none")


def _position(value: Json) -> str:
    if value in ("reached", "between", "below"):
        return str(value)
    raise ValueError("must be reached, between or below")


def _rules(value: Json) -> frozenset[str]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return frozenset(map(str, value))
    raise ValueError("must be a list of the rules that give points")


def _differing(model: Model, state: LeadState, expected: Expectation) -> Iterator[Mismatch]:
    standing = standing_of(model, state, expected.at)
    ledger = ledger_of(model, state, expected.at)

    def mismatch(what: str, wanted: object, found: object, score: str | None = None) -> Mismatch:
        return Mismatch(expected.at, what, _shown(wanted), _shown(found), ledger.get(score or "", ()))

    for name, number in expected.scores.items():
        score = standing.scores.get(name)
        if score is None or abs(score - number) > _NEARLY:
            yield mismatch(f"score {name}", number, score, name)
    for name, band in expected.bands.items():
        if name not in standing.bands or standing.bands[name] != band:
            yield mismatch(f"band of {name}", band, standing.bands.get(name, "no bands"), name)
    if expected.grade is not None and standing.grade != expected.grade[0]:
        yield mismatch("grade", expected.grade[0], standing.grade)
    places = {name: found.position for name, found in positions(model, standing).items()}
    for name, position in expected.thresholds.items():
        if places.get(name) != position:
            yield mismatch(f"threshold {name}", position, places.get(name, "no such threshold"))
    for name, rules in expected.reasons.items():
        giving = _giving(ledger.get(name, ()))
        if giving != rules:
            yield mismatch(f"reasons of {name}", sorted(rules), sorted(giving), name)


def _giving(entries: Sequence[LedgerEntry]) -> frozenset[str]:
    """The rules, and the combined scores, that weigh in a ledger."""
    kinds = {"rule", "attribute", "component"}
    return frozenset(entry.name for entry in entries if entry.kind in kinds and entry.name and entry.worth)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
