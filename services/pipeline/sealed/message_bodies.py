"""Messages as feed and deliveries keep them: sealed with the key of the lead that they are about."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.sealing.data_keys import sealing_of

SEALED_AS: Final = b"message"


async def opened(connection: AsyncConnection, bodies: Sequence[bytes]) -> list[bytes | None]:
    """The messages as they were told; None for those whose lead was erased."""
    return await sealing_of(connection).open(connection, [bytes(body) for body in bodies], SEALED_AS)
