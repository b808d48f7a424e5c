"""What a service is to the process that runs it: routes to serve, tasks to keep alive, questions to ask.

Each service builds its own Service from a Context; shared.process runs one of them, or all in one process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field

from fastapi import APIRouter

from shared.clock import Clock
from shared.db.engine import Database
from shared.http.direct import DirectRoute
from shared.log.protocol import Log
from shared.settings import Settings

Task = Callable[[asyncio.Event], Coroutine[None, None, None]]
Check = Callable[[], Awaitable[None]]
Progress = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Context:
    """What every service is built from; tests build it with a clock of their own."""

    settings: Settings
    database: Database
    log: Log
    clock: Clock


@dataclass(frozen=True, slots=True)
class Service:
    """A service, ready to run.

    `tasks` run until their event is set and then finish what is in hand; one that dies stops the process.
    `ready` raises (TransientError) for what keeps the service from doing its work now, by name of the dependency.
    `live` returns, by name of the task, why it makes no progress although it should, or None.
    `direct` are those of the routes that are served past FastAPI, because they are called by the thousand.
    `drain` is called once the process is about to end, for answers that would go on for ever.
    """

    name: str
    routers: tuple[APIRouter, ...]
    tasks: Mapping[str, Task] = field(default_factory=dict)
    ready: Mapping[str, Check] = field(default_factory=dict)
    live: Mapping[str, Progress] = field(default_factory=dict)
    direct: tuple[DirectRoute, ...] = ()
    drain: Callable[[], None] = lambda: None
