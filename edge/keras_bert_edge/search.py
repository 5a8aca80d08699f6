"""Similarity search over a small corpus: every text embedded once into an index file, a query ranked by cosine.

The index is one `.npz` file without pickled objects: `vectors` float32 [texts, size], scaled to length 1; `texts` as
UTF-8 bytes with their `ends`; `model`, the digest of the model file that made it, which a query must come from too.
"""

import contextlib
import math
import os
import secrets
import zipfile
from typing import NamedTuple

import numpy as np

from .errors import EdgeError
from .tasks.checks import require_counts
from .tasks.ranking import highest

MEMBERS = ("vectors", "texts", "ends", "model")
MAX_INDEX_BYTES = 4 << 30

# Of a zip entry's flags.
ENCRYPTED = 1


class Hit(NamedTuple):
    """A text of the corpus: its number (from 0), its cosine similarity to the query, the text."""

    number: int
    similarity: float
    text: str


class Index:
    """An embedded corpus. `vectors` float32 [texts, size] of length 1; `texts`; `model`: digest of the model's file."""

    def __init__(self, vectors, texts, model):
        self.vectors = vectors
        self.texts = texts
        self.model = model

    def search(self, vector, top_k=5):
        """The `top_k` most similar texts, best first; of equals the earlier text.

        Args:
          vector: float array [size], of any length but 0.

        Raises:
          EdgeError: top_k is no integer of at least 1, or a vector of another size.
        """
        require_counts(top_k=top_k)
        if vector.shape != self.vectors.shape[1:]:
            raise EdgeError(f"the index has vectors of {self.vectors.shape[1]} numbers, and one of {vector.size} came")
        similarities = self.vectors @ _unit(vector)
        return [Hit(int(i), float(similarities[i]), self.texts[i]) for i in highest(similarities, top_k)]


def build_index(model, texts):
    """Index of `texts`, embedded by `model`.

    Raises:
      EdgeError: the model gives no embeddings, or there are no texts, or one string in place of a list.
    """
    _require_embeddings(model)
    if isinstance(texts, str):
        raise EdgeError("texts to search in must be a list of strings, not one string")
    texts = list(texts)
    if not texts:
        raise EdgeError("there are no texts to search in")
    vectors = np.stack([result.vector for result in model(texts)])
    return Index(_unit(vectors), texts, model.digest)


def search(model, index, query, top_k=5):
    """The texts of `index` most similar to the text `query`: list of Hit, best first.

    Raises:
      EdgeError: the index was made by another model file, or the query is no string.
    """
    _require_embeddings(model)
    if not isinstance(query, str):
        raise EdgeError(f"a query must be a string, not {type(query).__name__}")
    if index.model != model.digest:
        raise EdgeError(f"the index was made by another model file than {model.path}: embed the texts again")
    return index.search(model(query).vector, top_k)


def save_index(index, path):
    """Writes the index to `path`, whole or not at all.

    Raises:
      EdgeError: it cannot be written.
    """
    encoded = [text.encode("utf-8", "surrogatepass") for text in index.texts]
    arrays = {
        "vectors": index.vectors,
        "texts": np.frombuffer(b"".join(encoded), np.uint8),
        "ends": np.cumsum([len(text) for text in encoded], dtype=np.int64),
        "model": np.frombuffer(index.model.encode(), np.uint8),
    }
    path = os.fspath(path)
    # Not by `tempfile`, whose files are for their owner alone: the index has the mode that any new file gets.
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        try:
            with open(temporary, "xb") as stream:
                np.savez(stream, **arrays)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise EdgeError(f"{path} cannot be written: {error.strerror}") from error


def load_index(path):
    """Reads an index.

    Raises:
      EdgeError: it is missing, damaged, or no index.
    """
    path = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            sizes = {entry.filename: entry.file_size for entry in entries}
            if sorted(sizes) != sorted(f"{name}.npy" for name in MEMBERS) or len(entries) != len(MEMBERS):
                raise EdgeError(f"{path} is no index of keras-bert-edge search")
            # Stored members alone: a compressed one could grow beyond all measure.
            if any(entry.compress_type or entry.flag_bits & ENCRYPTED for entry in entries):
                raise EdgeError(f"{path} is no index of keras-bert-edge search: it is compressed or encrypted")
            if sum(sizes.values()) > min(MAX_INDEX_BYTES, os.path.getsize(path)):
                raise EdgeError(f"{path} is no index of keras-bert-edge search: cut short, or larger than 4 GiB")
            vectors, texts, ends, model = (_read_array(archive, f"{name}.npy") for name in MEMBERS)
    except EdgeError:
        raise
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # what zipfile and numpy raise for damage has no common class: RuntimeError, TokenError
        raise EdgeError(f"{path} is no index of keras-bert-edge search, or damaged: {error}") from error
    good = (
        (vectors.dtype, vectors.ndim) == (np.float32, 2)
        and all((array.dtype, array.ndim) == (np.uint8, 1) for array in (texts, model))
        and (ends.dtype, ends.shape) == (np.int64, vectors.shape[:1])
        and len(ends) > 0
        and ends[-1] == len(texts)
        and (np.diff(ends, prepend=0) >= 0).all()
        and np.isfinite(vectors).all()
    )
    if not good:
        raise EdgeError(f"{path} is no index of keras-bert-edge search: its arrays do not fit one another")
    content = texts.tobytes()
    starts = [0, *ends.tolist()]
    try:
        strings = [content[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, starts[1:])]
        return Index(vectors, strings, model.tobytes().decode("ascii"))
    except UnicodeDecodeError as error:
        raise EdgeError(f"{path} is damaged: its texts are not UTF-8") from error


def _read_array(archive, name):
    """The array of a member, whose header must agree with the member's size before anything is allocated for it."""
    size = archive.getinfo(name).file_size
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"{name} has the format {version}, and (1, 0) was expected")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        if fortran_order or dtype.hasobject or math.prod(shape) * dtype.itemsize != size - stream.tell():
            raise ValueError(f"{name} holds something else than its header says")
        return np.frombuffer(stream.read(), dtype).reshape(shape)


def _require_embeddings(model):
    if model.task != "sentence_embedding":
        raise EdgeError(f"search needs a model for sentence_embedding, and {model.path} is for {model.task}")


def _unit(vectors):
    """Scaled to length 1 along the last axis; a vector of zeros stays as it is."""
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(-1, keepdims=True))
    return (vectors / np.where(lengths == 0, 1.0, lengths)).astype(np.float32)
