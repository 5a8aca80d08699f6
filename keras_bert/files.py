"""Files and folders written whole or not at all: under a temporary name first, then renamed."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from .errors import KerasBertError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yield a temporary path in the target's folder; on success it replaces `path`, on any error it is removed.

    Raises:
        KerasBertError: the folder cannot be written, or the disk is full (the old file, if any, stays).
    """
    target = pathlib.Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(descriptor)
    except OSError as error:
        raise KerasBertError(f"cannot write {target}: {error.strerror or error}") from error
    temporary = pathlib.Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise KerasBertError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder, and those around it, unless it is there.

    Raises:
        KerasBertError: it cannot be made.
    """
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KerasBertError(f"cannot write {path}: {error.strerror or error}") from error


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, its keys in their order, whole or not at all.

    Text with half a surrogate pair, which JSON can hold and UTF-8 cannot, makes a file of ASCII alone.
    """
    try:
        content = json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        content = json.dumps(value, indent=2).encode("ascii")
    atomic_write_bytes(path, content + b"\n")


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yield an empty temporary folder; on success its files move into `path` one by one, each whole.

    An existing folder keeps its other files: saving a model again beside its report must not remove the report. The
    temporary folder is then inside it, as what is around it may be another file system, or not ours to write to.
    On an error nothing of the new content shows.

    Raises:
        KerasBertError: the folder cannot be written, or the disk is full.
    """
    target = pathlib.Path(path)
    try:
        if target.exists() and not target.is_dir():
            raise KerasBertError(f"cannot write to {target}: it is a file, expected a folder")
        place = target if target.exists() else target.parent
        place.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=place))
    except OSError as error:
        raise KerasBertError(f"cannot write {target}: {error.strerror or error}") from error
    try:
        yield temporary
        if not target.exists():
            os.chmod(temporary, 0o777 & ~_umask())
            os.replace(temporary, target)
            return
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                destination = target / file.relative_to(temporary)
                destination.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, destination)
    except OSError as error:
        raise KerasBertError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    """The process's umask, which Python can only read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
