"""What is remembered of leads between batches: what was stored, as long as the row confirms it, and within bounds."""

from uuid import UUID

from services.scorer.domain.lead import Lead
from services.scorer.domain.states.state import EMPTY
from services.scorer.leads.remembered_leads import RememberedLeads, Written
from services.scorer.leads.repository import Mark
from shared.events.envelope import LeadReference

ANN, BO, CY = UUID(int=1), UUID(int=2), UUID(int=3)
MARK = Mark(server=1, transaction=700)


def a_lead(sequence: int = 1) -> Lead:
    return Lead(
        reference=LeadReference(id=str(ANN), emails=(), external_ids={}),
        workspace="default",
        version=1,
        state=EMPTY,
        told=None,
        sequence=sequence,
        due_at=None,
    )


def written(*leads: UUID, mark: Mark = MARK, state_bytes: int = 100, as_of: int = 0, sequence: int = 1) -> Written:
    """A transaction that wrote these leads."""
    made = {lead: a_lead(sequence) for lead in leads}
    return Written(mark, made, dict.fromkeys(leads, state_bytes), as_of)


def known(remembered: RememberedLeads, *leads: UUID, mark: Mark = MARK) -> set[UUID]:
    return {lead for lead in leads if remembered.find(lead, mark) is not None}


def test_a_lead_is_found_while_its_row_is_the_one_that_was_written() -> None:
    remembered, transaction = RememberedLeads(), written(ANN)
    remembered.remember(transaction)

    assert remembered.find(ANN, MARK) is transaction.leads[ANN]
    assert remembered.find(BO, MARK) is None


def test_another_mark_is_another_writing_and_what_is_remembered_goes() -> None:
    remembered = RememberedLeads()
    remembered.remember(written(ANN))

    assert remembered.find(ANN, Mark(server=1, transaction=701)) is None
    assert remembered.find(ANN, MARK) is None


def test_the_same_transaction_number_of_a_server_that_began_anew_is_another_mark() -> None:
    remembered = RememberedLeads()
    remembered.remember(written(ANN))

    assert remembered.find(ANN, Mark(server=2, transaction=700)) is None


def test_the_last_writing_counts() -> None:
    remembered, later = RememberedLeads(), Mark(server=1, transaction=900)
    remembered.remember(written(ANN, sequence=1))
    remembered.remember(written(ANN, sequence=2, mark=later))

    found = remembered.find(ANN, later)
    assert found is not None
    assert found.sequence == 2


def test_a_forgotten_lead_is_gone_and_the_others_are_not() -> None:
    remembered = RememberedLeads()
    remembered.remember(written(ANN, BO))

    remembered.forget([ANN, CY])

    assert known(remembered, ANN, BO) == {BO}


def test_what_was_written_before_leads_were_forgotten_is_not_remembered_after_it() -> None:
    remembered = RememberedLeads()
    before = written(ANN, as_of=remembered.forgotten)
    remembered.forget([ANN])

    remembered.remember(before)

    assert known(remembered, ANN) == set()
    remembered.remember(written(BO, as_of=remembered.forgotten))
    assert known(remembered, BO) == {BO}


def test_beyond_the_bound_those_go_that_were_not_asked_for_longest() -> None:
    remembered = RememberedLeads(most_bytes=7_000)
    remembered.remember(written(ANN, BO))
    assert remembered.find(ANN, MARK) is not None

    remembered.remember(written(CY))
    remembered.remember(written(UUID(int=4)))

    assert known(remembered, ANN, BO, CY, UUID(int=4)) == {CY, UUID(int=4), ANN}


def test_a_lead_with_a_large_state_takes_the_place_of_several() -> None:
    remembered = RememberedLeads(most_bytes=6_000)
    remembered.remember(written(ANN, BO))

    remembered.remember(written(CY, state_bytes=700))

    assert known(remembered, ANN, BO, CY) == {CY}


def test_one_that_is_larger_than_the_bound_is_not_remembered() -> None:
    remembered = RememberedLeads(most_bytes=6_000)

    remembered.remember(written(ANN, state_bytes=1_000))

    assert known(remembered, ANN) == set()


def test_a_lead_that_is_written_again_and_again_weighs_once() -> None:
    remembered = RememberedLeads(most_bytes=6_000)
    remembered.remember(written(BO))

    for _ in range(10):
        remembered.remember(written(ANN))

    assert known(remembered, ANN, BO) == {ANN, BO}
