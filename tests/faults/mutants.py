"""Versions of leadflow with one known mistake each. A harness that lets one pass proves nothing."""

import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.processes import Tree
from tests.faults.trees import copied

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
_PATCHES = _HERE / "mutants"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A patch, and the scenario and log by which it is to be caught."""

    name: str
    scenario: str
    log: str

    @property
    def patch(self) -> Path:
        return _PATCHES / f"{self.name}.patch"

    @property
    def what(self) -> str:
        """The mistake in words, with which the patch begins."""
        return self.patch.read_text().partition("\n")[0]


MUTANTS: Mapping[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant("auto-commit", "F2", "kafka"),
        Mutant("acknowledge-before-publish", "F1", "embedded"),
        Mutant("dedup-outside-the-transaction", "F2", "embedded"),
        Mutant("relay-by-last-id", "F3", "embedded"),
        Mutant("commit-before-process", "F2", "embedded"),
    )
}


def applies(mutant: Mutant) -> str:
    """Why the patch no longer applies to the sources as they are; empty if it does."""
    command = ["git", "apply", "--check", str(mutant.patch)]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True).stderr


def tree_of(mutant: Mutant, directory: Path) -> AbstractContextManager[Tree]:
    """A copy of the sources with the mistake in it."""

    def make_it(copy: Path) -> None:
        subprocess.run(["git", "apply", str(mutant.patch)], cwd=copy, check=True)

    return copied(directory / mutant.name, make_it)
