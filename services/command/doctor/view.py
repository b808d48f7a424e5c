"""Findings in words, for a terminal and for programs. Pure."""

from collections.abc import Mapping, Sequence

from rich.text import Text

from services.command.doctor.findings import Finding, Outcome
from shared.events.json import Json

_STYLES: Mapping[Outcome, str] = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
_MARK_WIDTH, _NAME_WIDTH = 8, 14


def text_of(findings: Sequence[Finding]) -> Text:
    """A line per check, what is wrong and what to do beneath it, and a last line that sums up."""
    lines = [line for finding in findings for line in _lines(finding)]
    return Text("\n").join([*lines, _last(findings)])


def json_of(findings: Sequence[Finding]) -> Json:
    """The same for programs; `outcome` is the worst of all checks."""
    outcomes = [finding.outcome for finding in findings]
    worst = next((one for one in ("failed", "warning") if one in outcomes), "ok")
    return {
        "outcome": worst,
        "checks": [
            {
                "check": finding.check,
                "outcome": finding.outcome,
                "summary": finding.summary,
                "problems": [
                    {"severity": one.severity, "what": one.what, "remedy": one.remedy} for one in finding.problems
                ],
            }
            for finding in findings
        ],
    }


def _lines(finding: Finding) -> list[Text]:
    mark = Text(finding.outcome.ljust(_MARK_WIDTH), style=_STYLES[finding.outcome])
    lines = [Text.assemble(mark, finding.check.ljust(_NAME_WIDTH), finding.summary)]
    indent = " " * (_MARK_WIDTH + _NAME_WIDTH)
    for problem in finding.problems:
        if problem.what != finding.summary:
            lines.append(Text.assemble(indent, (problem.what, _STYLES[problem.severity])))
        lines.append(Text(f"{indent}-> {problem.remedy}"))
    return lines


def _last(findings: Sequence[Finding]) -> Text:
    counts = {outcome: sum(finding.outcome == outcome for finding in findings) for outcome in _STYLES}
    return Text(", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number))
