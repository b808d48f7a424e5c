"""Builds the site into site/. Whatever Sphinx has to warn of, ends it."""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from docs.website.staging import ROOT, NoPage, stage

_FETCHED = re.compile(
    r"""(?:<(?:script|img|iframe|source|video|object|image)\b[^>]*?\b(?:src|data|href)=["']?"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*?\bhref=["']?|\burl\(["']?|@import\s+["'])((?:https?:)?//[^"')\s>]+)""",
    re.IGNORECASE,
)
STAGE = ROOT / ".cache" / "site"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make site", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "site", help="directory for the site")
    parser.add_argument("--serve", action="store_true", help="then serve it on 127.0.0.1 until Ctrl-C")
    parser.add_argument("--port", type=int, default=8000, help="port of --serve")
    options = parser.parse_args(arguments)
    failed = build(options.output)
    if options.serve and not failed:
        serve(options.output, options.port)
    return failed


def build(output: Path, stage_directory: Path = STAGE) -> int:
    """Build the site; returns 0, or the exit code of what failed after it said why."""
    try:
        stage(stage_directory)
    except NoPage as error:
        sys.stderr.write(f"{error}\n")
        return 1
    configuration = Path(__file__).parent
    strict = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
    places = ["--conf-dir", str(configuration), "--doctree-dir", str(stage_directory.with_suffix(".doctrees"))]
    command = [sys.executable, "-m", "sphinx", "-b", "html", *strict, *places, str(stage_directory), str(output)]
    failed = subprocess.run(command, check=False).returncode  # noqa: S603 - our own words
    return failed or _says_what_is_fetched(output)


def _says_what_is_fetched(site: Path) -> int:
    """1 when looking at a page would fetch something from elsewhere, and says what; else 0."""
    fetched = [f"{file.relative_to(site)} fetches {address}\n" for file, address in fetched_from_elsewhere(site)]
    sys.stderr.writelines(fetched)
    return int(bool(fetched))


def fetched_from_elsewhere(site: Path) -> Iterator[tuple[Path, str]]:
    """The files of a site that make a browser ask other hosts, and for what. Links that people follow are none."""
    for file in sorted(site.rglob("*")):
        if file.suffix in {".html", ".css", ".svg"}:
            text = file.read_text(encoding="utf-8")
            yield from ((file, found[1]) for found in _FETCHED.finditer(text))


def serve(directory: Path, port: int) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        sys.stdout.write(f"http://127.0.0.1:{port}/ until Ctrl-C\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    sys.exit(main())
