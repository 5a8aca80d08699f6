"""The command's standard streams: UTF-8 whatever the locale, and an EdgeError where one that is needed is closed."""

import contextlib
import io
import os
import sys

from .errors import EdgeError


def open_output():
    """Standard output as UTF-8; what a terminal or locale cannot show must not stop the answers.

    Raises:
      EdgeError: it is closed.
    """
    if sys.stdout is None:
        raise EdgeError("standard output is closed: there is nowhere to write answers to")
    _as_text(sys.stdout, errors="replace")


def silence_output():
    """Lets the rest go nowhere. Python flushes standard output once more at exit, which must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def input_lines():
    """Lines of standard input without their ends.

    Raises:
      EdgeError: it is closed.
    """
    if sys.stdin is None:
        raise EdgeError("standard input is closed: give a text on the command line, or lines on standard input")
    _as_text(sys.stdin, errors="replace", newline="\n")
    for line in sys.stdin:
        yield line.rstrip("\r\n")


def input_is_terminal():
    """Whether a person types the lines of standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


@contextlib.contextmanager
def quiet():
    """Hides what the runtime's native code writes to standard error while it opens a model ("INFO: Created ...")."""
    try:
        saved = os.dup(2)
    except OSError:  # closed: nothing to hide
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _as_text(stream, **settings):
    """A stream that something else put in place of Python's own is left as it is."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", **settings)
