"""`leadflow tail`: scores, thresholds and stages, live, over HTTP with a key."""

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated
from uuid import UUID

import typer
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.command.runtime import run_async
from services.command.tail.line import line_of
from services.command.tail.stream import Stream
from shared.errors import InvalidInput, Misconfigured
from shared.events.json import Json
from shared.settings import EnvironmentSettings, Settings


class ClientSettings(EnvironmentSettings):
    """How a client finds leadflow, and what it shows at the door. A key is no option: others read command lines."""

    model_config = SettingsConfigDict(env_prefix="LEADFLOW_", frozen=True, extra="ignore")

    url: str | None = Field(None, description="Base URL of leadflow; unset: that of LEADFLOW_HOST and LEADFLOW_PORT.")
    key: SecretStr | None = Field(None, description="API key with the scope leads:read.")


def tail(  # noqa: PLR0917 - typer reads options from parameters
    url: Annotated[
        str | None, typer.Option(help="Base URL; else LEADFLOW_URL, else this machine's leadflow.")
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Only such as lead.stage_changed; several times.")
    ] = None,
    lead: Annotated[UUID | None, typer.Option(help="Only what is about this lead.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Only where `data.to_stage=mql` holds; several times.")
    ] = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="Begin with the oldest that is kept, not now.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many; else never.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Whole messages, one a line.")] = False,
) -> None:
    """Show what leadflow tells, as it happens, a line each; the key is in LEADFLOW_KEY. Ctrl-C ends it."""
    client = ClientSettings()
    key = _key(client.key)
    query = [("type", one) for one in type_ or ()] + [("filter", one) for one in where or ()]
    query += [("lead", str(lead))] if lead else []
    query += [("begin", "oldest")] if oldest else []
    stream = Stream(_base_url(url or client.url), key, query, note=_note)
    with suppress(KeyboardInterrupt):
        run_async(_follow(stream, limit, as_json=as_json))


async def _follow(stream: Stream, limit: int | None, *, as_json: bool) -> None:
    shown = 0
    messages = stream.messages()
    try:
        async for message in messages:
            print(_line(message, as_json=as_json), flush=True)
            shown += 1
            if shown == limit:
                return
    finally:
        await messages.aclose()


def _line(message: Mapping[str, Json], *, as_json: bool) -> str:
    return json.dumps(message, ensure_ascii=False) if as_json else line_of(message)


def _key(given: SecretStr | None) -> str:
    """The key; an empty one, which a command that failed leaves in its place, is none."""
    key = given.get_secret_value().strip() if given else ""
    if not key:
        raise Misconfigured("LEADFLOW_KEY is not set: `leadflow keys create --scope leads:read` makes a key")
    if not (key.isascii() and key.isprintable()):
        raise Misconfigured("LEADFLOW_KEY is no key: it holds characters that no key has")
    return key


def _base_url(url: str | None) -> str:
    if not url:
        settings = Settings()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return f"http://{host}:{settings.port}"
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"{url} must begin with http:// or https://", field="url")
    return url


def _note(words: str) -> None:
    print(f"leadflow: {words}", file=sys.stderr)
