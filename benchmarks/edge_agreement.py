"""The same texts through one classifier on many runtimes: labels that agree, and the largest difference of a score.

`record` runs where the device is and needs nothing but keras-bert-edge (for `--with mediapipe`: mediapipe); it writes a
JSON of scores. `compare` holds such files against the first one. The page under edge/web writes the same JSON.

Example:
    python benchmarks/edge_agreement.py record model.tflite texts.txt -o x86.json
    python benchmarks/edge_agreement.py compare x86.json arm64.json --tolerance 0.02
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

LEAST_EQUAL = 0.995  # of the labels


def record_edge(model_path: Path, texts: list[str]) -> dict[str, Any]:
    """Scores by keras-bert-edge on whichever runtime is installed."""
    import keras_bert_edge

    model = keras_bert_edge.load(model_path, task="sequence_classification")
    scores = [list(model(text).scores.values()) for text in texts]
    return {"runtime": model.engine.runtime, "labels": model.labels, "scores": scores}


def record_mediapipe(model_path: Path, texts: list[str]) -> dict[str, Any]:
    """Scores by MediaPipe's TextClassifier, in the order of the file's labels."""
    import zipfile

    from mediapipe.tasks.python import text as tasks
    from mediapipe.tasks.python.core.base_options import BaseOptions

    with zipfile.ZipFile(model_path) as archive:
        labels = archive.read("labels.txt").decode().splitlines()
    options = tasks.TextClassifierOptions(base_options=BaseOptions(model_asset_path=str(model_path)))
    with tasks.TextClassifier.create_from_options(options) as classifier:
        scores = []
        for text in texts:
            found = {c.category_name: c.score for c in classifier.classify(text).classifications[0].categories}
            scores.append([found[label] for label in labels])
    return {"runtime": "mediapipe", "labels": labels, "scores": scores}


def record(arguments: argparse.Namespace) -> int:
    """Write one JSON of scores."""
    lines = arguments.texts.read_text(encoding="utf-8").splitlines()
    texts = [line for line in lines if line.strip()][: arguments.count]
    run = record_mediapipe if arguments.with_runtime == "mediapipe" else record_edge
    result = {"machine": platform.machine(), "model": arguments.model.name, **run(arguments.model, texts)}
    arguments.output.write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(f"{arguments.output}: {len(texts)} texts, {result['runtime']} on {result['machine']}")
    return 0


def compare(arguments: argparse.Namespace) -> int:
    """Print a line a file; 1 where one differs by more than is allowed."""
    reference, *others = (json.loads(path.read_text(encoding="utf-8")) for path in arguments.files)
    failed = False
    for path, other in zip(arguments.files[1:], others, strict=True):
        pairs = list(zip(reference["scores"], other["scores"], strict=True))
        equal = sum(a.index(max(a)) == b.index(max(b)) for a, b in pairs) / len(pairs)
        largest = max(abs(x - y) for a, b in pairs for x, y in zip(a, b, strict=True))
        good = reference["labels"] == other["labels"] and equal >= LEAST_EQUAL and largest <= arguments.tolerance
        failed |= not good
        name = f"{path.name} ({other['runtime']}, {other['machine']}, {other['model']})"
        print(
            f"{name}: {len(pairs)} texts, labels equal {equal:.1%}, largest difference {largest:.2g}"
            f" (allowed {arguments.tolerance:g}): {'met' if good else 'MISSED'}"
        )
    return int(failed)


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = parser.add_subparsers(required=True)
    recording = jobs.add_parser("record")
    recording.add_argument("model", type=Path)
    recording.add_argument("texts", type=Path, help="texts, one a line")
    recording.add_argument("-o", "--output", type=Path, required=True)
    recording.add_argument("--with", dest="with_runtime", choices=("edge", "mediapipe"), default="edge")
    recording.add_argument("--count", type=int, default=200)
    recording.set_defaults(run=record)
    comparing = jobs.add_parser("compare")
    comparing.add_argument("files", type=Path, nargs="+", help="the reference, then the others")
    comparing.add_argument("--tolerance", type=float, default=1e-4, help="largest difference (int8: 0.02)")
    comparing.set_defaults(run=compare)
    arguments = parser.parse_args()
    raise SystemExit(arguments.run(arguments))


if __name__ == "__main__":
    main()
