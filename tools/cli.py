"""The command `keras-bert JOB ...`: finds the job, runs it, turns errors a user can mend into one line."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from .quiet import quiet_imports

JOBS = {
    "pretrain": "train a model from raw text's shards, on one device, several machines or a TPU",
    "finetune": "train a checkpoint on labelled texts, entities or questions",
    "evaluate": "score a model, or an exported file, on labelled texts",
    "predict": "label texts, find entities, answer questions",
    "distill": "train a small model by what a large one says",
    "prune": "take out heads, units, layers, tokens and weights",
    "quantize": "write a file of fewer bits, after training for them where asked",
    "compress": "chain the tools until a target is met; one table, one picture",
    "export": "write a .tflite file that carries its tokenizer and labels, or a SavedModel",
    "benchmark": "size, cold start, latency and memory of exported files and their peers",
    "convert": "turn a Google TF1 or Hugging Face checkpoint into a Hugging Face one",
    "train-tokenizer": "learn a vocabulary from text",
    "prepare-data": "turn a corpus into shards of tokenised documents for pretraining",
    "demo": "fine-tune, export, run on the edge runner; one table",
}
# Jobs whose steps free as much memory as the next ones ask for.
HOLD_MEMORY = ("pretrain", "finetune", "evaluate", "predict", "distill", "prune", "quantize", "compress", "demo")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one job; return its exit status: 0, or 2 for an error the user can mend, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        from keras_bert import __version__

        print(f"keras-bert {__version__}")
        return 0
    if arguments[0] not in JOBS:
        print(f"error: no job {arguments[0]!r}; expected one of {', '.join(JOBS)}", file=sys.stderr)
        return 2
    return _run(arguments[0], arguments[1:])


def _overview() -> str:
    width = max(map(len, JOBS))
    jobs = "\n".join(f"  {name:<{width}}  {text}" for name, text in JOBS.items())
    return f"usage: keras-bert JOB ...\n\n{jobs}\n\nkeras-bert JOB --help shows a job's options and an example."


def _run(job: str, arguments: Sequence[str]) -> int:
    from keras_bert.errors import KerasBertError
    from keras_bert.memory import hold_memory

    if job in HOLD_MEMORY:
        hold_memory()
    with quiet_imports():
        module = importlib.import_module(f".{job.replace('-', '_')}", __package__)
    summary, _, example = (module.__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        f"keras-bert {job}",
        description=summary,
        epilog=example.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        return module.run(options) or 0
    except KerasBertError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has gone (`keras-bert predict ... | head`); the rest of the output has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
