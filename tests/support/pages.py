"""What stands in the pages of the documentation: their blocks of code, headings and links."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w-]*) *$")
_NOT_RUN = re.compile(r"^ *<!-- not run: (?P<reason>.+) -->$")
_HEADING = re.compile(r"^#{1,6} +(?P<title>.*?) *#*$")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)(?: \"[^\"]*\")?\)")
_AUTOMATIC = re.compile(r"<(?P<target>https?://[^>\s]+)>")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `not_run` is the reason that stands before it for not being tried out."""

    page: str
    line: int
    language: str
    text: str
    not_run: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Link:
    page: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.target}"


def pages() -> list[str]:
    """Every page that people read, by its path from the root."""
    written = [path for path in (ROOT / "docs").rglob("*.md") if "website" not in path.parts]
    documents = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in [*written, *documents])


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    return [part for part in _parts(page) if isinstance(part, Block)]


def links(page: str) -> list[Link]:
    return [
        Link(page, line, found["target"])
        for line, text in _prose(page)
        for expression in (_LINK, _AUTOMATIC)
        for found in expression.finditer(text)
    ]


def anchors(page: str) -> set[str]:
    """What a link may name behind #, as GitHub and the site make it of headings."""
    lines = (line for _, paragraph in _prose(page) for line in paragraph.splitlines())
    slugs = [_slug(found["title"]) for line in lines if (found := _HEADING.match(line))]
    repeated: Counter[str] = Counter()
    found_anchors = set()
    for slug in slugs:
        found_anchors.add(f"{slug}-{repeated[slug]}" if repeated[slug] else slug)
        repeated[slug] += 1
    return found_anchors


def _slug(title: str) -> str:
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
    return "".join(letter for letter in words if letter.isalnum() or letter in " -_").replace(" ", "-")


def _prose(page: str) -> Iterator[tuple[int, str]]:
    """The paragraphs outside of fences, without what is between backticks."""
    for part in _parts(page):
        if not isinstance(part, Block):
            line, text = part
            yield line, re.sub(r"(`+)(?:(?!\1).)*\1", lambda code: re.sub(r"[\[\]()<>]", "", code[0]), text)


def _parts(page: str) -> Iterator[Block | tuple[int, str]]:
    fence: re.Match[str] | None = None
    start, reason, held = 1, None, list[str]()
    for number, line in enumerate([*text_of(page).splitlines(), ""], start=1):
        if fence is not None and line.strip() == fence["ticks"]:
            indent = len(fence["indent"])
            text = "\n".join(one[indent:] for one in held)
            yield Block(page, start, fence["language"], text, reason)
            fence, reason, held = None, None, []
        elif fence is not None:
            held.append(line)
        elif opening := _FENCE.match(line):
            if held:
                yield start, "\n".join(held)
            fence, start, held = opening, number, []
        else:
            reason = found["reason"] if (found := _NOT_RUN.match(line)) else (reason if not line.strip() else None)
            start = start if held else number
            held.append(line)
            if not line.strip():
                yield start, "\n".join(held)
                held = []
