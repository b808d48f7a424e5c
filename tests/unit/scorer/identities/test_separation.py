"""Taking a merge back: whose names and events are whose, and that leads set apart stay so."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.identities.identity import IdentityKey, KnownLead, resolve
from services.scorer.domain.identities.separation import Merged, Names, divide, leaving, partners

ANN, BO, CY, DEE = (UUID(int=number) for number in range(1, 5))


def a_name(value: str) -> IdentityKey:
    return IdentityKey("default", "external:crm", value)


def names(*values: str) -> Names:
    return tuple(a_name(value) for value in values)


def a_lead(lead: UUID) -> KnownLead:
    return KnownLead(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=lead.int), lead)


def test_what_a_lead_had_absorbed_leaves_with_it() -> None:
    merges = [Merged(ANN, BO), Merged(BO, CY), Merged(ANN, DEE)]

    assert leaving(merges, BO) == {BO, CY}
    assert leaving(merges, CY) == {CY}


def test_an_event_is_of_the_lead_that_has_its_strongest_name() -> None:
    found = divide([names("b")], names("a"), [names("a"), names("b", "a"), names("a", "b"), names("b")])

    assert found.names == set(names("b"))
    assert found.mentions == (names("b", "a"), names("b"))


def test_a_new_name_is_of_the_lead_whose_event_first_brought_it() -> None:
    found = divide([names("b")], names("a"), [names("b", "new"), names("new"), names("a", "new"), names("other")])

    assert found.names == set(names("b", "new"))
    assert found.mentions == (names("b", "new"), names("new"))


def test_where_nobody_noted_the_survivors_names_those_that_stood_alone_are_its_own() -> None:
    found = divide([names("b")], None, [names("b", "a"), names("a")])

    assert found.names == set(names("b"))


_mentions = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3, unique=True), max_size=8)


@given(_mentions, _mentions)
def test_what_was_recorded_before_the_merge_is_divided_as_if_there_had_been_none(
    mine: list[list[str]], theirs: list[list[str]]
) -> None:
    own = [names(*(f"mine {value}" for value in mention)) for mention in mine]
    shared = [names(*(f"theirs {value}" for value in mention)) for mention in theirs]

    found = divide(own, [name for mention in shared for name in mention], shared)

    assert found.mentions == ()
    assert found.names == {name for mention in own for name in mention}


def test_leads_set_apart_are_not_joined_by_an_event_that_names_both() -> None:
    known = {a_name("a"): a_lead(ANN), a_name("b"): a_lead(BO)}
    apart = partners([(ANN, BO)])

    (person,) = resolve([names("b", "a", "new")], known, apart)

    assert person.leads == (a_lead(BO),)
    assert person.names == set(names("b", "new"))


def test_nor_by_way_of_a_third_name_or_lead() -> None:
    known = {a_name("a"): a_lead(ANN), a_name("b"): a_lead(BO), a_name("c"): a_lead(CY)}
    apart = partners([(ANN, BO)])

    people = resolve([names("c", "a"), names("new", "c"), names("b", "new")], known, apart)

    assert [person.leads for person in people] == [(a_lead(ANN), a_lead(CY)), (a_lead(BO),)]
    assert [person.mentions for person in people] == [(0, 1), (2,)]


@given(_mentions.filter(bool), st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([ANN, BO, CY, DEE])))
def test_no_person_holds_leads_that_are_apart_and_each_event_is_of_one(
    mentions: list[list[str]], owners: dict[str, UUID]
) -> None:
    known = {a_name(value): a_lead(lead) for value, lead in owners.items()}
    apart = partners([(ANN, BO), (BO, CY)])

    people = resolve([names(*mention) for mention in mentions], known, apart)

    assert sorted(index for person in people for index in person.mentions) == list(range(len(mentions)))
    for person in people:
        leads = {lead.id for lead in person.leads}
        assert not any(other in apart.get(lead, ()) for lead in leads for other in leads)
    shared = [name for person in people for name in person.names]
    assert len(shared) == len(set(shared))
