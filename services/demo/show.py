"""The course of the demo beside a running leadflow: set up, play, wait, report, and keep serving."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.demo import report, watch
from services.demo.api import Leadflow
from services.demo.installation import Installation, forgers_keys
from services.demo.play import Stage, Tally, play
from services.demo.posting import Post, posts_of
from services.demo.report import Results
from services.demo.story import story_of
from services.demo.subscriber import EVENT_TYPES, Subscriber
from shared.clock import Clock

_TIMEOUT_SECONDS = 30.0


@dataclass(slots=True)
class Show:
    """One run of the demo; `run` is the companion of shared.process.

    `agrees` says whether all sums do; None when it was ended before it could tell.
    """

    installation: Installation
    data_dir: Path
    first_run: bool
    console: Console
    clock: Clock
    started_at: float
    ends: bool
    agrees: bool | None = field(default=None, init=False)

    async def run(self, base_url: str, stop: asyncio.Event) -> None:
        """Give the show; return when it is over, or when leadflow stops."""
        performing = asyncio.create_task(self._perform(base_url, stop), name="demo")
        stopping = asyncio.create_task(stop.wait(), name="demo stop")
        await asyncio.wait({performing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not performing.done():
            performing.cancel()
            await asyncio.gather(performing, return_exceptions=True)
            return
        await performing

    async def _perform(self, base_url: str, stop: asyncio.Event) -> None:
        subscriber = Subscriber()
        async with (
            httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT_SECONDS, trust_env=False) as client,
            subscriber.listening() as subscriber_url,
        ):
            await watch.until_ready(client)
            seconds = monotonic() - self.started_at
            self.console.print(f"leadflow serves on [bold]{base_url}[/bold] after {seconds:.1f} s")
            leadflow = Leadflow(client, self.installation.api_key)
            subscription = await leadflow.set_up(self.installation, subscriber_url, EVENT_TYPES)
            subscriber.secret = subscription.secret
            results = await self._played(client, leadflow, subscriber, partial(leadflow.delivers, subscription))
            self.agrees = results.agrees
            report.show(
                self.console, results, base_url=base_url, data_dir=self.data_dir, installation=self.installation
            )
            if not self.ends:
                self.console.print("\nleadflow keeps serving; Ctrl-C ends it.")
                await stop.wait()

    async def _played(
        self, client: httpx.AsyncClient, leadflow: Leadflow, subscriber: Subscriber, delivers: watch.Condition
    ) -> Results:
        before = await watch.until_through(client, delivers)
        subscriber.count_from_here()
        posts = posts_of(story_of(self.installation.seed, self.installation.until), seed=self.installation.seed)
        began_at = monotonic()
        with _watched(self.console, posts) as told:
            stage = Stage(client, self.installation.keys, forgers_keys(), self.clock, told)
            tally = await play(posts, stage)
        posting_seconds = monotonic() - began_at
        with self.console.status("waiting until everything is scored, told and delivered"):
            after = await watch.until_through(client, delivers, expected=tally.published, since=before)
        received = deepcopy(subscriber)  # time goes on: what leadflow tells from here on is in no sum
        settling_seconds = monotonic() - began_at - posting_seconds
        leads = [lead async for lead in leadflow.leads()]
        hottest = [str(lead["id"]) for lead in leads[: report.HOTTEST]]
        return Results(
            first_run=self.first_run,
            tally=tally,
            before=before,
            after=after,
            subscriber=received,
            leads=leads,
            attributes={lead_id: await leadflow.attributes(lead_id) for lead_id in hottest},
            posting_seconds=posting_seconds,
            settling_seconds=settling_seconds,
        )


@contextmanager
def _watched(console: Console, posts: Sequence[Post]) -> Iterator[Callable[[Post, Tally], None]]:
    """A progress bar over the posts, in the story's time; gives what to call after each."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("two weeks", total=len(posts), counts="")

        def told(post: Post, tally: Tally) -> None:
            counts = f"{tally.published} accepted, {tally.refused.total()} refused"
            progress.update(task, advance=1, counts=counts, description=f"{post.at:%a %d %b %H:%M}")

        yield told
