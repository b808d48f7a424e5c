"""The sources of the site: every page of the repository, with links that lead where it will stand.

Pages are written to be read in the repository, where a link to a file or a directory shows it. On the site an example
is a page of its own, a README is the index page of its directory, and root documents stand beside the others.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from docs.website.navigation import contents

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = "deploy/examples"
ROOT_DOCUMENTS: Mapping[str, str] = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
# A drawing that is text in the repository, where it is rendered, is a picture here.
DRAWINGS: Mapping[str, tuple[str, str]] = {
    "ARCHITECTURE.md": ("architecture.svg", "How events come in, become scores, and go out as news"),
    "docs/reference/events.md": ("topics.svg", "Which service writes and reads which topic"),
}
_FENCED = re.compile(r"^( *)(```|~~~).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_MERMAID = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s]+)((?: \"[^\"]*\")?\))")
_LANGUAGES: Mapping[str, str] = {".ndjson": "json", ".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json"}


class NoPage(ValueError):
    """A link or a drawing for which the site has nothing."""


def stage(directory: Path) -> None:
    """Make `directory` hold the sources of the site. Raises NoPage naming the page."""
    shutil.rmtree(directory, ignore_errors=True)
    pages = {site_path(path): _page(path) for path in sources()} | _generated()
    added = contents(path.removesuffix(".md") for path in pages)
    for path, text in pages.items():
        extra = added.get(path.removesuffix(".md"), "")
        _write(directory / path, f"{text}\n{extra}" if extra else text)
    for file in _attachments():
        target = directory / site_path(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, target)


def sources() -> list[str]:
    """The pages of the repository, by their paths from its root."""
    written = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    return sorted([*written, *ROOT_DOCUMENTS])


def site_pages() -> list[str]:
    """Every page of the site, without its ending."""
    return sorted(path.removesuffix(".md") for path in [*map(site_path, sources()), *_generated()])


def site_path(path: str) -> str:
    """Where a file of the repository stands on the site. Raises NoPage."""
    if path in ROOT_DOCUMENTS:
        return ROOT_DOCUMENTS[path]
    if path.startswith(f"{EXAMPLES}/") and (ROOT / path).is_file():
        return f"examples{path.removeprefix(EXAMPLES)}.md"
    if path == EXAMPLES or path.startswith(f"{EXAMPLES}/"):
        return f"examples{path.removeprefix(EXAMPLES)}/index.md"
    if path == "README.md":
        return "index.md"
    if not path.startswith("docs/"):
        raise NoPage(f"{path} is no page of the site")
    inside = path.removeprefix("docs/")
    if (ROOT / path).is_dir():
        return f"{inside}/index.md"
    return f"{dirname(inside)}/index.md" if inside.endswith("/README.md") else inside


def _page(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    return outside_of_code(drawn(path, text), lambda prose: relinked(prose, path))


def drawn(path: str, text: str) -> str:
    """`text` with its drawing as a picture. Raises NoPage where there is none for it."""
    if not _MERMAID.search(text):
        return text
    if path not in DRAWINGS:
        raise NoPage(f"{path}: the site cannot draw mermaid: give it a picture in DRAWINGS of {__name__}")
    name, words = DRAWINGS[path]
    up = "../" * (path.count("/") - 1) if path.startswith("docs/") else "docs/"
    return _MERMAID.sub(f"![{words}]({up}pictures/{name})", text)


def outside_of_code(text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` made of everything but its fenced blocks."""
    pieces, position = [], 0
    for block in _FENCED.finditer(text):
        pieces += [change(text[position : block.start()]), block[0]]
        position = block.end()
    return "".join([*pieces, change(text[position:])])


def relinked(prose: str, path: str) -> str:
    """`prose` of the page at `path` with links that hold on the site."""

    def lead(found: re.Match[str]) -> str:
        target, hash_, anchor = found[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return found[0]
        return f"{found[1]}{_relative(path, normpath(join(dirname(path), target)))}{hash_}{anchor}{found[3]}"

    return _LINK.sub(lead, prose)


def _relative(page: str, target: str) -> str:
    if not (ROOT / target).exists():
        raise NoPage(f"{page}: {target} is not there")
    return relpath(site_path(target), dirname(site_path(page)) or ".")


def _attachments() -> list[str]:
    """What pages show or hand out as it is."""
    files = [file for ending in ("svg", "json", "png") for file in (ROOT / "docs").rglob(f"*.{ending}")]
    return sorted(file.relative_to(ROOT).as_posix() for file in files if "website" not in file.parts)


def _generated() -> dict[str, str]:
    return {**dict(_examples()), "runbooks/index.md": _runbooks()}


def _examples() -> Iterator[tuple[str, str]]:
    files = sorted(path for path in (ROOT / EXAMPLES).rglob("*") if path.is_file() and path.suffix in _LANGUAGES)
    for file in files:
        path = file.relative_to(ROOT).as_posix()
        text = file.read_text(encoding="utf-8").rstrip()
        yield site_path(path), f"# {file.name}\n\n`{path}`\n\n````{_LANGUAGES[file.suffix]}\n{text}\n````\n"
    for directory in sorted({file.parent for file in files}):
        inside = sorted(one for one in directory.iterdir() if one.is_dir() or one.suffix in _LANGUAGES)
        listed = [f"- [{one.name}]({one.name}{'/index' if one.is_dir() else ''}.md)" for one in inside]
        path = directory.relative_to(ROOT).as_posix()
        title = "Examples" if path == EXAMPLES else f"Examples: {directory.name}"
        yield site_path(path), "\n".join([f"# {title}", "", f"The files of `{path}`.", "", *listed, ""])


def _runbooks() -> str:
    pages = sorted((ROOT / "docs/runbooks").glob("*.md"))
    rows = [f"| [{page.stem}]({page.name}) | {_meaning(page)} |" for page in pages]
    intro = "A page for each alert and for each task that comes up: what it means, how to find out, what to do."
    return "\n".join(["# Runbooks", "", intro, "", "| page | meaning |", "| --- | --- |", *rows, ""])


def _meaning(page: Path) -> str:
    """The first sentence of a runbook: of an alert what it means, of a task when to do it."""
    text = page.read_text(encoding="utf-8")
    words = (text.partition("## Meaning")[2] or text.partition("## When")[2]).split()
    end = next((number for number, word in enumerate(words) if word.endswith((".", ":"))), len(words))
    return " ".join(words[: end + 1]).replace("|", "\\|")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
