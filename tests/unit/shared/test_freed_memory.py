"""What a process frees it keeps for what comes next."""

import platform
import subprocess
import sys

import pytest

# Pages that the kernel had to give while a buffer of 1 MiB (256 pages) was written eight times over.
_PROGRAM = """
import resource
from shared.freed_memory import keep_freed_memory

{}
bytearray(2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    buffers = [bytearray(b"x") * 2**20, bytearray(b"y") * 2**20]
    del buffers
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_given(*, first: str) -> int:
    done = subprocess.run([sys.executable, "-c", _PROGRAM.format(first)], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told how much to keep")
def test_a_process_that_keeps_what_it_freed_asks_for_its_pages_once() -> None:
    assert pages_given(first="keep_freed_memory()") < 2 * 256 + 100


def test_telling_it_twice_does_no_harm() -> None:
    assert pages_given(first="keep_freed_memory(); keep_freed_memory()") >= 0
