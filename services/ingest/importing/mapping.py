"""The mapping of a file: which events a row stands for, and where their parts are found. Pure.

A mapping is a document like a model: read as a whole, and refused with every fault and its path.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.ingest.domain.draft import is_event_type
from services.ingest.importing.moments import ISO, Moment, form_fault, parse_moment
from services.ingest.importing.values import Cell, Cleaning, Kind, Others, Row, Value, as_text, cell_of
from shared.documents.conditions import MISSING, OPERATORS, Missing
from shared.documents.reading import Section
from shared.errors import Fault, InvalidDocument
from shared.events.json import Json

FORMATS: Final = ("csv", "ndjson")
DEFAULT_ENCODING: Final = "utf-8"
_TEXT_OPERATORS: Final = ("eq", "ne", "in", "not_in", "exists", "contains", "starts_with", "ends_with", "matches")
_MOST_EVENTS: Final = 50
_WORKSPACE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_SOURCE: Final = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")

Test: TypeAlias = "Callable[[Cell], bool]"


@dataclass(frozen=True, slots=True)
class When:
    """A condition on one column, compared as text: all tests must hold."""

    column: str
    tests: tuple[Test, ...]
    cleaning: Cleaning

    def holds(self, row: Row) -> bool:
        """Whether the cell passes; a null word is like no cell at all."""
        cell = self.cleaning.clean(cell_of(row, self.column))
        text: Cell = cell if isinstance(cell, Missing | list | dict) else as_text(cell)
        return all(test(text) for test in self.tests)


@dataclass(frozen=True, slots=True)
class LeadMapping:
    """Where the names of the lead stand."""

    email: Value | None
    external_ids: Mapping[str, Value]
    anonymous_id: Value | None


@dataclass(frozen=True, slots=True)
class EventMapping:
    """One event that a row may stand for. Without `identity` the whole row tells it from others."""

    name: str
    type: Value
    occurred_at: Moment
    identity: tuple[Value, ...]
    when: tuple[When, ...]
    lead: LeadMapping
    properties: Mapping[str, Value]
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class ImportMapping:
    """A checked mapping. `format` None: by the name of the file. `columns` are those it reads, by their paths."""

    source: str
    workspace: str
    format: str | None
    encoding: str
    delimiter: str
    events: tuple[EventMapping, ...]
    columns: tuple[tuple[str, str], ...]

    def check_header(self, header: Sequence[str]) -> None:
        """Raise InvalidDocument naming every column that the file does not have."""
        known = set(header)
        shown = ", ".join(name[:40] for name in header[:40])
        faults = [
            Fault(path, f"no column {column}; the file has {shown}")
            for path, column in self.columns
            if column not in known
        ]
        if faults:
            raise InvalidDocument(faults)


def parse_mapping(document: Json) -> ImportMapping:
    """The mapping in `document`. Raises InvalidDocument with every fault."""
    faults: list[Fault] = []
    mapping = _Reader(faults).mapping(Section(document, "", faults))
    if faults:
        raise InvalidDocument(faults)
    return mapping


class _Reader:
    """Reads a mapping, and remembers the columns that it names."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults
        self._columns: list[tuple[str, str]] = []
        self._cleaning = Cleaning()
        self._zone: tzinfo = UTC

    def mapping(self, section: Section) -> ImportMapping:
        source = section.parsed("source", _source, "import")
        workspace = section.parsed("workspace", _workspace, "default")
        form = section.choice("format", FORMATS) if section.has("format") else None
        encoding = section.parsed("encoding", _encoding, DEFAULT_ENCODING)
        delimiter = section.parsed("delimiter", _delimiter, ",")
        self._cleaning = Cleaning(_truth(section, "trim", default=True), section.parsed("nulls", _nulls, _NULLS))
        self._zone = section.parsed("time_zone", _zone, self._zone)
        lead = self._lead(section.section("lead"))
        events = self._events(section, lead)
        section.finish()
        columns = tuple(self._columns)
        return ImportMapping(source, workspace, form, encoding, delimiter, events, columns)

    def _events(self, section: Section, lead: LeadMapping) -> tuple[EventMapping, ...]:
        events = section.section("events")
        found = [
            self._event(name, Section(value, f"events.{name}", self._faults), lead)
            for name, value in (events.entries() if events.is_mapping else ())
        ]
        if events.is_mapping and not 0 < len(found) <= _MOST_EVENTS:
            section.fault("events", f"must name 1 to {_MOST_EVENTS} events")
        return tuple(found)

    def _event(self, name: str, section: Section, lead: LeadMapping) -> EventMapping:
        own_lead = self._lead(section.section("lead")) if section.has("lead") else lead
        if own_lead.email is None and own_lead.anonymous_id is None and not own_lead.external_ids:
            section.fault("lead", "must say whose the event is: email, external_ids or anonymous_id")
        event = EventMapping(
            name=name,
            type=self._type(section, name),
            occurred_at=self._moment(section),
            identity=self._identity(section),
            when=self._when(section),
            lead=own_lead,
            properties=self._values(section, "properties"),
            attributes=self._values(section, "attributes"),
        )
        section.finish()
        return event

    def _type(self, section: Section, name: str) -> Value:
        given = section.value("type") if section.has("type") else name
        if isinstance(given, dict):
            return self._value(given, section, "type")
        if not isinstance(given, str) or not is_event_type(given):
            section.fault("type", "must be snake case, up to 64 characters: email_clicked; or {column: ...}")
        return Value("type", constant=given)

    def _moment(self, section: Section) -> Moment:
        given = section.value("occurred_at")
        if not section.has("occurred_at"):
            section.fault("occurred_at", "is missing: name a column, or one moment as {value: 2020-01-31T00:00:00Z}")
        if not isinstance(given, dict):
            return Moment(self._value(given, section, "occurred_at"), ISO, self._zone)
        timed = Section(given, f"{section.path}.occurred_at", self._faults)
        form = _text(timed, "form", ISO)
        fault = form_fault(form)
        if fault is not None:
            timed.fault("form", fault)
        zone = timed.parsed("time_zone", _zone, self._zone)
        plain: Json = {key: value for key, value in given.items() if key not in {"form", "time_zone"}}
        value = self._value(plain, section, "occurred_at")
        self._check_fixed_time(section, value, form, zone)
        return Moment(value, form, zone)

    def _check_fixed_time(self, section: Section, value: Value, form: str, zone: tzinfo) -> None:
        fixed = value.constant if value.column is None else value.default
        if fixed is None or isinstance(fixed, Missing):
            return
        text = as_text(fixed)
        if text is None or parse_moment(text, form, zone) is None:
            section.fault("occurred_at", f"its fixed time is none since 1970 of the form {form}")

    def _identity(self, section: Section) -> tuple[Value, ...]:
        if not section.has("id"):
            return ()
        given = section.value("id")
        listed = given if isinstance(given, list) else [given]
        if not listed:
            section.fault("id", "must be a column or a list of columns")
        return tuple(self._value(item, section, "id") for item in listed)

    def _when(self, section: Section) -> tuple[When, ...]:
        given = section.value("when") if section.has("when") else {}
        if not isinstance(given, dict):
            section.fault("when", "must be a mapping of columns to tests")
            return ()
        return tuple(self._condition(section, column, tests) for column, tests in given.items())

    def _condition(self, section: Section, column: str, given: Json) -> When:
        key = f"when.{column}"
        self._columns.append((f"{section.path}.{key}", column))
        operators: Mapping[str, Json] = given if isinstance(given, dict) else {"eq": given}
        tests = tuple(self._test(section, key, name, argument) for name, argument in operators.items())
        if not tests:
            section.fault(key, "must have at least one operator")
        return When(column, tests, self._cleaning)

    def _test(self, section: Section, key: str, name: str, argument: Json) -> Test:
        if name not in _TEXT_OPERATORS:
            section.fault(f"{key}.{name}", f"unknown operator; there are {', '.join(_TEXT_OPERATORS)}")
            return _never
        check, build = OPERATORS[name]
        worded = argument if name == "exists" else _as_texts(argument)
        wrong = check(worded)
        if wrong is not None:
            section.fault(f"{key}.{name}", wrong)
            return _never
        return build(worded)

    def _lead(self, section: Section) -> LeadMapping:
        lead = LeadMapping(
            email=self._optional(section, "email"),
            external_ids=self._values(section, "external_ids"),
            anonymous_id=self._optional(section, "anonymous_id"),
        )
        section.finish()
        return lead

    def _optional(self, section: Section, key: str) -> Value | None:
        return self._value(section.value(key), section, key) if section.has(key) else None

    def _values(self, section: Section, key: str) -> dict[str, Value]:
        named = section.section(key)
        if not named.is_mapping:
            return {}
        return {name: self._value(value, named, name) for name, value in named.entries()}

    def _value(self, given: Json, section: Section, key: str) -> Value:
        path = f"{section.path}.{key}" if section.path else key
        plain: Json = {"column": given} if isinstance(given, str) else given
        if not isinstance(plain, dict):
            section.fault(key, "must be a column, or a mapping with column or value")
            return Value(path)
        value = self._value_of(Section(plain, path, self._faults), path)
        if value.column is not None:
            self._columns.append((path, value.column))
        # What a refused row names is the field of the event, wherever in the mapping it stands.
        return replace(value, path=path.partition(".")[2].partition(".")[2] if path.startswith("events.") else path)

    def _value_of(self, section: Section, path: str) -> Value:
        if section.has("value"):
            constant = section.value("value")
            section.finish()
            if constant is None:
                section.fault("value", "must not be null")
            return Value(path, constant=constant)
        lower = _truth(section, "lower", default=False)
        nulls = self._cleaning.nulls | section.parsed("nulls", _nulls, _NULLS)
        value = Value(
            path,
            column=_column(section),
            kind=section.choice("as", tuple(Kind)) if section.has("as") else Kind.AS_IS,
            words=_words(section, lower=lower),
            others=section.choice("others", tuple(Others)) if section.has("others") else Others.KEEP,
            lower=lower,
            default=section.value("default") if section.has("default") else MISSING,
            cleaning=Cleaning(self._cleaning.trim, nulls),
        )
        section.finish()
        return value


_NULLS: Final = frozenset({""})


def _text(section: Section, key: str, default: str) -> str:
    return (section.text(key) or default) if section.has(key) else default


def _truth(section: Section, key: str, *, default: bool) -> bool:
    return section.choice(key, (True, False)) if section.has(key) else default


def _column(section: Section) -> str:
    column = section.value("column")
    if isinstance(column, str) and column:
        return column
    section.fault("column", "must be the name of a column" if section.has("column") else "is missing")
    return "?"


def _words(section: Section, *, lower: bool) -> dict[str, Json]:
    given = section.value("map") if section.has("map") else {}
    if not isinstance(given, dict):
        section.fault("map", "must be a mapping from what the file says to what is meant")
        return {}
    return {word.lower() if lower else word: meaning for word, meaning in given.items()}


def _nulls(value: Json) -> frozenset[str]:
    texts = [as_text(item) for item in value] if isinstance(value, list) else [None]
    words = {text.strip().lower() for text in texts if text is not None}
    if None in texts:
        raise ValueError("must be a list of words")
    return frozenset(words) | _NULLS


def _zone(value: Json) -> tzinfo:
    try:
        return ZoneInfo(value) if isinstance(value, str) and value else _unknown_zone()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return _unknown_zone()


def _unknown_zone() -> tzinfo:
    raise ValueError("must be an IANA time zone such as Europe/Berlin")


def _source(value: Json) -> str:
    if isinstance(value, str) and _SOURCE.fullmatch(value):
        return value
    raise ValueError("must have 1 to 128 characters, no spaces")


def _workspace(value: Json) -> str:
    if isinstance(value, str) and _WORKSPACE.fullmatch(value):
        return value
    raise ValueError("must have lower-case letters, digits and hyphens")


def _encoding(value: Json) -> str:
    try:
        if isinstance(value, str):
            "".encode(value)
            return value
    except (LookupError, ValueError):
        pass
    raise ValueError("must be an encoding such as utf-8, latin-1 or cp1252")


def _delimiter(value: Json) -> str:
    if value == "tab":
        return "\t"
    if isinstance(value, str) and len(value) == 1 and value not in '"\r\n ':
        return value
    raise ValueError("must be one character, or tab")


def _as_texts(argument: Json) -> Json:
    if isinstance(argument, list):
        return [_as_texts(item) for item in argument]
    return argument if argument is None or isinstance(argument, dict) else as_text(argument)


def _never(_: Cell) -> bool:
    return False
