"""Names that are sealed: found as plain ones are, and each erased with the lead that has it, with no other."""

from datetime import timedelta
from uuid import UUID

import pytest

from services.scorer.erasure import exporting
from services.scorer.erasure.sealing_stored import seal_stored
from services.scorer.service import Scorer
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.sealing.data_keys import Sealing
from tests.integration.scorer.conftest import ScoresHarness
from tests.support.dumps import dump, places
from tests.support.messages import an_event

pytestmark = pytest.mark.postgres

VISITOR, BO = "visitor-4711", "bo@acme.example"


async def one_that_was_two(bench: ScoresHarness) -> tuple[UUID, UUID]:
    """A visitor and Bo, who turned out to be one."""
    await bench.scorer.count([an_event("v1", email=None, anonymous_id=VISITOR)], reach=ALL_WORKSPACES)
    bench.clock.advance(timedelta(seconds=1))
    await bench.scorer.count([an_event("b1", email=BO)], reach=ALL_WORKSPACES)
    visitor, bo = await bench.lead(VISITOR, "anonymous"), await bench.lead(BO)
    await bench.scorer.count([an_event("both", email=BO, anonymous_id=VISITOR)], reach=ALL_WORKSPACES)
    return visitor, bo


async def test_names_of_before_lead_to_the_same_lead_and_are_sealed_by_the_command(
    scores: ScoresHarness, database_url: str
) -> None:
    plain = Database(database_url, sealing=Sealing(on=False))
    await Scorer(plain, Outbox("scorer"), scores.clock).count([an_event("e1", email=BO)], reach=ALL_WORKSPACES)
    await plain.close()
    before = await scores.lead(BO)

    await scores.scorer.count([an_event("e2", email=BO, anonymous_id=VISITOR)], reach=ALL_WORKSPACES)
    sealed = await seal_stored(scores.database)
    after = [await scores.lead(BO), await scores.lead(VISITOR, "anonymous")]

    assert after == [before, before]
    assert (sealed.events, sealed.names) == (1, 1)
    tables = await dump(database_url)
    assert (
        places([BO, VISITOR], {name: tables[name] for name in ("scorer.identity", "scorer.lead", "scorer.event")})
        == []
    )


@pytest.mark.parametrize("erased", [0, 1])
async def test_who_was_one_with_an_erased_lead_keeps_its_names(scores: ScoresHarness, erased: int) -> None:
    both = await one_that_was_two(scores)
    await scores.scorer.unmerge("default", *both, actor="anna", reason="two people")
    names = [VISITOR, BO]

    await scores.scorer.erase("default", both[erased], actor="anna")

    # A process that remembers no key.
    restarted = Database(scores.database.url)
    async with restarted.transaction("default") as connection:
        left = await exporting.names_held(connection, both[1 - erased])
    await restarted.close()
    assert left == [names[1 - erased]]
