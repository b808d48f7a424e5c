"""Who takes part, and how each is started: engines by their adapters, leadflow by its own command."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks.peers import environment

Class: TypeAlias = Literal["A", "B"]


@dataclass(frozen=True, slots=True)
class Contestant:
    """An engine in one configuration. `module` is its adapter; `safety` what it promises when it is killed."""

    engine: str
    configuration: str
    module: str
    safety: str
    batch: int = 500
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{self.engine}, {self.configuration}"

    @property
    def tuned(self) -> bool:
        """Whether it has been tuned."""
        return self.configuration == "tuned"


_LEAST_ONCE = "at least once"
_ALO = {"guarantee": "at_least_once"}
_EOS = {"guarantee": "exactly_once_v2"}
CONTESTANTS = (
    Contestant("plain loop", "default", "plain", "A: none; B: sums exactly once"),
    Contestant("plain loop", "tuned", "plain", "A: none; B: sums exactly once", batch=2000),
    Contestant("Quix Streams", "default", "quix", _LEAST_ONCE),
    Contestant("Quix Streams", "tuned", "quix", _LEAST_ONCE),
    Contestant("Bytewax", "default", "bytewax_flow", _LEAST_ONCE),
    Contestant("Bytewax", "tuned", "bytewax_flow", _LEAST_ONCE),
    Contestant("Faust-streaming", "default", "faust_app", _LEAST_ONCE),
    Contestant("Faust-streaming", "tuned", "faust_app", _LEAST_ONCE),
    Contestant("Kafka Streams at_least_once", "default", "streams", _LEAST_ONCE, more=_ALO),
    Contestant("Kafka Streams at_least_once", "tuned", "streams", _LEAST_ONCE, more=_ALO),
    Contestant("Kafka Streams exactly_once_v2", "default", "streams", "exactly once in Kafka", more=_EOS),
    Contestant("Kafka Streams exactly_once_v2", "tuned", "streams", "exactly once in Kafka", more=_EOS),
    Contestant("leadflow", "default", "leadflow", "exactly once in effect"),
    Contestant("leadflow", "tuned", "leadflow", "exactly once in effect", batch=2000),
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
    with (directory / "said").open("wb") as said:
        return subprocess.Popen(  # noqa: S603 - ours
            command(contestant, file),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=surroundings,
            cwd=directory,
        )


def start_leadflow(
    *, url: str, bootstrap: str | None, prefix: str, port: int, batch: int, directory: Path
) -> subprocess.Popen[bytes]:
    """`leadflow scorer`, as anybody runs it; without `bootstrap` on the embedded log."""
    surroundings = {
        **os.environ,  # noqa: TID251 - the child's environment
        "LEADFLOW_DATABASE_URL": url,
        "LEADFLOW_KAFKA_PREFIX": prefix,
        "LEADFLOW_DATA_DIR": str(directory),
        "LEADFLOW_PORT": str(port),
        "LEADFLOW_LOG_LEVEL": "WARNING",
        "LEADFLOW_SCORER_BATCH_SIZE": str(batch),
    }
    if bootstrap is not None:
        surroundings["LEADFLOW_KAFKA_BOOTSTRAP_SERVERS"] = bootstrap
    with (directory / "said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "services", "scorer"],
            stdout=said,
            stderr=said,
            env=surroundings,
            cwd=environment.ROOT,
        )
