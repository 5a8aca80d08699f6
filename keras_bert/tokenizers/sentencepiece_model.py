"""The `spiece.model` file: a SentencePiece ModelProto, read and written as plain protobuf wire format.

Nothing is executed. Only the fields that a Unigram tokenizer needs are kept. Source: google/sentencepiece,
src/sentencepiece_model.proto; the wire format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import TokenizerError

# SentencePiece.Type
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
# TrainerSpec.ModelType
UNIGRAM = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class SentencePieceModel:
    """What a Unigram tokenizer takes from a `spiece.model`.

    Attributes:
        pieces: (text, log probability, type) in the order of ids.
        charsmap: the compiled character map of its normaliser, empty when there is none.
        model_type: 1 for Unigram, 2 for BPE.
    """

    pieces: tuple[tuple[str, float, int], ...]
    charsmap: bytes
    model_type: int = UNIGRAM

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "spiece.model") -> SentencePieceModel:
        """Parse a ModelProto.

        Raises:
            TokenizerError: cut short, or not such a message; the message names `source`.
        """
        try:
            return cls._parse(data)
        except (ValueError, struct.error) as error:
            raise TokenizerError(f"{source} is not a readable SentencePiece model: {error}") from error

    @classmethod
    def _parse(cls, data: bytes) -> SentencePieceModel:
        pieces, charsmap, model_type = [], b"", UNIGRAM
        for number, value in _fields(data):
            if number == 1:
                pieces.append(_parse_piece(_message(value, "a piece")))
            elif number == 2:
                for inner, setting in _fields(_message(value, "trainer_spec")):
                    if inner == 3 and isinstance(setting, int):
                        model_type = setting
            elif number == 3:
                for inner, setting in _fields(_message(value, "normalizer_spec")):
                    if inner == 2:
                        charsmap = _message(setting, "precompiled_charsmap")
        if not pieces:
            raise ValueError("it holds no pieces")
        return cls(tuple(pieces), charsmap, model_type)

    def to_bytes(self, *, prepares_text: bool = True) -> bytes:
        """The model as a ModelProto that SentencePiece opens.

        Args:
            prepares_text: it shall trim white space and put a space before the text; else it takes text as it comes.
        """
        unknown = next((index for index, piece in enumerate(self.pieces) if piece[2] == UNKNOWN), 0)
        parts = []
        for text, score, kind in self.pieces:
            body = _bytes_field(1, text.encode("utf-8")) + _key(2, _FIXED32) + struct.pack("<f", score)
            parts.append(_bytes_field(1, body if kind == NORMAL else body + _varint_field(3, kind)))
        trainer = _varint_field(3, self.model_type) + _varint_field(4, len(self.pieces)) + _varint_field(40, unknown)
        for absent in (41, 42, 43):  # bos_id, eos_id, pad_id: -1, these are ordinary control symbols here
            trainer += _varint_field(absent, (1 << 64) - 1)
        trainer += _bytes_field(45, self.pieces[unknown][0].encode("utf-8"))
        normalizer = _bytes_field(1, b"nmt_nfkc" if self.charsmap else b"identity") + _bytes_field(2, self.charsmap)
        for setting in (3, 4, 5):  # add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces
            normalizer += _varint_field(setting, int(prepares_text))
        return b"".join([*parts, _bytes_field(2, trainer), _bytes_field(3, normalizer)])


def _parse_piece(data: bytes) -> tuple[str, float, int]:
    text, score, kind = None, 0.0, NORMAL
    for number, value in _fields(data):
        if number == 1:
            text = _message(value, "a piece's text").decode("utf-8")
        elif number == 2:
            (score,) = struct.unpack("<f", _message(value, "a piece's score"))
        elif number == 3 and isinstance(value, int):
            kind = value
    if text is None:
        raise ValueError("a piece has no text")
    if score != score or score in (float("inf"), float("-inf")):
        raise ValueError(f"the score of piece {text!r} is {score}")
    return text, score, kind


def _message(value: int | bytes, name: str) -> bytes:
    if isinstance(value, int):
        raise ValueError(f"{name} has a number where bytes were expected")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers with their values: integers for varints, bytes for everything else."""
    position = 0
    while position < len(data):
        key = data[position]
        if key < 0x80:  # all but the rarest fields: worth a shortcut at 30,000 pieces a file
            position += 1
        else:
            key, position = _read_varint(data, position)
        number, wire_type = key >> 3, key & 7
        value: int | bytes
        if wire_type == _VARINT:
            value, position = _read_varint(data, position)
        else:
            if wire_type == _BYTES:
                length, position = _read_varint(data, position)
            elif wire_type in (_FIXED32, _FIXED64):
                length = 4 if wire_type == _FIXED32 else 8
            else:
                raise ValueError(f"unknown wire type {wire_type} at byte {position}")
            value = data[position : position + length]
            if len(value) != length:
                raise ValueError(f"it ends inside a field of {length} bytes")
            position += length
        if number == 0:
            raise ValueError(f"field number 0 before byte {position}")
        yield number, value


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("it ends inside a number")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise ValueError(f"a number before byte {position} is longer than 64 bits")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _varint_field(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(value)) + value
