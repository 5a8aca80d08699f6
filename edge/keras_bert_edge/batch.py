"""The model for lists that a file can hold beside its own: several short texts in one run of the interpreter.

A FlatBuffer names its root table in its first four bytes. The file's own root is a model for one text; `batch` in
config.json says where the root of a second model over the same weights lies. It is opened when the first list comes, so
that a program that never sends one pays nothing for it; it then needs the model's size in memory, and packed weights of
its own.
"""

import io
import shutil
import struct

import numpy as np

from .errors import EdgeError
from .memory import require_memory
from .runtime import open_interpreter, unusable
from .signature import INPUT_ROLES, read_signature

SIGNATURE = "batch"

# The version of TFLite's schema, field 0 of a model's root table; 1 and 2 are its operator codes and subgraphs.
SCHEMA_VERSION = 3


class BatchModel:
    """Where the model for lists is; `open` makes interpreters over one copy of its bytes.

    Attributes:
      size: texts of one run.
    """

    def __init__(self, path, manifest, threads, identity):
        """Notes where the model is, in the file that `identity` is of.

        Raises:
          EdgeError: the file can no longer be read, or there is no model at the root that the manifest states. A
            runtime that does not look, as tflite-runtime 2.14, would read memory that is not the file's.
        """
        try:
            is_model = _is_model_root(path, manifest.model_size, manifest.batch["root"])
        except OSError as error:
            raise EdgeError(f"{path} cannot be read: {error.strerror}") from error
        if not is_model:
            raise EdgeError(f"config.json in {path}: batch names the root {manifest.batch['root']}, where no model is")
        self.size = manifest.batch["size"]
        self._path = path
        self._identity = identity
        self._manifest = manifest
        self._threads = threads
        self._content = None

    def open(self, workers):
        """A BatchCall, or None where memory is short for `workers` of them or the file is no longer what was loaded.

        Raises:
          EdgeError: the runtime cannot run the model.
        """
        try:
            if self._content is None and not self._read_content(workers):
                return None
            return self._open()
        except MemoryError:
            self._content = None
            return None

    def _read_content(self, workers):
        try:
            require_memory(self._path, self._manifest.model_size, workers + 1)
            self._identity.require_same()
            self._content = _read(self._path, self._manifest.model_size, self._manifest.batch["root"])
        except (EdgeError, OSError):
            return False
        return True

    def _open(self):
        distribution, interpreter = open_interpreter(self._path, self._threads, self._content)
        try:
            signature = read_signature(interpreter, SIGNATURE, self._path)
            return BatchCall(interpreter, signature, self.size, self._manifest.pad_token_id)
        except (ValueError, RuntimeError) as error:
            raise error if isinstance(error, EdgeError) else unusable(self._path, distribution, error) from error


class BatchCall:
    """One interpreter of the model for lists, which takes `size` texts."""

    def __init__(self, interpreter, signature, size, pad_token_id):
        for role, shape in signature.input_shapes.items():
            if shape[0] != size:
                raise ValueError(
                    f"the signature {SIGNATURE!r} has the input {role} {shape} where {size} texts were stated"
                )
        if "padding_mask" not in signature.inputs:
            raise ValueError(f"the signature {SIGNATURE!r} has no input for a padding mask")
        self._runner = interpreter.get_signature_runner(SIGNATURE)
        self._roles = {name: INPUT_ROLES[name] for name in self._runner.get_input_details()}
        self.size = size
        self._pad_token_id = pad_token_id

    def __call__(self, rows):
        """Outputs of each of `size` rows (token ids, segment ids or None for zeros), as `Engine.run` gives them."""
        shape = (self.size, max(len(ids) for ids, _ in rows))
        token_ids = np.full(shape, self._pad_token_id, np.int32)
        padding_mask, segment_ids = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        for index, (ids, segments) in enumerate(rows):
            token_ids[index, : len(ids)] = ids
            padding_mask[index, : len(ids)] = 1
            if segments is not None:
                segment_ids[index, : len(ids)] = segments
        values = {"token_ids": token_ids, "padding_mask": padding_mask, "segment_ids": segment_ids}
        outputs = self._runner(**{name: values[role] for name, role in self._roles.items()})
        return [{name: value[index : index + 1] for name, value in outputs.items()} for index in range(self.size)]


def _is_model_root(path, size, root):
    """Whether the table at `root` is a TFLite model's, with its parts inside the file's first `size` bytes."""
    with open(path, "rb") as stream:

        def read(layout, at):
            if not 0 <= at <= size - struct.calcsize(layout):
                raise ValueError("outside the model")
            stream.seek(at)
            return struct.unpack(layout, stream.read(struct.calcsize(layout)))

        try:
            vtable = root - read("<i", root)[0]
            vtable_size, table_size, *fields = read("<5H", vtable)
            inside = all(4 <= field <= table_size - 4 for field in fields)
            if vtable_size < 10 or root + table_size > size or not inside:
                return False
            (version,) = read("<I", root + fields[0])
            for field in fields[1:]:
                at = root + field + read("<I", root + field)[0]
                (count,) = read("<I", at)
                if not 0 < count <= (size - at) // 4:
                    return False
        except (ValueError, struct.error):
            return False
    return version == SCHEMA_VERSION


def _read(path, size, root):
    """The first `size` bytes of the file with another root, copied once."""
    content = io.BytesIO()
    with open(path, "rb") as stream:
        stream.seek(4)
        content.write(struct.pack("<I", root))
        shutil.copyfileobj(stream, content, 1 << 20)
    content.truncate(size)
    return content.getvalue()
