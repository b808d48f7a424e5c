"""The pipeline document: read once with every fault, then a frozen value that rules run on."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from services.pipeline.domain.criteria import Criterion, Exclusion, compile_condition, compile_question
from services.pipeline.domain.due import BusinessHours, Due
from services.pipeline.domain.qualification import Policy
from services.pipeline.domain.stages import REASON, MovePolicy, Stage, Stages
from services.pipeline.domain.triggers import (
    AllOf,
    AnyOf,
    EventSeen,
    Inside,
    LeftThreshold,
    StandsIn,
    Trigger,
    VerdictIs,
)
from services.pipeline.domain.wording import condition_words, fields_read
from shared.documents.durations import duration_us
from shared.documents.reading import Section
from shared.errors import Fault, InvalidDocument
from shared.events.json import Json

Value = TypeVar("Value")

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", re.ASCII)
_REQUIREMENT: Final = re.compile(r"attributes(\.[A-Za-z0-9_-]+)+", re.ASCII)
_LONGEST_DUE: Final = timedelta(days=366)
_MOST_STAGES: Final = 100
_MOST_NAMES: Final = 20
_LONGEST_NAME: Final = 200
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One version of a pipeline: who is ready, which stages there are, and how leads move."""

    name: str
    policy: Policy
    stages: Stages
    hours: BusinessHours | None


def parse_pipeline(document: Json) -> Pipeline:
    """The pipeline in `document`. Raises InvalidDocument with every fault and its path."""
    faults: list[Fault] = []
    root = Section(document, "", faults)
    name = root.name("pipeline")
    root.text("description")
    policy = _policy(root.section("qualification"), faults)
    stages = _stages(root, policy, faults)
    moves = _moves(root.section("moves"))
    hours = _hours(root.section("business_hours")) if root.has("business_hours") else None
    root.finish()
    if faults:
        raise InvalidDocument(faults)
    return Pipeline(name, policy, Stages(stages, moves), hours)


def _policy(section: Section, faults: list[Fault]) -> Policy:
    framework = section.text("framework") or None
    criteria = tuple(_criteria(section.section("criteria"), faults))
    at_least = _at_least(section, len(criteria)) if section.has("qualified") else None
    exclusions = tuple(_exclusions(section, faults))
    section.finish()
    return Policy(framework, criteria, at_least, exclusions)


def _criteria(section: Section, faults: list[Fault]) -> Iterator[Criterion]:
    for name, value in section.entries():
        before = len(faults)
        criterion = Section(value, f"{section.path}.{name}", faults)
        condition = _needed(criterion, "if")
        answer = compile_question(condition, f"{criterion.path}.if", faults)
        expires_after = criterion.parsed("expires_after", _duration, None)
        criterion.finish()
        sound = condition if len(faults) == before else {}
        yield Criterion(name, answer, expires_after, fields_read(sound), condition_words(sound))


def _at_least(section: Section, criteria: int) -> int:
    qualified = section.section("qualified")
    at_least = qualified.count("at_least")
    if at_least > criteria:
        qualified.fault("at_least", f"there are only {criteria} criteria")
    qualified.finish()
    return at_least


def _exclusions(section: Section, faults: list[Fault]) -> Iterator[Exclusion]:
    for item in section.items("disqualified"):
        before = len(faults)
        condition = _needed(item, "if")
        holds = compile_condition(condition, f"{item.path}.if", faults)
        reason = _needed_text(item, "reason")
        item.finish()
        yield Exclusion(holds, reason, condition_words(condition) if len(faults) == before else "")


def _stages(root: Section, policy: Policy, faults: list[Fault]) -> tuple[Stage, ...]:
    stages = tuple(_stage(item, index, faults) for index, item in enumerate(root.items("stages")))
    known = {stage.id for stage in stages}
    if not stages:
        root.fault("stages", "there must be at least one")
    if len(stages) > _MOST_STAGES:
        root.fault("stages", f"there are more than {_MOST_STAGES}")
    if stages and sum(stage.initial for stage in stages) != 1:
        root.fault("stages", "exactly one stage must have `initial: true`")
    for stage in stages:
        _check_stage(root, stage, known, policy)
        _check_names(root, stage, stages)
        if sum(other.id == stage.id for other in stages[: stage.index + 1]) > 1:
            root.fault(f"stages[{stage.index}].id", f"there is a stage {stage.id} already")
    return stages


def _check_stage(root: Section, stage: Stage, known: set[str], policy: Policy) -> None:
    path = f"stages[{stage.index}]"
    for origin in stage.named_origins:
        if origin not in known:
            root.fault(f"{path}.enter_when.stage_in", f"there is no stage {origin}")
    if stage.initial and stage.terminal:
        root.fault(path, "a stage cannot be initial and terminal")
    if stage.initial and stage.requires:
        root.fault(f"{path}.requires", "the initial stage takes everybody")
    if stage.terminal and stage.due:
        root.fault(f"{path}.due", "a terminal stage is never left, so it is never due")
    verdicts = set(_verdicts(stage.enter_when)) if stage.enter_when else set()
    if "qualified" in verdicts and policy.at_least is None:
        root.fault(f"{path}.enter_when.qualified", "the document does not say who is qualified")
    if "disqualified" in verdicts and not policy.exclusions:
        root.fault(f"{path}.enter_when.disqualified", "the document disqualifies nobody")


def _check_names(root: Section, stage: Stage, stages: tuple[Stage, ...]) -> None:
    """A name by which CRMs know a stage must mean that one alone."""
    others = [other for other in stages if other.index != stage.index]
    taken = {name for other in others for name in (other.id, *other.known_as)}
    for name in stage.known_as:
        if name in taken or stage.known_as.count(name) > 1:
            root.fault(f"stages[{stage.index}].known_as", f"{name} means another stage too, or is there twice")
            return


def _verdicts(trigger: Trigger) -> Iterator[str]:
    match trigger:
        case VerdictIs(state):
            yield state
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _verdicts(part)
        case _:
            return


def _stage(section: Section, index: int, faults: list[Fault]) -> Stage:
    trigger = None
    if section.has("enter_when"):
        trigger = _trigger(Section(section.value("enter_when"), f"{section.path}.enter_when", faults), 0)
        if _only_origin(trigger):
            section.fault("enter_when", "must say more than `stage_in`: what makes the lead move")
    stage = Stage(
        id=section.name("id"),
        index=index,
        initial=section.parsed("initial", _truth, False),
        terminal=section.choice("terminal", ("won", "lost")) if section.has("terminal") else None,
        due=section.parsed("due", _due, None),
        probability=section.parsed("probability", _probability, None),
        requires=section.parsed("requires", _requirements, ()),
        enter_when=trigger,
        known_as=section.parsed("known_as", _known_as, ()),
        resets=_resets(section.section("on_enter")),
    )
    section.finish()
    return stage


def _resets(section: Section) -> tuple[str, ...]:
    found = section.names("reset_scores") if section.has("reset_scores") else ()
    section.finish()
    return found


def _trigger(section: Section, depth: int) -> Trigger:
    parts = [part for key, read in _TRIGGERS.items() if section.has(key) for part in [read(section, key, depth)]]
    if not parts:
        section.fault("", f"must have at least one of {', '.join(_TRIGGERS)}")
    for key in _TRIGGERS:
        section.value(key)
    section.finish()
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _parts(section: Section, key: str, depth: int) -> tuple[Trigger, ...]:
    if depth >= _DEEPEST:
        section.fault(key, f"nested deeper than {_DEEPEST}")
        return ()
    parts = tuple(_trigger(item, depth + 1) for item in section.items(key))
    if not parts:
        section.fault(key, "must be a list of at least one")
    return parts


def _verdict(section: Section, key: str, _: int) -> Trigger:
    if section.value(key) is not True:
        section.fault(key, "must be true")
    return VerdictIs("qualified" if key == "qualified" else "disqualified")


_TRIGGERS: Final[dict[str, Callable[[Section, str, int], Trigger]]] = {
    "threshold": lambda section, key, _: Inside(section.names(key)),
    "left_threshold": lambda section, key, _: LeftThreshold(section.names(key)),
    "event": lambda section, key, _: EventSeen(section.names(key)),
    "qualified": _verdict,
    "disqualified": _verdict,
    "stage_in": lambda section, key, _: StandsIn(section.names(key)),
    "any": lambda section, key, depth: AnyOf(_parts(section, key, depth)),
    "all": lambda section, key, depth: AllOf(_parts(section, key, depth)),
}


def _only_origin(trigger: Trigger) -> bool:
    match trigger:
        case StandsIn():
            return True
        case AllOf(parts):
            return bool(parts) and all(_only_origin(part) for part in parts)
        case AnyOf(parts):
            return any(_only_origin(part) for part in parts)
        case _:
            return False


def _moves(section: Section) -> MovePolicy:
    policy = MovePolicy(
        back=_allows(section, "back", default=True),
        skip=_allows(section, "skip", default=True),
        from_terminal=_allows(section, "from_terminal", default=False),
    )
    section.finish()
    return policy


def _allows(section: Section, key: str, *, default: bool) -> bool:
    return section.choice(key, ("allowed", "refused")) == "allowed" if section.has(key) else default


def _hours(section: Section) -> BusinessHours:
    zone = _needed_value(section, "timezone", _zone, ZoneInfo("UTC"))
    weekdays = _needed_value(section, "days", _weekdays, frozenset({0}))
    opens = _needed_value(section, "from", _clock, time(9))
    closes = _needed_value(section, "to", _clock, time(17))
    holidays = section.parsed("holidays", _holidays, frozenset[date]())
    if closes <= opens:
        section.fault("to", "must be later than `from`")
    section.finish()
    return BusinessHours(zone, weekdays, opens, closes, holidays)


def _needed(section: Section, key: str) -> Json:
    return section.value(key)


def _needed_value(section: Section, key: str, parse: Callable[[Json], Value], default: Value) -> Value:
    if not section.has(key):
        section.fault(key, "is missing")
    return section.parsed(key, parse, default)


def _needed_text(section: Section, key: str) -> str:
    text = section.text(key)
    if not text:
        section.fault(key, "is missing")
    return text


def _duration(value: Json) -> timedelta:
    return timedelta(microseconds=duration_us(value))


def _due(value: Json) -> Due:
    if _duration(value) > _LONGEST_DUE:
        raise ValueError("must be at most a year")
    assert isinstance(value, str)
    return Due(int(value[:-1]), value[-1])


def _probability(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return float(value)


def _requirements(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list")  # noqa: TRY004 a fault of the document
    for item in value:
        if not isinstance(item, str) or (item != REASON and not _REQUIREMENT.fullmatch(item)):
            raise ValueError("must name `reason` or fields `attributes.*`")
    return tuple(str(item) for item in value)


def _truth(value: Json) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 a fault of the document
    return value


def _known_as(value: Json) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    if not listed or len(listed) > _MOST_NAMES:
        raise ValueError(f"must be 1 to {_MOST_NAMES} names")
    if not all(isinstance(item, str) and item.strip() and len(item) <= _LONGEST_NAME for item in listed):
        raise ValueError(f"must be what CRMs call the stage: texts of 1 to {_LONGEST_NAME} characters")
    return tuple(str(item) for item in listed)


def _zone(value: Json) -> ZoneInfo:
    if not isinstance(value, str) or not _ZONE.fullmatch(value):
        raise ValueError("must be a time zone such as Europe/Stockholm")
    try:
        return ZoneInfo(value)
    except (OSError, KeyError) as error:
        raise ValueError("is no time zone of the IANA data base") from error


def _weekdays(value: Json) -> frozenset[int]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts:
        raise ValueError("must be `mon-fri`, `mon,wed` or a list of days")
    return frozenset(day for part in parts for day in _day_range(part))


def _day_range(part: Json) -> range:
    first, _, last = part.strip().partition("-") if isinstance(part, str) else ("", "", "")
    last = last or first
    if first not in _WEEKDAYS or last not in _WEEKDAYS:
        raise ValueError(f"days are {', '.join(_WEEKDAYS)}")
    begin, end = _WEEKDAYS.index(first), _WEEKDAYS.index(last)
    if end < begin:
        raise ValueError("a range of days goes forward in the week")
    return range(begin, end + 1)


def _clock(value: Json) -> time:
    form = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if form is None:
        raise ValueError('must be a time of the day in quotes: "09:00"')
    return time(int(form[1]), int(form[2]))


def _holidays(value: Json) -> frozenset[date]:
    if not isinstance(value, list):
        raise ValueError("must be a list of dates")  # noqa: TRY004 a fault of the document
    try:
        return frozenset(_date(item) for item in value)
    except ValueError as error:
        raise ValueError("holidays are dates: 2026-12-25") from error


def _date(value: Json) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError(value)
    return date.fromisoformat(value)
