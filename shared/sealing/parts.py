"""Each service does its own part of an erasure: at its own pace, again if it was cut short, until all have."""

import logging
from collections.abc import Awaitable, Callable

from shared.clock import Clock
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.sealing import erasures
from shared.sealing.erasures import Erasure, Part

Work = Callable[[Erasure], Awaitable[None]]

_AT_ONCE = 10

logger = logging.getLogger(__name__)


async def do_part(database: Database, clock: Clock, erasure: Erasure, part: Part, work: Work) -> Erasure:
    """Do one part of one erasure, which may be done already; returns how far the erasure is."""
    await work(erasure)
    async with database.transaction(ALL_WORKSPACES) as connection:
        after = await erasures.finish(connection, erasure, part, clock.now())
    logger.info("part of an erasure done", extra={"lead": str(erasure.lead_id), "part": part})
    return after


async def do_parts(database: Database, clock: Clock, part: Part, work: Work) -> int:
    """Do this part of the oldest erasures that lack it; returns how many those were."""
    async with database.transaction(ALL_WORKSPACES) as connection:
        found = await erasures.going_on(connection, part, _AT_ONCE)
    for erasure in found:
        await do_part(database, clock, erasure, part, work)
    return len(found)
