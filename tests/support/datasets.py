"""Third-party data sets that lie beside the repository. They are measured with, and never copied into it."""

import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MAPPINGS = REPOSITORY / "deploy" / "examples" / "import"
_DIRECTORY = REPOSITORY.parent / "shared" / "data"


def dataset(name: str) -> Path:
    """The file `name`; the test is skipped where it does not lie beside the repository."""
    path = _DIRECTORY / name
    if not path.exists():
        pytest.skip(f"the data set {name} is not in {_DIRECTORY}")
    return path


def prefix_of(path: Path, rows: int, target: Path) -> Path:
    """A file with the header and the first `rows` lines of `path`, which is gz."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as source, target.open("w", newline="") as sink:
        for _, line in zip(range(rows + 1), source, strict=False):
            sink.write(line)
    return target


def rows_of(path: Path) -> list[dict[str, str]]:
    """All rows, read by nothing of ours."""
    with _text(path) as text:
        return list(csv.DictReader(text))


@contextmanager
def _text(path: Path) -> Iterator[Iterator[str]]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as packed:
            yield packed
    else:
        with path.open(encoding="utf-8", newline="") as plain:
            yield plain
