"""The elements of one array in a large JSON file, one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, TextIO

_CHUNK = 1 << 16
_SPACE = " \t\r\n"
_AFTER = frozenset(_SPACE + ",]}")


class Element(NamedTuple):
    """One element: its value, the text it was read from, and the line of the file, from 1, that the text begins on."""

    value: Any
    source: str
    line: int


def stream_elements(file: TextIO, key: str) -> Iterator[Element]:
    """The elements of the array `key` in the object that the file holds; memory for one element at a time.

    Raises:
        ValueError: not JSON, or not an object with such an array; the message says where.
    """
    reader = _Reader(file)
    found = False
    reader.expect("{")
    while not reader.passed("}"):
        name = reader.element().value
        reader.expect(":")
        if name != key:
            reader.element()
        else:
            found = True
            reader.expect("[")
            while not reader.passed("]"):
                yield reader.element()
                reader.separator("]")
        reader.separator("}")
    if not found:
        raise ValueError(f"no {key!r} in the object that the file holds")
    if reader.peek():
        raise reader.error(f"more than one object, {reader.peek()!r}")


class _Reader:
    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._position, self._line = file, "", 0, 1
        self._decoder = json.JSONDecoder()

    def element(self) -> Element:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
                # A number may go on in what is not read yet: "1" of "1.5".
                if not isinstance(value, int | float) or self._text[end : end + 1] in _AFTER or not self._more():
                    break
            except json.JSONDecodeError as fault:
                if not self._more():
                    raise self.error(fault.msg, fault.pos) from None
        element = Element(value, self._text[self._position : end], self._line_at(self._position))
        self._position = end
        return element

    def peek(self) -> str:
        """The next character that is not white space, the empty text at the end."""
        while True:
            while self._position < len(self._text) and self._text[self._position] in _SPACE:
                self._position += 1
            if self._position < len(self._text) or not self._more():
                return self._text[self._position : self._position + 1]

    def expect(self, char: str) -> None:
        if not self.passed(char):
            raise self.error(f"expected {char!r}, got {self.peek()!r}")

    def passed(self, char: str) -> bool:
        """Whether `char` comes next; it is passed over."""
        found = self.peek() == char
        self._position += found
        return found

    def separator(self, end: str) -> None:
        """Pass over a comma, or stop before `end`."""
        if self.peek() == end:
            return
        self.expect(",")
        if self.peek() == end:
            raise self.error(f"{end!r} after a comma")

    def error(self, message: str, position: int | None = None) -> ValueError:
        return ValueError(f"line {self._line_at(self._position if position is None else position)}: {message}")

    def _more(self) -> bool:
        """Read on, at least as much as is held, so that a long value is not decoded too often; False at the end."""
        held = self._text[self._position :]
        chunk = self._file.read(max(_CHUNK, len(held)))
        if chunk:
            self._line = self._line_at(self._position)
            self._text, self._position = held + chunk, 0
        return bool(chunk)

    def _line_at(self, position: int) -> int:
        return self._line + self._text.count("\n", 0, position)
