"""Where the peers live: a virtual environment and jars of their own in .cache, at locked versions.

python -m benchmarks.peers.environment        makes both, where they are not there or no longer right
python -m benchmarks.peers.environment lock   resolves requirements.in into requirements.lock, with hashes
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "peers"
PYTHON = CACHE / "venv" / "bin" / "python"
_UV = ROOT / ".venv" / "bin" / "uv"
_LOCK = HERE / "requirements.lock"
_STREAMS = HERE / "streams"
_JARS = CACHE / "jars"
_LONGEST_SECONDS = 600
CLASSPATH = f"{CACHE / 'classes'}:{_JARS}/*"


class Absent(Exception):
    """Why an engine cannot be had here."""


def lock() -> None:
    """Write requirements.lock."""
    command = [str(_UV), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", "3.11"]
    command += ["--custom-compile-command", "python -m benchmarks.peers.environment lock", "--output-file"]
    _run([*command, str(_LOCK.relative_to(ROOT)), str((HERE / "requirements.in").relative_to(ROOT))])


def python() -> Path:
    """The interpreter of the Python peers. Raises Absent."""
    if _is_new(CACHE / "venv.made", wanted := _LOCK.read_text()):
        _run([str(_UV), "venv", "--quiet", "--clear", "--python", sys.executable, str(CACHE / "venv")])
        _run([str(_UV), "pip", "sync", "--quiet", "--python", str(PYTHON), "--require-hashes", str(_LOCK)])
        (CACHE / "venv.made").write_text(wanted)
    return PYTHON


def java() -> str:
    """The class path of the Kafka Streams peer. Raises Absent."""
    for program in ("java", "javac", "mvn"):
        if shutil.which(program) is None:
            raise Absent(f"no {program} here: Java 17 and Maven are needed")
    sources = sorted((_STREAMS / "src").glob("*.java"))
    wanted = "".join(file.read_text() for file in [_STREAMS / "pom.xml", *sources])
    if _is_new(CACHE / "classes.made", wanted):
        shutil.rmtree(_JARS, ignore_errors=True)
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={_JARS}"]
        _run(["mvn", "-q", "-B", "-f", str(_STREAMS / "pom.xml"), *copy])
        _run(["javac", "-cp", f"{_JARS}/*", "-d", str(CACHE / "classes"), *map(str, sources)])
        (CACHE / "classes.made").write_text(wanted)
    return CLASSPATH


def _is_new(made: Path, wanted: str) -> bool:
    CACHE.mkdir(parents=True, exist_ok=True)
    return not made.exists() or made.read_text() != wanted


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LONGEST_SECONDS, cwd=ROOT)  # noqa: S603 - ours
    except subprocess.CalledProcessError as error:
        said = f"{error.stdout}{error.stderr}".strip()
        raise Absent(f"{Path(command[0]).name} failed: {said[-800:]}") from error
    except subprocess.TimeoutExpired as error:
        raise Absent(f"{Path(command[0]).name} took longer than {_LONGEST_SECONDS} s") from error


def main() -> None:
    if sys.argv[1:] == ["lock"]:
        lock()
        return
    python()
    java()


if __name__ == "__main__":
    main()
