"""How far an import has come, remembered so that the same file with the same mapping goes on from there.

It is never ahead of what is durable: it may lag behind by a batch, whose events then come twice and count once.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from shared.errors import Misconfigured


class Position(BaseModel):
    """What has been done of a file: rows gone through, and what became of them.

    `accepted` and `repeated` count events, `refused` counts both. `never_found` are columns that no row had.
    """

    model_config = ConfigDict(frozen=True)

    rows: NonNegativeInt = 0
    accepted: NonNegativeInt = 0
    repeated: NonNegativeInt = 0
    without_event: NonNegativeInt = 0
    refused: Mapping[str, NonNegativeInt] = {}
    refused_bytes: NonNegativeInt = 0
    never_found: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PositionFile:
    """Where a position is kept: one small file per import."""

    path: Path

    @classmethod
    def of(cls, directory: Path, *identity: str) -> Self:
        """The file for the import that `identity` tells from others: file, mapping, installation."""
        return cls(directory / f"{sha256(chr(10).join(identity).encode()).hexdigest()[:32]}.json")

    def load(self) -> Position | None:
        """The position, or None when there is none. Raises Misconfigured for a damaged one."""
        try:
            return Position.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise Misconfigured(f"the position in {self.path} cannot be read: add --restart") from error

    def save(self, position: Position) -> None:
        """Replace the position, wholly or not at all."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(position.model_dump_json(), encoding="utf-8")
        os.replace(fresh, self.path)  # noqa: PTH105 - Path.replace says the same less clearly

    def forget(self) -> None:
        """There is nothing to go on with."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others from importing the same at the same time. Raises Misconfigured when somebody does."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = self.path.with_suffix(".lock").open("w")
        except OSError as error:
            raise Misconfigured(f"{self.path.parent} cannot be written: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Misconfigured("this file is being imported already") from None
            yield
