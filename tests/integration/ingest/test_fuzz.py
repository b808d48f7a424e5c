"""Whatever comes, the answer is never ours to be ashamed of: no 5xx, and nothing half understood."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.kinds.forms import parse_form
from tests.support.ingesting import NOON, Ingesting, an_item
from tests.support.webhooks import (
    Signed,
    as_form,
    as_json,
    calendly,
    customerio,
    examples,
    hubspot,
    intercom,
    klaviyo,
    mailchimp,
    mailgun,
    mandrill,
    mautic,
    segment,
    sendgrid,
    standard,
    typeform,
)

MANY = settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
MEDIA_TYPES = (
    "application/json",
    "application/x-ndjson",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "text/html; charset=",
    "",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
EXAMPLES = examples(NOON)
GOOD = json.dumps([an_item(), an_item(id="e-2")]).encode()
HEADER_VALUES = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))


def mutated(body: bytes) -> st.SearchStrategy[bytes]:
    """`body` with a stretch of it replaced."""
    places = st.tuples(st.integers(0, len(body)), st.integers(0, 12), st.binary(max_size=12))
    return places.map(lambda cut: body[: cut[0]] + cut[2] + body[cut[0] + cut[1] :])


def grafted(value: object) -> st.SearchStrategy[object]:
    """`value` with one of its parts, however deep, replaced by any JSON or left out."""
    if isinstance(value, dict) and value:
        return st.sampled_from(sorted(value)).flatmap(
            lambda name: st.one_of(
                st.just({other: value[other] for other in value if other != name}),
                grafted(value[name]).map(lambda part: value | {name: part}),
            )
        )
    if isinstance(value, list) and value:
        return grafted(value[0]).map(lambda part: [part, *value[1:]])
    return JSON


@pytest.fixture
async def receiving(ingest: Ingesting) -> Ingesting:
    """Ingest with a source of each kind."""
    for kind, example in EXAMPLES.items():
        await ingest.add_source(kind, [example.secret], **example.source_options())
    return ingest


def header_bytes(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


@MANY
@given(body=st.binary(max_size=200) | mutated(GOOD), media_type=st.sampled_from(MEDIA_TYPES))
async def test_any_bytes_get_an_answer_below_500(ingest: Ingesting, body: bytes, media_type: str) -> None:
    answer = await ingest.client.post("/v1/events", content=body, headers={"Content-Type": media_type})

    assert answer.status_code < 500


@MANY
@given(items=st.lists(grafted(an_item(attributes={"a": 1})), min_size=1, max_size=4))
async def test_any_item_gets_a_result(ingest: Ingesting, items: list[object]) -> None:
    answer = await ingest.client.post(
        "/v1/events", content=json.dumps(items), headers={"Content-Type": "application/json"}
    )

    assert answer.status_code in {202, 422}
    assert [item["index"] for item in answer.json()["items"]] == list(range(len(items)))


@MANY
@given(subject=HEADER_VALUES, body=st.binary(max_size=20))
async def test_any_cloudevent_headers_get_an_answer_below_500(ingest: Ingesting, subject: str, body: bytes) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "x", "ce-subject": subject}

    answer = await ingest.client.post("/v1/events", content=body, headers=header_bytes(headers))

    assert answer.status_code < 500


@pytest.mark.parametrize("kind", EXAMPLES)
@MANY
@given(data=st.data())
async def test_any_signed_payload_gets_an_answer_below_500(
    receiving: Ingesting, kind: str, data: st.DataObject
) -> None:
    value = data.draw(grafted(value_of(EXAMPLES[kind])))
    try:
        signed = signed_again(kind, value)
    except UnicodeEncodeError:  # a lone surrogate cannot be sent
        return

    answer = await receiving.client.post(signed.path, content=signed.body, headers=dict(signed.headers))

    assert answer.status_code in {200, 202, 400}, answer.text


@pytest.mark.parametrize("kind", [kind for kind, example in EXAMPLES.items() if not example.covers_body])
@MANY
@given(data=st.data())
async def test_any_bytes_beside_a_good_secret_get_an_answer_below_500(
    receiving: Ingesting, kind: str, data: st.DataObject
) -> None:
    example = EXAMPLES[kind]
    body = data.draw(st.binary(max_size=60) | mutated(example.body))

    answer = await receiving.client.post(example.path, content=body, headers=dict(example.headers))

    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("kind", [kind for kind, example in EXAMPLES.items() if example.headers])
@MANY
@given(data=st.data())
async def test_any_signature_header_gets_a_401(receiving: Ingesting, kind: str, data: st.DataObject) -> None:
    example = EXAMPLES[kind]
    name = data.draw(st.sampled_from(sorted(example.headers)))
    value = data.draw(HEADER_VALUES | st.sampled_from(["t=1,v1=", "v1,", "9" * 400]))

    answer = await receiving.client.post(
        f"/v1/webhooks/{kind}", content=example.body, headers=header_bytes({**example.headers, name: value})
    )

    assert answer.status_code == 401


def value_of(example: Signed) -> object:
    """What a request says, however it is written."""
    if example.body[:1] in {b"{", b"["}:
        value = json.loads(example.body)  # noqa: TID251
        return value["event-data"] if example.kind == "mailgun" else value
    form = parse_form(example.body)
    return json.loads(form.first("mandrill_events") or "") if example.kind == "mandrill" else form.tree()  # noqa: TID251


def signed_again(kind: str, value: object) -> Signed:
    match kind:
        case "hubspot":
            return hubspot(value, NOON)
        case "sendgrid":
            return sendgrid(value, NOON)
        case "segment":
            return segment(value)
        case "calendly":
            return calendly(value, NOON)
        case "typeform":
            return typeform(value)
        case "customerio":
            return customerio(value, NOON)
        case "klaviyo":
            return klaviyo(value, NOON)
        case "intercom":
            return intercom(value)
        case "mailgun":
            return mailgun(value, NOON)
        case "mailchimp":
            return mailchimp(value)
        case "mandrill":
            return mandrill(value)
        case "mautic":
            return mautic(value)
        case "activecampaign":
            return replace(EXAMPLES[kind], body=as_form(value))
        case "brevo" | "marketo" | "cloudevents" | "postmark":
            return replace(EXAMPLES[kind], body=as_json(value))
    return standard(value, NOON)
