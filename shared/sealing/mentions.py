"""Whether bytes that nobody could read name somebody all the same. Pure.

They are looked at in each form in which a name may stand in them: as they are, with the escapes of URLs and of JSON
undone, and with what looks like base64 decoded. A name counts where it stands by itself: `bob@x.example` is not found
in `jimbob@x.example`.
"""

import re
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote_plus

# What is shorter stands in too many payloads by chance.
SHORTEST_NAME: Final = 6
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\(.)", re.DOTALL)
_SHORT_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def pattern_of(names: Sequence[str]) -> re.Pattern[str] | None:
    """What finds any of `names`; None when none is long enough to be looked for."""
    wanted = sorted({name.casefold() for name in names if len(name) >= SHORTEST_NAME}, key=len, reverse=True)
    if not wanted:
        return None
    return re.compile(r"(?<![\w.+-])(?:" + "|".join(map(re.escape, wanted)) + r")(?![\w-]|\.\w)")


def mentions(content: bytes, names: re.Pattern[str]) -> bool:
    """Whether one of the names stands in `content`."""
    return any(names.search(form) for form in _forms(content))


def _forms(content: bytes) -> Iterator[str]:
    text = content.decode("utf-8", "replace")
    yield from _readings(text)
    for found in _BASE64.finditer(text):
        decoded = _from_base64(found.group())
        if decoded is not None:
            yield from _readings(decoded)


def _readings(text: str) -> Iterator[str]:
    yield text.casefold()
    if "%" in text or "+" in text:
        yield unquote_plus(text).casefold()
    if "\\" in text:
        yield _ESCAPE.sub(_unescaped, text).casefold()


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return _SHORT_ESCAPES.get(found[2], found[2])


def _from_base64(text: str) -> str | None:
    padded = text.rstrip("=").replace("-", "+").replace("_", "/")
    padded += "=" * (-len(padded) % 4)
    try:
        return b64decode(padded, validate=True).decode("utf-8", "ignore")
    except NoBase64:
        return None
