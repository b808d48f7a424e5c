"""The story of the demo, played into a leadflow that runs already: something to see on its dashboards."""

import asyncio
from datetime import datetime
from typing import Final

import httpx

from services.demo.api import Leadflow
from services.demo.installation import Installation, forgers_keys, new_secrets
from services.demo.play import Stage, Tally, play
from services.demo.posting import Post, posts_of
from services.demo.story import story_of
from shared.clock import Clock
from shared.errors import Misconfigured, TransientError

_TIMEOUT_SECONDS: Final = 30.0
_LET_IN_SECONDS: Final = 60.0
_LOOK_EVERY_SECONDS: Final = 0.5


async def load(url: str, api_key: str, *, seed: int, clock: Clock) -> Tally:
    """Publish the demo's model and pipeline at `url`, create its sources, and post its two weeks, which end now.

    Raises Misconfigured when the workspace has sources: it may be somebody's.
    """
    until: datetime = clock.now().replace(microsecond=0)
    installation = Installation(seed=seed, until=until, api_key=api_key, secrets=new_secrets())
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        leadflow = Leadflow(client, api_key)
        await _until_let_in(leadflow, url)
        if await leadflow.has_sources():
            raise Misconfigured(f"the leadflow at {url} has sources already: the demo plays into an empty one only")
        await leadflow.publish(installation)
        stage = Stage(client, installation.keys, forgers_keys(), clock, _nobody_watches)
        return await play(posts_of(story_of(seed, until), seed=seed), stage)


async def _until_let_in(leadflow: Leadflow, url: str) -> None:
    try:
        async with asyncio.timeout(_LET_IN_SECONDS):
            while True:
                if await leadflow.lets_in():
                    return
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
    except (TimeoutError, httpx.TransportError) as error:
        raise TransientError(f"the leadflow at {url} does not let the demo in: {error!r}") from error


def _nobody_watches(_post: Post, _tally: Tally) -> None:
    pass
