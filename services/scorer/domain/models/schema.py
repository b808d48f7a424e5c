"""The model document as JSON Schema: for editors, which complete and check while somebody writes.

It says what a schema can say; `document` has the last word, and `BEYOND` lists what only it can tell. Draft 7,
because that is what editors know best. The patterns and choices are the parser's own.
"""

from typing import Final, get_args

from services.scorer.domain.states.limits import Per
from shared.documents.conditions import ATTRIBUTE_FIELDS, EVENT_FIELDS, Vocabulary
from shared.documents.durations import NONE
from shared.documents.reading import LARGEST_NUMBER, NAME
from shared.events.json import Json

SCHEMA_ID: Final = "urn:leadflow:model:v1"

# What a document can be refused for though it keeps to the schema.
BEYOND: Final = (
    "what is named exists: groups by rules, scores by weights, bands and thresholds, cells by thresholds on grades",
    "a grade is of scores that have bands",
    "rule ids are unique within a score, and bands of a score have different bounds",
    "`min` is not above `max`, and `exit` not above `enter`",
    "a combined score does not combine itself, directly or through others",
    "`matches` is a regular expression of RE2",
    "a duration is at most a hundred years",
    "a count is written as a whole number: 3, not 3.0",
    "conditions are nested at most 16 deep",
)

_NAME: Final[dict[str, Json]] = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_NUMBER: Final[dict[str, Json]] = {"type": "number", "minimum": -LARGEST_NUMBER, "maximum": LARGEST_NUMBER}
_NONE: Final[dict[str, Json]] = {"const": NONE}
_SCALAR: Final[dict[str, Json]] = {"type": ["string", "number", "boolean", "null"]}
_DURATION: Final = "^[1-9][0-9]{0,8}[smhdw]$"
_WHOLE_DAYS: Final = "^[1-9][0-9]{0,8}[dw]$"

_SCALARS: Final[dict[str, Json]] = {"type": "array", "items": _SCALAR, "minItems": 1}
_ORDERED: Final[dict[str, Json]] = {"type": ["number", "string"]}
_TEXT: Final[dict[str, Json]] = {"type": "string"}
_TRUTH: Final[dict[str, Json]] = {"type": "boolean"}

ARGUMENTS: Final[dict[str, dict[str, Json]]] = {
    "eq": _SCALAR,
    "ne": _SCALAR,
    "in": _SCALARS,
    "not_in": _SCALARS,
    "gt": _ORDERED,
    "gte": _ORDERED,
    "lt": _ORDERED,
    "lte": _ORDERED,
    "exists": _TRUTH,
    "contains": _SCALAR,
    "starts_with": _TEXT,
    "ends_with": _TEXT,
    "matches": {**_TEXT, "description": "A regular expression (RE2), searched anywhere in the text."},
}


def model_schema() -> dict[str, Json]:
    """The JSON Schema of a model document."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA_ID,
        "title": "leadflow scoring model",
        "description": "What events and attributes of a lead are worth. Not all rules fit a schema: "
        "`leadflow models validate` has the last word.",
        "$comment": "; ".join(BEYOND),
        **_object(
            {
                "model": _said("Name of the model.", _NAME),
                "description": _said("For people.", _TEXT),
                "scores": _said("Scores by name.", _names_of(_ref("score"), at_least=1)),
                "bands": _said(
                    "Per score, bands and their lower bounds: {hot: 70, warm: 40, cold: 0}.",
                    _names_of(_names_of(_NUMBER, at_least=1)),
                ),
                "grade": _said("Two banded scores whose bands side by side are the grade.", _pair(_TEXT)),
                "thresholds": _said("Levels whose crossing is an event, by name.", _names_of(_ref("threshold"))),
            },
            required=("model", "scores"),
        ),
        "definitions": _definitions(),
    }


def _definitions() -> dict[str, Json]:
    return {
        "score": {
            "type": "object",
            "if": {"required": ["combine"]},
            "then": _ref("combinedScore"),
            "else": {
                "if": {"properties": {"rules": {"contains": {"required": ["on"]}}}, "required": ["rules"]},
                "then": _ref("eventScore"),
                "else": _ref("attributeScore"),
            },
        },
        "combinedScore": _object({"combine": _weights(), **_bounds("0")}, required=("combine",)),
        "eventScore": _object(
            {
                **_bounds("0"),
                "half_life": _said("Default for its rules; `none` never decays.", _duration()),
                "groups": _groups(),
                "rules": _said("Points for events.", _list_of(_ref("eventRule"))),
            },
            required=("rules",),
        ),
        "attributeScore": _object(
            {
                **_bounds("0"),
                "groups": _groups(),
                "rules": _said("Points while facts about the lead hold.", _list_of(_ref("attributeRule"))),
            },
            required=("rules",),
        ),
        "eventRule": _event_rule(),
        "attributeRule": _object(
            {**_rule(), "if": _said("Conditions on `attributes.*`.", _ref("attributeCondition"))},
            required=("id", "if", "points"),
        ),
        "limit": _object(
            {
                "count": _said("How many count.", {"type": "integer", "minimum": 1, "maximum": LARGEST_NUMBER}),
                "per": _said("In which calendar period (UTC).", {"enum": list(get_args(Per))}),
                "by": _said("A field; each of its values has a limit of its own.", _field(EVENT_FIELDS)),
            },
            required=("count", "per"),
        ),
        "eventCondition": _condition("eventCondition", EVENT_FIELDS),
        "attributeCondition": _condition("attributeCondition", ATTRIBUTE_FIELDS),
        "test": {
            "type": ["object", *_texts(_SCALAR["type"])],
            "properties": dict(ARGUMENTS),
            "additionalProperties": False,
            "minProperties": 1,
        },
        "threshold": _threshold(),
    }


def _event_rule() -> dict[str, Json]:
    return _object(
        {
            **_rule(),
            "on": _said("Event type, or a list of them.", _one_or_more(_NAME)),
            "if": _said("Conditions on `type`, `source`, `properties.*`.", _ref("eventCondition")),
            "half_life": _said("Points halve in this time; `none` never decays.", _duration()),
            "expires_after": _said("Whole days after which it is worth nothing: 90d, 4w.", _duration(_WHOLE_DAYS)),
            "limit": _said("How many occurrences count in a period.", _ref("limit")),
        },
        required=("id", "on", "points"),
    )


def _rule() -> dict[str, Json]:
    return {
        "id": _said("Unique within its score.", _NAME),
        "points": _said("What a match is worth; may be negative.", _NUMBER),
        "description": _said("What it stands for, in the ledger.", _TEXT),
        "group": _said("A group of its score.", _NAME),
    }


def _threshold() -> dict[str, Json]:
    cooldown = _said("Entered again within this time, it is not told again.", _duration())
    return {
        "type": "object",
        "if": {"required": ["grade"]},
        "then": _object(
            {"grade": _said("Grades that are inside.", _one_or_more(_NAME)), "cooldown": cooldown},
            required=("grade",),
        ),
        "else": _object(
            {
                "score": _said("The score that is compared.", _NAME),
                "enter": _said("Entered when the rounded score reaches this.", _NUMBER),
                "exit": _said("Left when it falls below this; by default as `enter`.", _NUMBER),
                "cooldown": cooldown,
            },
            required=("score", "enter"),
        ),
    }


def _condition(name: str, vocabulary: Vocabulary) -> dict[str, Json]:
    several = _list_of(_ref(name))
    return {
        "type": "object",
        "minProperties": 1,
        "properties": {"all": several, "any": several, "not": _ref(name)},
        "patternProperties": {_pattern(vocabulary): _ref("test")},
        "additionalProperties": False,
    }


def _pattern(vocabulary: Vocabulary) -> str:
    paths = [*sorted(vocabulary.names), *(rf"{root}(\.[^.]+)+" for root in sorted(vocabulary.roots))]
    return f"^({'|'.join(paths)})$"


def _field(vocabulary: Vocabulary) -> dict[str, Json]:
    return {"type": "string", "pattern": _pattern(vocabulary)}


def _weights() -> dict[str, Json]:
    return _said("Weights of the scores it combines.", _names_of(_NUMBER, at_least=1))


def _groups() -> dict[str, Json]:
    return _said("Rules that share a cap, by name.", _names_of(_object(_bounds(NONE))))


def _bounds(lowest: str) -> dict[str, Json]:
    number_or_none: dict[str, Json] = {"anyOf": [_NUMBER, _NONE]}
    return {
        "max": _said("Never above; `none` by default.", number_or_none),
        "min": _said(f"Never below; `{lowest}` by default.", number_or_none),
    }


def _duration(pattern: str = _DURATION) -> dict[str, Json]:
    return {"anyOf": [{"type": "string", "pattern": pattern}, _NONE]}


def _object(properties: dict[str, Json], *, required: tuple[str, ...] = ()) -> dict[str, Json]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _names_of(values: dict[str, Json], *, at_least: int = 0) -> dict[str, Json]:
    return {"type": "object", "propertyNames": _NAME, "additionalProperties": values, "minProperties": at_least}


def _list_of(items: dict[str, Json]) -> dict[str, Json]:
    return {"type": "array", "items": items, "minItems": 1}


def _one_or_more(item: dict[str, Json]) -> dict[str, Json]:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}]}


def _pair(item: dict[str, Json]) -> dict[str, Json]:
    return {"type": "array", "items": item, "minItems": 2, "maxItems": 2, "uniqueItems": True}


def _ref(name: str) -> dict[str, Json]:
    return {"$ref": f"#/definitions/{name}"}


def _said(description: str, schema: dict[str, Json]) -> dict[str, Json]:
    # Draft 7 ignores whatever stands beside a reference.
    if "$ref" in schema:
        return {"description": description, "allOf": [schema]}
    return {"description": description, **schema}


def _texts(value: Json) -> list[Json]:
    assert isinstance(value, list)
    return value
