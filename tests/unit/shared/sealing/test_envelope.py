"""What is sealed opens with its key, as what it was sealed as, and with nothing else."""

import zlib
from base64 import b64encode
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Misconfigured
from shared.sealing.envelope import (
    DataKey,
    Unreadable,
    fresh_nonces,
    is_sealed,
    key_id_of,
    master_keys,
    seal,
    unseal,
)

KEY = DataKey(UUID(int=7), b"k" * 32)
MASTER = b64encode(b"m" * 32).decode()


@given(st.binary(max_size=5_000))
def test_what_is_sealed_opens_again(content: bytes) -> None:
    sealed = seal(KEY, content, b"event")

    assert unseal(KEY, sealed, b"event") == content
    assert (is_sealed(sealed), key_id_of(sealed)) == (True, KEY.id)


def test_the_same_content_is_sealed_otherwise_each_time() -> None:
    assert seal(KEY, b"content", b"event") != seal(KEY, b"content", b"event")


def test_nonces_made_together_are_all_different() -> None:
    nonces = fresh_nonces(1_000)

    assert {len(nonce) for nonce in nonces} == {12}
    assert len({*nonces, *fresh_nonces(1_000)}) == 2_000


def test_a_nonce_that_is_given_is_the_one_that_is_used() -> None:
    (nonce,) = fresh_nonces(1)

    assert nonce in seal(KEY, b"content", b"event", nonce=nonce)


@pytest.mark.parametrize("level", [1, 6])
def test_what_is_packed_opens_as_what_releases_before_packed_does(level: int) -> None:
    content = b'["page_viewed", 17]' * 9_000
    nonce = b"n" * 12
    of_before = (
        b"\x02" + KEY.id.bytes + nonce + AESGCM(KEY.secret).encrypt(nonce, zlib.compress(content, level), b"state")
    )

    assert unseal(KEY, of_before, b"state") == unseal(KEY, seal(KEY, content, b"state"), b"state") == content


def test_it_opens_with_no_other_key_for_nothing_else_and_not_changed() -> None:
    sealed = seal(KEY, b"content", b"event")

    for key, stored, about in (
        (DataKey(KEY.id, b"x" * 32), sealed, b"event"),
        (KEY, sealed, b"outbox"),
        (KEY, sealed[:-1] + bytes([sealed[-1] ^ 1]), b"event"),
    ):
        with pytest.raises(Unreadable):
            unseal(key, stored, about)


@pytest.mark.parametrize("text", [b"{}", b"[]", b'"x"', b" 1", b""])
def test_json_is_never_taken_for_sealed(text: bytes) -> None:
    assert not is_sealed(text)


def test_a_data_key_is_wrapped_for_its_own_id() -> None:
    (master,) = master_keys(MASTER)
    wrapped = master.wrap(KEY.id, b"k" * 32)

    assert master.unwrap(KEY.id, wrapped) == b"k" * 32
    with pytest.raises(Misconfigured):
        master.unwrap(UUID(int=8), wrapped)


@pytest.mark.parametrize(("text", "words"), [("?", "base64"), (b64encode(b"short").decode(), "32 bytes")])
def test_a_master_key_that_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        master_keys(f"{MASTER},{text}")
