"""Who is who: the transitive closure of shared names, whatever the order."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.identities.identity import IdentityKey, KnownLead, resolve

ANN = IdentityKey("default", "email", "ann@acme.example")
BO = IdentityKey("default", "email", "bo@acme.example")
VISITOR = IdentityKey("default", "anonymous", "v1")
OLD = KnownLead(datetime(2026, 1, 1, tzinfo=UTC), UUID(int=2))
YOUNG = KnownLead(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=1), UUID(int=1))


def test_mentions_that_share_no_name_are_different_persons() -> None:
    people = resolve([[ANN], [BO]], {})

    assert [person.mentions for person in people] == [(0,), (1,)]
    assert not any(person.is_settled for person in people)


def test_a_chain_of_shared_names_makes_one_person() -> None:
    (person,) = resolve([[ANN], [BO], [VISITOR, ANN], [VISITOR, BO]], {})

    assert person.mentions == (0, 1, 2, 3)
    assert person.unknown == {ANN, BO, VISITOR}


def test_the_oldest_of_several_known_leads_survives() -> None:
    (person,) = resolve([[ANN, BO]], {ANN: YOUNG, BO: OLD})

    assert person.leads == (OLD, YOUNG)


def test_two_names_of_one_known_lead_join_mentions_that_share_none() -> None:
    (person,) = resolve([[ANN], [BO]], {ANN: OLD, BO: OLD})

    assert person.is_settled
    assert person.mentions == (0, 1)


def test_the_same_name_in_two_workspaces_is_two_persons() -> None:
    assert len(resolve([[ANN], [ANN._replace(workspace="other")]], {})) == 2


_names = st.builds(IdentityKey, st.just("w"), st.sampled_from(["email", "anonymous"]), st.sampled_from("abcdef"))


@given(st.lists(st.lists(_names, min_size=1, max_size=3), max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_mentions_does_not_matter(mentions: list[list[IdentityKey]], random: object) -> None:
    shuffled = list(mentions)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis draws a random.Random

    groups = {person.names for person in resolve(mentions, {})}
    assert groups == {person.names for person in resolve(shuffled, {})}


@given(st.lists(st.lists(_names, min_size=1, max_size=3), min_size=1, max_size=12))
def test_names_belong_to_exactly_one_person(mentions: list[list[IdentityKey]]) -> None:
    people = resolve(mentions, {})

    names = [name for person in people for name in person.names]
    assert len(names) == len(set(names))
    assert sorted(index for person in people for index in person.mentions) == list(range(len(mentions)))
