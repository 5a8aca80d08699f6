"""One process at a time writes to a folder."""

from __future__ import annotations

import errno
import os
import pathlib
import sys
from typing import IO

from ..errors import TrainingError

if sys.platform != "win32":
    import fcntl

LOCK_FILE = ".lock"
# Device and inode of the lock files that this process holds: closing one by any handle would let go of it.
_held: dict[tuple[int, int], IO[str]] = {}


def lock_folder(folder: pathlib.Path) -> None:
    """Have the folder for this process until it ends, however it does; it may ask again.

    POSIX locks, which network file systems know, and which forked processes do not inherit. A platform or a file system
    without them gives the folder to everybody.

    Raises:
        TrainingError: another process has it.
    """
    if sys.platform == "win32":
        return
    path = folder / LOCK_FILE
    try:
        if path.exists() and _identity(path) in _held:
            return
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115
    except OSError:
        return  # what is written next to a folder that cannot be written to says so
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise TrainingError(
                f"another process is training in {folder}: wait for its end, or take another --work-dir"
            ) from error
        return
    _held[_identity(path)] = file


def _identity(path: pathlib.Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
