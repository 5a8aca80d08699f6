"""The command `keras-bert-edge`: run, search, info, bench."""

import argparse
import json
import os
import sys

from .errors import EdgeError
from .streams import input_is_terminal, input_lines, open_output, quiet, silence_output
from .version import __version__

EXAMPLES = """examples:
  keras-bert-edge run model.tflite "a fine film"
  keras-bert-edge run model.tflite "A man sleeps." --pair "Somebody rests." --json
  keras-bert-edge run model.tflite < texts.txt            one text a line; a tab separates a pair
  keras-bert-edge run qa.tflite "Who wrote it?" --context "It was written by Mary Shelley."
  keras-bert-edge search embed.tflite "how do I get my money back?" --index faq.npz --texts faq.txt
  keras-bert-edge info model.tflite
  keras-bert-edge bench model.tflite --length 16 64 128 --threads 2
"""


def main(arguments=None):
    """Runs one command; returns the exit status: 0, 2 after a message on standard error, 130 or 141 after a signal."""
    args = _parser().parse_args(arguments)
    try:
        open_output()
        args.command(args)
        sys.stdout.flush()
        return 0
    except EdgeError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has gone
        silence_output()
        return 141
    except MemoryError:
        return _fail("there is too little memory for this text")
    except OSError as error:  # a full disk behind standard output, a standard input that cannot be read
        silence_output()
        return _fail(f"{error.filename or 'standard input or output'}: {error.strerror or error}")


def _fail(message):
    if sys.stderr is not None:
        print(f"error: {message}", file=sys.stderr)
    return 2


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-bert-edge",
        description="Answers from BERT models in .tflite files that `keras-bert export` wrote.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"keras-bert-edge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run", help="answer texts", description="Answers one text, or each line of standard input."
    )
    run.add_argument("model", metavar="MODEL", help="file that keras-bert export wrote")
    run.add_argument("text", metavar="TEXT", nargs="?", help="the text; without it, lines of standard input")
    run.add_argument("--pair", "--context", metavar="TEXT", help="second text of a pair, or the context of a question")
    run.add_argument("--json", action="store_true", help="one JSON object a line")
    run.add_argument("--threads", type=int, default=1, metavar="N", help="threads for one text (default 1)")
    run.add_argument("--top-k", type=int, metavar="N", help="masked_lm: tokens for each mask (default 5)")
    run.add_argument("--n-best", type=int, metavar="N", help="question_answering: answers to keep (default 20)")
    run.add_argument("--max-answer-length", type=int, metavar="N", help="question_answering: in tokens (default 30)")
    run.add_argument(
        "--null-threshold",
        type=float,
        metavar="X",
        help="question_answering: say (no answer) where its score exceeds the best answer's by more than X",
    )
    run.set_defaults(command=_run)

    find = commands.add_parser(
        "search",
        help="find similar texts",
        description="The texts most similar to a query. The corpus is embedded once, into the index file.",
    )
    find.add_argument("model", metavar="MODEL", help="an exported sentence_embedding model")
    find.add_argument("query", metavar="TEXT", nargs="?", help="the query; without it, lines of standard input")
    find.add_argument("--index", required=True, metavar="FILE", help="the index (.npz)")
    find.add_argument("--texts", metavar="FILE", help="texts, one a line: embed them and write the index first")
    find.add_argument("--top-k", type=int, default=5, metavar="N", help="texts to show (default 5)")
    find.add_argument("--json", action="store_true", help="one JSON array a query")
    find.add_argument("--threads", type=int, default=1, metavar="N", help="threads for one text (default 1)")
    find.add_argument("--workers", type=int, metavar="N", help="texts embedded side by side (default: one a processor)")
    find.set_defaults(command=_search)

    info = commands.add_parser("info", help="what a file holds", description="Verifies a file and shows what it holds.")
    info.add_argument("model", metavar="MODEL")
    info.add_argument("--json", action="store_true", help="one JSON object")
    info.set_defaults(command=_info)

    bench = commands.add_parser("bench", help="measure latency", description="Measures latency, cold start and memory.")
    bench.add_argument("model", metavar="MODEL")
    bench.add_argument("--length", type=int, nargs="+", metavar="N", help="tokens (default 16 32 64 128)")
    bench.add_argument("--threads", type=int, default=1, metavar="N", help="threads for one text (default 1)")
    bench.add_argument("--runs", type=int, default=200, metavar="N", help="timed calls for each length (default 200)")
    bench.add_argument("--profile", action="store_true", help="also the time by operator, for each length")
    bench.add_argument("--json", action="store_true", help="one JSON object")
    bench.set_defaults(command=_bench)
    return parser


def _run(args):
    from .model import load

    with quiet():
        model = load(args.model, threads=args.threads)
    names = ("top_k", "n_best", "max_answer_length", "null_threshold")
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.text is not None:
        _print(model, model(args.text, args.pair, **options), args.json)
        return
    if input_is_terminal():
        print("one text a line; Ctrl-D ends", file=sys.stderr)
    for number, text in enumerate(input_lines(), 1):
        pair = args.pair
        if pair is None and model.reads_pairs and "\t" in text:
            text, pair = text.split("\t", 1)
        try:
            result = model(text, pair, **options)
        except EdgeError as error:
            raise EdgeError(f"line {number}: {error}") from error
        _print(model, result, args.json)


def _search(args):
    from .model import load
    from .search import build_index, load_index, save_index, search

    with quiet():
        model = load(args.model, threads=args.threads, workers=args.workers, task="sentence_embedding")
    if args.texts is not None:
        index = build_index(model, _lines_of(args.texts))
        save_index(index, args.index)
        print(f"{args.index}: {len(index.texts)} texts", file=sys.stderr)
    else:
        index = load_index(args.index)
    for query in (args.query,) if args.query is not None else _queries(args):
        hits = search(model, index, query, args.top_k)
        if args.json:
            print(json.dumps(_plain(hits), ensure_ascii=False), flush=True)
            continue
        for hit in hits:
            print(f"{hit.similarity:.4f}\t{hit.number + 1}\t{' '.join(hit.text.split())}", flush=True)


def _queries(args):
    """Lines of standard input; none where only the index was asked for, at a terminal or without any input."""
    only_index = args.texts is not None and (sys.stdin is None or input_is_terminal())
    return () if only_index else input_lines()


def _lines_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as stream:
            return [line.rstrip("\r\n") for line in stream if line.strip()]
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}") from error


def _print(model, result, as_json):
    print(json.dumps(_plain(result), ensure_ascii=False) if as_json else model.describe(result), flush=True)


def _info(args):
    from .model import inspect

    manifest, members = inspect(args.model)
    facts = {name: value for name, value in manifest._asdict().items() if name != "known_answer"}
    facts["file_size"] = os.path.getsize(args.model)
    facts["tokenizer_size"] = len(members["tokenizer.json"])
    if args.json:
        print(json.dumps(facts))
        return
    lengths = manifest.signatures
    signatures = (
        "any length" if None in lengths.values() else ", ".join(f"{k} ({v} tokens)" for k, v in lengths.items())
    )
    shown = ", ".join(manifest.labels[:20])
    if len(manifest.labels) > 20:
        shown += f" and {len(manifest.labels) - 20} more"
    rows = [
        ("file", f"{args.model}, {facts['file_size']:,} bytes, digest verified"),
        ("task", manifest.task + (f" ({manifest.problem_type})" if manifest.problem_type else "")),
        ("family", manifest.family),
        ("labels", f"{len(manifest.labels)}: {shown}" if manifest.labels else "none"),
        ("longest text", f"{manifest.max_length} tokens, special tokens included"),
        ("signatures", signatures),
        ("profile", manifest.profile),
        ("recipe", manifest.recipe),
        ("model", f"{manifest.model_size:,} bytes"),
        ("tokenizer", f"{facts['tokenizer_size']:,} bytes"),
        ("made with", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ]
    for name, value in rows:
        print(f"{name:<13} {value}")


def _bench(args):
    from . import bench

    with quiet():
        report = bench.measure(args.model, args.length, args.threads, args.runs, with_profile=args.profile)
    print(json.dumps(report) if args.json else bench.table(report))


def _plain(value):
    """Named tuples as dicts and arrays as lists, all the way down."""
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
