"""What a check finds. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "warning", "failed", "skipped"]
Severity = Literal["warning", "failed"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, in words, and what to do. A warning will hurt later or harms not everybody."""

    severity: Severity
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw: in short, and what is wrong with it."""

    summary: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    outcome: Outcome
    summary: str
    problems: tuple[Problem, ...] = ()


def finding_of(check: str, seen: Seen) -> Finding:
    """What was seen, judged by the worst of its problems."""
    severities = {problem.severity for problem in seen.problems}
    outcome: Outcome = "failed" if "failed" in severities else "warning" if severities else "ok"
    return Finding(check, outcome, seen.summary, seen.problems)


def broken(check: str, what: str, remedy: str) -> Finding:
    """A check that could not be done, because what it looks at does not answer."""
    return Finding(check, "failed", what, (Problem("failed", what, remedy),))


def has_failed(findings: Sequence[Finding]) -> bool:
    """Whether anything is wrong now."""
    return any(finding.outcome == "failed" for finding in findings)
