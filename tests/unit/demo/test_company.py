"""The market: who is in it."""

from collections import Counter

from services.demo.company import COMPETITORS, STUDENTS, VISITORS, Persona, people_of


def test_a_seed_gives_the_same_people_and_another_seed_gives_others() -> None:
    assert people_of(1) == people_of(1)
    assert people_of(1) != people_of(2)


def test_no_two_people_share_a_name_that_any_system_has_for_them() -> None:
    people = people_of(17)

    for names in (
        [person.email for person in people],
        [person.anonymous_id for person in people],
        [person.hubspot_id for person in people],
        [person.number for person in people],
    ):
        assert len(set(names)) == len(people)


def test_most_people_are_silent_and_few_push_for_a_purchase() -> None:
    personas = Counter(person.persona for person in people_of(17))

    assert personas[Persona.SILENT] > personas[Persona.EVALUATOR] > personas[Persona.CHAMPION] > 10
    assert personas[Persona.STUDENT] == STUDENTS
    assert personas[Persona.COMPETITOR] == COMPETITORS
    assert personas[Persona.VISITOR] == VISITORS


def test_addresses_are_plain_ascii_under_a_domain_that_can_never_exist() -> None:
    emails = [person.email for person in people_of(17)]

    assert all(email.isascii() and email.islower() and email.endswith(".example") for email in emails)
