"""All of leadflow in the process of the test: services on a database, their tasks, and their routes for clients."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from services.command.up import BUILDS, assembled
from services.pipeline import app as pipeline
from services.pipeline.settings import PipelineSettings
from shared.access import KeyRepository, KeyRing, Scope
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.process import create_app
from shared.service import Context, Service
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Whole:
    """A leadflow that runs."""

    app: FastAPI
    database: Database
    keys: KeyRing
    stack: AsyncExitStack

    async def client(self, workspace: str, *scopes: Scope) -> httpx.AsyncClient:
        """A caller of a workspace, who may do everything unless told otherwise."""
        clock = SystemClock()
        key = await KeyRepository(self.database).create(
            workspace, name=str(uuid4()), scopes=scopes or (Scope.ADMIN,), now=clock.now()
        )
        await self.keys.snapshot.refresh()
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://leadflow",
            headers={"authorization": f"Bearer {key.text}"},
            timeout=30,
        )
        return await self.stack.enter_async_context(client)


@asynccontextmanager
async def whole(database_url: str) -> AsyncIterator[Whole]:
    """Runs until the end of the block. Webhooks may go to this machine, where nobody listens."""
    known: list[tuple[Context, KeyRing]] = []

    def noting(build: Callable[[Context, KeyRing], Service]) -> Callable[[Context, KeyRing], Service]:
        def noted(context: Context, keys: KeyRing) -> Service:
            known.append((context, keys))
            return build(context, keys)

        return noted

    near = PipelineSettings(webhook_allow_private_addresses=True, webhook_allow_http=True)
    builds: Mapping[str, Callable[[Context, KeyRing], Service]] = {
        **BUILDS,
        "pipeline": lambda context, keys: pipeline.build(context, near, keys),
    }
    builds = {name: noting(build) for name, build in builds.items()}
    wanted = Settings(database_url=SecretStr(database_url))
    async with (
        assembled(tuple(builds), wanted, SystemClock(), builds=builds) as services,
        AsyncExitStack() as stack,
        _working(services),
    ):
        context, keys = known[0]
        yield Whole(create_app(services), context.database, keys, stack)


@asynccontextmanager
async def _working(services: list[Service]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(task(stop)) for service in services for task in service.tasks.values()]
    try:
        yield
    finally:
        for service in services:
            service.drain()
        stop.set()
        await asyncio.gather(*tasks)
