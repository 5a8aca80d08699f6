"""The associated files at the end of a .tflite file: a stored zip archive, closed by a digest of all bytes before it.

    FlatBuffer | zip members | central directory | end record | comment "keras-bert sha256:<64 hex>"

The TFLite metadata format appends a zip archive; a runtime reads the FlatBuffer at the start and does not see it. The
digest is the archive's comment, so that a reader finds any damage before it believes the rest.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping

COMMENT_PREFIX = b"keras-bert sha256:"
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # fixed: the same model gives the same file
_HASH_CHUNK = 1 << 20
_UNIX = 3


def write_file(path: str | os.PathLike[str], model: bytes, members: Mapping[str, bytes]) -> str:
    """Write `model` with `members` (name -> content) behind it; returns the digest, 64 hex digits."""
    with open(path, "wb") as file:
        file.write(model)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _TIMESTAMP)
            entry.create_system = _UNIX  # else it depends on the machine that writes
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
        # A comment of the final length, because the end record, which is hashed, states it.
        archive.comment = COMMENT_PREFIX + b"0" * 64
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size - len(COMMENT_PREFIX) - 64
        digest = hashlib.sha256()
        left = size
        while left:
            chunk = file.read(min(left, _HASH_CHUNK))
            digest.update(chunk)
            left -= len(chunk)
        file.seek(size + len(COMMENT_PREFIX))
        file.write(digest.hexdigest().encode())
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
