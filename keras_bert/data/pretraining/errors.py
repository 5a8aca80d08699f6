"""Errors raised inside the graph, as errors of the library."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from ...errors import DataError
from .shard import DAMAGED

_MESSAGE = re.compile(re.escape(DAMAGED) + r" (.*?)\.?(?:[\"']|$)", re.MULTILINE)


@contextlib.contextmanager
def named_errors() -> Iterator[None]:
    """Read from the dataset inside this: a damaged shard is then a DataError that names its file."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = _MESSAGE.search(error.message)
        if found is None:
            raise
        raise DataError(f"shard {found.group(1)}") from error
