"""Copies of the sources: as they are now, so that nobody changes them meanwhile, or with something made otherwise."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.preloaded import loaded
from tests.faults.processes import Tree

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("services", "shared", "migrations")


@contextmanager
def copied(copy: Path, change: Callable[[Path], None] = lambda _: None, *, of: Path = _ROOT) -> Iterator[Tree]:
    """`change` makes of the copy what it is to be; removed with the block, when no process of it runs any more."""
    for source in _SOURCES:
        shutil.copytree(of / source, copy / source, ignore=shutil.ignore_patterns("__pycache__"))
    change(copy)
    try:
        with loaded(copy) as process:
            yield Tree(copy, process)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
