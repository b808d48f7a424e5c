"""What the doctor calls wrong, how badly, and that it always says what to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from services.command.doctor import judging
from services.command.doctor.findings import Finding, Problem, Seen, finding_of, has_failed
from services.command.doctor.view import json_of, text_of
from services.command.status.reading import Reading
from services.ingest.kinds.kind import Secret, Source
from services.pipeline.delivery.endpoint import Failing
from services.pipeline.domain.document import Pipeline, parse_pipeline
from services.pipeline.subscriptions.managing import BY_OWNER
from services.pipeline.subscriptions.repository import Subscription
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Model
from shared.access.principal import Scope
from shared.access.repository import StoredKey
from shared.db.migrations import Revisions
from shared.db.outbox import Backlog
from shared.documents.yaml_text import read_yaml
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS, LEAD_SCORES
from shared.log.protocol import TopicState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON, LATER = NOW + timedelta(days=3), NOW + timedelta(days=300)
EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"


def severities(problems: object) -> list[str]:
    assert hasattr(problems, "__iter__")
    found = list(problems)
    assert all(isinstance(problem, Problem) and problem.what and problem.remedy for problem in found)
    return [problem.severity for problem in found]


def a_topic(
    partitions: int = 8, replicas: int = 3, in_sync: int = 3, leaderless: int = 0, min_in_sync: int | None = 2
) -> TopicState:
    return TopicState(partitions, replicas, in_sync, leaderless, min_in_sync)


def a_key(expires_at: datetime | None = None, revoked_at: datetime | None = None) -> StoredKey:
    return StoredKey("0123456789abcdef", "acme", "k", frozenset({Scope.ADMIN}), b"", NOW, expires_at, revoked_at)


def a_source(*ends: datetime | None, kind: str = "typeform", public_url: str | None = None) -> Source:
    secrets = tuple(Secret(str(number), "s" * 40, NOW, end) for number, end in enumerate(ends))
    return Source("forms", "acme", kind, secrets, public_url)


def a_subscription(state: str = "enabled", reason: str | None = None, failing: Failing | None = None) -> Subscription:
    return Subscription(
        id=UUID(int=1),
        workspace="acme",
        description="",
        url="https://crm.example",
        event_types=(),
        filter={},
        secrets=(),
        state="disabled" if state == "disabled" else "enabled",
        disabled_reason=reason,
        created_at=NOW,
        disabled_at=NOW if reason else None,
        failing=failing,
    )


def example_model() -> Model:
    return parse_model(read_yaml((EXAMPLES / "model.yaml").read_text()))


def example_pipeline() -> Pipeline:
    return parse_pipeline(read_yaml((EXAMPLES / "pipeline.yaml").read_text()))


def test_a_misspelt_variable_is_named_with_what_was_meant() -> None:
    (problem,) = judging.unknown_variables(
        {"LEADFLOW_PROT", "LEADFLOW_KEY", "LEADFLOW_TEST_KAFKA"}, {"LEADFLOW_PORT"}
    )

    assert problem == Problem(
        "warning", "nothing reads LEADFLOW_PROT; LEADFLOW_PORT is meant, perhaps", "unset it, or correct its name"
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Revisions("0002", "0002", (), unknown=False), []),
        (Revisions("0001", "0002", ("0002",), unknown=False), ["failed"]),
        (Revisions(None, "0002", ("0001", "0002"), unknown=False), ["failed"]),
        (Revisions("0003", "0002", (), unknown=True), ["warning"]),
    ],
)
def test_only_the_migration_of_this_release_is_right(found: Revisions, expected: list[str]) -> None:
    assert severities(judging.migrations(found)) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (a_topic(), []),
        (a_topic(partitions=12), []),
        (a_topic(partitions=4), ["failed"]),
        (a_topic(replicas=1, in_sync=1), ["failed"]),
        (a_topic(in_sync=2), ["warning"]),
        (a_topic(in_sync=0, leaderless=2), ["failed", "warning"]),
        (a_topic(min_in_sync=1), ["warning"]),
        (a_topic(min_in_sync=None), []),
    ],
)
def test_a_topic_has_the_partitions_and_copies_that_were_declared(state: TopicState, expected: list[str]) -> None:
    found = {ENGAGEMENT_EVENTS.name: state}

    assert severities(judging.topics(found, [ENGAGEMENT_EVENTS], replicas=3, on_kafka=True)) == expected


def test_a_missing_topic_is_a_failure_unless_no_service_ever_ran() -> None:
    one = {ENGAGEMENT_EVENTS.name: a_topic(replicas=1, in_sync=1)}
    both = [ENGAGEMENT_EVENTS, LEAD_SCORES]

    assert severities(judging.topics(one, both, replicas=1, on_kafka=False)) == ["failed"]
    assert severities(judging.topics({}, ALL_TOPICS, replicas=1, on_kafka=False)) == ["warning"]
    assert severities(judging.topics(one, [ENGAGEMENT_EVENTS], replicas=1, on_kafka=True)) == ["warning"]


@pytest.mark.parametrize(
    ("offset", "uncertainty", "expected"),
    [(0.9, 0.0, []), (-1.5, 0.0, ["warning"]), (1.5, 1.0, []), (40.0, 1.0, ["failed"]), (-40.0, 1.0, ["failed"])],
)
def test_clocks_may_differ_by_a_second(offset: float, uncertainty: float, expected: list[str]) -> None:
    assert severities(judging.clock(offset, uncertainty_seconds=uncertainty, of="PostgreSQL")) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([a_key()], []),
        ([a_key(LATER)], []),
        ([a_key(SOON)], ["warning"]),
        ([], ["warning"]),
        ([a_key(NOW)], ["warning"]),
        ([a_key(revoked_at=NOW)], ["warning"]),
    ],
)
def test_a_workspace_needs_a_key_that_works_for_some_time(keys: list[StoredKey], expected: list[str]) -> None:
    assert severities(judging.keys("acme", keys, NOW)) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (a_source(None), []),
        (a_source(SOON, None), []),
        (a_source(SOON), ["warning"]),
        (a_source(NOW), ["failed"]),
        (a_source(), ["failed"]),
        (a_source(None, kind="fax"), ["failed"]),
        (a_source(None, kind="mandrill"), ["failed"]),
        (a_source(None, kind="mandrill", public_url="https://x.example"), []),
    ],
)
def test_a_source_has_a_known_kind_and_a_secret_that_lasts(source: Source, expected: list[str]) -> None:
    assert severities(judging.source(source, NOW)) == expected


def test_the_shipped_pipeline_and_model_agree() -> None:
    assert severities(judging.pipeline("acme", example_pipeline(), example_model())) == []
    assert severities(judging.pipeline("acme", example_pipeline(), None)) == []


def test_thresholds_and_scores_that_the_model_does_not_have_are_named() -> None:
    model = replace(example_model(), thresholds={})
    pipeline = example_pipeline()
    first, *rest = pipeline.stages.order
    resetting = replace(pipeline.stages, order=(replace(first, resets=("charm",)), *rest))

    problems = list(judging.pipeline("acme", replace(pipeline, stages=resetting), model))

    said = " ".join(problem.what for problem in problems)
    assert {problem.severity for problem in problems} == {"failed"}
    assert all(f"the threshold {name}" in said for name in ("warm", "mql"))
    assert "resets the score charm" in said


@pytest.mark.parametrize(
    ("subscription", "expected"),
    [
        (a_subscription(), []),
        (a_subscription("disabled", BY_OWNER), []),
        (a_subscription("disabled", "it failed for five days"), ["warning"]),
        (a_subscription(failing=Failing(NOW, 12, 1, None)), ["warning"]),
    ],
)
def test_a_receiver_that_is_told_nothing_is_named(subscription: Subscription, expected: list[str]) -> None:
    assert severities(judging.subscription(subscription)) == expected


@pytest.mark.parametrize(("age", "expected"), [(0.0, []), (9.0, []), (11.0, ["warning"]), (61.0, ["failed"])])
def test_an_outbox_empties_within_seconds(age: float, expected: list[str]) -> None:
    assert severities(judging.outbox("scorer", Backlog(3, age))) == expected


@pytest.mark.parametrize(
    ("members", "seconds", "expected"),
    [(1, 0.0, []), (1, 59.0, []), (1, 61.0, ["failed"]), (0, 0.0, ["warning"]), (0, 61.0, ["failed"])],
)
def test_somebody_reads_and_keeps_up(members: int, seconds: float, expected: list[str]) -> None:
    reading = Reading("engagement-events", members, 5, seconds)

    assert severities(judging.consumers("scorer", reading)) == expected


def test_the_worst_problem_is_the_outcome_and_only_failures_fail() -> None:
    warning, failed = Problem("warning", "w", "r"), Problem("failed", "f", "r")

    outcomes = [finding_of("c", Seen("s", problems)).outcome for problems in ((), (warning,), (warning, failed))]

    assert outcomes == ["ok", "warning", "failed"]
    assert not has_failed([finding_of("c", Seen("s", (warning,)))])
    assert has_failed([finding_of("c", Seen("s", (failed,)))])


def test_findings_are_told_in_words_and_to_programs() -> None:
    findings = [
        Finding("log", "failed", "Kafka is away", (Problem("failed", "Kafka is away", "start it"),)),
        Finding("keys", "warning", "1 key", (Problem("warning", "it ends", "make another"),)),
        Finding("topics", "skipped", "needs the log"),
    ]

    assert text_of(findings).plain.splitlines() == [
        "failed  log           Kafka is away",
        "                      -> start it",
        "warning keys          1 key",
        "                      it ends",
        "                      -> make another",
        "skipped topics        needs the log",
        "1 warning, 1 failed, 1 skipped",
    ]
    told = json_of(findings)
    assert isinstance(told, dict)
    assert told["outcome"] == "failed"
