"""What is wrong with what was seen. Pure: no I/O, no clock."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches

from services.command.doctor.findings import Problem
from services.command.status.reading import Reading
from services.ingest.kinds.kind import Source
from services.ingest.kinds.registry import KINDS
from services.pipeline.domain.document import Pipeline
from services.pipeline.domain.triggers import thresholds_named
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions.managing import BY_OWNER
from services.pipeline.subscriptions.repository import Subscription
from services.scorer.domain.models.model import Model
from shared.access.repository import StoredKey
from shared.db.migrations import Revisions
from shared.db.outbox import Backlog
from shared.errors import InvalidInput
from shared.events.topics import TopicSpec
from shared.log.protocol import TopicState

_OLDEST_POSTGRES = 15
_SOON = timedelta(days=14)
_CLOCK_WARNING_SECONDS = 1.0
_CLOCK_FAILED_SECONDS = 30.0
_OUTBOX_WARNING_SECONDS = 10.0
_OUTBOX_FAILED_SECONDS = 60.0
_LAG_FAILED_SECONDS = 60.0
_FORMS = "%Y-%m-%d %H:%M"
# What other programs than the services read, or the test suite.
_FURTHER_VARIABLES = ("LEADFLOW_KEY", "LEADFLOW_URL", "LEADFLOW_POSTGRES_PASSWORD")
_FURTHER_PREFIX = "LEADFLOW_TEST_"


def unknown_variables(given: Iterable[str], known: Iterable[str]) -> Iterator[Problem]:
    """Variables that look like leadflow's and that nothing reads: mostly a slip of the pen."""
    names = sorted({*known, *_FURTHER_VARIABLES})
    for name in sorted(given):
        if name in names or name.startswith(_FURTHER_PREFIX):
            continue
        alike = get_close_matches(name, names, n=1)
        meant = f"; {alike[0]} is meant, perhaps" if alike else ""
        yield Problem("warning", f"nothing reads {name}{meant}", "unset it, or correct its name")


def open_doors(settings: PipelineSettings) -> Iterator[Problem]:
    """Settings for demos and tests, which let webhooks go where they must not in production."""
    for name, is_open in (
        ("LEADFLOW_PIPELINE_WEBHOOK_ALLOW_PRIVATE_ADDRESSES", settings.webhook_allow_private_addresses),
        ("LEADFLOW_PIPELINE_WEBHOOK_ALLOW_HTTP", settings.webhook_allow_http),
    ):
        if is_open:
            yield Problem("warning", f"{name} is set, which is for demos and tests", f"unset {name} in production")


def postgres(version_number: int) -> Iterator[Problem]:
    """`version_number` as PostgreSQL has it: 150004 is 15.4."""
    if version_number // 10_000 < _OLDEST_POSTGRES:
        yield Problem(
            "warning",
            f"leadflow is not tested with PostgreSQL before {_OLDEST_POSTGRES}",
            f"upgrade the server to {_OLDEST_POSTGRES} or newer",
        )


def migrations(found: Revisions) -> Iterator[Problem]:
    """The services start only when the database has all that their release needs; it may have more."""
    if found.unknown:
        yield Problem(
            "warning",
            f"the database is at migration {found.current}, which this release does not know: a newer one made it",
            "finish the upgrade: run the release that migrated it",
        )
    elif found.current is None:
        yield Problem("failed", "the database has no schemas of leadflow yet", "run `leadflow migrate`")
    elif found.missing:
        yield Problem(
            "failed",
            f"the database is at migration {found.current}, and {', '.join(found.missing)} are missing",
            "run `leadflow migrate`",
        )


def topics(
    found: Mapping[str, TopicState], wanted: Sequence[TopicSpec], *, replicas: int, on_kafka: bool
) -> Iterator[Problem]:
    """`replicas`: as many copies as LEADFLOW_KAFKA_REPLICATION_FACTOR asks for."""
    missing = [topic.name for topic in wanted if topic.name not in found]
    if missing:
        nothing_yet = len(missing) == len(wanted)
        yield Problem(
            "warning" if nothing_yet else "failed",
            "no topic exists yet" if nothing_yet else f"there is no topic {', '.join(missing)}",
            "start a service (`leadflow up`): it makes what is missing",
        )
    if on_kafka and replicas == 1:
        yield Problem(
            "warning",
            "topics are made with a single copy: what a lost broker had is lost",
            "set LEADFLOW_KAFKA_REPLICATION_FACTOR=3 where there are three brokers",
        )
    for topic in wanted:
        if topic.name in found:
            yield from _topic(found[topic.name], topic, replicas)


def _topic(found: TopicState, wanted: TopicSpec, replicas: int) -> Iterator[Problem]:
    if found.partitions < wanted.partitions:
        yield Problem(
            "failed",
            f"{wanted.name} has {found.partitions} partitions, leadflow needs {wanted.partitions}",
            f"kafka-topics --alter --topic {wanted.name} --partitions {wanted.partitions}",
        )
    if found.leaderless:
        yield Problem(
            "failed",
            f"{found.leaderless} partitions of {wanted.name} have no leader: nothing can be written or read there",
            "bring back the brokers that hold them",
        )
    if found.replicas < replicas:
        yield Problem(
            "failed",
            f"{wanted.name} has {found.replicas} copies where {replicas} are asked for",
            "add replicas with kafka-reassign-partitions",
        )
    elif found.in_sync < found.replicas:
        yield Problem(
            "warning",
            f"of {found.replicas} copies of {wanted.name} only {found.in_sync} are up to date",
            "look for a broker that is away or slow",
        )
    if found.replicas > 1 and found.min_in_sync == 1:
        yield Problem(
            "warning",
            f"{wanted.name} acknowledges records that a single copy has: a lost broker may take them with it",
            f"with three copies: kafka-configs --alter --topic {wanted.name} --add-config min.insync.replicas=2",
        )


def clock(offset_seconds: float, *, uncertainty_seconds: float, of: str) -> Iterator[Problem]:
    """`offset_seconds`: how far the clock of `of` is ahead of this machine's."""
    least = max(0.0, abs(offset_seconds) - uncertainty_seconds)
    if least <= _CLOCK_WARNING_SECONDS:
        return
    direction = "ahead of" if offset_seconds > 0 else "behind"
    yield Problem(
        "failed" if least > _CLOCK_FAILED_SECONDS else "warning",
        f"the clock of {of} is {abs(offset_seconds):.1f} s {direction} this machine's",
        "let both keep time by NTP: ages, leases and signatures depend on it",
    )


def keys(workspace: str, found: Sequence[StoredKey], now: datetime) -> Iterator[Problem]:
    """Whether somebody can call leadflow, also in two weeks."""
    good = [key for key in found if key.is_good(now)]
    if not good:
        yield Problem(
            "warning",
            f"no key of workspace {workspace} works: nobody can call its API",
            f"leadflow keys create --workspace {workspace} --scope events:write",
        )
    for key in good:
        if key.expires_at is not None and key.expires_at - now < _SOON:
            yield Problem(
                "warning",
                f"key {key.key_id} ({key.name}) of workspace {workspace} ends at {key.expires_at:{_FORMS}} UTC",
                "make a new one and hand it out: leadflow keys create",
            )


def source(one: Source, now: datetime) -> Iterator[Problem]:
    """Whether webhooks of this source can be verified, also in two weeks."""
    kind = KINDS.get(one.kind)
    if kind is None:
        yield Problem(
            "failed",
            f"source {one.id} is of the kind {one.kind}, which this release does not know: its webhooks are refused",
            "run the release that knows it",
        )
        return
    if kind.NEEDS_PUBLIC_URL and not one.public_url:
        yield Problem(
            "failed",
            f"source {one.id} has no public URL, which {one.kind} signs",
            f"leadflow sources change {one.id} --public-url https://...",
        )
    rotate = f"leadflow sources rotate {one.id}"
    live = one.live_secrets(now)
    if not live:
        yield Problem("failed", f"source {one.id} has no secret that is good: its webhooks are refused", rotate)
    for secret in live:
        try:
            kind.check_secret(secret)
        except InvalidInput as error:
            yield Problem("failed", f"a secret of source {one.id} cannot be one of {one.kind}: {error}", rotate)
    ends = [secret.expires_at for secret in one.secrets if secret.expires_at is None or secret.expires_at > now]
    lasting = [end for end in ends if end is not None]
    if live and len(lasting) == len(ends) and max(lasting) - now < _SOON:
        yield Problem("warning", f"the last secret of source {one.id} ends at {max(lasting):{_FORMS}} UTC", rotate)


def no_model(workspace: str) -> Problem:
    """That nothing gives points in a workspace."""
    return Problem(
        "warning",
        f"workspace {workspace} has no active model: its events are kept and give no points",
        f"leadflow models publish model.yaml --workspace {workspace}",
    )


def no_pipeline(workspace: str) -> Problem:
    """That the leads of a workspace are in no stage."""
    return Problem(
        "warning",
        f"workspace {workspace} has no active pipeline: its leads have scores and no stages",
        f"leadflow pipelines publish pipeline.yaml --workspace {workspace}",
    )


def unreadable(what: str, workspace: str, version: int, error: InvalidInput) -> Problem:
    """That a document which counts cannot be read by this release."""
    return Problem(
        "failed",
        f"this release cannot read version {version} of the {what} of {workspace}: {error}",
        f"publish a version that it can, after leadflow {what}s validate",
    )


def pipeline(workspace: str, one: Pipeline, model: Model | None) -> Iterator[Problem]:
    """Whether the model has everything that the pipeline waits for or resets."""
    if model is None:
        return
    waited_for: dict[str, str] = {}
    for stage in one.stages.order:
        for threshold in thresholds_named(stage.enter_when) if stage.enter_when else ():
            waited_for.setdefault(threshold, stage.id)
        for score in stage.resets:
            if score not in model.scores:
                yield Problem(
                    "failed",
                    f"stage {stage.id} of the pipeline of {workspace} resets the score {score}, "
                    f"which the model {model.name} does not have",
                    "publish a pipeline or a model that agree",
                )
    for threshold, stage_id in waited_for.items():
        if threshold not in model.thresholds:
            yield Problem(
                "failed",
                f"stage {stage_id} of the pipeline of {workspace} waits for the threshold {threshold}, "
                f"which the model {model.name} does not have: nobody gets there by it",
                "publish a pipeline or a model that agree",
            )


def subscription(one: Subscription) -> Iterator[Problem]:
    """Whether a receiver is told. One that its owner disabled is as it should be."""
    attempts = f"leadflow subscriptions attempts {one.id} --workspace {one.workspace}"
    if one.state == "disabled" and one.disabled_reason != BY_OWNER:
        since = f" since {one.disabled_at:{_FORMS}} UTC" if one.disabled_at else ""
        yield Problem(
            "warning",
            f"subscription {one.id} of workspace {one.workspace} is disabled{since}: {one.disabled_reason}",
            f"see why ({attempts}), then leadflow subscriptions enable {one.id} --workspace {one.workspace}",
        )
    elif one.state == "enabled" and one.failing is not None:
        yield Problem(
            "warning",
            f"subscription {one.id} of workspace {one.workspace} fails since {one.failing.since:{_FORMS}} UTC, "
            f"{one.failing.failures} times",
            f"see what its receiver answers: {attempts}",
        )


def outbox(schema: str, backlog: Backlog) -> Iterator[Problem]:
    """Whether messages reach the log in time."""
    if backlog.oldest_age_seconds > _OUTBOX_WARNING_SECONDS:
        yield Problem(
            "failed" if backlog.oldest_age_seconds > _OUTBOX_FAILED_SECONDS else "warning",
            f"{backlog.messages} messages wait in the outbox of {schema}, "
            f"the oldest for {backlog.oldest_age_seconds:.0f} s",
            f"see that a {schema} runs and that it reaches the log",
        )


def consumers(service: str, reading: Reading) -> Iterator[Problem]:
    """Whether a topic is read in time."""
    if not reading.members:
        yield Problem(
            "warning" if reading.seconds <= _LAG_FAILED_SECONDS else "failed",
            f"nobody reads {reading.topic} for {service}, and {reading.records} records wait",
            f"start `leadflow up`, or `leadflow {service}`",
        )
    elif reading.seconds > _LAG_FAILED_SECONDS:
        yield Problem(
            "failed",
            f"{service} is {reading.records} records behind on {reading.topic}, for {reading.seconds:.0f} s",
            f"see what it logs; if it only has too much to do, start another `leadflow {service}`",
        )
