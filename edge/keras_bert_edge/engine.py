"""Token ids in, output arrays out: the interpreter, run at a text's exact length or at the smallest that fits."""

import math
import os
import queue
import threading

import numpy as np

from .batch import BatchModel
from .errors import EdgeError
from .identity import FileIdentity
from .memory import require_memory
from .runtime import open_interpreter, unusable
from .signature import INPUT_ROLES, read_signature

# Tasks whose outputs have a row for every token; rows of padding are cut off.
ROW_TASKS = ("token_classification", "question_answering", "masked_lm")

# Where the caller names no number of workers: texts of a list that are worth a worker of their own, which packs the
# weights once more, and the most workers. More than these wait for one memory.
TEXTS_OF_A_WORKER = 64
MOST_WORKERS = 8


class Engine:
    """An opened model. `run` may be called from any number of threads; as many calls run at once as it has workers.

    Attributes:
      runtime: name of the distribution whose interpreter runs the model.
      threads: threads that one call may use.
      workers: interpreters over the one file that are open. They share its pages; each has activations and packed
        weights of its own.
      max_length: longest input in tokens.
      uses_segments: whether the model reads segment ids.
      output_widths: output name -> size of its last axis, as the file states it.
      batch_size: texts that `run_batch` takes; None where the file has no model for lists, or it cannot be opened.
    """

    def __init__(self, path, manifest, threads=1, workers=None):
        """Opens and allocates `workers` interpreters; None: one, to which `workers_for` adds.

        Raises:
          EdgeError: the runtime cannot run the model, answers otherwise than where the file was exported, or the model
            has not the signatures of its manifest.
        """
        self.threads = threads
        self.workers = workers or 1
        self._most_workers = workers or max(1, min(_processors() // threads, MOST_WORKERS))
        self._path = path
        self._manifest = manifest
        self._identity = FileIdentity(path)
        fixed = [length for length in manifest.signatures.values() if length is not None]
        self.max_length = min([manifest.max_length, *([max(fixed)] if fixed else [])])
        self._known_answer = manifest.known_answer
        self._batch = None if manifest.batch is None else BatchModel(path, manifest, threads, self._identity)
        self._opening = threading.Lock()
        self.batch_size = None if self._batch is None else self._batch.size
        # Last in, first out: a lone caller always gets the interpreter that is ready for texts of the last length.
        self._free: queue.LifoQueue = queue.LifoQueue()
        for _ in range(self.workers):
            self._free.put(self._open(manifest))
        if self._known_answer is not None:
            self._check(lambda *known: [self.run(*known)])

    def _open(self, manifest):
        """One interpreter behind a call (token_ids, segment_ids) -> outputs."""
        path = self._path
        self.runtime, interpreter = open_interpreter(path, self.threads)
        try:
            signatures = {key: read_signature(interpreter, key, path) for key in manifest.signatures}
            any_length = None in manifest.signatures.values()
            call = (
                _AnyLength(interpreter, signatures) if any_length else _FixedLengths(interpreter, signatures, manifest)
            )
        except (ValueError, RuntimeError) as error:
            raise error if isinstance(error, EdgeError) else unusable(path, self.runtime, error) from error
        first = next(iter(signatures.values()))
        self.uses_segments = "segment_ids" in first.inputs
        self.output_widths = first.output_widths
        return call

    def workers_for(self, count):
        """Workers among which a list of `count` texts is shared; the first long list opens those that are missing.

        There are fewer where memory is short, where the file is no longer what was loaded, or where the system gives
        no more: a list that one worker can answer is answered.
        """
        wanted = min(self._most_workers, count // TEXTS_OF_A_WORKER)
        if wanted > self.workers:
            with self._opening:
                self._open_more(wanted)
        return min(self.workers, count)

    def _open_more(self, wanted):
        copies = 1 if self._batch is None else 2
        while self.workers < wanted:
            try:
                require_memory(self._path, self._manifest.model_size, copies)
                self._identity.require_same()
                opened = self._open(self._manifest)
                self._identity.require_same()
            except (EdgeError, MemoryError):
                self._most_workers = self.workers
                return
            self._free.put(opened)
            self.workers += 1

    def _check(self, run):
        """EdgeError unless each of the outputs that `run` returns is what the exporter wrote down for one text."""
        known = self._known_answer
        segments = known["segment_ids"] if self.uses_segments else None
        too_long = len(known["token_ids"]) > self.max_length
        if too_long or set(known["outputs"]) != set(self.output_widths):
            raise EdgeError(f"config.json in {self._path}: known_answer is not one of this model")
        squares = expected_squares = 0.0
        for outputs in run(known["token_ids"], segments):
            for name, values in known["outputs"].items():
                got = outputs[name].ravel()[: len(values)].tolist()
                squares += sum((x - y) ** 2 for x, y in zip(got, values))
                expected_squares += sum(y * y for y in values)
        error = math.sqrt(squares / max(expected_squares, 1e-30))
        if error > known["tolerance"]:
            raise EdgeError(
                f"{self.runtime} computes {self._path} wrongly: its outputs for a known text are off by {error:.2g} of"
                f" their size, and {known['tolerance']:g} is allowed; upgrade the runtime, or export the model for it"
                " with --profile compatible"
            )

    def run(self, token_ids, segment_ids=None):
        """Outputs of one text.

        Args:
          token_ids: sequence of 1 to max_length ints.
          segment_ids: sequence of as many ints, for models that read them; zeros when None.

        Returns:
          Output name -> float array with a leading axis of 1; arrays of their own, that later calls leave alone.

        Raises:
          EdgeError: no tokens or more than the model reads, the runtime failed, or the outputs are not finite.
        """
        self._require_length(token_ids)
        call = self._free.get()
        try:
            outputs = call(token_ids, segment_ids)
        except (ValueError, RuntimeError, MemoryError) as error:
            raise EdgeError(f"{self.runtime} failed on {len(token_ids)} tokens in {self._path}: {error}") from error
        finally:
            self._free.put(call)
        return self._finite(outputs)

    def run_batch(self, rows):
        """Outputs of each of `batch_size` texts in one run, as `run` gives them, or one by one where memory is short.

        Args:
          rows: list of (token ids, segment ids or None), as many as `batch_size` said.

        Raises:
          EdgeError: as `run`.
        """
        for token_ids, _ in rows:
            self._require_length(token_ids)
        call = self._free.get()
        try:
            if call.batch is None and self.batch_size is not None:
                self._open_batch(call)
            outputs = [call(*row) for row in rows] if call.batch is None else call.batch(rows)
        except (ValueError, RuntimeError, MemoryError) as error:
            if isinstance(error, EdgeError):
                raise
            raise EdgeError(f"{self.runtime} failed on {len(rows)} texts in {self._path}: {error}") from error
        finally:
            self._free.put(call)
        return [self._finite(row) for row in outputs]

    def _open_batch(self, call):
        """Gives `call` an interpreter of the model for lists, or takes `batch_size` away."""
        with self._opening:
            opened = None if self._batch is None else self._batch.open(self.workers)
            if opened is None:
                self.batch_size = None
            elif self._known_answer is not None:
                self._check(lambda *known: opened([known] * opened.size))
            call.batch = opened

    def _require_length(self, token_ids):
        if not 1 <= len(token_ids) <= self.max_length:
            raise EdgeError(f"{self._path} reads texts of 1 to {self.max_length} tokens, not of {len(token_ids)}")

    def _finite(self, outputs):
        for name, value in outputs.items():
            if not math.isfinite(value.sum()):
                raise EdgeError(f"{self._path} gave an output {name} that is not finite")
        return outputs

    def run_encoding(self, encoding):
        """Outputs of one `tokenizers.Encoding`."""
        return self.run(*self.row(encoding))

    def row(self, encoding):
        """(token ids, segment ids or None) of one `tokenizers.Encoding`."""
        return encoding.ids, encoding.type_ids if self.uses_segments else None


def _processors():
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Call:
    """One interpreter for one text at a time; `batch` is its BatchCall, opened with the first list."""

    batch = None


class _AnyLength(_Call):
    """One signature of dynamic length: inputs are resized when the length changes, and nothing is padded."""

    def __init__(self, interpreter, signatures):
        (signature,) = signatures.values()
        if "padding_mask" in signature.inputs:
            raise ValueError("a signature of dynamic length has an input for a padding mask")
        self._interpreter = interpreter
        self._token_ids = signature.inputs["token_ids"]
        self._segment_ids = signature.inputs.get("segment_ids")
        self._inputs = list(signature.inputs.values())
        self._outputs = signature.outputs
        self._resize(1)  # finds unknown operations now, not at the first text

    def _resize(self, length):
        self._length = 0  # should the next lines fail, the next call starts over
        for index in self._inputs:
            self._interpreter.resize_tensor_input(index, (1, length), strict=True)
        self._interpreter.allocate_tensors()
        self._length = length

    def __call__(self, token_ids, segment_ids):
        interpreter = self._interpreter
        length = len(token_ids)
        if length != self._length:
            self._resize(length)
        interpreter.set_tensor(self._token_ids, np.array([token_ids], np.int32))
        if self._segment_ids is not None:
            segments = np.zeros((1, length), np.int32) if segment_ids is None else np.array([segment_ids], np.int32)
            interpreter.set_tensor(self._segment_ids, segments)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in self._outputs.items()}


class _FixedLengths(_Call):
    """Signatures of fixed lengths: the smallest that fits, padded, with a mask that hides the padding."""

    def __init__(self, interpreter, signatures, manifest):
        self._pad_token_id = manifest.pad_token_id
        self._has_rows = manifest.task in ROW_TASKS
        self._signatures = []
        for key, length in sorted(manifest.signatures.items(), key=lambda item: item[1]):
            for role, shape in signatures[key].input_shapes.items():
                if shape != [1, length]:
                    raise ValueError(
                        f"the signature {key!r} has the input {role} {shape} where [1, {length}] was stated"
                    )
            runner = interpreter.get_signature_runner(key)
            roles = {name: INPUT_ROLES[name] for name in runner.get_input_details()}
            self._signatures.append((length, runner, roles))
        self([self._pad_token_id], None)  # finds unknown operations now, not at the first text

    def __call__(self, token_ids, segment_ids):
        used = len(token_ids)
        length, runner, roles = next(row for row in self._signatures if used <= row[0])
        values = {role: np.zeros((1, length), np.int32) for role in roles.values()}
        values["token_ids"][0, used:] = self._pad_token_id
        values["token_ids"][0, :used] = token_ids
        if "padding_mask" in values:
            values["padding_mask"][0, :used] = 1
        if segment_ids is not None and "segment_ids" in values:
            values["segment_ids"][0, :used] = segment_ids
        outputs = runner(**{name: values[role] for name, role in roles.items()})
        return {name: value[:, :used] for name, value in outputs.items()} if self._has_rows else outputs
