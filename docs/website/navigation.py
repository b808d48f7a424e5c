"""Where each page stands. One in a directory that has an index page is its child, and need not be named.

A place may be named before its page is written: it is left out until then.
"""

from collections.abc import Iterable, Iterator, Mapping

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Begin": ("start", "how-it-works"),
    "Bring events in": ("connect/index", "import"),
    "Give them a worth": ("write-a-model", "models", "explain", "simulate", "backtest"),
    "Act on scores": ("pipelines", "subscribe", "feed", "reports"),
    "Operate": (
        "deploy",
        "operate",
        "monitoring",
        "alerts",
        "runbooks/index",
        "tracing",
        "backup",
        "rebuild",
        "erasure",
        "workspaces",
        "faults",
        "benchmarks",
        "peers",
    ),
    "Look up": (
        "reference/api/index",
        "reference/events",
        "reference/configuration",
        "reference/metrics",
        "examples/index",
    ),
    "The project": ("architecture", "adr/index", "contributing", "changelog"),
}
ROOT_PAGE = "index"


def contents(pages: Iterable[str]) -> dict[str, str]:
    """The tables of contents to add to pages, by page, as MyST writes them; `pages` without their endings."""
    there = set(pages)
    sections = {title: [page for page in named if page in there] for title, named in SECTIONS.items()}
    root = [_toctree(named, title) for title, named in sections.items() if named]
    indexes = sorted(page for page in there if page.endswith("/index"))
    children = {index: _toctree(children_of(index, there)) for index in indexes}
    return {ROOT_PAGE: "\n".join(root), **children}


def children_of(index: str, pages: Iterable[str]) -> list[str]:
    """The pages directly under an index page, and the index pages of the directories there."""
    directory = index.removesuffix("index")
    below = (page.removeprefix(directory) for page in pages if page.startswith(directory) and page != index)
    return sorted(directory + page for page in below if "/" not in page.removesuffix("/index"))


def unplaced(pages: Iterable[str]) -> list[str]:
    """The pages that no reader would find."""
    there = set(pages)
    named = {page for section in SECTIONS.values() for page in section}
    placed = named | {child for page in there if page.endswith("/index") for child in children_of(page, there)}
    return sorted(there - placed - {ROOT_PAGE})


def _toctree(pages: Iterable[str], caption: str | None = None) -> str:
    return "\n".join(_toctree_lines(pages, caption)) + "\n"


def _toctree_lines(pages: Iterable[str], caption: str | None) -> Iterator[str]:
    yield "```{toctree}"
    yield ":hidden:"
    if caption:
        yield f":caption: {caption}"
    yield ""
    yield from (f"/{page}" for page in pages)
    yield "```"
