"""`load` and the Model it returns: a file in, a callable out."""

import os

from .archive import read_members
from .engine import Engine
from .errors import EdgeError
from .lists import answer_list, as_pair
from .manifest import parse_manifest
from .memory import require_memory
from .tasks import open_task
from .tokenizer import TextTokenizer

MEMBER_LIMITS = {"config.json": 1 << 20, "tokenizer.json": 64 << 20}
MAX_THREADS = 1024


class Model:
    """A model file that answers. Made by `load`; safe to call from many threads.

    Attributes:
      path: the file.
      digest: of the file as it was loaded, which tells it from every other: SHA-256 as 64 hex digits.
      manifest: the checked facts of the file (`keras_bert_edge.manifest.Manifest`).
      task: "sequence_classification", "token_classification", "question_answering", "sentence_embedding" or
        "masked_lm".
      labels: label names in the order of the model's outputs; empty for tasks without labels.
      problem_type: single_label_classification, multi_label_classification or regression; None for other tasks.
      max_length: longest input in tokens, special tokens included.
      reads_pairs: whether the task takes a pair of texts.
      engine: token ids -> output arrays, below the task.
      tokenizer: text -> token ids.
    """

    def __init__(self, path, digest, manifest, engine, tokenizer):
        self.path = path
        self.digest = digest
        self.manifest = manifest
        self.task = manifest.task
        self.labels = manifest.labels
        self.problem_type = manifest.problem_type
        self.max_length = engine.max_length
        self.engine = engine
        self.tokenizer = tokenizer
        self._answer = open_task(manifest, engine, tokenizer, path)
        self.reads_pairs = self._answer.READS_PAIRS

    def __call__(self, text, pair=None, **options):
        """The answer to one text, or a list of answers to a list.

        Args:
          text: a string, a tuple of two strings (a pair), or a list of those.
          pair: second text of a pair: what the first is compared with, or the context that holds the answer.
          **options: of the task: `n_best`, `max_answer_length`, `null_threshold` for question answering; `top_k` for
            masked_lm.

        Returns:
          The result type of the task (see `keras_bert_edge.tasks`), or a list of them in the order of the texts. A list
          is answered from its shortest text to its longest, side by side by the workers of `load`, and several short
          texts at once where the file has a model for that.

        Raises:
          EdgeError: an input that is no text, a pair where the task takes one text, one text where it needs a pair, or
            an option that the task does not have.
        """
        for name in options:
            if name not in self._answer.OPTIONS:
                raise EdgeError(f"{self.task} has no option {name!r}")
        if isinstance(text, list):
            if pair is not None:
                raise EdgeError("with a list, give pairs as tuples: model([(text, pair), ...])")
            return answer_list(text, lambda item: self._answer(*as_pair(item), **options), self._answer, self.engine)
        if isinstance(text, tuple):
            text, pair = as_pair(text if pair is None else (*text, pair))
        return self._answer(text, pair, **options)

    def describe(self, result):
        """One line of plain text for a result of this model."""
        return self._answer.describe(result)


def inspect(path):
    """(Manifest, member name -> bytes) of a verified file; needs no runtime and opens no model.

    Raises:
      EdgeError: as `load`, but for the task and the runtime.
    """
    manifest, members, _ = _read(path)
    return manifest, members


def _read(path):
    members, digest = read_members(path, MEMBER_LIMITS)
    for name in MEMBER_LIMITS:
        if name not in members:
            raise EdgeError(f"{path} has no {name} in its archive: it was not exported by keras-bert")
    return parse_manifest(members["config.json"], path), members, digest


def load(path, *, threads=1, workers=None, task=None):
    """Opens an exported `.tflite` file: its digest, metadata, tokenizer and model.

    Args:
      path: the file that `keras-bert export` wrote.
      threads: threads that one call may use, 1 or more.
      workers: interpreters that answer lists, and calls from several threads, side by side, 1 or more. Each needs
        memory for activations and packed weights. None: one, and as many as there are processors from the first list
        on that has at least 64 texts for each, up to 8 and where memory allows.
      task: the task that the caller expects; None for whatever the file holds.

    Returns:
      Model.

    Raises:
      EdgeError: the file is missing, damaged, cut short, not exported by keras-bert, of a newer format or of another
        task, needs more memory than there is, or no installed runtime can run it.
    """
    for name, value in (("threads", threads), ("workers", 1 if workers is None else workers)):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_THREADS:
            raise EdgeError(f"{name} must be an integer from 1 to {MAX_THREADS}, not {value!r}")
    path = os.fspath(path)
    try:
        return _load(path, threads, workers, task)
    except MemoryError as error:
        raise EdgeError(f"{path} cannot be opened: there is too little memory for it") from error


def _load(path, threads, workers, task):
    manifest, members, digest = _read(path)
    if task is not None and task != manifest.task:
        raise EdgeError(f"{path} holds a model for {manifest.task}, and {task} was expected")
    require_memory(path, manifest.model_size, workers or 1)
    engine = Engine(path, manifest, threads, workers)
    truncate = manifest.task not in (
        "token_classification",
        "question_answering",
    )  # these two read long texts by windows
    tokenizer = TextTokenizer(members["tokenizer.json"], engine.max_length, truncate, path)
    return Model(path, digest, manifest, engine, tokenizer)
