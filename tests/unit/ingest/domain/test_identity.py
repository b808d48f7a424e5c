"""Whose event it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.identity import LeadNames, identities, looks_like_email, normalise_email
from shared.errors import InvalidInput

USUAL = st.from_regex(r"[a-z0-9._+-]{1,66}@[a-z0-9.-]{1,12}", fullmatch=True)


def outcome_of(text: str) -> str | None:
    try:
        return normalise_email(text)
    except InvalidInput as error:
        return error.code


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ann@example.com", "ann@example.com"),
        ("  Ann@Example.COM \n", "ann@example.com"),
        ('"Ann, Lee" <Ann.Lee@example.com>', "ann.lee@example.com"),
        ("ann+news@example.co.uk", "ann+news@example.co.uk"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("info@bücher.example", "info@xn--bcher-kva.example"),
        ("INFO@BÜCHER.example", "info@xn--bcher-kva.example"),
        ("jürgen@example.com", "jürgen@example.com"),
        ("名前@例え.jp", "名前@xn--r8jz45g.jp"),
        ("ann@example.com.", "ann@example.com"),
    ],
)
def test_an_address_is_brought_to_one_form(text: str, address: str) -> None:
    assert normalise_email(text) == address
    assert normalise_email(address) == address


@pytest.mark.parametrize("text", ["", "   ", "Ann <>"])
def test_an_empty_one_is_none(text: str) -> None:
    assert normalise_email(text) is None


@pytest.mark.parametrize(
    "text",
    ["ann", "@example.com", "ann@", "ann@localhost", "a b@example.com", "ann@exa mple.com", "ann@-x.com", "a@b@c.de",
     "ann@example..com", "ann@[10.0.0.1]", "x" * 65 + "@example.com", "ann@" + "a" * 64 + ".com", "a" * 5000,
     "ann@example.com, bob@example.com", "ann\x00@example.com", "undefined", "n/a"],
)  # fmt: skip
def test_what_cannot_be_an_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        normalise_email(text)

    assert refusal.value.code == "invalid_email"
    assert not looks_like_email(text)


@given(st.text(max_size=60) | st.emails())
def test_normalising_twice_changes_nothing(text: str) -> None:
    try:
        once = normalise_email(text)
    except InvalidInput:
        return
    assert once is None or normalise_email(once) == once


@given(address=USUAL | st.emails() | st.text(max_size=60))
def test_an_address_is_read_the_same_with_and_without_something_to_take_away(address: str) -> None:
    assert outcome_of(address) == outcome_of(f" {address}")


def test_a_lead_is_known_by_all_its_names() -> None:
    names = LeadNames(email="Ann@Example.com", external_ids={"hubspot": " 7 "}, anonymous_id="v1")

    found, domain, shared_mailbox = identities(names)

    assert (domain, shared_mailbox) == ("example.com", None)
    assert found.keys() == (("email", "ann@example.com"), ("external:hubspot", "7"), ("anonymous", "v1"))


@pytest.mark.parametrize(
    ("names", "code", "field"),
    [
        (LeadNames(), "no_identity", "lead"),
        (LeadNames(email=" "), "no_identity", "lead"),
        (LeadNames(email="x"), "invalid_email", "lead.email"),
        (LeadNames(external_ids={"HubSpot": "1"}), "invalid_value", "lead.external_ids.HubSpot"),
        (LeadNames(external_ids={"crm": " "}), "invalid_value", "lead.external_ids.crm"),
        (LeadNames(external_ids={f"s{i}": "1" for i in range(21)}), "invalid_value", "lead.external_ids"),
        (LeadNames(anonymous_id="x" * 513), "invalid_value", "lead.anonymous_id"),
    ],
)
def test_names_that_identify_nobody_are_refused(names: LeadNames, code: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        identities(names)

    assert (refusal.value.code, refusal.value.field) == (code, field)
