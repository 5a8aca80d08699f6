"""Masked top-1 accuracy of a pretrained masked language model: each token of a text masked in turn and predicted.

With --reference, a Python that has `transformers` and torch computes the same rows and the largest difference of the
logits is held against the tolerance: a really pretrained network, not random weights. The default text is the heavy
chain variable domain of adalimumab, a human antibody, for models of amino-acid letters (Sapiens).

Example:
    python benchmarks/masked_top1.py path/to/sapiens-roberta-vh --reference path/to/reference/bin/python
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from report import print_table, write_json

import keras_bert as kb

ADALIMUMAB = (
    "EVQLVESGGGLVQPGRSLRLSCAASGFTFDDYAMHWVRQAPGKGLEWVSAITWNSGHIDYADSVEGRFTISRDNAKNSLYLQMNSLRAEDTAVYYCAK"
    "VSYLSTASSLDYWGQGTLVTVSS"
)
TOLERANCE = 2e-5

REFERENCE = """
import sys
import numpy, torch, transformers
model = transformers.AutoModelForMaskedLM.from_pretrained(sys.argv[1]).eval()
ids = torch.from_numpy(numpy.load(sys.argv[2])).long()
with torch.no_grad():
    numpy.save(sys.argv[3], model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.numpy())
"""


def masked_rows(token_ids: np.ndarray, special: np.ndarray, mask_id: int) -> tuple[np.ndarray, np.ndarray]:
    """int32 `[positions, length]`: the text once for each ordinary token, that token masked; and the positions."""
    positions = np.flatnonzero(~special)
    rows = np.repeat(token_ids[None], len(positions), axis=0)
    rows[np.arange(len(positions)), positions] = mask_id
    return rows, positions


def reference_logits(python: str, directory: Path, rows: np.ndarray) -> np.ndarray:
    """What `transformers` computes for `rows` in another Python: float32 `[positions, length, vocab_size]`."""
    with tempfile.TemporaryDirectory() as folder:
        ids, logits = Path(folder, "ids.npy"), Path(folder, "logits.npy")
        np.save(ids, rows)
        command = [python, "-c", REFERENCE, str(directory), str(ids), str(logits)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise SystemExit(f"error: the reference failed:\n{result.stderr[-2000:]}")
        return np.load(logits)


def main() -> int:
    """Print the accuracy and, where asked for, the difference; exit status 1 when it exceeds the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="checkpoint of a masked language model")
    parser.add_argument("--text", default=ADALIMUMAB, help="default: a human antibody's heavy chain")
    parser.add_argument("--reference", metavar="PYTHON", help="a Python with transformers and torch")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()

    model = kb.MaskedLanguageModel.from_pretrained(arguments.directory)
    encoding = model.tokenizer.encode(arguments.text)
    ids = np.array(encoding.token_ids, "int32")
    rows, positions = masked_rows(ids, np.array(encoding.special_tokens_mask, bool), model.tokenizer.mask_id)
    logits = np.asarray(model.predict({"token_ids": rows, "padding_mask": np.ones_like(rows)}, verbose=0))
    right = logits[np.arange(len(positions)), positions].argmax(-1) == ids[positions]
    figures = {"tokens": len(positions), "masked top-1": float(right.mean())}
    if arguments.reference:
        expected = reference_logits(arguments.reference, arguments.directory, rows)
        theirs = expected[np.arange(len(positions)), positions].argmax(-1) == ids[positions]
        figures["reference's masked top-1"] = float(theirs.mean())
        figures["largest |difference| of logits"] = float(np.abs(logits - expected).max())
    print_table(str(arguments.directory), ["", "value"], [[name, f"{value:.4g}"] for name, value in figures.items()])
    if arguments.json:
        write_json(arguments.json, figures)
    return int(figures.get("largest |difference| of logits", 0) > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
