import os
import subprocess
import sys
import time

import pytest

from benchmarks.bench.machine import peak_megabytes, processor_seconds, resident_megabytes


def test_processor_time_of_a_process_is_that_of_its_own_clock() -> None:
    before = time.process_time()
    seen = processor_seconds(os.getpid())
    after = time.process_time()

    assert before <= seen <= after


def test_there_is_no_processor_time_of_nobody() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    with pytest.raises(OSError, match="Invalid argument"):
        processor_seconds(process.pid)


def test_a_process_has_held_as_much_as_it_holds() -> None:
    held = resident_megabytes(os.getpid())

    assert 0 < held <= peak_megabytes(os.getpid())
