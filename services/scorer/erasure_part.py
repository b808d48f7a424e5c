"""What is left of an erasure for the scorer once the lead is out of its tables: letters that name it."""

from shared.db.engine import Database
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.log.letter_sealing import erase_letters_of
from shared.log.protocol import Log
from shared.sealing.erasures import Erasure
from shared.sealing.parts import Work


def erasure_part(database: Database, log: Log) -> Work:
    """The scorer's part."""

    async def work(erasure: Erasure) -> None:
        await erase_letters_of(database, log, ENGAGEMENT_EVENTS, erasure)

    return work
