"""Items read by their types: never taken where the exact way refuses them, never otherwise than it takes them."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.domain.draft import accept
from services.ingest.domain.items import DEFAULT_SOURCE, item_draft
from services.ingest.domain.plain import PlainReader
from shared.errors import InvalidInput
from shared.events.json import JsonLimits, parse_json

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
WIDE, NARROW = JsonLimits(), JsonLimits(depth=6, keys=16, items=2, string_length=12)
READERS = {limits: PlainReader(limits) for limits in (WIDE, NARROW, JsonLimits(depth=5), JsonLimits(keys=4))}
USUAL = (
    b'{"id": "e1", "type": "page_viewed", "source": "web", "occurred_at": "2026-02-02T10:59:46.176558+00:00",'
    b' "lead": {"email": "Ann@Example.com", "external_ids": {"crm": "7"}, "anonymous_id": null},'
    b' "properties": {"path": "/pricing", "seconds": 7, "ratio": 0.5, "machine": false, "campaign": {"tags": ["a"]}},'
    b' "attributes": {"country": "DE"}}'
)

# What is in between the good and the bad, and what one parser might take for it and the other not.
TEXTS = st.one_of(
    st.sampled_from(["", "web", "page_viewed", "ann@example.com", "info@example.com", "crm", "x" * 13, "ä😀", "a b"]),
    st.sampled_from(["2026-01-31T09:30:00Z", "2026-01-31T09:30:00+05:30", "2026-01-31", "1969-12-31T23:59:59Z"]),
    st.text(max_size=6),
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.sampled_from([2**63 - 1, 2**63, -(2**63)]), st.floats(), TEXTS
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
LEADS = st.fixed_dictionaries(
    {},
    optional={
        "email": st.just("ann@example.com") | TEXTS | VALUES,
        "external_ids": st.just({"crm": "7"}) | st.dictionaries(TEXTS, TEXTS, max_size=2) | VALUES,
        "anonymous_id": TEXTS | VALUES,
        "other": VALUES,
    },
)
ITEMS = st.fixed_dictionaries(
    {"id": st.just("e1") | TEXTS, "type": st.sampled_from(["page_viewed", "score_reset", "Page"]), "lead": LEADS},
    optional={
        "source": TEXTS | VALUES,
        "occurred_at": TEXTS | VALUES,
        "properties": OBJECTS | VALUES,
        "attributes": OBJECTS | VALUES,
        "native_type": VALUES,
        "other": VALUES,
    },
)
# Put in place of a value: what Python's own writer would never write.
NUMBERS = [b"1e400", b"-0", b"-0.0", b"1E5", b"1.0", b"01", b"NaN", b"9" * 40]
STRINGS = [b'""', rb'"\u0000"', rb'"\ud800"', rb'"\ud83d\ude00"', b'"\x01"', b'"\xff"', b'"\xed\xa0\x80"', rb'"\x"']
ODDITIES = st.sampled_from([*NUMBERS, *STRINGS, b"[1,]", b'{"a": 1, "a": 2}', b"[[[[[[1]]]]]]"])


def outcome_of_the_exact_way(text: bytes, limits: JsonLimits) -> object:
    try:
        draft, source = item_draft(parse_json(text))
        return accept(draft, source=source, received_at=NOW, limits=limits)
    except InvalidInput as error:
        return (str(error), error.code, error.field)


def outcome_if_plain(text: bytes, limits: JsonLimits) -> object | None:
    item = READERS[limits].one(text)
    if item is None:
        return None
    try:
        return accept(item, source=item.source or DEFAULT_SOURCE, received_at=NOW, limits=None)
    except InvalidInput as error:
        return (str(error), error.code, error.field)


def the_same_of(text: bytes, limits: JsonLimits) -> bool:
    plainly = outcome_if_plain(text, limits)
    # Written out, because 1 == 1.0 == True.
    return plainly is None or repr(plainly) == repr(outcome_of_the_exact_way(text, limits))


@given(item=ITEMS, limits=st.sampled_from(list(READERS)), escaped=st.booleans())
def test_what_is_read_plainly_comes_to_the_same_as_the_exact_way(
    item: dict[str, object], limits: JsonLimits, escaped: bool
) -> None:
    text = json.dumps(item, ensure_ascii=escaped).encode("utf-8", "surrogatepass")

    assert the_same_of(text, limits)


@given(
    place=st.sampled_from([b'"e1"', b'"web"', b'"/pricing"', b"7", b"0.5", b'["a"]', b'"crm"', b"null"]), odd=ODDITIES
)
@example(place=b"7", odd=b"1e400")
def test_odd_values_are_no_exception(place: bytes, odd: bytes) -> None:
    assert the_same_of(USUAL.replace(place, odd, 1), WIDE)


@given(start=st.integers(0, len(USUAL)), length=st.integers(0, 9), put=st.binary(max_size=3))
def test_nor_are_broken_texts(start: int, length: int, put: bytes) -> None:
    assert the_same_of(USUAL[:start] + put + USUAL[start + length :], WIDE)


def test_what_most_send_is_read_plainly() -> None:
    assert outcome_if_plain(USUAL, WIDE) is not None
    assert READERS[WIDE].many(b"[" + b",".join([USUAL] * 3) + b"]") == [READERS[WIDE].one(USUAL)] * 3


@pytest.mark.parametrize("body", [b"", b"{}", b"[", USUAL, b"[" * 100_000, b"[" + USUAL + b", 7]"])
def test_an_array_of_which_one_item_is_not_plain_is_read_the_other_way(body: bytes) -> None:
    assert READERS[WIDE].many(body) is None
