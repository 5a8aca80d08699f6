"""`load` and the Model it returns: a file in, a callable out."""

import os
from concurrent.futures import ThreadPoolExecutor

from .archive import read_members
from .engine import Engine
from .errors import EdgeError
from .manifest import parse_manifest
from .memory import require_memory
from .tasks import open_task
from .tokenizer import TextTokenizer

MEMBER_LIMITS = {"config.json": 1 << 20, "tokenizer.json": 64 << 20}
MAX_THREADS = 1024

# Texts of a list that one worker takes at a time.
CHUNK = 8


class Model:
    """A model file that answers. Made by `load`; safe to call from many threads.

    Attributes:
      path: the file.
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

    def __init__(self, path, manifest, engine, tokenizer):
        self.path = path
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
          is answered from its shortest text to its longest, by as many workers as `load` was given.

        Raises:
          EdgeError: an input that is no text, a pair where the task takes one text, one text where it needs a pair, or
            an option that the task does not have.
        """
        if isinstance(text, list):
            if pair is not None:
                raise EdgeError("with a list, give pairs as tuples: model([(text, pair), ...])")
            return self._answer_list(text, options)
        if isinstance(text, tuple):
            if pair is not None or len(text) != 2:
                raise EdgeError(f"a pair is a tuple of two strings, not of {len(text) + (pair is not None)}")
            text, pair = text
        for name in options:
            if name not in self._answer.OPTIONS:
                raise EdgeError(f"{self.task} has no option {name!r}")
        return self._answer(text, pair, **options)

    def _answer_list(self, items, options):
        # Neighbours of one length need no new allocation of the interpreter's tensors.
        order = sorted(range(len(items)), key=lambda index: _characters(items[index]))
        results = [None] * len(items)

        def answer(indices):
            for index in indices:
                results[index] = self(items[index], **options)

        workers = min(self.engine.workers, len(items))
        if workers < 2:
            answer(order)
            return results
        chunk = max(1, min(CHUNK, len(items) // workers))
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(answer, (order[at : at + chunk] for at in range(0, len(order), chunk))):
                pass
        return results

    def describe(self, result):
        """One line of plain text for a result of this model."""
        return self._answer.describe(result)


def _characters(item):
    """Length of a text or pair; what is neither is refused when it is answered."""
    texts = item if isinstance(item, tuple) else (item,)
    return sum(len(text) for text in texts if isinstance(text, str))


def inspect(path):
    """(Manifest, member name -> bytes) of a verified file; needs no runtime and opens no model.

    Raises:
      EdgeError: as `load`, but for the task and the runtime.
    """
    members = read_members(path, MEMBER_LIMITS)
    for name in MEMBER_LIMITS:
        if name not in members:
            raise EdgeError(f"{path} has no {name} in its archive: it was not exported by keras-bert")
    return parse_manifest(members["config.json"], path), members


def load(path, *, threads=1, workers=1, task=None):
    """Opens an exported `.tflite` file: its digest, metadata, tokenizer and model.

    Args:
      path: the file that `keras-bert export` wrote.
      threads: threads that one call may use, 1 or more.
      workers: interpreters that answer lists, and calls from several threads, side by side, 1 or more. Each needs
        memory for activations and packed weights.
      task: the task that the caller expects; None for whatever the file holds.

    Returns:
      Model.

    Raises:
      EdgeError: the file is missing, damaged, cut short, not exported by keras-bert, of a newer format or of another
        task, needs more memory than there is, or no installed runtime can run it.
    """
    for name, value in (("threads", threads), ("workers", workers)):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_THREADS:
            raise EdgeError(f"{name} must be an integer from 1 to {MAX_THREADS}, not {value!r}")
    path = os.fspath(path)
    manifest, members = inspect(path)
    if task is not None and task != manifest.task:
        raise EdgeError(f"{path} holds a model for {manifest.task}, and {task} was expected")
    require_memory(path, manifest.model_size, workers)
    engine = Engine(path, manifest, threads, workers)
    truncate = manifest.task not in (
        "token_classification",
        "question_answering",
    )  # these two read long texts by windows
    tokenizer = TextTokenizer(members["tokenizer.json"], engine.max_length, truncate, path)
    return Model(path, manifest, engine, tokenizer)
