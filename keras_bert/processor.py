"""What the processor of this machine can do."""

from __future__ import annotations

import functools
import pathlib


@functools.cache
def instruction_sets() -> frozenset[str]:
    """Names of them as Linux on x86 has them, such as `avx2` and `avx512f`; elsewhere none."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return frozenset(flags.split())
