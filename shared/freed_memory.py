"""How much of what is freed a process keeps for itself: enough for the next request, and the next batch.

A batch on its way is some buffers of a few hundred kilobytes. By default glibc asks the kernel for each and gives it
back, and the kernel clears every page of it again: a ninth of ingest's processor time.
"""

import ctypes
from typing import Final

# mallopt(3); malloc.h of glibc.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

_KEPT_BYTES: Final = 32 * 1024 * 1024
_ALONE_BYTES: Final = 8 * 1024 * 1024


def keep_freed_memory() -> None:
    """Keep up to 32 MiB that are free at the end of the heap; only blocks from 8 MiB on come from the kernel, and go
    back to it. Without glibc nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _ALONE_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
