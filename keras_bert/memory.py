"""Memory that a training step frees and the next one asks for again: kept by the process, not given back in between."""

from __future__ import annotations

import ctypes
import os
import sys

# Names of <malloc.h>: numbers that mallopt(3) takes.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_NEVER = -1
_TOP_PAD = 64 << 20  # bytes asked of the system at a time


def hold_memory() -> bool:
    """Tells the C library to keep what is freed for what is asked next, for the rest of the process's life.

    A step on a CPU frees hundreds of megabytes of activations and asks for them again. By default the GNU C library
    gives large pieces back to the system at once, which then hands out new pages, each cleared and each by a fault: on
    a virtual machine up to a third of a step's time. The price: what was once used stays with the process until it ends
    (the peak hardly grows: 1.80 to 1.85 GB in fine-tuning MiniLM-L6), and all threads share one arena.

    The commands that train or predict call it; a program that trains with Keras may call it first, before TensorFlow
    starts its threads.

    Returns:
        Whether it was done: not where the C library is another one (musl, macOS, Windows), nor where the environment
        sets the allocator itself (`MALLOC_...` or `glibc.malloc...` in `GLIBC_TUNABLES`).

    Source: mallopt(3), Linux man-pages.
    """
    tuned = any(name.startswith("MALLOC_") for name in os.environ)
    if tuned or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "") or sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _TOP_PAD))
    return all(mallopt(name, value) == 1 for name, value in settings)
