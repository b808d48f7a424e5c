"""Every message has one committed schema and hand-written examples, and code, schema and examples agree."""

from collections import Counter
from collections.abc import Mapping
from json import dumps
from math import fsum
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from shared.errors import InvalidInput
from shared.events.codec import MESSAGES, decode, encode
from shared.events.curve import published, scores_at
from shared.events.engagement import EngagementAccepted, identity_digest
from shared.events.envelope import message_id
from shared.events.json import Json, parse_json
from shared.events.parked import ElementParked
from shared.events.scores import LeadScoreChanged
from shared.events.topics import ALL_TOPICS, DEAD_LETTER_TOPICS, TOPICS

EVENTS = Path(__file__).parents[2] / "shared" / "events"
TYPES = {
    str(message.model_fields["type"].default): topic for topic, messages in MESSAGES.items() for message in messages
}
EXAMPLES = sorted((EVENTS / "examples").glob("*.json"))

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


def object_in(path: Path) -> dict[str, Json]:
    value = parse_json(path.read_bytes())
    assert isinstance(value, dict)
    return value


def schema_of(type_: str) -> dict[str, Json]:
    return object_in(EVENTS / "schema" / f"{type_}.v1.json")


def type_of(example: Path) -> str:
    return example.name.partition(".v1.")[0]


def faults(value: Json, schema: Mapping[str, Json]) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


def test_there_is_a_schema_for_each_type_and_for_nothing_else() -> None:
    assert {path.name for path in (EVENTS / "schema").iterdir()} == {f"{type_}.v1.json" for type_ in TYPES}


def test_there_are_examples_of_each_type_and_of_nothing_else() -> None:
    assert {type_of(path) for path in EXAMPLES} == set(TYPES)


@pytest.mark.parametrize("type_", TYPES)
def test_a_committed_schema_is_a_schema_and_names_its_type(type_: str) -> None:
    schema = schema_of(type_)

    Draft202012Validator.check_schema(schema)

    assert schema["$id"] == f"urn:leadflow:message:{type_}:v1"
    assert schema["title"] == type_


@each_example
def test_an_example_validates_against_the_committed_schema(example: Path) -> None:
    assert faults(object_in(example), schema_of(type_of(example))) == []


@each_example
def test_an_example_survives_decoding_and_encoding(example: Path) -> None:
    message = decode(example.read_bytes())

    body = encode(message)

    assert message.type == type_of(example)
    assert decode(body) == message
    assert faults(parse_json(body), schema_of(message.type)) == []
    assert encode(decode(body)) == body


@each_example
def test_a_field_of_a_later_release_is_ignored_and_not_written_again(example: Path) -> None:
    later = object_in(example)
    data = later["data"]
    assert isinstance(data, dict)
    body = dumps({**later, "traceparent": "00-1-2-01", "data": {**data, "learnt_later": True}}).encode()

    message = decode(body)

    assert message == decode(example.read_bytes())
    assert b"learnt_later" not in encode(message)


@each_example
def test_an_example_without_one_of_its_fields_is_refused_by_code_and_schema_alike(example: Path) -> None:
    whole = object_in(example)
    data = whole["data"]
    assert isinstance(data, dict)

    for missing in data:
        partial: Json = {**whole, "data": {name: value for name, value in data.items() if name != missing}}

        assert faults(partial, schema_of(type_of(example))) == [f"'{missing}' is a required property"]
        with pytest.raises(InvalidInput, match=missing):
            decode(dumps(partial).encode())


def test_a_planted_drift_between_example_and_schema_is_found() -> None:
    example = object_in(EVENTS / "examples" / "lead.stalled.v1.json")
    drifted = parse_json((EVENTS / "schema" / "lead.stalled.v1.json").read_bytes().replace(b'"due_at"', b'"due"'))
    assert isinstance(drifted, dict)

    assert faults(example, drifted) == ["'due' is a required property"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", ""),
        (b"[]", ""),
        (b"{}", ""),
        (b'{"type": "lead.promoted"}', ""),
        (b'{"type": "lead.merged"}', "lead.merged.id"),
    ],
    ids=["not JSON", "not an object", "without a type", "of an unknown type", "of a known type, empty"],
)
def test_what_is_no_message_is_refused_with_the_first_fault(body: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        decode(body)

    assert refusal.value.code == "invalid_message"
    assert refusal.value.field == field


def test_a_topic_has_one_name_and_a_message_one_topic() -> None:
    names = Counter(topic.name for topic in ALL_TOPICS)
    classes = Counter(message for messages in MESSAGES.values() for message in messages)

    assert set(names.values()) == {1}
    assert set(classes.values()) == {1}
    assert set(MESSAGES) == set(TOPICS)


def test_each_topic_that_a_service_reads_has_a_topic_for_its_dead_letters() -> None:
    read = {topic.name for topic in TOPICS if {"ingest", "scorer", "pipeline"} & set(topic.consumers)}

    assert {topic.name for topic in DEAD_LETTER_TOPICS} == {f"{name}-dlq" for name in read}


@each_example
def test_the_id_of_an_example_is_the_one_that_the_code_computes(example: Path) -> None:
    message = decode(example.read_bytes())

    if isinstance(message, EngagementAccepted):
        assert message.id == message.data.id
        assert message.subject == identity_digest(message.workspace, message.data.lead)
    elif isinstance(message, ElementParked):
        assert message.subject == message.id
    else:
        assert message.subject == message.data.lead.id
        assert message.id == message_id(TYPES[message.type], message.data.lead.id, message.data.sequence)


def test_the_ledger_of_the_example_adds_up_and_its_curve_gives_its_scores() -> None:
    message = decode((EVENTS / "examples" / "lead.score_changed.v1.json").read_bytes())
    assert isinstance(message, LeadScoreChanged)
    change = message.data

    from_ledger = {score: fsum(entry.worth for entry in entries) for score, entries in change.ledger.items()}
    from_curve = scores_at(change.forecast.curve, change.at)

    assert from_ledger == from_curve == change.current.scores
    assert change.forecast.changes_at is not None
    assert change.forecast.becomes is not None
    later = scores_at(change.forecast.curve, change.forecast.changes_at)
    assert {score: published(value) for score, value in later.items()} == change.forecast.becomes.scores
