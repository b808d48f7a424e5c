"""Ingest's part of an erasure: elements that became no event, and letters, in which the lead is named."""

from collections.abc import AsyncIterator
from re import Pattern

from services.ingest.parked.repository import ParkedElement, ParkedFilter, ParkedRepository, Place
from shared.db.engine import Database
from shared.events.topics import PARKED_ELEMENTS
from shared.log.letter_sealing import erase_letters_of
from shared.log.protocol import Log
from shared.sealing.erasures import Erasure
from shared.sealing.mentions import mentions, pattern_of
from shared.sealing.parts import Work

_PAGE = 200


def erasure_part(parked: ParkedRepository, database: Database, log: Log) -> Work:
    """Ingest's part."""

    async def work(erasure: Erasure) -> None:
        names = pattern_of(erasure.values)
        if names is not None:
            found = [one.id async for one in naming(parked, erasure.workspace, names)]
            await parked.erase(erasure.workspace, found)
        await erase_letters_of(database, log, PARKED_ELEMENTS, erasure)

    return work


async def naming(parked: ParkedRepository, workspace: str, names: Pattern[str]) -> AsyncIterator[ParkedElement]:
    """The elements of a workspace in which one of the names stands, whatever became of them."""
    before: Place | None = None
    while page := await parked.page(workspace, ParkedFilter(), before=before, limit=_PAGE):
        for one in page:
            if any(mentions(text, names) for text in _texts(one)):
                yield one
        before = Place(page[-1].origin.received_at, page[-1].id)


def _texts(one: ParkedElement) -> list[bytes]:
    about = [one.reason.message, one.reason.field or "", one.element_id or "", *one.origin.headers.values()]
    return [one.body, "\n".join(about).encode()]
