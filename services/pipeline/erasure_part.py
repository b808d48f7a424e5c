"""The pipeline's part of an erasure: its tables, if `lead.erased` has not come yet, and letters with its names."""

from services.pipeline.service import PipelineService
from shared.db.engine import Database
from shared.events.topics import LEAD_SCORES
from shared.log.letter_sealing import erase_letters_of
from shared.log.protocol import Log
from shared.sealing.erasures import Erasure
from shared.sealing.parts import Work


def erasure_part(service: PipelineService, database: Database, log: Log) -> Work:
    """The pipeline's part."""

    async def work(erasure: Erasure) -> None:
        await service.erase(erasure.workspace, [str(lead) for lead in erasure.leads])
        await erase_letters_of(database, log, LEAD_SCORES, erasure)

    return work
