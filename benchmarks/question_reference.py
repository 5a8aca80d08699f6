"""The reference that question answering is held against: the same training with PyTorch `transformers`, no keras_bert.

Reads train.json and test.json (SQuAD 1.1) of a folder and trains as `keras-bert finetune --task question_answering`
does by default: windows of 384 tokens with stride 128, AdamW, weight decay 0.01 but for biases and LayerNorm, 10%
linear warmup then linear decay, gradient norm clipped to 1, batches of like length. Prints EM and F1 on test after the
last epoch, scored by the definition of the official script: answers of up to 30 tokens, the best sum of start and end
logits of all windows.

Needs torch and transformers (benchmarks/requirements-reference.txt), best in an environment of their own.

Example:
    python benchmarks/question_reference.py path/to/checkpoint path/to/qa-new-wiki --seeds 0 1 2 --json reference.json
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import statistics
import string
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from report import machine_facts, print_table, write_json

LONGEST_ANSWER = 30


def read(path: Path, rows: int | None) -> list[dict[str, Any]]:
    """Questions with context and answers; at most `rows` of them."""
    data = json.loads(path.read_text("utf-8"))["data"]
    found = [
        {"question": q["question"], "context": paragraph["context"], "answers": q["answers"]}
        for article in data
        for paragraph in article["paragraphs"]
        for q in paragraph["qas"]
    ]
    return found[:rows]


def normalize(text: str) -> str:
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def score(prediction: str, answers: list[str]) -> tuple[float, float]:
    """Exact match and F1, the best over the answers."""
    pairs = [(normalize(prediction), normalize(answer)) for answer in answers]
    exact = max(float(a == b) for a, b in pairs)
    f1 = 0.0
    for a, b in pairs:
        common = sum((collections.Counter(a.split()) & collections.Counter(b.split())).values())
        if common:
            f1 = max(f1, 2 * common / (len(a.split()) + len(b.split())))
    return exact, f1


def like_lengths(lengths: list[int], size: int) -> list[list[int]]:
    """An epoch's batches, drawn at random, of windows of like length, as `group_by_length` of transformers makes them:
    sorted by length within blocks of 50 batches, the batches in random order."""
    order = torch.randperm(len(lengths)).tolist()
    blocks = [sorted(order[i : i + 50 * size], key=lengths.__getitem__) for i in range(0, len(order), 50 * size)]
    batches = [block[i : i + size] for block in blocks for i in range(0, len(block), size)]
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]


class Reference:
    """Trains one seed and scores it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(options.checkpoint)
        self.train_set, self.test_set = (read(options.data / f"{n}.json", options.rows) for n in ("train", "test"))

    def windows(self, items: list[dict[str, Any]]) -> Any:
        """Questions and contexts in windows, with offsets and the item of each."""
        return self.tokenizer(
            [item["question"].strip() for item in items],
            [item["context"] for item in items],
            truncation="only_second",
            max_length=self.options.max_length,
            stride=self.options.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )

    def targets(self, encoded: Any) -> list[tuple[int, int]]:
        """First and last token of the first answer in each window; the classification token where it is not whole."""
        found = []
        for index, owner in enumerate(encoded["overflow_to_sample_mapping"]):
            answer = self.train_set[owner]["answers"][0]
            start, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
            sides, offsets = encoded.sequence_ids(index), encoded["offset_mapping"][index]
            rows = [i for i, side in enumerate(sides) if side == 1]
            if offsets[rows[0]][0] > start or offsets[rows[-1]][1] < end:
                found.append((0, 0))
                continue
            inside = [i for i in rows if offsets[i][0] < end and offsets[i][1] > start]
            found.append((inside[0], inside[-1]) if inside else (0, 0))
        return found

    def autocast(self) -> Any:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.options.precision == "bfloat16")

    def batch(self, encoded: Any, rows: list[int]) -> dict[str, torch.Tensor]:
        names = [n for n in ("input_ids", "attention_mask", "token_type_ids") if n in encoded]
        return dict(self.tokenizer.pad({n: [encoded[n][i] for i in rows] for n in names}, return_tensors="pt"))

    def train(self, seed: int) -> dict[str, float]:
        """Fine-tune with one seed; EM and F1 on test in percent, and the seconds it took."""
        options = self.options
        torch.manual_seed(seed)
        model = transformers.AutoModelForQuestionAnswering.from_pretrained(options.checkpoint)
        plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
        decayed = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=options.learning_rate)
        encoded = self.windows(self.train_set)
        targets = self.targets(encoded)
        steps = -(-len(targets) // options.batch_size) * options.epochs
        schedule = transformers.get_linear_schedule_with_warmup(optimizer, int(0.1 * steps), steps)
        started = time.perf_counter()
        for _ in range(options.epochs):
            model.train()
            for rows in like_lengths([len(ids) for ids in encoded["input_ids"]], options.batch_size):
                ends = torch.tensor([targets[i] for i in rows])
                inputs = self.batch(encoded, rows)
                with self.autocast():
                    loss = model(**inputs, start_positions=ends[:, 0], end_positions=ends[:, 1]).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
        exact, f1 = self.scores(model)
        return {"seed": seed, "exact_match": exact, "f1": f1, "seconds": time.perf_counter() - started}

    def scores(self, model: torch.nn.Module) -> tuple[float, float]:
        model.eval()
        encoded = self.windows(self.test_set)
        best = [(-float("inf"), "")] * len(self.test_set)
        owners = encoded["overflow_to_sample_mapping"]
        for first in range(0, len(owners), 32):
            rows = list(range(first, min(first + 32, len(owners))))
            with torch.no_grad(), self.autocast():
                outputs = model(**self.batch(encoded, rows))
            for row, starts, ends in zip(rows, outputs.start_logits.float(), outputs.end_logits.float(), strict=True):
                held = torch.tensor([side == 1 for side in encoded.sequence_ids(row)])
                size = len(held)
                sums = torch.where(held, starts[:size], -1e9)[:, None] + torch.where(held, ends[:size], -1e9)[None]
                allowed = torch.ones(size, size).triu() - torch.ones(size, size).triu(LONGEST_ANSWER)
                value, place = (sums - 1e10 * (1 - allowed)).flatten().max(0)
                if float(value) > best[owners[row]][0]:
                    offsets = encoded["offset_mapping"][row]
                    begin, end = offsets[int(place) // size][0], offsets[int(place) % size][1]
                    best[owners[row]] = (float(value), self.test_set[owners[row]]["context"][begin:end])
        found = [
            score(text, [answer["text"] for answer in item["answers"]])
            for (_, text), item in zip(best, self.test_set, strict=True)
        ]
        return tuple(100 * statistics.fmean(values) for values in zip(*found, strict=True))  # type: ignore[return-value]


def main() -> None:
    """Train every seed, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a Hugging Face checkpoint directory")
    parser.add_argument("data", type=Path, help="folder with train.json and test.json")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="default: keras-bert's at a width of 384")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="bfloat16: by autocast")
    parser.add_argument("--max-length", type=int, default=384)
    parser.add_argument("--stride", type=int, default=128)
    parser.add_argument("--rows", type=int, help="use only the first questions of each file (a trial run)")
    parser.add_argument("--json", type=Path, help="write the scores here")
    options = parser.parse_args()
    reference = Reference(options)
    results = [reference.train(seed) for seed in options.seeds]
    rows = [[str(r["seed"]), *(f"{r[n]:.2f}" for n in ("exact_match", "f1")), f"{r['seconds']:.0f}"] for r in results]
    means = [f"{statistics.fmean(r[n] for r in results):.2f}" for n in ("exact_match", "f1")]
    print_table(f"transformers on {options.data.name}", ["seed", "EM", "F1", "s"], [*rows, ["mean", *means, ""]])
    if options.json:
        shown = {n: str(v) for n, v in vars(options).items()}
        facts = machine_facts(["torch", "transformers"])
        write_json(options.json, {"machine": facts, "options": shown, "results": results})


if __name__ == "__main__":
    main()
