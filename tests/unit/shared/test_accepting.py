"""Structs and models of accepted events: two forms of one contract."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel

from shared.events import accepting
from shared.events.accepting import AcceptedEvent, AcceptedNames, as_accepted, decode_accepted, encode_accepted
from shared.events.codec import decode, encode
from shared.events.engagement import EngagementAccepted, EngagementEvent, Identities, identity_digest
from shared.events.json import parse_json

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
EVENTS = st.builds(
    AcceptedEvent,
    id=TEXT.filter(bool),
    source=st.just("web"),
    type=st.just("page_viewed"),
    native_type=st.none() | TEXT,
    occurred_at=MOMENTS,
    received_at=MOMENTS,
    lead=st.builds(
        AcceptedNames,
        email=st.just("ann@example.com"),
        external_ids=st.dictionaries(TEXT, TEXT, max_size=2),
        anonymous_id=st.none() | TEXT,
    ),
    properties=st.dictionaries(TEXT, VALUES, max_size=3),
    attributes=st.dictionaries(TEXT, VALUES, max_size=3),
)


def as_model(event: AcceptedEvent) -> EngagementAccepted:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    lead = Identities(**{name: getattr(event.lead, name) for name in event.lead.__struct_fields__})
    data = EngagementEvent(**{**fields, "lead": lead})
    return EngagementAccepted(
        id=event.id,
        source=event.source,
        subject=identity_digest("acme", lead),
        time=event.occurred_at,
        workspace="acme",
        data=data,
    )


def names_of(struct: type[Struct]) -> list[str]:
    return list(struct.__struct_fields__)


def fields_of(model: type[BaseModel]) -> list[str]:
    return list(model.model_fields)


def test_they_have_the_same_fields_in_the_same_order() -> None:
    assert names_of(AcceptedNames) == fields_of(Identities)
    assert names_of(AcceptedEvent) == fields_of(EngagementEvent)
    assert names_of(accepting._Accepted) == fields_of(EngagementAccepted)


@given(event=EVENTS, number=st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(-1e15, 1e15))
def test_what_is_written_is_read_plainly(event: AcceptedEvent, number: float) -> None:
    usual = replace(
        event, properties={"n": number, "text": event.native_type, "deep": [{"a": [True]}]}, attributes={}
    )
    written = encode_accepted(usual, workspace="acme", digest=identity_digest("acme", event.lead))

    assert decode_accepted(written) == as_accepted(as_model(usual))


@given(event=EVENTS)
def test_what_is_written_is_the_message_that_readers_know(event: AcceptedEvent) -> None:
    model = as_model(event)

    written = encode_accepted(event, workspace="acme", digest=identity_digest("acme", event.lead))

    assert decode(written) == model
    assert parse_json(written) == parse_json(encode(model))
    assert event.lead.keys() == model.data.lead.keys()
