"""How much a workspace may have: counted, and refused beyond it, in the transaction that adds one more."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import Refused

_TAKE_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('quota of ' || :things || ' ' || :workspace, 0))")


@dataclass(frozen=True, slots=True)
class Quota:
    """What is counted: `count` is SQL for how many `:workspace` has, `code` the stable name of the refusal, `remedy`
    what somebody can do about it.
    """

    things: str
    code: str
    count: str
    remedy: str

    async def admit_one(
        self, connection: AsyncConnection, workspace: str, *, most: int | None, **values: object
    ) -> None:
        """Return when the caller's transaction may add one; others wait for its end. Without `most` there is no end.

        Raises Refused where `workspace` has `most` already.
        """
        if most is None:
            return
        await connection.execute(_TAKE_TURN, {"things": self.things, "workspace": workspace})
        found = await connection.scalar(text(self.count), {"workspace": workspace, **values})
        if int(found or 0) >= most:
            raise Refused(f"a workspace has {most} {self.things} at most: {self.remedy}", code=self.code)
