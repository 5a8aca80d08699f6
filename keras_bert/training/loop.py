"""The steps of a pretraining run, to the Hugging Face checkpoint at its end; it can stop and go on at any time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..data.pipeline import AHEAD
from ..errors import TrainingError
from .batches import HeldOut, TrainingBatches
from .monitor import Monitor, Records
from .objectives import LOSSES, SUMS
from .run import Run
from .run_config import RunConfig
from .signals import StopSignals
from .state import Progress, read_evaluation, save_state
from .step import RESULTS
from .strategies import named_worker_errors


def train(run: Run, *, stop_at: int | None = None, listener: Monitor | None = None) -> dict[str, Any]:
    """Take the steps that are left, then write the model to the work dir.

    SIGTERM and SIGINT end it after the steps at hand, with a checkpoint, as KeyboardInterrupt; all workers do so where
    one gets the signal.

    Args:
        stop_at: stop after this many steps, with a checkpoint, though the configuration has more.
        listener: told what happens.

    Returns:
        Steps, tokens, seconds, the last record and the last evaluation.

    Raises:
        TrainingError: the loss is not finite; the last checkpoint is from before it.
        KerasBertError: a checkpoint or a record cannot be written; the checkpoint before is whole.
    """
    config, progress, chief = run.config, run.progress, run.distribution.is_chief
    total = config.training.steps
    last = min(total, stop_at or total)
    records = Records(run.work_dir, config.logging.tensorboard, listener or Monitor(), write=chief)
    latest: dict[str, Any] = {}
    records.begin(progress.step, last)
    try:
        with StopSignals() as stop, named_worker_errors(run.distribution.num_workers):
            # While the device computes a call, the batches of the next are made.
            ahead = max(AHEAD, config.training.steps_per_call)
            source = TrainingBatches(
                run.data, config.training.batch_size, run.lanes, progress.positions, run.distribution, ahead
            )
            stopping = False
            while progress.step < last and not stopping:
                started = time.monotonic()
                count = _steps_until_boundary(config, progress.step, last)
                batches = [source.read() for _ in range(count)]
                for number, batch in enumerate(batches, progress.step + 1):
                    records.batch(number, batch["example_ids"])
                results = run.step.run(batches, progress.step)
                _check_finite(run, results, batches)
                _advance(progress, results, time.monotonic() - started)
                records.advanced(progress.step)
                stopping = run.distribution.any_worker(stop.asked)
                if _due(progress.step, config.logging.every, total):
                    latest = _record(run, results[-1])
                    records.trained(latest)
                progress.evaluation = None
                if run.held_out and _due(progress.step, config.evaluation.every, total):
                    progress.evaluation = evaluate(run, run.held_out)
                    records.evaluated({"step": progress.step, **progress.evaluation})
                if stopping or _due(progress.step, config.checkpoint.every, last):
                    _save(run, batches[-1], records)
            if stopping:
                raise KeyboardInterrupt
    finally:
        records.end()
    if progress.step >= total and chief:
        run.model.save_pretrained(run.work_dir.path)
    return {
        "step": progress.step,
        "steps": total,
        "tokens": progress.tokens,
        "skipped_steps": progress.skipped,
        "seconds": round(progress.seconds, 1),
        "last": latest,
        "evaluation": progress.evaluation,
    }


def evaluate(run: Run, held_out: HeldOut) -> dict[str, float]:
    """Losses, accuracies and perplexity on the first batches of the held-out shards, without dropout."""
    sums = np.zeros(len(SUMS))
    for batch in held_out.batches():
        sums += run.step.evaluate(batch)
    return run.step.objective.evaluation_metrics(sums)


def _steps_until_boundary(config: RunConfig, step: int, last: int) -> int:
    """Steps of the next call: never across a record, an evaluation, a checkpoint or the end."""
    periods = (config.logging.every, config.evaluation.every, config.checkpoint.every)
    ends = [last, *((step // period + 1) * period for period in periods)]
    return min(config.training.steps_per_call, *(end - step for end in ends))


def _due(step: int, every: int, last: int) -> bool:
    """Whether something is done after `step`: every so many steps, and after the last."""
    return step % every == 0 or step == last


def _advance(progress: Progress, results: np.ndarray, seconds: float) -> None:
    """Count steps that took `seconds`; the sums of those that float16 skipped may be infinite, and are left out."""
    skipped = results[:, RESULTS.index("skipped")] > 0
    progress.step += len(results)
    progress.skipped += int(skipped.sum())
    progress.tokens += float(results[:, SUMS.index("tokens")].sum(dtype=np.float64))
    progress.seconds += seconds
    sums = results[~skipped, : len(SUMS)].sum(axis=0, dtype=np.float64)
    progress.pending = (np.asarray(progress.pending or np.zeros(len(SUMS))) + sums).tolist()
    progress.pending_steps += int((~skipped).sum())
    progress.pending_seconds += seconds


def _record(run: Run, last: np.ndarray) -> dict[str, float]:
    """The record of the steps since the last one; without losses where float16 skipped all of them, without the norm of
    the last one's gradient where it skipped that."""
    progress = run.progress
    values = dict(zip(RESULTS, last.astype(np.float64).tolist(), strict=True))
    record: dict[str, float] = {"step": progress.step}
    if progress.pending_steps:
        record |= run.step.objective.training_metrics(np.asarray(progress.pending), progress.pending_steps)
    record["learning_rate"] = values["learning_rate"]
    if not values["skipped"]:
        record["gradient_norm"] = values["gradient_norm"]
    tokens = progress.pending[SUMS.index("tokens")]
    record |= {
        "loss_scale": values["loss_scale"],
        "skipped_steps": progress.skipped,
        "tokens": progress.tokens,
        "tokens_per_second": round(tokens / max(progress.pending_seconds, 1e-9), 1),
    }
    progress.pending, progress.pending_steps, progress.pending_seconds = [], 0, 0.0
    return record


def _check_finite(run: Run, results: np.ndarray, batches: list[dict[str, np.ndarray]]) -> None:
    """Stop at a loss or gradient that is not finite; float16 skips such steps until its scale is at the bottom.

    Raises:
        TrainingError: naming the step and the shards of its examples.
    """
    columns = [RESULTS.index(name) for name in (*LOSSES, "gradient_norm")]
    finite = np.isfinite(results[:, columns]).all(axis=1)
    if run.step.loss_scaling:
        finite |= results[:, RESULTS.index("loss_scale")] > 1.0
    if finite.all():
        return
    index = int(np.argmin(finite))
    *parts, norm = results[index, columns]
    loss = np.dot(run.step.objective.weights, parts)
    files = run.data.shard_files(batches[index]["example_ids"], run.lanes)
    saved = run.work_dir.saved()
    raise TrainingError(
        f"step {run.progress.step + index + 1}: the loss is {loss}, the norm of its gradient {norm}; the "
        f"examples came from {', '.join(files)}. "
        + (f"The last checkpoint is {saved[max(saved)]}" if saved else "There is no checkpoint yet")
        + "; lower the learning rate, or look at the data"
    )


def _save(run: Run, last_batch: dict[str, np.ndarray], records: Monitor) -> None:
    """A checkpoint of this step, by the chief; the others tell it where their lanes are."""
    distribution, progress = run.distribution, run.progress
    own = [list(position) for position in run.data.next_positions(last_batch["example_ids"])]
    positions = np.zeros((run.lanes, 3), np.int32)
    positions[distribution.worker * len(own) :][: len(own)] = own
    progress.positions = distribution.sum_over_workers(positions).tolist()
    if not distribution.is_chief:
        return
    path = run.work_dir.checkpoint_path(progress.step)
    save_state(path, run.model, run.step, progress)
    records.saved(progress.step, path)
    scores = {step: score for step, folder in run.work_dir.saved().items() if (score := read_evaluation(folder))}
    best = min(scores, key=lambda step: scores[step]) if scores and run.config.checkpoint.keep_best else None
    run.work_dir.prune(run.config.checkpoint.keep, best)
