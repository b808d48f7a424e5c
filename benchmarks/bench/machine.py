"""The machine card: what a figure must be read with."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("fastapi", "uvicorn", "uvloop", "httptools", "pydantic", "msgspec", "asyncpg", "sqlalchemy", "aiokafka")


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
    """What a process has used of the processors so far, in seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    """How much memory a process holds (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
