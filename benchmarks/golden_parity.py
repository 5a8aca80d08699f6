"""Hold keras_bert against golden checkpoints: largest difference of every output, on the Keras backend in force.

The folder holds one folder a checkpoint, at any depth: config.json, model.safetensors and golden.npz with the inputs
and what the reference implementation computed (tests/goldens/make.py tells its arrays). Differences count where the
attention mask is 1. Exit status 1 when one exceeds the tolerance.

Example:
    KERAS_BACKEND=jax python benchmarks/golden_parity.py tests/goldens --family bert
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from report import print_table, write_json

import keras_bert as kb

# What `transformers` calls an output -> task model and the name of the same output there (None: the only one).
OUTPUTS: dict[str, tuple[Any, dict[str, str | None]]] = {
    "ForMaskedLM": (kb.MaskedLanguageModel, {"logits": None}),
    "ForPreTraining": (
        kb.PretrainingModel,
        {
            "prediction_logits": "mlm_logits",
            "seq_relationship_logits": "sentence_logits",
            "sop_logits": "sentence_logits",
        },
    ),
    "ForSequenceClassification": (kb.SequenceClassifier, {"logits": None}),
    "ForTokenClassification": (kb.TokenClassifier, {"logits": None}),
    "ForQuestionAnswering": (
        kb.QuestionAnswerer,
        {"start_logits": "start_logits", "end_logits": "end_logits"},
    ),
}


def masked_difference(got: np.ndarray, expected: np.ndarray, mask: np.ndarray) -> float:
    """Largest |got - expected| of [batch, ...] arrays, over real tokens where the second axis is the tokens."""
    if got.shape != expected.shape:
        raise SystemExit(f"error: got an output of shape {got.shape}, the golden one has {expected.shape}")
    difference = np.abs(got.astype(np.float64) - expected)
    if difference.shape[:2] == mask.shape:
        difference = difference[mask == 1]
    return float(difference.max())


def compare(directory: Path) -> dict[str, float]:
    """Load one checkpoint and return output name -> largest difference."""
    golden = np.load(directory / "golden.npz")
    mask = golden["attention_mask"]
    architecture = json.loads((directory / "config.json").read_text())["architectures"][0]
    task = next((entry for suffix, entry in OUTPUTS.items() if architecture.endswith(suffix)), None)
    model = (task[0] if task else kb.Encoder).from_pretrained(directory)
    encoder = model.encoder if task else model

    features = {"token_ids": golden["input_ids"], "padding_mask": mask}
    if encoder.config.uses_segments:
        features["segment_ids"] = golden["token_type_ids"]
    features = {name: value.astype(np.int32) for name, value in features.items()}

    differences = {}
    hidden_states = keras.Model(encoder.input, list(encoder.hidden_states)).predict_on_batch(features)
    # The reference keeps the output of every inner layer of an ALBERT group, we keep that of the group.
    expected_states = golden["hidden_states"]
    if len(expected_states) != len(hidden_states):
        expected_states = expected_states[:: encoder.config.layers_per_group]
    if len(expected_states) != len(hidden_states):
        raise SystemExit(f"error: {directory}: {len(hidden_states)} hidden states, expected {len(expected_states)}")
    differences["hidden_states"] = max(
        masked_difference(np.asarray(got), expected, mask)
        for got, expected in zip(hidden_states, expected_states, strict=True)
    )
    if "pooler_output" in golden and encoder.pooler is not None:
        pooled = encoder.predict_on_batch(features)["pooled_output"]
        differences["pooler_output"] = masked_difference(pooled, golden["pooler_output"], mask)
    if task is not None:
        outputs = model.predict_on_batch(features)
        for name, ours in task[1].items():
            if name in golden:
                got = outputs if ours is None else outputs[ours]
                differences[name] = masked_difference(np.asarray(got), golden[name], mask)
    return differences


def main() -> int:
    """Compare every checkpoint below the folder and print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="folder of golden checkpoints")
    parser.add_argument("--family", default="", help="only checkpoints whose path contains this")
    parser.add_argument("--tolerance", type=float, default=2e-5, help="largest difference allowed (default 2e-5)")
    parser.add_argument("--json", type=Path, help="write the differences here")
    arguments = parser.parse_args()

    found = sorted(path.parent for path in arguments.directory.rglob("golden.npz"))
    found = [path for path in found if arguments.family in str(path.relative_to(arguments.directory))]
    if not found:
        print(f"error: no golden.npz below {arguments.directory}", file=sys.stderr)
        return 2
    results = {str(path.relative_to(arguments.directory)): compare(path) for path in found}
    rows = [
        [checkpoint, name, f"{value:.1e}", "ok" if value <= arguments.tolerance else "TOO FAR"]
        for checkpoint, differences in results.items()
        for name, value in differences.items()
    ]
    print_table(f"largest |difference|, {keras.backend.backend()} backend", ["checkpoint", "output", "max", ""], rows)
    worst = max(value for differences in results.values() for value in differences.values())
    print(f"{len(results)} checkpoints, {len(rows)} outputs, worst {worst:.2e}, tolerance {arguments.tolerance:.0e}")
    if arguments.json:
        write_json(arguments.json, {"backend": keras.backend.backend(), "differences": results})
    return 0 if worst <= arguments.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
