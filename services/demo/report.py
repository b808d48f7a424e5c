"""What a person wants to see at the end: who is hot and why, what was told, and that every sum agrees."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from services.demo.installation import Installation
from services.demo.play import Tally
from services.demo.subscriber import Subscriber
from services.demo.watch import Reading
from shared.events.json import Json

HOTTEST = 10
_STAGES = ("new", "engaged", "mql", "sql", "proposal", "negotiation", "won", "lost", "nurture", "disqualified")
_INGESTED = "leadflow_ingest_events_total"
_SCORED = "leadflow_scoring_events_total"
_SCORE_CHANGES = "leadflow_scoring_score_changes_total"
_CROSSINGS = "leadflow_pipeline_threshold_crossings_total"
_MOVES = "leadflow_pipeline_stage_changes_total"
_MOVED = ("lead.threshold_entered", "lead.threshold_left", "lead.stage_changed")
_DELIVERIES = "leadflow_webhook_deliveries_total"

Lead = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Sum:
    """One line of the reconciliation: what stands left must be what stands right."""

    words: str
    left: int
    right: int
    parts: Mapping[str, int]
    slack: int = 0
    """By how much `right` may be larger: attempts of which nobody knew whether they counted."""

    @property
    def agrees(self) -> bool:
        """Whether it does."""
        return self.left <= self.right <= self.left + self.slack


@dataclass(frozen=True, slots=True)
class Results:
    """All that the report is made of."""

    first_run: bool
    tally: Tally
    before: Reading
    after: Reading
    subscriber: Subscriber
    leads: Sequence[Lead]
    attributes: Mapping[str, Mapping[str, Json]]
    """Of the hottest leads, by id."""
    posting_seconds: float
    settling_seconds: float
    """From the last post to the last webhook, with the pause that tells that nothing follows."""

    @property
    def hottest(self) -> Sequence[Lead]:
        """The head of the hot list."""
        return self.leads[:HOTTEST]

    @property
    def scored(self) -> Counter[str]:
        """What the scorer made of the events of this run, by outcome."""
        return self.after.by_label(_SCORED, "outcome", since=self.before)

    @property
    def agrees(self) -> bool:
        """Whether every sum does, and nothing came in that should not, and no webhook was bad or lost."""
        good_webhooks = self.subscriber.failed == self.subscriber.lost == 0
        return all(one.agrees for one in sums(self)) and self.tally.let_in == 0 and good_webhooks


def sums(results: Results) -> list[Sum]:
    """What must add up."""
    tally, scored, slack = results.tally, results.scored, results.tally.uncertain
    counted = {outcome: count for outcome, count in scored.items() if count}
    delivered = results.after.by_label(_DELIVERIES, "outcome", since=results.before)["delivered"]
    received = results.after.by_label(_INGESTED, "outcome", since=results.before)
    promised = {outcome: received[outcome] for outcome in ("accepted", "ignored")}
    moved = Counter({"crossings": results.after.by_label(_CROSSINGS, "outcome", since=results.before)["emitted"]})
    moved["moves"] = results.after.total(_MOVES, since=results.before)
    told = {kind: results.subscriber.verified[kind] for kind in _MOVED}
    taken = {"accepted": tally.accepted, "recorded without points": tally.ignored, "refused": tally.refused.total()}
    verified = results.subscriber.verified.total() + results.subscriber.repeated
    return [
        Sum("sent = accepted + refused", tally.sent, sum(taken.values()), taken),
        Sum("accepted, as leadflow counts", tally.published, sum(promised.values()), promised, slack),
        Sum("accepted = counted + duplicates", tally.published, scored.total(), counted, slack),
        Sum("crossings and moves = told by webhook", moved.total(), sum(told.values()), told),
        Sum("webhooks delivered = verified", delivered, verified, {}),
    ]


def show(console: Console, results: Results, *, base_url: str, data_dir: Path, installation: Installation) -> None:
    """Print all of it."""
    console.print(_hottest(results))
    console.print(_told(results))
    console.print(_funnel(results.leads))
    console.print(_refused(results.tally))
    console.print(_reconciliation(results))
    _say_what_it_means(console, results)
    _say_where_to_look(console, results, base_url=base_url, data_dir=data_dir, installation=installation)


def _hottest(results: Results) -> Table:
    table = _table("The ten hottest leads", "", "lead", "score", "grade", "stage", "because")
    for place, lead in enumerate(results.hottest, start=1):
        who = _who(lead, results.attributes[_text(lead, "id")])
        score = f"{_number(lead['value']):.1f}"
        because = "\n".join(_texts(lead["reasons"]))
        table.add_row(str(place), escape(who), score, _text(lead, "grade"), _stage(lead), escape(because))
    return table


def _who(lead: Lead, attributes: Mapping[str, Json]) -> str:
    name = _text(attributes, "name") or f"visitor {_text(lead, 'id')[:8]}"
    title, company = _text(attributes, "job_title"), _text(attributes, "company")
    return f"{name}\n{title}, {company}" if title and company else f"{name}\n{title or company}".rstrip()


def _stage(lead: Lead) -> str:
    stage = lead["stage"]
    return _text(stage, "stage") if isinstance(stage, dict) else "in no stage"


def _told(results: Results) -> Table:
    table = _table("What leadflow emitted", "message", "count", "")
    changes = results.after.by_label(_SCORE_CHANGES, "cause", since=results.before)
    causes = ", ".join(f"{count} by {cause}" for cause, count in changes.items() if count)
    table.add_row("lead.score_changed", str(changes.total()), f"on the log; {causes}" if causes else "on the log")
    for kind, count in sorted(results.subscriber.verified.items()):
        table.add_row(kind, str(count), "on the log and as signed webhooks, verified")
    return table


def _funnel(leads: Iterable[Lead]) -> Table:
    stages = Counter(_stage(lead) for lead in leads)
    table = _table("Where the leads stand", "stage", "leads", "")
    for stage in (*_STAGES, *sorted(stages.keys() - set(_STAGES))):
        if count := stages[stage]:
            table.add_row(stage, str(count), "#" * max(1, round(count / stages.total() * 60)))
    return table


def _refused(tally: Tally) -> Table:
    table = _table("What leadflow refused, and why", "reason", "elements")
    for reason, count in sorted(tally.refused.items()):
        table.add_row(reason, str(count))
    return table


def _reconciliation(results: Results) -> Table:
    table = _table("Does it add up?", "", "", "", "of which")
    for one in sums(results):
        parts = ", ".join(f"{count} {name}" for name, count in one.parts.items())
        table.add_row(_tick(one.agrees), one.words, f"{one.left} = {one.right}", parts)
    forged = "forged, stale or cut short, and let in"
    table.add_row(_tick(results.tally.let_in == 0), forged, str(results.tally.let_in), "")
    subscriber = results.subscriber
    bad = "webhooks not verified, or missing"
    table.add_row(
        _tick(subscriber.failed == subscriber.lost == 0), bad, f"{subscriber.failed}, {subscriber.lost}", ""
    )
    return table


def _say_what_it_means(console: Console, results: Results) -> None:
    tally, scored = results.tally, results.scored
    pace = tally.requests / results.posting_seconds
    console.print(
        f"{tally.requests} requests with {tally.sent} elements in {results.posting_seconds:.1f} s"
        f" ({pace:.0f} requests a second), scored, told and delivered {results.settling_seconds:.1f} s later;"
        f" {len(results.leads)} leads."
    )
    if not results.first_run:
        console.print(
            f"This was a further run: the same bytes came again, {scored['duplicate']} were known already"
            f" and {scored['scored']} counted."
        )
    if not results.agrees:
        console.print("[bold red]The sums do not agree.[/bold red]")


def _say_where_to_look(
    console: Console, results: Results, *, base_url: str, data_dir: Path, installation: Installation
) -> None:
    leadflow = ".venv/bin/leadflow"
    curl = 'curl -H "Authorization: Bearer $KEY"'
    lead = _text(results.hottest[0], "id") if results.hottest else "ID"
    console.print("\nWhere to look next", style="bold")
    for what, where in (
        ("The API", f"{base_url}/docs"),
        ("The demo's key", f"export KEY={installation.api_key}"),
        ("The hot list", f"{curl} '{base_url}/v1/leads?limit=10'"),
        ("The first one's ledger", f"{curl} {base_url}/v1/leads/{lead}"),
        ("The same in the terminal", f"LEADFLOW_DATA_DIR={quote(str(data_dir))} {leadflow} explain {lead}"),
        ("What it did", f"{curl} {base_url}/v1/leads/{lead}/timeline"),
        ("The model and the pipeline", "deploy/examples/model.yaml, deploy/examples/pipeline.yaml"),
        ("The same arithmetic offline", f"{leadflow} score deploy/examples/model.yaml EVENTS --at TIME"),
    ):
        console.print(Text(f"  {what}: "), Text(where), sep="", soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", header_style="dim", box=None)


def _tick(good: bool) -> str:
    return "[green]✓[/green]" if good else "[bold red]✗[/bold red]"


def _text(value: Mapping[str, Json], name: str) -> str:
    found = value.get(name)
    return "" if found is None else str(found)


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
