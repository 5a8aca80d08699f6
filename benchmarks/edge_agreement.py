"""The same texts through one classifier on many runtimes: labels that agree, and the largest difference of a score.

`record` runs where the device is and needs nothing but keras-bert-edge (`--with mediapipe`: mediapipe; `litert-js` and
`mediapipe-js`: Chromium, and `npm install @litertjs/core @mediapipe/tasks-text` in edge/web); it writes scores as JSON.
`compare` holds such files against the first one.

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


def for_mediapipe(text: str) -> str:
    """The text as an uncased BERT has it: MediaPipe itself drops no control characters and no accents."""
    import unicodedata

    control = ("Cc", "Cf", "Co", "Cs")
    kept = (c for c in text if c in "\t\n\r" or not (c == "\ufffd" or unicodedata.category(c) in control))
    bare = (c for c in unicodedata.normalize("NFD", "".join(kept)) if unicodedata.category(c) != "Mn")
    # One by one: the lower case of a whole string ends words in another sigma than BERT's.
    return "".join(c.lower() for c in bare)


def labels_of(model_path: Path) -> list[str]:
    """The labels in the file, in the order of its outputs."""
    import zipfile

    with zipfile.ZipFile(model_path) as archive:
        return archive.read("labels.txt").decode().splitlines()


def record_mediapipe(model_path: Path, texts: list[str]) -> dict[str, Any]:
    """Scores by MediaPipe's TextClassifier, in the order of the file's labels."""
    from mediapipe.tasks.python import text as tasks
    from mediapipe.tasks.python.core.base_options import BaseOptions

    labels = labels_of(model_path)
    options = tasks.TextClassifierOptions(base_options=BaseOptions(model_asset_path=str(model_path)))
    with tasks.TextClassifier.create_from_options(options) as classifier:
        scores = []
        for text in texts:
            categories = classifier.classify(for_mediapipe(text)).classifications[0].categories
            found = {category.category_name: category.score for category in categories}
            scores.append([found[label] for label in labels])
    return {"runtime": "mediapipe", "labels": labels, "scores": scores}


def record_browser(runtime: str, model_path: Path, texts: list[str]) -> dict[str, Any]:
    """Scores in headless Chromium: `litert-js` through the modules of edge/web, or `mediapipe-js`.

    Raises:
        SystemExit: Chromium is not installed, or the page failed; it says why.
    """
    import functools
    import http.server
    import queue
    import shutil
    import subprocess
    import tempfile
    import threading

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("error: Chromium is not installed")
    labels, here, results = labels_of(model_path), Path(__file__).parent, queue.Queue()
    asked = [for_mediapipe(text) for text in texts] if runtime == "mediapipe-js" else texts

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for path in (*(here.parent / "edge" / "web").iterdir(), here / "edge_browser.html"):
            (folder / path.name).symlink_to(path.resolve())
        (folder / "model.tflite").symlink_to(model_path.resolve())
        request = {"runtime": runtime, "texts": asked, "labels": labels}
        (folder / "texts.json").write_text(json.dumps(request), encoding="utf-8")
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            process = subprocess.Popen(
                [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
                 f"http://127.0.0.1:{server.server_port}/edge_browser.html"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                scores = results.get(timeout=600)
            except queue.Empty:
                raise SystemExit("error: the browser gave no result within 10 minutes") from None
            finally:
                process.terminate()
                process.wait()
                server.shutdown()
    if isinstance(scores, str):
        raise SystemExit(f"error: {scores}")
    return {"runtime": runtime, "labels": labels, "scores": scores}


def record(arguments: argparse.Namespace) -> int:
    """Write one JSON of scores."""
    lines = arguments.texts.read_text(encoding="utf-8").splitlines()
    texts = [line for line in lines if line.strip()][: arguments.count]
    if arguments.with_runtime in ("litert-js", "mediapipe-js"):
        scores = record_browser(arguments.with_runtime, arguments.model, texts)
    else:
        run = record_mediapipe if arguments.with_runtime == "mediapipe" else record_edge
        scores = run(arguments.model, texts)
    result = {"machine": platform.machine(), "model": arguments.model.name, **scores}
    arguments.output.write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(f"{arguments.output}: {len(texts)} texts, {result['runtime']} on {result['machine']}")
    return 0


def recorded(path: Path) -> dict[str, Any]:
    """What `record` wrote.

    Raises:
        SystemExit: it is missing, or no such file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SystemExit(f"error: {path}: {error.strerror}") from None
    except ValueError as error:
        raise SystemExit(f"error: {path} is not JSON: {error}") from None
    if not isinstance(found, dict) or not {"scores", "labels", "runtime", "machine", "model"} <= set(found):
        raise SystemExit(f"error: {path}: expected a file that `record` wrote")
    return found


def compare(arguments: argparse.Namespace) -> int:
    """Print a line a file; 1 where one differs by more than is allowed."""
    reference, *others = map(recorded, arguments.files)
    for path, other in zip(arguments.files[1:], others, strict=True):
        if len(other["scores"]) != len(reference["scores"]):
            came, expected = len(other["scores"]), len(reference["scores"])
            raise SystemExit(f"error: {path}: expected scores of {expected} texts, as in the first file, got {came}")
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
    runtimes = ("edge", "mediapipe", "litert-js", "mediapipe-js")
    recording.add_argument("--with", dest="with_runtime", choices=runtimes, default="edge")
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
