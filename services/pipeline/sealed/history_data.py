"""What lines of timelines and stage histories say: sealed with the lead's key, as a JSON text in a column of JSON."""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.json import Json
from shared.sealing.data_keys import Item, sealing_of

_SEALED_AS: Final = b"history"


async def sealed(
    connection: AsyncConnection, lines: Sequence[tuple[tuple[str, str], Mapping[str, Json]]]
) -> list[str]:
    """The data of lines, each of a lead by workspace and id, as the column takes them."""
    sealing = sealing_of(connection)
    items = [Item(UUID(lead_id), workspace, to_json(data)) for (workspace, lead_id), data in lines]
    contents = await sealing.seal(connection, items, _SEALED_AS)
    return [f'"{b64encode(content).decode()}"' if sealing.on else content.decode() for content in contents]


async def opened(connection: AsyncConnection, stored: Sequence[str]) -> list[dict[str, Json]]:
    """What the column has. Nothing, where a lead that was once one with this one has been erased."""
    contents = [b64decode(text[1:-1]) if text.startswith('"') else text.encode() for text in stored]
    found = await sealing_of(connection).open(connection, contents, _SEALED_AS)
    return [{} if content is None else from_json(content) for content in found]
