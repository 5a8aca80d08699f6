"""Opening data files: UTF-8, and every failure named."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from typing import TextIO

from ..errors import DataError

logger = logging.getLogger("keras_bert")


@contextlib.contextmanager
def open_text(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a UTF-8 file, a byte order mark passed over, line ends as they are.

    Raises:
        DataError: the file cannot be read, or what is read inside the block is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}") from error


class Problems:
    """Faults of a file that can be lived with: each named and kept count of, or the first one an error.

    Attributes:
        messages: one a fault, with file and line.
    """

    def __init__(self, path: str | os.PathLike[str], *, strict: bool = False) -> None:
        self.path, self.strict = os.fspath(path), strict
        self.messages: list[str] = []

    def add(self, line: int, message: str) -> None:
        """Note a fault on a line.

        Raises:
            DataError: faults are not lived with (`strict`).
        """
        named = f"{self.path}, line {line}: {message}"
        if self.strict:
            raise DataError(named)
        self.messages.append(named)


def warn_of(path: str, messages: Sequence[str]) -> None:
    """Log how many faults a file has, and the first of them."""
    if messages:
        logger.warning("%s: %d fault%s, the first: %s", path, len(messages), "s" * (len(messages) > 1), messages[0])
