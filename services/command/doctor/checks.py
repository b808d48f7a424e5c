"""The checks of `leadflow doctor`, in the order in which they are made: what each looks at, and what it needs.

A check that needs what an earlier one has not found is skipped. No check waits longer than its own time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from services.command.doctor import judging, judging_protection, protection
from services.command.doctor.findings import Finding, Problem, Seen, broken, finding_of
from services.command.runtime import database_as_it_is, impatient
from services.command.status.reading import GROUPS, SCHEMAS_THAT_TELL, reading_of
from services.ingest.settings import IngestSettings
from services.ingest.sources.repository import SourceRepository
from services.pipeline.documents import repository as document_repository
from services.pipeline.domain.document import Pipeline, parse_pipeline
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions import repository as subscription_repository
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Model
from services.scorer.models import repository as model_repository
from services.scorer.settings import ScorerSettings
from shared.access.repository import KeyRepository
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.migrations import revisions
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES, APP_ROLE, WORKER_ROLE
from shared.errors import InvalidInput, LeadflowError, Misconfigured
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS
from shared.log.connect import open_log
from shared.log.protocol import Log, ReceivedRecord
from shared.sealing.envelope import master_keys
from shared.settings import EnvironmentSettings, Settings, variables_given, variables_of

SETTINGS: tuple[type[EnvironmentSettings], ...] = (Settings, IngestSettings, ScorerSettings, PipelineSettings)
_SECONDS = 10.0
# Kafka can be looked at whether or not PostgreSQL answers; the embedded log is in PostgreSQL.
_PLACE_OF_THE_LOG = "schemas of the embedded log"
# Starting the embedded PostgreSQL for the look, after a crash perhaps.
_DATABASE_SECONDS = 60.0


@dataclass(slots=True)
class Ground:
    """What the checks stand on. It fills as they go; `stack` closes what they have opened."""

    clock: Clock
    stack: AsyncExitStack
    _settings: Settings | None = None
    _database: Database | None = None
    _log: Log | None = None
    given: set[str] = field(default_factory=set)
    models: dict[str, Model] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """For checks that need "settings"."""
        assert self._settings is not None
        return self._settings

    @property
    def database(self) -> Database:
        """For checks that need "database"."""
        assert self._database is not None
        return self._database

    @property
    def log(self) -> Log:
        """For checks that need "log"."""
        assert self._log is not None
        return self._log

    async def open_settings(self) -> None:
        """Raises Misconfigured."""
        self._settings = impatient(Settings())
        if self._settings.kafka_bootstrap_servers:
            self.given.add(_PLACE_OF_THE_LOG)

    async def open_database(self) -> None:
        """Raises Misconfigured or DatabaseUnavailable."""
        self._database = await self.stack.enter_async_context(database_as_it_is(self.settings))
        await self._database.check()

    async def open_log(self) -> None:
        """Raises Misconfigured or LogUnavailable."""
        log = open_log(self.settings, self._database)
        self.stack.push_async_callback(log.stop)
        await log.start()
        await log.check()
        self._log = log


@dataclass(frozen=True, slots=True)
class Check:
    """`remedy`: what to do when what it looks at does not answer at all. `gives`: what later checks can rest on."""

    name: str
    look: Callable[[Ground], Awaitable[Seen]]
    remedy: str
    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    timeout_seconds: float = _SECONDS


async def examine(ground: Ground) -> list[Finding]:
    """Every check, one after the other."""
    findings: list[Finding] = []
    for check in CHECKS:
        missing = sorted(check.needs - ground.given)
        if missing:
            findings.append(Finding(check.name, "skipped", f"needs the {' and the '.join(missing)}"))
            continue
        finding = await _made(check, ground)
        findings.append(finding)
        if finding.outcome != "failed":
            ground.given |= check.gives
    return findings


async def _made(check: Check, ground: Ground) -> Finding:
    try:
        async with asyncio.timeout(check.timeout_seconds):
            return finding_of(check.name, await check.look(ground))
    except TimeoutError:
        return broken(check.name, f"no answer within {check.timeout_seconds:.0f} s", check.remedy)
    except LeadflowError as error:
        return broken(check.name, str(error), check.remedy)
    except SQLAlchemyError as error:
        return broken(check.name, f"PostgreSQL refuses: {type(error).__name__}", check.remedy)


async def _configuration(ground: Ground) -> Seen:
    problems: list[Problem] = []
    for kind in SETTINGS:
        try:
            kind()
        except Misconfigured as error:
            problems.append(Problem("failed", str(error), "correct the variable; docs/reference/configuration.md"))
    problems += _master_keys()
    given, known = variables_given(), frozenset[str]().union(*map(variables_of, SETTINGS))
    problems += judging.unknown_variables(given, known)
    if not any(problem.severity == "failed" for problem in problems):
        problems += judging.open_doors(PipelineSettings())
        await ground.open_settings()
    return Seen(f"{_number(len(given & known), 'variable')} set, all else at its default", tuple(problems))


def _master_keys() -> list[Problem]:
    """Settings takes them as a text; that each is a key is seen only where they are read."""
    try:
        keys = Settings().sealing_keys
        master_keys(keys.get_secret_value() if keys else "")
    except Misconfigured as error:
        if "LEADFLOW_SEALING_KEYS" in str(error):
            return [Problem("failed", str(error), "openssl rand -base64 32 makes a master key (docs/erasure.md)")]
    return []


async def _database(ground: Ground) -> Seen:
    await ground.open_database()
    async with ground.database.as_login() as connection:
        number = int(await connection.scalar(text("SELECT current_setting('server_version_num')")) or 0)
    version = f"PostgreSQL {number // 10_000}.{number % 10_000}"
    return Seen(f"{version} {_whereabouts(ground.settings)} answers", tuple(judging.postgres(number)))


async def _migrations(ground: Ground) -> Seen:
    found = await revisions(ground.database)
    return Seen(f"at {found.current or 'none'}, this release needs {found.newest}", tuple(judging.migrations(found)))


async def _roles(ground: Ground) -> Seen:
    async with ground.database.as_login() as connection:
        found = await protection.rights(connection)
        here = await protection.place(connection)
    is_embedded = ground.settings.database_url is None
    problems = [*judging_protection.rights(found, is_embedded=is_embedded), *await _owner(ground, here)]
    return Seen(f"services work as {APP_ROLE} and {WORKER_ROLE}, by the login {found.login}", tuple(problems))


async def _owner(ground: Ground, here: tuple[object, ...]) -> list[Problem]:
    url = ground.settings.migration_database_url
    if url is None:
        return []
    owner = Database(url.get_secret_value(), pool_size=1, timeout_seconds=ground.settings.database_timeout_seconds)
    try:
        async with owner.as_login() as connection:
            is_elsewhere = await protection.place(connection) != here
            not_owned = await protection.not_owned(connection)
    finally:
        await owner.close()
    return list(judging_protection.owner(not_owned=not_owned, is_elsewhere=is_elsewhere))


async def _sealing(ground: Ground) -> Seen:
    async with ground.database.transaction(ALL_WORKSPACES) as connection:
        found = await protection.sealed(connection, ground.database.sealing)
    problems = judging_protection.sealing(found, is_embedded=ground.settings.database_url is None)
    opened = f"{found.looked_at - len(found.damaged)} of {found.looked_at} looked at open"
    keys = f"{_number(found.number, 'data key')} under {_number(len(found.masters), 'master key')}"
    return Seen(f"{keys}{f', {opened}' if found.number else ''}", tuple(problems))


async def _log(ground: Ground) -> Seen:
    await ground.open_log()
    servers = ground.settings.kafka_bootstrap_servers
    return Seen(f"Kafka at {servers} answers" if servers else "the embedded log, in PostgreSQL, answers")


async def _topics(ground: Ground) -> Seen:
    found = await ground.log.topics()
    on_kafka = ground.settings.kafka_bootstrap_servers is not None
    replicas = ground.settings.kafka_replication_factor if on_kafka else 1
    problems = judging.topics(found, ALL_TOPICS, replicas=replicas, on_kafka=on_kafka)
    there = sum(topic.name in found for topic in ALL_TOPICS)
    return Seen(f"{there} of {len(ALL_TOPICS)} topics exist", tuple(problems))


async def _clocks(ground: Ground) -> Seen:
    async with ground.database.as_login() as connection:
        before = ground.clock.now()
        theirs = await connection.scalar(text("SELECT clock_timestamp()"))
        after = ground.clock.now()
    uncertainty = (after - before).total_seconds() / 2
    assert theirs is not None
    offset = (theirs - before).total_seconds() - uncertainty
    problems = judging.clock(offset, uncertainty_seconds=uncertainty, of="PostgreSQL")
    return Seen(f"PostgreSQL's is {offset * 1000:+.0f} ms off this machine's", tuple(problems))


async def _stamps(ground: Ground) -> Seen:
    """Records are stamped by the brokers, or on the embedded log by whoever publishes."""
    newest: ReceivedRecord | None = None
    if ENGAGEMENT_EVENTS.name in await ground.log.topics():
        extents = await ground.log.extent(ENGAGEMENT_EVENTS.name)
        place, extent = max(extents.items(), key=lambda item: item[1].end)
        records = await ground.log.browse(place, offset=max(extent.first, extent.end - 1), max_records=1)
        newest = records[0] if records else None
    if newest is None:
        return Seen("no event is on the log")
    ahead = (newest.published_at - ground.clock.now()).total_seconds()
    problems = judging.clock(max(0.0, ahead), uncertainty_seconds=0.0, of="whoever stamps records")
    return Seen(f"an event was stamped {newest.published_at:%Y-%m-%d %H:%M:%S} UTC", tuple(problems))


async def _keys(ground: Ground) -> Seen:
    keys, now = KeyRepository(ground.database), ground.clock.now()
    problems: list[Problem] = []
    good = 0
    workspaces = await keys.workspaces()
    for workspace in workspaces:
        found = await keys.of_workspace(workspace)
        good += sum(key.is_good(now) for key in found)
        problems += judging.keys(workspace, found, now)
    return Seen(f"{_number(good, 'key')} in {_number(len(workspaces), 'workspace')}", tuple(problems))


async def _sources(ground: Ground) -> Seen:
    found, now = await SourceRepository(ground.database).all(), ground.clock.now()
    problems = [problem for one in found.values() for problem in judging.source(one, now)]
    return Seen(_number(len(found), "source"), tuple(problems))


async def _models(ground: Ground) -> Seen:
    problems: list[Problem] = []
    workspaces = await KeyRepository(ground.database).workspaces()
    async with ground.database.transaction(ALL_WORKSPACES) as connection:
        active = await model_repository.active_versions(connection, workspaces)
        for workspace in workspaces:
            published = None
            if workspace in active:
                published = await model_repository.model_of(connection, workspace, active[workspace])
            if published is None:
                problems.append(judging.no_model(workspace))
                continue
            try:
                ground.models[workspace] = parse_model(published.document)
            except InvalidInput as error:
                problems.append(judging.unreadable("model", workspace, published.version, error))
    return Seen(f"{_number(len(active), 'active model')}{_listed(active)}", tuple(problems))


async def _pipelines(ground: Ground) -> Seen:
    problems: list[Problem] = []
    workspaces = await KeyRepository(ground.database).workspaces()
    async with ground.database.transaction(ALL_WORKSPACES) as connection:
        active = await document_repository.active(connection, workspaces)
        for workspace in workspaces:
            published = None
            if workspace in active:
                published = await document_repository.find(connection, workspace, active[workspace])
            if published is None:
                problems.append(judging.no_pipeline(workspace))
                continue
            try:
                pipeline: Pipeline = parse_pipeline(published.document)
            except InvalidInput as error:
                problems.append(judging.unreadable("pipeline", workspace, published.version, error))
                continue
            problems += judging.pipeline(workspace, pipeline, ground.models.get(workspace))
    return Seen(f"{_number(len(active), 'active pipeline')}{_listed(active)}", tuple(problems))


async def _subscriptions(ground: Ground) -> Seen:
    problems: list[Problem] = []
    total = 0
    for workspace in await KeyRepository(ground.database).workspaces():
        async with ground.database.transaction(workspace) as connection:
            found = await subscription_repository.all_of(connection, workspace)
        total += len(found)
        problems += [problem for one in found for problem in judging.subscription(one)]
    return Seen(_number(total, "subscription"), tuple(problems))


async def _outboxes(ground: Ground) -> Seen:
    problems: list[Problem] = []
    waiting = 0
    for schema in SCHEMAS_THAT_TELL:
        async with ground.database.transaction(ALL_WORKSPACES) as connection:
            backlog = await Outbox(schema).backlog(connection)
        waiting += backlog.messages
        problems += judging.outbox(schema, backlog)
    return Seen(f"{_number(waiting, 'message')} on their way to the log", tuple(problems))


async def _consumers(ground: Ground) -> Seen:
    problems: list[Problem] = []
    members: list[str] = []
    existing = await ground.log.topics()
    for service, topic in GROUPS.items():
        if topic.name not in existing:
            continue
        reading = await reading_of(ground.log, service, topic)
        members.append(f"{service} {reading.members}")
        problems += judging.consumers(service, reading)
    return Seen(f"processes that read: {', '.join(members) or 'none, there is nothing to read'}", tuple(problems))


CHECKS: Sequence[Check] = (
    Check(
        "configuration",
        _configuration,
        "correct the variable; docs/reference/configuration.md lists them",
        gives=frozenset({"configuration"}),
    ),
    Check(
        "database",
        _database,
        "start PostgreSQL, or correct LEADFLOW_DATABASE_URL (unset: the embedded one of LEADFLOW_DATA_DIR)",
        needs=frozenset({"configuration"}),
        gives=frozenset({"database"}),
        timeout_seconds=_DATABASE_SECONDS,
    ),
    Check(
        "migrations",
        _migrations,
        "run `leadflow migrate`",
        needs=frozenset({"database"}),
        gives=frozenset({"migrations", _PLACE_OF_THE_LOG}),
    ),
    Check(
        "roles",
        _roles,
        "see that PostgreSQL answers, and to LEADFLOW_MIGRATION_DATABASE_URL if that is set",
        needs=frozenset({"migrations"}),
    ),
    Check("sealing", _sealing, "see that the roles are as they must be", needs=frozenset({"migrations"})),
    Check(
        "log",
        _log,
        "start Kafka, or correct LEADFLOW_KAFKA_BOOTSTRAP_SERVERS (unset: the embedded log, in PostgreSQL)",
        needs=frozenset({"configuration", _PLACE_OF_THE_LOG}),
        gives=frozenset({"log"}),
    ),
    Check(
        "topics",
        _topics,
        "see that the log answers",
        needs=frozenset({"log"}),
        gives=frozenset({"topics"}),
    ),
    Check("clock", _clocks, "see that PostgreSQL answers", needs=frozenset({"database"})),
    Check("stamps", _stamps, "see that the log answers", needs=frozenset({"topics"})),
    Check("keys", _keys, "see that PostgreSQL answers", needs=frozenset({"migrations"})),
    Check("sources", _sources, "see that PostgreSQL answers", needs=frozenset({"migrations"})),
    Check("models", _models, "see that PostgreSQL answers", needs=frozenset({"migrations"})),
    Check("pipelines", _pipelines, "see that PostgreSQL answers", needs=frozenset({"migrations"})),
    Check("subscriptions", _subscriptions, "see that PostgreSQL answers", needs=frozenset({"migrations"})),
    Check("outboxes", _outboxes, "see that PostgreSQL answers", needs=frozenset({"migrations"})),
    Check("consumers", _consumers, "see that the log answers", needs=frozenset({"topics"})),
)


def _whereabouts(settings: Settings) -> str:
    if settings.database_url is None:
        return f"(the embedded one in {settings.data_dir})"
    url = make_url(settings.database_url.get_secret_value())
    return f"at {url.host or url.query.get('host', 'its socket')}, database {url.database},"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _listed(versions: Mapping[str, int]) -> str:
    named = [f"{workspace} version {version}" for workspace, version in sorted(versions.items())[:5]]
    return f": {', '.join(named)}" if named else ""
