"""What receivers answered, who may say back whom they were told of: sealed with the key of the message's lead."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.sealing.data_keys import sealing_of

_SEALED_AS: Final = b"answer"


async def stored(
    connection: AsyncConnection, excerpt: str | None, key_id: UUID | None
) -> tuple[str | None, bytes | None]:
    """How an answer to a message is stored: sealed by the key of the message, or as it is where that has none."""
    if excerpt is None or key_id is None:
        return excerpt, None
    return None, await sealing_of(connection).seal_by(connection, key_id, excerpt.encode(), _SEALED_AS)


async def opened(connection: AsyncConnection, answers: Sequence[tuple[str | None, bytes | None]]) -> list[str | None]:
    """The answers, each stored as `stored` said; None where there is none, or nobody has the key any more."""
    sealed = [content for _, content in answers if content]
    found = iter(await sealing_of(connection).open(connection, sealed, _SEALED_AS))
    contents = [next(found) if content else None for _, content in answers]
    return [
        plain if content is None else content.decode() for (plain, _), content in zip(answers, contents, strict=True)
    ]
