"""Memory that is held: the system's own count of pages handed out, in processes of their own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")

# Pages handed out for 5 arrays of 100 MB, made, filled and freed one after the other, after a first one.
COUNT = """
import ctypes, resource
def use():
    memory = ctypes.create_string_buffer(100 << 20)
    ctypes.memset(memory, 1, len(memory))
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
ONE_ARRAY = (100 << 20) // os.sysconf("SC_PAGE_SIZE")


def pages(first: str, **environment: str) -> int:
    """Pages that the arrays cost in a process that runs `first` before."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    command = [sys.executable, "-c", first + COUNT]
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


HELD = "import keras_bert\nassert keras_bert.hold_memory()\n"
LEFT = "import keras_bert\nassert not keras_bert.hold_memory()\n"


def test_what_is_freed_is_used_again():
    assert pages("") > 4 * ONE_ARRAY
    assert pages(HELD) < ONE_ARRAY // 10


@pytest.mark.parametrize("own", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}])
def test_an_allocator_that_the_environment_sets_is_left_alone(own):
    assert pages(LEFT, **own) > 4 * ONE_ARRAY


@pytest.mark.parametrize(("job", "holds"), [("finetune", True), ("prepare-data", False)])
def test_commands_hold_what_their_steps_use_again(job, holds):
    run = f"from keras_bert_tools.cli import main\ntry:\n    main(['{job}', '--help'])\nexcept SystemExit:\n    pass\n"
    assert (pages(run) < ONE_ARRAY // 10) is holds
