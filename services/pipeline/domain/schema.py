"""The form of a pipeline document as JSON Schema, for editors that complete and check while one types.

It says no to nothing that the parser takes. The parser says more: references between stages, unknown time zones,
patterns that are none. A test holds the two together.
"""

from typing import Final

from services.pipeline.domain.stages import REASON
from shared.documents.conditions import OPERATORS
from shared.events.json import Json

_NAME: Final[dict[str, Json]] = {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"}
_NAMES: Final[dict[str, Json]] = {
    "oneOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1, "uniqueItems": True}]
}
_DURATION: Final[dict[str, Json]] = {"type": "string", "pattern": "^[1-9][0-9]{0,8}[smhdw]$"}
_SCALAR: Final[dict[str, Json]] = {"type": ["string", "number", "boolean", "null"]}
_SCALARS: Final[dict[str, Json]] = {"type": "array", "items": _SCALAR, "minItems": 1}
_ORDERED: Final[dict[str, Json]] = {"type": ["number", "string"]}
_TEXT: Final[dict[str, Json]] = {"type": "string"}
_CLOCK: Final[dict[str, Json]] = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
_ARGUMENTS: Final[dict[str, dict[str, Json]]] = {
    "in": _SCALARS,
    "not_in": _SCALARS,
    **dict.fromkeys(("gt", "gte", "lt", "lte"), _ORDERED),
    "exists": {"type": "boolean"},
    **dict.fromkeys(("starts_with", "ends_with", "matches"), _TEXT),
}


def document_schema() -> dict[str, Json]:
    """The schema, draft 2020-12, of what `parse_pipeline` reads."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:leadflow:pipeline-document",
        "title": "leadflow pipeline",
        "description": "Who is ready, which stages there are, and how leads move through them.",
        **_object(
            {
                "pipeline": _described(_NAME, "Name of the pipeline."),
                "description": _described(_TEXT, "For people."),
                "qualification": _ref("qualification"),
                "stages": {
                    "type": "array",
                    "items": _ref("stage"),
                    "minItems": 1,
                    "maxItems": 100,
                    "description": "In their order; exactly one has `initial: true`.",
                },
                "moves": _ref("moves"),
                "business_hours": _ref("business_hours"),
            },
            required=["pipeline", "stages"],
        ),
        "$defs": {
            "qualification": _qualification(),
            "criterion": _criterion(),
            "condition": _condition(),
            "test": _test(),
            "stage": _stage(),
            "trigger": _trigger(),
            "moves": _moves(),
            "business_hours": _business_hours(),
        },
    }


def _qualification() -> dict[str, Json]:
    exclusion = _object(
        {"if": _ref("condition"), "reason": _described({"type": "string", "minLength": 1}, "What it is told as.")},
        required=["if", "reason"],
    )
    return _object(
        {
            "framework": _described(_TEXT, "A name for people: BANT, CHAMP, MEDDIC ..."),
            "criteria": {
                "type": "object",
                "propertyNames": _NAME,
                "additionalProperties": _ref("criterion"),
                "description": "What there is to know of a lead, by name.",
            },
            "qualified": _described(
                _object(
                    {"at_least": {"type": "integer", "minimum": 1, "description": "How many criteria must be met."}},
                    required=["at_least"],
                ),
                "Who is ready.",
            ),
            "disqualified": {"type": "array", "items": exclusion, "description": "Who is ruled out, and why."},
        }
    )


def _criterion() -> dict[str, Json]:
    return _object(
        {
            "if": _ref("condition"),
            "expires_after": _described(_DURATION, "How long evidence counts: 90d. For ever when left out."),
        },
        required=["if"],
    )


def _condition() -> dict[str, Json]:
    several: dict[str, Json] = {"type": "array", "items": _ref("condition"), "minItems": 1}
    return {
        "type": "object",
        "minProperties": 1,
        "description": "A test per field; all must hold.",
        "properties": {"all": several, "any": several, "not": _ref("condition")},
        "patternProperties": {r"^attributes(\.[^.]+)+$": _ref("test")},
        "additionalProperties": False,
    }


def _test() -> dict[str, Json]:
    operators: dict[str, Json] = {name: _ARGUMENTS.get(name, _SCALAR) for name in OPERATORS}
    return {
        "description": "A value to equal, or operators.",
        "oneOf": [_SCALAR, {**_object(operators), "minProperties": 1}],
    }


def _stage() -> dict[str, Json]:
    requirement: dict[str, Json] = {
        "oneOf": [{"const": REASON}, {"type": "string", "pattern": r"^attributes(\.[A-Za-z0-9_-]+)+$"}]
    }
    name: dict[str, Json] = {"type": "string", "minLength": 1, "maxLength": 200}
    several: dict[str, Json] = {"type": "array", "items": name, "minItems": 1, "maxItems": 20, "uniqueItems": True}
    return _object(
        {
            "id": _described(_NAME, "Name of the stage."),
            "initial": {"type": "boolean", "description": "Where every lead begins."},
            "terminal": {"enum": ["won", "lost"], "description": "The stage ends the pursuit."},
            "due": _described(_DURATION, "How long a lead may stay before it stalls, in business hours if given."),
            "probability": {"type": "number", "minimum": 0, "maximum": 1, "description": "Of being won from here."},
            "requires": {
                "type": "array",
                "items": requirement,
                "description": "What must be known to enter: `reason`, or attributes and facts of the deal.",
            },
            "enter_when": _ref("trigger"),
            "known_as": {"oneOf": [name, several], "description": "What CRMs call the stage."},
            "on_enter": _described(
                _object({"reset_scores": _described(_NAMES, "Scores that begin anew.")}), "What entering it does."
            ),
        },
        required=["id"],
    )


def _trigger() -> dict[str, Json]:
    several: dict[str, Json] = {"type": "array", "items": _ref("trigger"), "minItems": 1}
    return {
        **_object(
            {
                "threshold": _described(_NAMES, "The lead is inside one of these thresholds of the model."),
                "left_threshold": _described(_NAMES, "It has just left one of these."),
                "event": _described(_NAMES, "An event of one of these types has just come."),
                "qualified": {"const": True, "description": "The lead is qualified."},
                "disqualified": {"const": True, "description": "The lead is disqualified."},
                "stage_in": _described(_NAMES, "It stands in one of these stages."),
                "any": several,
                "all": several,
            }
        ),
        "minProperties": 1,
        "description": "When a rule moves a lead here; everything given must hold.",
    }


def _moves() -> dict[str, Json]:
    about = {"back": "To an earlier stage.", "skip": "Past a stage.", "from_terminal": "Out of a stage that ends."}
    return _object({key: {"enum": ["allowed", "refused"], "description": text} for key, text in about.items()})


def _business_hours() -> dict[str, Json]:
    return _object(
        {
            "timezone": _described(_TEXT, "Of the IANA data base: Europe/Stockholm."),
            "days": {
                "oneOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}],
                "description": "`mon-fri`, `mon,wed`, or a list of such.",
            },
            "from": _described(_CLOCK, 'When people begin: "09:00".'),
            "to": _described(_CLOCK, "When they go home; later on the same day."),
            "holidays": {
                "type": "array",
                "items": {"type": "string", "format": "date"},
                "description": "Days on which nobody works.",
            },
        },
        required=["timezone", "days", "from", "to"],
    )


def _object(properties: dict[str, Json], *, required: list[Json] | None = None) -> dict[str, Json]:
    form: dict[str, Json] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**form, "required": required} if required else form


def _described(schema: dict[str, Json], description: str) -> dict[str, Json]:
    return {**schema, "description": description}


def _ref(name: str) -> dict[str, Json]:
    return {"$ref": f"#/$defs/{name}"}
