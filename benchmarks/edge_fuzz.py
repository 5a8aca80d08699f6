"""Corrupted files and random strings through keras-bert-edge: what must be refused is, and nothing else happens.

Of each model file given, corrupted copies (cut short, bits flipped, parts of another file or of itself spliced in, zip
tricks with a digest made right again) are opened in processes of their own. Each must be refused with an EdgeError, or,
where the trick left all that is read as it was, be opened and answer; a crash, a hang, another exception or a file
outside the temporary folder is a failure. Then random strings are answered: no exception, no answer outside the labels.

The digest finds damage, not forgery: the FlatBuffer of a resealed file is left as it was (edge/README.md says why).

Example:
    python benchmarks/edge_fuzz.py model.tflite --files 10000 --strings 200000 --json fuzz.json
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import keras_bert_edge
from report import machine_facts, write_json

COMMENT = b"keras-bert sha256:"
BATCH = 250
SECONDS_A_FILE = 20  # a file that takes longer hangs
RANGES = ((0, 127), (0, 0x2FF), (0x300, 0x36F), (0x4E00, 0x4FFF), (0xD7F0, 0xE00F), (0x1F600, 0x1F64F), (0, 0x10FFFF))
SPECIAL = ("[MASK]", "[CLS]", "[SEP]", "<mask>", "\x00", "\r\n", "\u200d", "\ufeff", "a\u0301", " ", "##", "\u202e")

# Opens the files named on standard input, one a line, and says of each how it went.
OPENER = """
import sys, keras_bert_edge
for line in sys.stdin:
    path = line.rstrip("\\n")
    try:
        model = keras_bert_edge.load(path)
        model("a", "b") if model.reads_pairs else None
        print("opened", flush=True)
    except keras_bert_edge.EdgeError as error:
        print("refused", repr(str(error))[:150], flush=True)
"""


def seal(head: bytes) -> bytes:
    """`head` with a digest that is right for it."""
    return head + COMMENT + hashlib.sha256(head).hexdigest().encode()


def corrupted(whole: bytes, other: bytes, draw: random.Random) -> tuple[str, bytes]:
    """One corrupted copy of `whole`: the name of what was done, and the bytes."""
    kind = draw.choice(("truncated", "flipped", "spliced", "appended", "zip", "member"))
    size = len(whole)
    if kind == "truncated":
        return kind, whole[: draw.choice((draw.randrange(size), size - draw.randrange(1, 400)))]
    if kind == "flipped":
        content = bytearray(whole)
        for _ in range(draw.randrange(1, 5)):
            content[draw.choice((draw.randrange(size), size - draw.randrange(1, 400)))] ^= 1 << draw.randrange(8)
        return kind, bytes(content) if bytes(content) != whole else whole[:-1]
    if kind == "spliced":
        at, length = draw.randrange(size), draw.randrange(1, 5000)
        start = draw.randrange(len(other))
        content = whole[:at] + other[start : start + length] + whole[at + draw.choice((0, length)) :]
        return kind, content if content != whole else whole[1:]
    if kind == "appended":
        return kind, whole + draw.choice((b"\0", whole[-100:], other, b"PK\5\6" + bytes(18)))
    head = bytearray(whole[: -len(COMMENT) - 64])
    (directory_at,) = struct.unpack_from("<L", head, len(head) - 6)
    if kind == "member":  # bytes of a member, its checksum left as it was
        first = bytes(head).index(b"PK\3\4", 0) if b"PK\3\4" in head else directory_at
        for _ in range(draw.randrange(1, 4)):
            head[draw.randrange(first, directory_at)] ^= 1 << draw.randrange(8)
    else:  # fields of the directory and the end record: sizes, offsets, counts, names, flags
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(directory_at, len(head))
            head[at] = draw.choice((0, 1, 0x2F, 0x2E, 0x7F, 0xFF, draw.randrange(256)))
    return kind, seal(bytes(head))


def fuzz_files(paths: list[Path], count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Opens `count` corrupted copies; the counts of what happened and every failure."""
    draw = random.Random(seed)
    contents = [path.read_bytes() for path in paths]
    outcomes: collections.Counter[str] = collections.Counter()
    messages: collections.Counter[str] = collections.Counter()
    failures = []
    target = folder / "file.tflite"
    environment = {**os.environ, "TMPDIR": str(folder), "HOME": str(folder)}
    began = time.perf_counter()
    for start in range(0, count, BATCH):
        process = subprocess.Popen(
            [sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=environment, cwd=folder,
        )  # fmt: skip
        assert process.stdin
        assert process.stdout
        for number in range(start, min(start + BATCH, count)):
            kind, content = corrupted(draw.choice(contents), draw.choice(contents), draw)
            target.write_bytes(content)
            process.stdin.write(f"{target}\n")
            process.stdin.flush()
            began_file = time.perf_counter()
            hanging = threading.Timer(SECONDS_A_FILE, process.kill)
            hanging.start()
            answer = process.stdout.readline().strip()
            hanging.cancel()
            seconds = time.perf_counter() - began_file
            outcome = answer.partition(" ")[0] or ("hung" if seconds > SECONDS_A_FILE else "crashed")
            outcomes[f"{kind}: {outcome}"] += 1
            messages[answer.partition(" ")[2].replace(str(target), "FILE")[:60]] += outcome == "refused"
            must_refuse = kind in ("truncated", "flipped", "spliced", "appended")
            if outcome in ("crashed", "hung") or (must_refuse and outcome != "refused"):
                kept = folder.parent / f"failure_{number}.tflite"
                kept.write_bytes(content)
                failures.append({"number": number, "kind": kind, "outcome": outcome, "seconds": seconds})
                if outcome in ("crashed", "hung"):
                    break
        process.stdin.close()
        process.wait(SECONDS_A_FILE)
        left = sorted(path.name for path in folder.rglob("*") if path != target)
        if left:
            failures.append({"number": start, "kind": "files were written", "outcome": ", ".join(left[:5])})
    return {
        "files": sum(outcomes.values()),
        "outcomes": dict(sorted(outcomes.items())),
        "different_messages": len(messages),
        "failures": failures,
        "seconds": round(time.perf_counter() - began, 1),
    }


def random_string(draw: random.Random) -> str:
    """Characters from everywhere: controls, accents, CJK, emoji, halves of surrogate pairs, special tokens."""
    text = "".join(chr(draw.randint(*draw.choice(RANGES))) for _ in range(draw.randrange(24)))
    return draw.choice((text, text + draw.choice(SPECIAL), draw.choice(SPECIAL) + text, f"{text} " * draw.randrange(9)))


def fuzz_strings(paths: list[Path], count: int, seed: int) -> dict[str, Any]:
    """Answers `count` random strings, the models in turn; every failure."""
    draw = random.Random(seed)
    models = [keras_bert_edge.load(path) for path in paths]
    failures: list[dict[str, str]] = []
    began = time.perf_counter()
    for number in range(count):
        model, text, second = models[number % len(models)], random_string(draw), random_string(draw)
        try:
            if not is_sound(model, text, second):
                failures.append({"text": ascii(text), "second": ascii(second), "what": "an unsound answer"})
        except Exception as error:
            failures.append({"text": ascii(text), "second": ascii(second), "what": repr(error)[:200]})
    seconds = time.perf_counter() - began
    return {"strings": count, "failures": failures[:20], "failed": len(failures), "seconds": round(seconds, 1)}


def is_sound(model: Any, text: str, second: str) -> bool:
    """Whether the answer is one of the model's labels, or a slice of the text."""
    if model.task == "sequence_classification":
        result = model(text, second if len(second) % 2 else None)
        labels = getattr(result, "labels", None) or [getattr(result, "label", None)]
        return set(labels) <= {None, *model.labels}
    if model.task == "token_classification":
        entities = model(text).entities
        kinds = {label[2:] for label in model.labels}
        return all(text[e.start : e.end] == e.text and e.label in kinds for e in entities)
    if model.task == "question_answering":
        result = model(text, second)
        return second[result.start : result.end] == result.answer
    if model.task == "masked_lm":
        mask = "[MASK]" if model.tokenizer.backend.token_to_id("[MASK]") is not None else "<mask>"
        return len(model(f"{mask} {text}", top_k=1).fills) >= 1
    return bool(abs(float(model(text).vector.sum())) < 1e9)


def main() -> None:
    """Runs both, prints and writes the counts; exit status 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="exported .tflite files, small ones")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--strings", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "folder"
        folder.mkdir()
        files = fuzz_files(arguments.models, arguments.files, arguments.seed, folder)
    print(json.dumps(files, indent=1))
    strings = fuzz_strings(arguments.models, arguments.strings, arguments.seed)
    print(json.dumps(strings, indent=1))
    if arguments.json:
        facts = machine_facts(("ai-edge-litert", "tflite-runtime", "tokenizers", "numpy"))
        write_json(arguments.json, {"machine": facts, "files": files, "strings": strings})
    raise SystemExit(1 if files["failures"] or strings["failed"] else 0)


if __name__ == "__main__":
    main()
