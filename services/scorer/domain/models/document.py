"""The model document: validated with every fault in it, and compiled.

The form of the document is the contract's; an unknown key is a fault, because it is a misspelt one.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar, get_args

from services.scorer.domain.models.compiling import matcher
from services.scorer.domain.models.model import (
    AttributeRule,
    AttributeScore,
    Band,
    Bounds,
    CombinedScore,
    EventRule,
    EventScore,
    GradeThreshold,
    Model,
    Score,
    ScoreThreshold,
    Threshold,
)
from services.scorer.domain.states.limits import Limit, Per
from shared.documents.conditions import (
    ATTRIBUTE_FIELDS,
    EVENT_FIELDS,
    Clause,
    ConditionCompiler,
    Vocabulary,
)
from shared.documents.durations import NONE, duration_us, whole_days
from shared.documents.reading import Section, meant
from shared.errors import Fault, InvalidDocument
from shared.events.json import Json

Rule = TypeVar("Rule", EventRule, AttributeRule)

_PERIODS: Final[tuple[Per, ...]] = get_args(Per)


def parse_model(document: Json) -> Model:
    """The model that `document` (parsed YAML or JSON) describes. Raises InvalidDocument with every fault."""
    faults: list[Fault] = []
    model = _model(Section(document, "", faults))
    if faults:
        raise InvalidDocument(faults)
    return model


def _model(section: Section) -> Model:
    name = section.name("model")
    description = section.text("description")
    scores = _scores(section.section("scores"))
    bands = _bands(section.section("bands"), scores)
    grade = _grade(section, bands)
    # Where the grade itself is at fault, nothing can be said of its cells.
    cells = None if section.has("grade") and grade is None else _cells(grade, bands)
    thresholds = _thresholds(section.section("thresholds"), scores, cells)
    section.finish()
    rules_by_type = _by_type(scores)
    return Model(
        name=name,
        description=description,
        scores=_after_their_parts(scores),
        bands=bands,
        grade=grade,
        thresholds=thresholds,
        levels=_levels(bands, thresholds),
        rules_by_type=rules_by_type,
        matchers={event_type: matcher(event_type, rules) for event_type, rules in rules_by_type.items()},
    )


def _scores(section: Section) -> dict[str, Score]:
    scores = {name: _score(name, section.section(name)) for name, _ in section.entries()}
    if not scores:
        section.fault("", "a model has at least one score")
    for score in scores.values():
        if isinstance(score, CombinedScore):
            _check_weights(section, score, scores)
    for name in _in_circles(scores):
        section.fault(f"{name}.combine", "combines itself, directly or through others")
    return scores


def _score(name: str, section: Section) -> Score:
    bounds = _bounds(section, default_min=0.0)
    if section.has("combine"):
        return _combined(name, section, bounds)
    groups = _groups(section.section("groups"))
    rules = tuple(section.items("rules"))
    if section.is_mapping and section.value("rules") in (None, []):
        section.fault("rules", "must have at least one rule")
    if any(rule.has("on") for rule in rules):
        return _event_score(name, section, bounds, groups=groups, rules=rules)
    section.finish()
    return AttributeScore(name, bounds, groups, _unique([(_attribute_rule(rule, groups), rule) for rule in rules]))


def _event_score(
    name: str, section: Section, bounds: Bounds, *, groups: Mapping[str, Bounds], rules: Sequence[Section]
) -> EventScore:
    half_life = _half_life(section, None)
    section.finish()
    return EventScore(name, bounds, groups, _unique([(_event_rule(rule, groups, half_life), rule) for rule in rules]))


def _combined(name: str, section: Section, bounds: Bounds) -> CombinedScore:
    parts = section.section("combine")
    weights = {part: parts.number(part) for part, _ in parts.entries()}
    if not weights:
        section.fault("combine", "must name at least one score and its weight")
    section.finish()
    return CombinedScore(name, bounds, weights)


def _groups(section: Section) -> dict[str, Bounds]:
    return {name: _group(section.section(name)) for name, _ in section.entries()}


def _group(section: Section) -> Bounds:
    bounds = _bounds(section, default_min=None)
    section.finish()
    return bounds


def _bounds(section: Section, *, default_min: float | None) -> Bounds:
    bounds = Bounds(section.number_or_none("min", default_min), section.number_or_none("max", None))
    if bounds.min is not None and bounds.max is not None and bounds.min > bounds.max:
        section.fault("min", "must not be above max")
    return bounds


def _event_rule(section: Section, groups: Mapping[str, Bounds], half_life_us: int | None) -> EventRule:
    rule = EventRule(
        id=(id_ := section.name("id")),
        event_types=section.names("on"),
        condition=_condition(section, EVENT_FIELDS) if section.has("if") else None,
        points=section.number("points"),
        description=(description := section.text("description")),
        title=_title(id_, description),
        group=_group_of(section, groups),
        half_life_us=_half_life(section, half_life_us),
        expires_after_days=section.parsed("expires_after", _expiry, None),
        limit=_limit(section.section("limit")) if section.has("limit") else None,
    )
    section.finish()
    return rule


def _attribute_rule(section: Section, groups: Mapping[str, Bounds]) -> AttributeRule:
    rule = AttributeRule(
        id=(id_ := section.name("id")),
        condition=_condition(section, ATTRIBUTE_FIELDS),
        points=section.number("points"),
        description=(description := section.text("description")),
        title=_title(id_, description),
        group=_group_of(section, groups),
    )
    section.finish()
    return rule


def _title(id_: str, description: str) -> str:
    """What a rule is called: its description, or its id as words."""
    return description or id_.replace("_", " ").replace("-", " ").capitalize()


def _condition(section: Section, vocabulary: Vocabulary) -> Clause:
    compiler = ConditionCompiler(vocabulary, section.faults)
    return compiler.compile(section.value("if"), f"{section.path}.if")


def _group_of(section: Section, groups: Mapping[str, Bounds]) -> str | None:
    if not section.has("group"):
        return None
    group = section.name("group")
    if group and group not in groups:
        section.fault("group", f"is not among the groups of its score{meant(group, groups)}")
    return group


def _half_life(section: Section, default: int | None) -> int | None:
    return section.parsed("half_life", _half_life_us, default)


def _half_life_us(value: Json) -> int | None:
    return None if value == NONE else duration_us(value)


def _expiry(value: Json) -> int | None:
    return None if value == NONE else whole_days(value)


def _limit(section: Section) -> Limit:
    by = section.parsed("by", _event_field, None)
    limit = Limit(count=section.count("count"), per=section.choice("per", _PERIODS), by=by)
    section.finish()
    return limit


def _event_field(value: Json) -> tuple[str, ...] | None:
    if isinstance(value, str) and EVENT_FIELDS.allows(value):
        return tuple(value.split("."))
    raise ValueError("must be a field of the event: type, source, properties.*")


def _unique(rules: Sequence[tuple[Rule, Section]]) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for rule, section in rules:
        if rule.id and rule.id in found:
            section.fault("id", "is taken by an earlier rule of this score")
        found.setdefault(rule.id, rule)
    return found


def _check_weights(section: Section, score: CombinedScore, scores: Mapping[str, Score]) -> None:
    for part in score.weights:
        if part not in scores:
            section.fault(f"{score.name}.combine.{part}", f"is no score of this model{meant(part, scores)}")


def _in_circles(scores: Mapping[str, Score]) -> list[str]:
    return [name for name in scores if name in _parts_of(name, scores)]


def _parts_of(name: str, scores: Mapping[str, Score]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        score = scores.get(waiting.pop())
        parts = set(score.weights) - found if isinstance(score, CombinedScore) else set()
        found |= parts
        waiting.extend(parts)
    return found


def _after_their_parts(scores: Mapping[str, Score]) -> dict[str, Score]:
    return dict(sorted(scores.items(), key=lambda item: len(_parts_of(item[0], scores))))


def _by_type(scores: Mapping[str, Score]) -> dict[str, tuple[tuple[str, EventRule], ...]]:
    index: dict[str, list[tuple[str, EventRule]]] = {}
    for score in scores.values():
        for rule in score.rules.values() if isinstance(score, EventScore) else ():
            for event_type in rule.event_types:
                index.setdefault(event_type, []).append((score.name, rule))
    return {event_type: tuple(rules) for event_type, rules in index.items()}


def _levels(bands: Mapping[str, Sequence[Band]], thresholds: Mapping[str, Threshold]) -> dict[str, tuple[float, ...]]:
    found = {score: {band.at_least for band in these} for score, these in bands.items()}
    for threshold in thresholds.values():
        if isinstance(threshold, ScoreThreshold):
            found.setdefault(threshold.score, set()).update((threshold.enter, threshold.exit))
    return {score: tuple(sorted(levels)) for score, levels in found.items()}


def _bands(section: Section, scores: Mapping[str, Score]) -> dict[str, tuple[Band, ...]]:
    return {name: _bands_of(name, section, scores) for name, _ in section.entries()}


def _bands_of(score: str, section: Section, scores: Mapping[str, Score]) -> tuple[Band, ...]:
    if score not in scores:
        section.fault(score, f"is no score of this model{meant(score, scores)}")
    bounds = section.section(score)
    bands = [Band(name, bounds.number(name)) for name, _ in bounds.entries()]
    if len({band.at_least for band in bands}) < max(1, len(bands)):
        section.fault(score, "must have bands, each with a lower bound of its own")
    return tuple(sorted(bands, key=lambda band: -band.at_least))


def _grade(section: Section, bands: Mapping[str, tuple[Band, ...]]) -> tuple[str, str] | None:
    if not section.has("grade"):
        return None
    match section.value("grade"):
        case [str() as first, str() as second] if first != second and {first, second} <= bands.keys():
            return first, second
        case _:
            section.fault("grade", "must name two different scores that have bands")
            return None


def _cells(grade: tuple[str, str] | None, bands: Mapping[str, tuple[Band, ...]]) -> frozenset[str]:
    if grade is None:
        return frozenset()
    first, second = (bands[score] for score in grade)
    return frozenset(row.name + column.name for row in first for column in second)


def _thresholds(section: Section, scores: Mapping[str, Score], cells: frozenset[str] | None) -> dict[str, Threshold]:
    return {name: _threshold(name, section.section(name), scores, cells=cells) for name, _ in section.entries()}


def _threshold(
    name: str, section: Section, scores: Mapping[str, Score], *, cells: frozenset[str] | None
) -> Threshold:
    cooldown = section.parsed("cooldown", _half_life_us, None)
    threshold = (
        _grade_threshold(name, section, cells, cooldown_us=cooldown)
        if section.has("grade")
        else _score_threshold(name, section, scores, cooldown_us=cooldown)
    )
    section.finish()
    return threshold


def _grade_threshold(
    name: str, section: Section, cells: frozenset[str] | None, *, cooldown_us: int | None
) -> GradeThreshold:
    grades = frozenset(section.names("grade"))
    if cells is not None and grades - cells:
        section.fault("grade", f"{', '.join(sorted(grades - cells))}: no cell of the model's grade")
    return GradeThreshold(name, grades, cooldown_us)


def _score_threshold(
    name: str, section: Section, scores: Mapping[str, Score], *, cooldown_us: int | None
) -> ScoreThreshold:
    score = section.name("score")
    if score and score not in scores:
        section.fault("score", f"is no score of this model{meant(score, scores)}")
    enter = section.number("enter")
    leave = section.number("exit", enter)
    if leave > enter:
        section.fault("exit", "must not be above enter")
    return ScoreThreshold(name, score, enter, leave, cooldown_us)
