"""TFRecord files of `tf.train.Example`, written without TensorFlow: preparing data must not cost its memory.

Both formats are a few lines: a record is its length, the masked CRC of the length, the bytes, the masked CRC of the
bytes (tensorflow/core/lib/io/record_writer.h); an Example is the protocol buffer of
tensorflow/core/example/example.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import google_crc32c


def encode_record(data: bytes) -> bytes:
    """One record of an uncompressed TFRecord file."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked_crc(length), data, _masked_crc(data)))


def encode_example(features: Mapping[str, bytes | int]) -> bytes:
    """A serialised `tf.train.Example` with one value a feature: bytes, or an int (int64).

    The features stand in the order given, so equal examples are equal bytes.
    """
    entries = []
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = _field(1, _field(1, value))
        else:
            feature = _field(3, _field(1, _varint(value % (1 << 64))))
        entries.append(_field(1, _field(1, name.encode("utf-8")) + _field(2, feature)))
    return _field(1, b"".join(entries))


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return bytes((number << 3 | 2,)) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
