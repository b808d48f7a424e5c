"""Requests of every kind with bytes of them changed: no 5xx, and what is kept of them can be read and tried again."""

import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.access import Scope
from tests.support.ingesting import NOON, Ingesting
from tests.support.webhooks import examples

MANY = settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
EXAMPLES = examples(NOON)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "content-encoding", "ce-specversion", "ce-id", "ce-type", "ce-source", "webhook-id"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
    | st.sampled_from(
        ["1.0", "application/json", "gzip", "deflate", "application/x-www-form-urlencoded", "text/xml"]
    ),
    max_size=3,
)


@pytest.fixture
async def receiving(ingest: Ingesting) -> Ingesting:
    """Ingest with a source of each kind, and a client that may look after what is parked."""
    for kind, example in EXAMPLES.items():
        await ingest.add_source(kind, [example.secret], **example.source_options())
    await ingest.allow(Scope.EVENTS_WRITE, Scope.SOURCES_WRITE)
    return ingest


def mutated(body: bytes) -> st.SearchStrategy[bytes]:
    """`body` with a stretch of it replaced."""
    places = st.tuples(st.integers(0, len(body)), st.integers(0, 12), st.binary(max_size=12))
    return places.map(lambda cut: body[: cut[0]] + cut[2] + body[cut[0] + cut[1] :])


@pytest.mark.parametrize("kind", EXAMPLES)
@MANY
@given(data=st.data())
async def test_any_change_to_a_request_of_any_kind_gets_an_answer_below_500(
    receiving: Ingesting, kind: str, data: st.DataObject
) -> None:
    example = EXAMPLES[kind]
    body = data.draw(mutated(example.body))
    if data.draw(st.booleans()):
        body = data.draw(mutated(gzip.compress(body)))
    headers = {name.lower(): value for name, value in example.headers.items()} | data.draw(HEADERS)
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]

    answer = await receiving.client.post(example.path, content=body, headers=raw)

    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("kind", ["brevo", "cloudevents", "mailchimp", "marketo", "postmark"])
@settings(MANY, max_examples=20)
@given(data=st.data())
async def test_whatever_was_kept_can_be_listed_shown_and_tried_again(
    receiving: Ingesting, kind: str, data: st.DataObject
) -> None:
    example = EXAMPLES[kind]
    body = data.draw(mutated(example.body))
    await receiving.client.post(example.path, content=body, headers=dict(example.headers))

    # What earlier examples left is there by now; the test is run many times on one ingest.
    listed = await receiving.client.get("/v1/parked", params={"limit": 3})
    replayed = await receiving.client.post("/v1/parked/replay", json={"source": kind})

    assert (listed.status_code, replayed.status_code) == (200, 200), replayed.text
    for element in listed.json()["elements"]:
        assert (await receiving.client.get(f"/v1/parked/{element['id']}")).status_code == 200
