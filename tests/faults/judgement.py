"""What must be true once all is quiet again, whatever was broken. Every function tells what is not, in words."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from tests.faults.counters import Books, books_of
from tests.faults.ledger import Ledger, Outcome
from tests.faults.reading import SCORES, STAGES, THRESHOLDS, Said, Story, read
from tests.faults.story import MODEL, PIPELINE
from tests.faults.world import World
from tests.support.oracle import scores_from_scratch
from tests.support.waiting import wait_until

_SHOWN = 3
# So near to a threshold nobody says on which side a sum of fractions is.
_HAIR = 0.01
_BOOKS_SECONDS = 30.0
_DELIVERED = frozenset({
    "lead.score_changed",
    "lead.merged",
    "lead.threshold_entered",
    "lead.threshold_left",
    "lead.stage_changed",
})  # fmt: skip


async def judge(world: World, *, poison: int = 0) -> Story:
    """Add every broken promise to the violations of `world`; `poison` records were put on the log by the scenario."""
    async with world.standing_still():
        story = await read(world)
    world.violations += [
        *counted_once(world.ledger, story),
        *_of_each_topic(story),
        *scores_are_exact(world.ledger, story),
        *told_to_the_end(world.ledger, story, world.told_until),
        *crossings_follow_scores(story),
        *stages_follow_crossings(story),
        *delivered_to_subscribers(story),
        *dead_letters(story, poison),
        *await _stored_scores_are_exact(world, story),
        *await books_balance(world, story, poison),
        *counters_add_up(world),
    ]
    return story


def counted_once(ledger: Ledger, story: Story) -> Iterator[str]:
    """Acknowledged within counted, counted within acknowledged and unknown, each recorded once."""
    ok = ledger.ids(Outcome.OK)
    recorded = Counter(event["id"] for _, event in _recorded(story))
    yield from _some("acknowledged and not counted", ok - story.stored)
    yield from _some("counted though refused", story.stored - ledger.ids(Outcome.OK, Outcome.UNKNOWN))
    yield from _some("stored and not told", story.stored - recorded.keys())
    yield from _some("told and not stored", recorded.keys() - story.stored)
    yield from _some("told twice", {id_ for id_, times in recorded.items() if times > 1})


def _of_each_topic(story: Story) -> Iterator[str]:
    for topic, said in story.topics.items():
        yield from _some(f"{topic}: other bytes under the same id", said.changed)
        for lead, messages in said.by_lead().items():
            sequence = [message["data"]["sequence"] for message in messages]
            if sequence != list(range(1, len(sequence) + 1)):
                yield f"{topic}: the sequence of lead {lead} is {sequence[:12]}..."


def scores_are_exact(ledger: Ledger, story: Story) -> Iterator[str]:
    """Every published number is that of the events told of up to it, at its own moment."""
    for messages in story.topics[SCORES].by_lead().values():
        history: list[Mapping[str, Any]] = []
        for message in sorted(messages, key=lambda message: int(message["data"]["sequence"])):
            data = message["data"]
            if message["type"] == "lead.events_recorded":
                history += [_as_sent(ledger, event) for event in data["events"]]
            elif message["type"] == "lead.score_changed":
                at = datetime.fromisoformat(data["at"])
                yield from _differences(data["current"]["scores"], history, at, f"lead {message['subject']}")


def told_to_the_end(ledger: Ledger, story: Story, until: datetime) -> Iterator[str]:
    """What each lead was told to be last is what it is `until` then: no event, and nothing that time did, is missing.

    `count` moves with every event. A score that is between two thresholds, or on one, says nothing of where it is.
    """
    changes = _changes(story)
    told = {
        (message["subject"], message["data"]["threshold"]): message["type"]
        for messages in story.topics[THRESHOLDS].by_lead().values()
        for message in messages
    }
    for lead, history in _histories(ledger, story).items():
        if not changes[lead]:
            yield f"lead {lead} was never told a score"
            continue
        # A lead's time does not go back, whatever the clock of the scorer says.
        last, at = changes[lead][-1], max(until, datetime.fromisoformat(changes[lead][-1]["at"]))
        scores = scores_from_scratch(MODEL, history, at)
        if last["current"]["scores"]["count"] != scores["count"]:
            yield f"lead {lead} was last told to count {last['current']['scores']['count']}, not {scores['count']}"
        for name, threshold in MODEL["thresholds"].items():
            score, position = scores[threshold["score"]], told.get((lead, name))
            lowest, highest = threshold.get("exit", threshold["enter"]) - _HAIR, threshold["enter"] + _HAIR
            if score < lowest if position == "lead.threshold_entered" else score > highest:
                yield f"lead {lead}, threshold {name}: last told {position}, is {score:.2f} at {at}"


def stages_follow_crossings(story: Story) -> Iterator[str]:
    """Each lead is in the highest stage of those whose threshold it ever entered."""
    entered = {
        (message["subject"], message["data"]["threshold"])
        for message in story.topics[THRESHOLDS].messages.values()
        if message["type"] == "lead.threshold_entered"
    }
    reached = {lead: messages[-1]["data"]["to_stage"] for lead, messages in story.topics[STAGES].by_lead().items()}
    for lead in story.topics[SCORES].by_lead():
        *_, due = (
            stage["id"]
            for stage in PIPELINE["stages"]
            if "enter_when" not in stage or (lead, stage["enter_when"]["threshold"]) in entered
        )
        if reached.get(lead) != due:
            yield f"lead {lead} was last told to be in {reached.get(lead)}, it is in {due}"


def crossings_follow_scores(story: Story) -> Iterator[str]:
    """The thresholds entered and left are those that the published scores cross, each once and in order."""
    told: dict[tuple[str, str], list[str]] = defaultdict(list)
    for lead, messages in story.topics[THRESHOLDS].by_lead().items():
        for message in messages:
            told[lead, message["data"]["threshold"]].append(message["type"].removeprefix("lead.threshold_"))
    for lead, changes in _changes(story).items():
        for name, threshold in MODEL["thresholds"].items():
            due = list(_crossings(threshold, [data["current"]["scores"][threshold["score"]] for data in changes]))
            if due != told[lead, name]:
                yield f"lead {lead}, threshold {name}: {told[lead, name]} was told, {due} was due"


def _crossings(threshold: Mapping[str, Any], scores: Sequence[float]) -> Iterator[str]:
    inside = False
    for score in scores:
        if not inside and score >= threshold["enter"]:
            inside = True
            yield "entered"
        elif inside and score < threshold.get("exit", threshold["enter"]):
            inside = False
            yield "left"


def delivered_to_subscribers(story: Story) -> Iterator[str]:
    """The subscriber has every message at least once, with the bytes that the log has, each lead's in order."""
    yield from _some("webhooks: other bytes under the same id", story.delivered.changed)
    on_log: dict[str, bytes] = {}
    for said in story.topics.values():
        on_log |= {id_: body for id_, body in said.bodies.items() if said.messages[id_]["type"] in _DELIVERED}
    yield from _some("on the log and not at the subscriber", on_log.keys() - story.delivered.bodies.keys())
    yield from _some("at the subscriber and not on the log", story.delivered.bodies.keys() - on_log.keys())
    same = on_log.keys() & story.delivered.bodies.keys()
    yield from _some(
        "other bytes at the subscriber", {id_ for id_ in same if on_log[id_] != story.delivered.bodies[id_]}
    )
    for topic in (SCORES, THRESHOLDS, STAGES):
        yield from _in_order(topic, story.delivered, story.topics[topic])


def _in_order(topic: str, delivered: Said, said: Said) -> Iterator[str]:
    for lead, messages in delivered.by_lead().items():
        sequence = [message["data"]["sequence"] for message in messages if message["id"] in said.messages]
        if sequence != sorted(sequence):
            yield f"webhooks of {topic}: lead {lead} came in the order {sequence[:12]}..."


def dead_letters(story: Story, poison: int) -> Iterator[str]:
    """What nobody can read is kept aside, at least once, and nothing else is."""
    if story.dead != poison:
        yield f"{story.dead} records have dead letters, {poison} are poison"


async def _stored_scores_are_exact(world: World, story: Story) -> Sequence[str]:
    """What the API answers about a lead now is what its whole history says."""
    found: list[str] = []
    async with world.client(world.supervisor.of("scorer")[0]) as client:
        for lead, history in _histories(world.ledger, story).items():
            answer = await client.get(f"/v1/scores/{lead}")
            if answer.status_code != 200:
                found.append(f"GET /v1/scores/{lead} answered {answer.status_code}")
                continue
            told = answer.json()
            at = datetime.fromisoformat(told["at"])
            found += _differences(told["scores"], history, at, f"the API about lead {lead}")
    return found


async def books_balance(world: World, story: Story, poison: int) -> Sequence[str]:
    """From the metrics alone, whoever died: what was accepted was scored, was there already, or is dead."""
    last: list[Books] = []

    async def have_come_to_rest() -> bool:
        found = await books_of(world.supervisor.of("scorer")[0])
        last[:] = [found] if found else []
        return found is not None and found.accepted == story.published and found.balance

    with suppress(AssertionError):
        await wait_until(have_come_to_rest, "the books", timeout_seconds=_BOOKS_SECONDS, every_seconds=0.2)
    if not last:
        return ["metrics: no scorer shows the books"]
    (books,) = last
    right = books.accepted == story.published and books.balance
    told = (books.scored, books.dead_lettered) == (len(story.stored), poison)
    return [] if right and told else [f"metrics: {books}, but {story.published} accepted, {len(story.stored)} stored"]


def counters_add_up(world: World) -> Iterator[str]:
    """From the counters of processes that all still live: what ingest accepted was scored, or was there already."""
    if any(process.exits for process in world.supervisor.processes) or world.supervisor.retired:
        return
    count = world.counters.total
    accepted = count("leadflow_ingest_events_total", outcome="accepted")
    scored, duplicate, conflict = (
        count("leadflow_scoring_events_total", outcome=outcome) for outcome in ("scored", "duplicate", "conflict")
    )
    left_over = accepted - (scored + duplicate + conflict)
    doubtful = world.ledger.attempts(Outcome.UNKNOWN)
    # What was given back after its transaction comes again as a duplicate; what nobody heard of was not accepted.
    repeated = sum(process.said("commit rejected") + process.said("waits") for process in world.supervisor.processes)
    if left_over > 0 or (left_over < 0 and not doubtful and not repeated):
        yield f"metrics: {accepted} accepted, {scored} scored, {duplicate} duplicate, {conflict} in conflict"


def _recorded(story: Story) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Every event that was told of, with its lead, once per message that tells of it."""
    for message in story.topics[SCORES].messages.values():
        if message["type"] == "lead.events_recorded":
            for event in message["data"]["events"]:
                yield message["subject"], event


def _changes(story: Story) -> defaultdict[str, list[Mapping[str, Any]]]:
    """How the scores of each lead were told to change, in that order."""
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for message in sorted(story.topics[SCORES].messages.values(), key=lambda each: int(each["data"]["sequence"])):
        if message["type"] == "lead.score_changed":
            found[message["subject"]].append(message["data"])
    return found


def _histories(ledger: Ledger, story: Story) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """All that was told of each lead, as its senders know it."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for lead, event in _recorded(story):
        found[lead].append(_as_sent(ledger, event))
    return found


def _as_sent(ledger: Ledger, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The event as its sender knows it, with the moment of receipt that only leadflow knows."""
    entry = ledger.entries.get(told["id"])
    sent = entry.event if entry is not None else told
    return {"attributes": {}, **sent, "received_at": told["received_at"]}


def _differences(
    scores: Mapping[str, float], history: Sequence[Mapping[str, Any]], at: datetime, whose: str
) -> Iterator[str]:
    wanted = {name: round(worth, 2) for name, worth in scores_from_scratch(MODEL, history, at).items()}
    if wanted != dict(scores):
        wrong = {name: (scores.get(name), wanted[name]) for name in wanted if scores.get(name) != wanted[name]}
        yield f"{whose} at {at}: (is, should be) {wrong}"


def _some(what: str, ids: Iterable[str]) -> Iterator[str]:
    found = sorted(ids)
    if found:
        yield f"{len(found)} {what}: {', '.join(found[:_SHOWN])}{' ...' if len(found) > _SHOWN else ''}"
