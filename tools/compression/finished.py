"""What an earlier run into the same folder has finished: taken again where command, inputs and result are unchanged."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Sequence

import keras_bert as kb
from keras_bert.data.shards import file_sha256
from keras_bert.files import atomic_write_json

RECORD = "done.json"


class Finished:
    """Commands that went well, with digests of what they read and wrote, in `RECORD` of a folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._path = folder / RECORD
        try:
            records = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or not a record: all is done again
            records = {}
        self._records: dict[str, dict[str, str | float]] = records if isinstance(records, dict) else {}

    def seconds(self, command: str, read: str, out: pathlib.Path) -> float | None:
        """How long `command` took when it made `out`; None where that, or `read`, is no more as it was then.

        Args:
            read: `digest_of` what the command reads.
        """
        record = self._records.get(command)
        if not isinstance(record, dict) or record.get("inputs") != read or record.get("result") != _made(out):
            return None
        return float(record["seconds"])

    def keep(self, command: str, read: str, out: pathlib.Path, seconds: float) -> None:
        """Remember that `command` has made `out` from what had the digest `read` before it began."""
        self._records[command] = {"inputs": read, "result": _made(out), "seconds": seconds}
        atomic_write_json(self._path, self._records)


def digest_of(inputs: Sequence[pathlib.Path]) -> str:
    """Digest of files, of folders' files, and of this package's version."""
    return _digest([kb.__version__, *map(_content, inputs)])


def _made(out: pathlib.Path) -> str:
    """Of a folder, or of a file and the report beside it."""
    return _digest([_content(path) for path in ([out] if out.is_dir() else [out, out.with_suffix(".report.json")])])


def _content(path: pathlib.Path) -> str:
    """Digest of a file, or of the files of a folder and their names; of nothing where there is none."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        return _digest([part for file in files for part in (file.name, file_sha256(file))])
    return file_sha256(path) if path.is_file() else ""


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
