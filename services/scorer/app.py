"""The composition root of the scorer: the only place that wires it."""

from services.scorer.api.drafts import drafts_router
from services.scorer.api.erasures import erasures_router
from services.scorer.api.leads import scores_router
from services.scorer.api.models import models_router
from services.scorer.api.shadows import shadows_router
from services.scorer.api.simulations import simulations_router
from services.scorer.erasure import repository as erasure_repository
from services.scorer.erasure_part import erasure_part
from services.scorer.handlers import GROUP, Handlers
from services.scorer.observing import observing_tasks
from services.scorer.service import Scorer
from services.scorer.settings import ScorerSettings
from services.scorer.what_if.jobs import Simulations
from shared.access.keyring import KeyRing
from shared.consumer import ConsumerTask
from shared.db.due import due_backlog_task
from shared.db.outbox import Outbox
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.log.letter_backlog import letter_backlog_task
from shared.periodic import every
from shared.sealing.parts import do_parts
from shared.service import Context, Service

__all__ = ["GROUP", "build"]

_FOLLOW_SECONDS = 1.0
_ERASE_SECONDS = 1.0
_FORGET_SECONDS = 600.0


def build(context: Context, settings: ScorerSettings, keys: KeyRing) -> Service:
    """The scorer, ready to run. `keys` is the process's: whoever runs the process keeps it fresh."""
    outbox = Outbox("scorer")
    scorer = Scorer(context.database, outbox, context.clock)
    simulations = Simulations(
        context.database,
        context.clock,
        processes=settings.simulation_processes,
        most=settings.most_waiting_simulations,
    )
    handlers = Handlers(scorer, context.log, context.clock, context.database)
    consumer = ConsumerTask(
        context, (ENGAGEMENT_EVENTS,), group=GROUP, handle=handlers.handle, max_records=settings.batch_size
    )

    async def tell_what_time_did() -> int:
        return await scorer.tell_what_time_did(settings.due_batch_size)

    async def follow_active_models() -> int:
        return await scorer.follow_active_models(settings.catch_up_batch_size)

    async def follow_shadows() -> int:
        return await scorer.follow_shadows(settings.catch_up_batch_size)

    erasing = erasure_part(context.database, context.log)

    async def erase() -> int:
        return await do_parts(context.database, context.clock, "scorer", erasing)

    async def forget() -> int:
        return await erasure_repository.let_go(context.database, context.clock.now())

    return Service(
        name="scorer",
        routers=(
            models_router(context, keys, most_versions=settings.most_model_versions),
            drafts_router(
                context, keys, most_drafts=settings.most_drafts, most_versions=settings.most_model_versions
            ),
            shadows_router(context, keys),
            simulations_router(context, keys, simulations),
            scores_router(context, keys, scorer),
            erasures_router(context, keys, scorer),
        ),
        tasks={
            "consumer": consumer.run,
            **outbox.tasks(context.database, context.log),
            "due moments": every(settings.due_poll_seconds, tell_what_time_did, name="due moments"),
            "active models": every(_FOLLOW_SECONDS, follow_active_models, name="active models"),
            "shadows": every(_FOLLOW_SECONDS, follow_shadows, name="shadows"),
            "erasures": every(_ERASE_SECONDS, erase, name="erasures of the scorer"),
            "ended keys": every(_FORGET_SECONDS, forget, name="ended keys"),
            "simulations": simulations.run,
            "due backlog": due_backlog_task(context, "scorer"),
            "letters": letter_backlog_task(context, ENGAGEMENT_EVENTS),
            **observing_tasks(context),
        },
        ready={"database": context.database.check, "log": context.log.check},
        live={"consumer": consumer.stuck, "outbox": outbox.stuck},
    )
