"""What is kept of a webhook is enough to try it again, whatever the kind of its source."""

from collections.abc import Mapping

import pytest

from services.ingest.api.webhooks import elements_of
from services.ingest.domain.outcome import refused
from services.ingest.domain.parking import Origin, element_parked, kept_headers
from services.ingest.domain.raw import raw_elements
from services.ingest.kinds.kind import Delivery
from services.ingest.kinds.registry import KINDS
from shared.errors import InvalidInput
from shared.events.json import parse_json
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.webhooks import examples

EXAMPLES = examples(NOON)
NONE: Mapping[str, str] = {}
SECRETS = {"authorization": "Bearer s3cret", "cookie": "s3cret", "x-api-key": "s3cret", "x-webhook-token": "s3cret"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_kept_bytes_of_an_element_say_what_the_request_said(kind: str) -> None:
    module, delivery, source = KINDS[kind], a_delivery(EXAMPLES[kind]), a_source(kind)
    elements = elements_of(module, delivery, 100)

    raw = raw_elements(elements, delivery.body, range(len(elements)))

    assert elements
    for place, element in enumerate(elements):
        assert isinstance(element, dict)
        kept = parse_json(raw[place])
        assert isinstance(kept, dict)
        again = Delivery("POST", kept_headers(delivery.headers), raw[place], NOON)
        assert module.translate(kept, again, source) == module.translate(element, delivery, source)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "marketo"])
def test_a_body_that_was_kept_whole_comes_apart_as_it_would_have(kind: str) -> None:
    delivery = a_delivery(EXAMPLES[kind])
    again = Delivery("POST", kept_headers(delivery.headers), delivery.body, NOON)

    assert elements_of(KINDS[kind], again, 100) == elements_of(KINDS[kind], delivery, 100)


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_kept(kind: str) -> None:
    example = EXAMPLES[kind]
    headers = {name.lower(): value for name, value in example.headers.items()} | SECRETS

    kept = kept_headers(headers)

    assert "s3cret" not in str(kept)
    assert example.secret not in str(kept)
    assert not [name for name in kept if "signature" in name or "timestamp" in name]


def test_an_element_is_the_same_one_however_often_and_however_signed() -> None:
    outcome = refused(InvalidInput("no", code="invalid"))

    def parked_id(
        workspace: str = "default", source: str = "web", raw: bytes = b"{}", headers: Mapping[str, str] = NONE
    ) -> str:
        origin = Origin(workspace, source, "segment", "element", NOON, headers)
        return element_parked(outcome, raw, origin, most_bytes=100).id

    ids = [
        parked_id(),
        parked_id("other"),
        parked_id(source="x"),
        parked_id(raw=b"[]"),
        parked_id(headers={"ce-id": "1"}),
    ]
    assert len(set(ids)) == len(ids)
    assert parked_id(headers={"x-signature": "other", "date": "later"}) == parked_id()


def test_what_neither_postgresql_nor_utf_8_can_hold_is_replaced_in_what_is_told() -> None:
    outcome = refused(InvalidInput("bad \x00", code="invalid", field="a\ud800"), "id\x00" + "x" * 1000)

    message = element_parked(outcome, b"\x00\xff", Origin("w", "s", "api", "item", NOON), most_bytes=100)

    assert message.data.body == b"\x00\xff"
    assert (message.data.message, message.data.field) == (
        "bad \N{REPLACEMENT CHARACTER}",
        "a\N{REPLACEMENT CHARACTER}",
    )
    assert message.data.element_id is not None
    assert len(message.data.element_id) == 512
