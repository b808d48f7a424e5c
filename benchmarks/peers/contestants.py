"""Who takes part, and how each is started: engines by their adapters, leadflow by its own command."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from benchmarks.peers import environment
from benchmarks.peers.judging import Promise

Class: TypeAlias = Literal["A", "B"]


@dataclass(frozen=True, slots=True)
class Contestant:
    """An engine in one configuration. `module` is its adapter, `more` what that is told beside the rest.

    `changelogs` are topics made before it starts, named after its group.
    """

    engine: str
    configuration: str
    module: str
    safety: Promise
    batch: int = 500
    more: Mapping[str, object] = field(default_factory=dict)
    changelogs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{self.engine}, {self.configuration}"

    @property
    def tuned(self) -> bool:
        """Whether it has been tuned."""
        return self.configuration == "tuned"

    def promise(self, state: Class) -> Promise:
        """What it promises when it is killed; the plain loop of class A has nothing but its memory."""
        return Promise.NOTHING if self.module == "plain" and state == "A" else self.safety


_SUMS, _LEAST_ONCE = Promise.SUMS, Promise.LEAST_ONCE
_IN_KAFKA, _IN_EFFECT = Promise.EXACTLY_ONCE_IN_KAFKA, Promise.EXACTLY_ONCE_IN_EFFECT
# Faust makes it, too, but may join its group before it can see it: then the agent falls over its first records.
_FAUST = ("state-changelog",)
_ALO = {"guarantee": "at_least_once"}
_EOS = {"guarantee": "exactly_once_v2"}
CONTESTANTS = (
    Contestant("plain loop", "default", "plain", _SUMS),
    Contestant("plain loop", "tuned", "plain", _SUMS, batch=2000),
    Contestant("Quix Streams", "default", "quix", _LEAST_ONCE),
    Contestant("Quix Streams", "tuned", "quix", _LEAST_ONCE),
    Contestant("Bytewax", "default", "bytewax_flow", _LEAST_ONCE),
    Contestant("Bytewax", "tuned", "bytewax_flow", _LEAST_ONCE),
    Contestant("Faust-streaming", "default", "faust_app", _LEAST_ONCE, changelogs=_FAUST),
    Contestant("Faust-streaming", "tuned", "faust_app", _LEAST_ONCE, changelogs=_FAUST),
    Contestant("Kafka Streams at_least_once", "default", "streams", _LEAST_ONCE, more=_ALO),
    Contestant("Kafka Streams at_least_once", "tuned", "streams", _LEAST_ONCE, more=_ALO),
    Contestant("Kafka Streams exactly_once_v2", "default", "streams", _IN_KAFKA, more=_EOS),
    Contestant("Kafka Streams exactly_once_v2", "tuned", "streams", _IN_KAFKA, more=_EOS),
    Contestant("leadflow", "default", "leadflow", _IN_EFFECT),
    Contestant("leadflow", "tuned", "leadflow", _IN_EFFECT, batch=2000),
)


def command(contestant: Contestant, job: Path) -> list[str]:
    """How an adapter is started. Raises environment.Absent."""
    if contestant.module == "streams":
        return ["java", "-Xmx1g", "-cp", environment.java(), "Peer", str(job)]
    return [str(environment.python()), "-m", f"benchmarks.peers.engines.{contestant.module}", str(job)]


def start(contestant: Contestant, job: Mapping[str, object], directory: Path) -> subprocess.Popen[bytes]:
    """The process of an adapter at its job; what it says goes to `said` in `directory`."""
    file = directory / "job.json"
    told = dict(job)
    if contestant.module == "streams":
        told |= contestant.more
    else:
        told.pop("jdbc")
    file.write_text(json.dumps(told))
    # Nothing of the surroundings: only where programs are, and that this repository can be imported.
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONPATH": str(environment.ROOT)}  # noqa: TID251
    return _group(command(contestant, file), surroundings, directory, directory)


def start_leadflow(
    *,
    url: str,
    bootstrap: str | None,
    prefix: str,
    port: int,
    batch: int,
    directory: Path,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    """`leadflow scorer`, as anybody runs it; without `bootstrap` on the embedded log.

    `settings` are variables of its environment beside these.
    """
    surroundings = {
        **os.environ,  # noqa: TID251 - the child's environment
        "LEADFLOW_DATABASE_URL": url,
        "LEADFLOW_KAFKA_PREFIX": prefix,
        "LEADFLOW_DATA_DIR": str(directory),
        "LEADFLOW_PORT": str(port),
        "LEADFLOW_LOG_LEVEL": "WARNING",
        "LEADFLOW_SCORER_BATCH_SIZE": str(batch),
        **settings,
    }
    if bootstrap is not None:
        surroundings["LEADFLOW_KAFKA_BOOTSTRAP_SERVERS"] = bootstrap
    return _group([sys.executable, "-m", "services", "scorer"], surroundings, environment.ROOT, directory)


def kill(process: subprocess.Popen[bytes]) -> None:
    """A kill -9 for the process and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _group(
    command: Sequence[str], surroundings: Mapping[str, str], working: Path, directory: Path
) -> subprocess.Popen[bytes]:
    """A process that leads a group of its own, so that one signal reaches all of it."""
    with (directory / "said").open("ab") as said:
        return subprocess.Popen(  # noqa: S603 - ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=surroundings,
            cwd=working,
            start_new_session=True,
        )
