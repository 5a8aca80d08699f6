"""The files of a corpus, found by name and grouped by size."""

from __future__ import annotations

import glob
import pathlib
from collections.abc import Sequence

from ..errors import DataError

SUFFIXES = (".txt", ".jsonl")


def find_files(sources: Sequence[str]) -> list[pathlib.Path]:
    """Files that `sources` name, in the order given, each once.

    Args:
        sources: files; folders, searched through for `.txt` and `.jsonl` files (also `.gz`) in sorted order; or globs.

    Raises:
        DataError: a source that names no file.
    """
    files: dict[pathlib.Path, None] = {}
    for source in sources:
        path = pathlib.Path(source)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.is_file() and plain_suffix(file) in SUFFIXES)
        elif path.exists():
            found = [path]
        else:
            found = sorted(pathlib.Path(name) for name in glob.glob(source, recursive=True) if not name.endswith("/"))
            found = [file for file in found if file.is_file()]
        if not found:
            raise DataError(
                f"{source}: no such file, no folder with {' or '.join(SUFFIXES)} files, and no glob that matches"
            )
        files.update(dict.fromkeys(found))
    return list(files)


def group_files(files: Sequence[pathlib.Path], block_bytes: int) -> list[list[pathlib.Path]]:
    """Consecutive files that make about one block together; a file larger than a block stands alone.

    Raises:
        DataError: a file that is not there.
    """
    groups: list[list[pathlib.Path]] = []
    room = 0
    for path in files:
        size = file_size(path)
        if not groups or size > room:
            groups.append([])
            room = block_bytes
        groups[-1].append(path)
        room -= size
    return groups


def file_size(path: pathlib.Path) -> int:
    """Bytes on disk. Raises DataError when the file is not there."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def plain_suffix(path: pathlib.Path) -> str:
    """The suffix with `.gz` looked through."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix
