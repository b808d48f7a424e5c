"""Mailboxes that several people read: leads of their own, who never make others one person."""

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.draft import Draft, accept
from services.ingest.domain.identity import SHARED_MAILBOXES, LeadNames, identities, normalise_email
from services.ingest.settings import IngestSettings
from shared.events.accepting import AcceptedEvent
from shared.events.json import JsonLimits

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def event_of(names: LeadNames, shared: frozenset[str] = SHARED_MAILBOXES) -> AcceptedEvent:
    draft = Draft(id="e", type="page_viewed", lead=names)
    return accept(draft, source="api", received_at=NOON, limits=JsonLimits(), shared_mailboxes=shared)


def test_a_shared_mailbox_alone_is_a_lead_of_its_own() -> None:
    event = event_of(LeadNames(email="Info@Example.com"))

    assert event.lead.keys() == (("email", "info@example.com"),)
    assert event.attributes == {"email_domain": "example.com", "shared_mailbox": "info@example.com"}


@pytest.mark.parametrize(
    "other", [LeadNames(external_ids={"crm": "7"}), LeadNames(anonymous_id="visitor")], ids=["id", "visitor"]
)
def test_beside_another_name_it_is_a_fact_about_that_lead(other: LeadNames) -> None:
    event = event_of(LeadNames("sales@example.com", other.external_ids, other.anonymous_id))

    assert event.lead == event_of(other).lead
    assert event.attributes == {"email_domain": "example.com", "shared_mailbox": "sales@example.com"}


def test_an_address_of_one_person_names_them_beside_other_names() -> None:
    event = event_of(LeadNames("ann@example.com", {"crm": "7"}))

    assert event.lead.keys() == (("email", "ann@example.com"), ("external:crm", "7"))
    assert event.attributes == {"email_domain": "example.com"}


@pytest.mark.parametrize(
    ("address", "is_shared"),
    [
        ("info@example.com", True),
        ("no-reply@example.com", True),
        ("support+ticket-7@example.com", True),
        ("infos@example.com", False),
        ("ann.info@example.com", False),
        ("ann+info@example.com", False),
        ("tablet@example.com", True),
        ("tablet@other.example", False),
        ("kiosk@other.example", True),
    ],
)
def test_it_is_told_by_its_local_part_or_by_all_of_it(address: str, is_shared: bool) -> None:
    settings = IngestSettings(shared_mailboxes=["Tablet@example.com", " kiosk"])

    _, _, shared_mailbox = identities(LeadNames(address), settings.all_shared_mailboxes())

    assert shared_mailbox == (address if is_shared else None)


NAMES = st.builds(
    LeadNames,
    email=st.none() | st.sampled_from(["info@a.example", "sales@a.example", "ann@a.example", "bo@a.example"]),
    external_ids=st.dictionaries(st.just("crm"), st.sampled_from("12345"), max_size=1),
    anonymous_id=st.none() | st.sampled_from("vwxyz"),
).filter(lambda names: bool(names.email or names.external_ids or names.anonymous_id))


@given(st.lists(NAMES, max_size=12), st.randoms())
def test_no_chain_of_names_goes_through_a_shared_mailbox_in_whatever_order(
    names: list[LeadNames], random: object
) -> None:
    events = [event_of(one).lead.keys() for one in names]
    linked = [set(keys) for keys in events]

    for keys in linked:
        shared = {
            (kind, value) for kind, value in keys if kind == "email" and value.split("@")[0] in {"info", "sales"}
        }
        assert not shared or keys == shared
    shuffled = names.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert people(names) == people(shuffled)


def people(names: list[LeadNames]) -> set[frozenset[tuple[str, str]]]:
    """Who is one person, by the closure of shared names."""
    groups: list[set[tuple[str, str]]] = []
    for one in names:
        keys = set(event_of(one).lead.keys())
        touching = [group for group in groups if group & keys]
        groups = [group for group in groups if group not in touching]
        groups.append(set(itertools.chain(keys, *touching)))
    return {frozenset(group) for group in groups}


LOCAL = st.text("abcdefghijklmnopqrstuvwxyzäöüßσς0123456789.+-_", min_size=1, max_size=20)  # noqa: RUF001
LABEL = st.text("abcdefghijklmnopqrstuvwxyzäöüéßσς0123456789", min_size=1, max_size=12).filter(  # noqa: RUF001
    lambda label: not label.isdigit()
)
ADDRESSES = st.builds(lambda local, label: f"{local}@{label}.example", LOCAL, LABEL)


@given(ADDRESSES)
def test_case_never_makes_another_address(address: str) -> None:
    # Upper case is ambiguous where a letter has none of its own: only what comes back is compared.
    upper = "".join(letter.upper() if letter.upper().lower() == letter else letter for letter in address)

    assert normalise_email(upper) == normalise_email(address)


@given(ADDRESSES, st.text("abc ,.'\"äö()@", max_size=20), st.sampled_from(["", " ", "\t", "\n"]))
def test_neither_a_display_name_nor_space_around_makes_another_address(address: str, name: str, space: str) -> None:
    assert normalise_email(f"{name}{space}<{space}{address}{space}>{space}") == normalise_email(address)


@given(ADDRESSES)
def test_the_ascii_form_of_a_domain_is_the_same_address(address: str) -> None:
    normalised = normalise_email(address)

    assert normalised is not None
    assert normalised.rpartition("@")[2].isascii()
    assert normalise_email(normalised) == normalised


@pytest.mark.parametrize(
    ("one", "other"), [("ann@straße.example", "ann@strasse.example"), ("ann@βόλος.example", "ann@βόλοσ.example")]
)
def test_domains_that_are_two_since_idna_2008_are_two(one: str, other: str) -> None:
    assert normalise_email(one) != normalise_email(other)


def test_a_domain_in_letters_and_in_ascii_form_is_one() -> None:
    assert normalise_email("ann@straße.example") == "ann@xn--strae-oqa.example"
    assert normalise_email("ann@FAß.example") == normalise_email("ann@xn--fa-hia.example")
    assert normalise_email("ann@例え。jp") == "ann@xn--r8jz45g.jp"
