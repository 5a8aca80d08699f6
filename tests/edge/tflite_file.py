"""An independent writer of the exported file's format: FlatBuffer + stored zip + digest in the archive comment.

It shares no code with `keras-bert export`, so that the two sides of the format are held against a third.
"""

import hashlib
import io
import pathlib
import struct
import zipfile

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
PREFIX = b"keras-bert sha256:"


def seal(head):
    """`head` (everything up to the archive comment, with its length set) followed by the digest comment."""
    return head + PREFIX + hashlib.sha256(head).hexdigest().encode()


def zip_onto(model, members):
    """The model's bytes with a zip of `members` (name -> bytes) appended, offsets counted from the file's start."""
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    data = stream.getvalue()
    return data[:-2] + struct.pack("<H", len(PREFIX) + 64)


def split(data):
    """(FlatBuffer bytes, members by name) of a file in the format."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = min(info.header_offset for info in archive.infolist())
        return data[:start], {info.filename: archive.read(info) for info in archive.infolist()}


def write(model, members):
    """A whole, valid file."""
    return seal(zip_onto(model, members))
