"""The end of an exported file: a stored zip archive, closed by a digest of every byte before it.

    FlatBuffer | zip members | central directory | end record | comment "keras-bert sha256:<64 hex>"

The digest is checked before any other part of the file is believed. The zip reader knows only what the exporter writes
(stored members, no encryption, no zip64) and refuses the rest; it reads members into memory and writes nothing.
"""

import hashlib
import os
import struct
import zlib

from .errors import EdgeError

IDENTIFIER = b"TFL3"
COMMENT_PREFIX = b"keras-bert sha256:"
COMMENT_LENGTH = len(COMMENT_PREFIX) + 64

END_RECORD = struct.Struct("<4s4H2LH")
DIRECTORY_ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL_HEADER = struct.Struct("<4s5H3L2H")

MAX_MEMBERS = 64
MAX_DIRECTORY_BYTES = 64 * 1024
HASH_CHUNK_BYTES = 1 << 20
UTF8_NAME_FLAG = 0x800


def read_members(path, limits):
    """Verified members of the archive at the end of the file at `path`, and the file's digest.

    Args:
      path: the exported file.
      limits: member name -> largest size in bytes that is read. Other members are left alone.

    Returns:
      ({member name: bytes} for those names that the archive holds, the digest that the file ends with as text).

    Raises:
      EdgeError: the file cannot be read, is no TFLite model, was not written by the exporter, is cut short or altered,
        or its archive is malformed.
    """
    if not os.path.isfile(path):
        raise EdgeError(f"{path} is not a file" if os.path.exists(path) else f"{path} does not exist")
    try:
        with open(path, "rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            end, digest = _verify(stream, size, path)
            return _read_archive(stream, end, path, limits), digest
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}") from error


def _verify(stream, size, path):
    """Checks identifier and digest; returns the offset of the zip's end record, and the digest."""
    if stream.read(8)[4:] != IDENTIFIER:
        raise EdgeError(f"{path} is not a TFLite model: it has no TFL3 identifier")
    comment_at = size - COMMENT_LENGTH
    end = comment_at - END_RECORD.size
    if end > 0:
        stream.seek(end)
        tail = stream.read(END_RECORD.size + COMMENT_LENGTH)
    if end <= 0 or tail[:4] != b"PK\5\6" or tail[END_RECORD.size :][: len(COMMENT_PREFIX)] != COMMENT_PREFIX:
        raise EdgeError(
            f"{path} was not exported by keras-bert, or is cut short: it does not end with the archive of tokenizer and"
            " labels and the digest that `keras-bert export` writes"
        )
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(HASH_CHUNK_BYTES))
    stream.seek(0)
    left = comment_at
    while left:
        count = stream.readinto(buffer[: min(left, HASH_CHUNK_BYTES)])
        if not count:
            raise EdgeError(f"{path} became shorter while it was read")
        digest.update(buffer[:count])
        left -= count
    # Compared as bytes: a flipped bit that turns a hex digit into upper case is a flipped bit too.
    if tail[-64:] != digest.hexdigest().encode():
        raise EdgeError(f"{path} is damaged: its bytes do not match the digest at its end; copy or export it again")
    return end, digest.hexdigest()


def _read_archive(stream, end, path, limits):
    stream.seek(end)
    fields = END_RECORD.unpack(_read_exactly(stream, END_RECORD.size, path))
    _, disk, first_disk, here, count, directory_bytes, directory_at, _ = fields
    if disk or first_disk or here != count or count > MAX_MEMBERS or directory_bytes > MAX_DIRECTORY_BYTES:
        raise _malformed(path, "its end record is not that of a small, single archive")
    if directory_at + directory_bytes != end:
        raise _malformed(path, "its directory does not end where the end record begins")
    stream.seek(directory_at)
    directory = _read_exactly(stream, directory_bytes, path)
    members, seen, at = {}, set(), 0
    for _ in range(count):
        if at + DIRECTORY_ENTRY.size > len(directory):
            raise _malformed(path, "its directory is cut short")
        entry = DIRECTORY_ENTRY.unpack_from(directory, at)
        signature, _, _, flags, method, _, _, crc, stored_size, size, name_size, extra_size, comment_size = entry[:13]
        name = directory[at + DIRECTORY_ENTRY.size :][:name_size]
        at += DIRECTORY_ENTRY.size + name_size + extra_size + comment_size
        if signature != b"PK\1\2" or at > len(directory):
            raise _malformed(path, "its directory has a broken entry")
        if name in seen:
            raise _malformed(path, f"it holds {_show(name)} twice")
        seen.add(name)
        limit = limits.get(_show(name))
        if limit is None:
            continue
        if flags & ~UTF8_NAME_FLAG or method or stored_size != size:
            raise _malformed(path, f"{_show(name)} is compressed or encrypted")
        if size > limit:
            raise _malformed(path, f"{_show(name)} has {size:,} bytes, more than the {limit:,} allowed")
        header = (flags, method, crc, size, name)
        members[_show(name)] = _read_member(stream, entry[16], directory_at, header, path)
    if at != len(directory):
        raise _malformed(path, "its directory has bytes that belong to no member")
    return members


def _read_member(stream, header_at, directory_at, expected, path):
    """One stored member whose local header must say the same as the directory's (flags, method, crc, size, name)."""
    name, size, crc = expected[4], expected[3], expected[2]
    if header_at + LOCAL_HEADER.size > directory_at:
        raise _malformed(path, f"{_show(name)} lies outside the archive")
    stream.seek(header_at)
    header = LOCAL_HEADER.unpack(_read_exactly(stream, LOCAL_HEADER.size, path))
    signature, _, flags, method, _, _, local_crc, stored_size, local_size, name_size, extra_size = header
    data_at = header_at + LOCAL_HEADER.size + name_size + extra_size
    if signature != b"PK\3\4" or data_at + size > directory_at:
        raise _malformed(path, f"{_show(name)} lies outside the archive")
    local_name = _read_exactly(stream, name_size, path)
    if (flags, method, local_crc, local_size, local_name) != expected or stored_size != size:
        raise _malformed(path, f"the two headers of {_show(name)} disagree")
    stream.seek(data_at)
    content = _read_exactly(stream, size, path)
    if zlib.crc32(content) != crc:
        raise _malformed(path, f"{_show(name)} does not match its checksum")
    return content


def _read_exactly(stream, count, path):
    content = stream.read(count)
    while len(content) < count:
        more = stream.read(count - len(content))
        if not more:
            raise EdgeError(f"{path} became shorter while it was read")
        content += more
    return content


def _show(name):
    """A member's name as text; what would break a message's one line, or act on a terminal, as escapes."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _malformed(path, reason):
    return EdgeError(f"the archive at the end of {path} is malformed: {reason}")
