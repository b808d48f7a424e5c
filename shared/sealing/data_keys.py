"""Data keys as PostgreSQL holds them, and content in and out by them, in the transaction of the caller."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from secrets import token_bytes
from typing import Final
from uuid import UUID, uuid5
from weakref import WeakKeyDictionary

from msgspec import Struct
from sqlalchemy import Transaction, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import routine
from shared.errors import Misconfigured
from shared.sealing.envelope import (
    KEY_BYTES,
    DataKey,
    forget_ciphers,
    fresh_nonces,
    is_sealed,
    key_mark_of,
    master_keys,
    seal,
    unseal,
)

_OPTION: Final = "leadflow_sealing"
_REMEMBERED: Final = 20_000
_NAMES: Final = UUID("0c7f6a0e-0a0f-5a54-9b1e-6f0d3c8a7f21")

_SELECT = """
    SELECT id, key, wrapped_by, created_at < now() FROM sealing.data_key WHERE id = ANY(CAST(:ids AS uuid[]))
"""
_INSERT = text("""
    INSERT INTO sealing.data_key (id, workspace, key, wrapped_by, expires_at)
    SELECT id, workspace, key, :wrapped_by, :expires_at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:workspaces AS text[]), CAST(:keys AS bytea[]))
         AS item (id, workspace, key)
    ORDER BY id ON CONFLICT DO NOTHING RETURNING id
""")


class Item(Struct, frozen=True, gc=False):
    """Content of `owner`, a lead or what else has a key, in `workspace`."""

    owner: UUID
    workspace: str
    content: bytes


class Sealing:
    """What a process seals with: master keys as `master_keys` reads them, the first of which is for new data keys.

    Without any, data keys are stored as they are. `on` is whether to seal at all; what is sealed is always opened.

    A key is remembered only if it stood before the transaction that reads it: one that is rolled back is no key.
    One that the transaction has made itself is remembered to its end.
    """

    def __init__(self, keys: str = "", *, on: bool = True) -> None:
        self._text = keys
        self.masters = master_keys(keys)
        self.on = on
        self._known: OrderedDict[UUID, DataKey] = OrderedDict()
        self._made: WeakKeyDictionary[Transaction, dict[UUID, DataKey]] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[Callable[..., "Sealing"], tuple[str, bool]]:
        """For processes that help this one."""
        return _again, (self._text, self.on)

    async def find(self, connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Those of these keys that there are. Raises Misconfigured for one whose master key this process lacks."""
        wanted = set(ids)
        made = self._made_by(connection)
        found = {id_: key for id_ in wanted if (key := self._known.get(id_) or made.get(id_)) is not None}
        if len(found) < len(wanted):
            missing = [id_ for id_ in wanted if id_ not in found]
            for id_, key, wrapped_by, stands in await routine.rows(connection, _SELECT, ids=missing):
                found[id_] = DataKey(id_, self._unwrapped(id_, key, wrapped_by))
                if stands:
                    self._remember(found[id_])
                else:
                    made[id_] = found[id_]
        return found

    async def keys_for(
        self, connection: AsyncConnection, owners: Mapping[UUID, str], *, expires_at: datetime | None = None
    ) -> dict[UUID, DataKey]:
        """The keys of these owners, each with its workspace; those that are missing are made."""
        found = await self.find(connection, owners)
        if len(found) == len(owners):
            return found
        missing = {owner: workspace for owner, workspace in owners.items() if owner not in found}
        await self.make(connection, missing, expires_at=expires_at)
        return found | await self.find(connection, missing)

    async def make(
        self, connection: AsyncConnection, owners: Mapping[UUID, str], *, expires_at: datetime | None = None
    ) -> None:
        """New keys for owners that have none."""
        if not owners:
            return
        secrets = {owner: token_bytes(KEY_BYTES) for owner in owners}
        rows = await connection.execute(
            _INSERT,
            {
                "ids": list(owners),
                "workspaces": list(owners.values()),
                "keys": [self._wrapped(owner, secret) for owner, secret in secrets.items()],
                "wrapped_by": self.masters[0].name if self.masters else None,
                "expires_at": expires_at,
            },
        )
        self._made_by(connection).update((row.id, DataKey(row.id, secrets[row.id])) for row in rows)

    async def seal(
        self,
        connection: AsyncConnection,
        items: Sequence[Item],
        about: bytes,
        *,
        expires_at: datetime | None = None,
        are_brief: bool = False,
    ) -> list[bytes]:
        """The contents, sealed, in the order given; as they are while sealing is off.

        `are_brief`: they are kept for a moment only.
        """
        if not self.on or not items:
            return [item.content for item in items]
        owners = {item.owner: item.workspace for item in items}
        keys = await self.keys_for(connection, owners, expires_at=expires_at)
        return [
            seal(keys[item.owner], item.content, about, is_brief=are_brief, nonce=nonce)
            for item, nonce in zip(items, fresh_nonces(len(items)), strict=True)
        ]

    async def seal_by(self, connection: AsyncConnection, key_id: UUID, content: bytes, about: bytes) -> bytes | None:
        """`content` under a key that must be there; None if it is not, for it is not made anew."""
        keys = await self.find(connection, [key_id])
        return seal(keys[key_id], content, about) if key_id in keys else None

    async def open(self, connection: AsyncConnection, stored: Sequence[bytes], about: bytes) -> list[bytes | None]:
        """The contents of what is sealed; the rest as it is. None for what nobody can read any more."""
        if not stored:
            return []
        # The same ids come again and again, and a UUID takes as long to make and to look up as its content to open.
        marks = [key_mark_of(one) if is_sealed(one) else None for one in stored]
        ids = {mark: UUID(bytes=mark) for mark in dict.fromkeys(marks) if mark is not None}
        found = await self.find(connection, ids.values())
        keys = {mark: found.get(id_) for mark, id_ in ids.items()}
        return [
            one if mark is None else _opened(one, keys[mark], about) for one, mark in zip(stored, marks, strict=True)
        ]

    def forget(self, ids: Collection[UUID]) -> None:
        """Keep these keys in memory no longer."""
        for known in (self._known, *self._made.values()):
            for id_ in ids:
                known.pop(id_, None)
        forget_ciphers()

    def opens(self, key_id: UUID, key: bytes, wrapped_by: str | None) -> bool:
        """Whether a stored key can be read; for looking, so nothing is remembered."""
        try:
            return len(self._unwrapped(key_id, key, wrapped_by)) == KEY_BYTES
        except Misconfigured:
            return False

    def rewrapped(self, key_id: UUID, key: bytes, wrapped_by: str | None) -> tuple[bytes, str | None]:
        """A stored key under the first master key."""
        plain = self._unwrapped(key_id, key, wrapped_by)
        return self._wrapped(key_id, plain), self.masters[0].name if self.masters else None

    async def names_key(self, connection: AsyncConnection, workspace: str) -> bytes:
        """With what digests of names are made in a workspace, so that nobody else can guess them."""
        id_ = uuid5(_NAMES, workspace)
        keys = await self.keys_for(connection, {id_: workspace})
        return _names_key(keys[id_])

    async def names_keys(self, connection: AsyncConnection, workspaces: Iterable[str]) -> dict[str, bytes]:
        """The same for several workspaces; for looking, so those that have none yet are left out."""
        ids = {workspace: uuid5(_NAMES, workspace) for workspace in workspaces}
        keys = await self.find(connection, ids.values())
        return {workspace: _names_key(keys[id_]) for workspace, id_ in ids.items() if id_ in keys}

    def _made_by(self, connection: AsyncConnection) -> dict[UUID, DataKey]:
        """The keys that the transaction of this connection has made."""
        assert connection.sync_connection is not None, "the connection is open"
        transaction = connection.sync_connection.get_transaction()
        return {} if transaction is None else self._made.setdefault(transaction, {})

    def _wrapped(self, key_id: UUID, key: bytes) -> bytes:
        return self.masters[0].wrap(key_id, key) if self.masters else key

    def _unwrapped(self, key_id: UUID, key: bytes, wrapped_by: str | None) -> bytes:
        if wrapped_by is None:
            return key
        for master in self.masters:
            if master.name == wrapped_by:
                return master.unwrap(key_id, key)
        raise Misconfigured(f"LEADFLOW_SEALING_KEYS lacks the master key {wrapped_by}, which sealed content needs")

    def _remember(self, key: DataKey) -> None:
        self._known[key.id] = key
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _again(keys: str, on: bool) -> Sealing:
    return Sealing(keys, on=on)


def sealing_of(connection: AsyncConnection) -> Sealing:
    """What the process of this connection seals with."""
    assert connection.sync_connection is not None, "the connection is open"
    found: Sealing = connection.sync_connection.get_execution_options()[_OPTION]
    return found


def execution_options(sealing: Sealing) -> dict[str, object]:
    """By which the connections of an engine know their Sealing."""
    return {_OPTION: sealing}


async def delete_keys(connection: AsyncConnection, workspace: str, ids: Collection[UUID]) -> None:
    """Whatever was sealed with these keys is erased."""
    await connection.execute(
        text("DELETE FROM sealing.data_key WHERE workspace = :workspace AND id = ANY(CAST(:ids AS uuid[]))"),
        {"workspace": workspace, "ids": list(ids)},
    )
    sealing_of(connection).forget(ids)


async def delete_expired_keys(connection: AsyncConnection, now: datetime, limit: int) -> int:
    """Let go of up to `limit` keys whose end has come; returns how many."""
    gone = await connection.execute(
        text("""
            DELETE FROM sealing.data_key WHERE id IN (
                SELECT id FROM sealing.data_key WHERE expires_at <= :now LIMIT :limit FOR UPDATE SKIP LOCKED)
        """),
        {"now": now, "limit": limit},
    )
    return gone.rowcount


def name_mark(names_key: bytes, kind: str, value: str) -> bytes:
    """The keyed digest of a lead's name."""
    return mark(names_key, "name", kind, value)


def mark(names_key: bytes, *parts: str) -> bytes:
    """A keyed digest of some text: what it is of can be recognised again, and not guessed."""
    return hmac_digest(names_key, "\n".join(parts).encode(), sha256)


def _names_key(key: DataKey) -> bytes:
    return hmac_digest(key.secret, b"leadflow names", sha256)


def _opened(stored: bytes, key: DataKey | None, about: bytes) -> bytes | None:
    return None if key is None else unseal(key, stored, about)
