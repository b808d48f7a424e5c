"""The text of API keys."""

from hypothesis import given
from hypothesis import strategies as st

from shared.access.keys import KEY_ID_BYTES, SECRET_BYTES, mint, read, same_digest

KEY_IDS = st.binary(min_size=KEY_ID_BYTES, max_size=KEY_ID_BYTES)
SECRETS = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)


@given(key_id=KEY_IDS, secret=SECRETS)
def test_a_minted_key_reads_back_as_itself(key_id: bytes, secret: bytes) -> None:
    key = mint(key_id, secret)

    presented = read(key.text)

    assert presented is not None
    assert presented.key_id == key.key_id
    assert same_digest(presented.digest, key.digest)


@given(key_id=KEY_IDS, secret=SECRETS, place=st.integers(8, 100), digit=st.sampled_from("0123456789abcdef"))
def test_a_mistyped_digit_is_noticed_without_a_look_up(key_id: bytes, secret: bytes, place: int, digit: str) -> None:
    text = mint(key_id, secret).text
    typed = text[:place] + digit + text[place + 1 :]

    assert typed == text or read(typed) is None


@given(text=st.text())
def test_other_texts_are_no_keys(text: str) -> None:
    assert read(text) is None


def test_the_prefix_tells_what_it_is_and_the_secret_is_not_in_the_digest() -> None:
    key = mint(bytes(KEY_ID_BYTES), bytes(SECRET_BYTES), environment="test")

    assert key.text.startswith("lf_test_")
    assert len(key.digest) == 32
    assert key.digest != bytes(SECRET_BYTES)
