"""The reference that fine-tuning is held against: the same task with PyTorch `transformers`, no keras_bert anywhere.

Reads train.tsv, dev.tsv and test.tsv of a folder (a header line; the last column is the label, the one or two before it
are the texts), trains as `keras-bert finetune --learning-rate 5e-5` does (AdamW, weight decay 0.01 but for biases and
LayerNorm, 10% linear warmup then linear decay, 3 epochs, batch 32, gradient norm clipped to 1), keeps the epoch that is
best on dev, and prints the test accuracy of that epoch and of the last one, seed by seed.

Needs torch and transformers (benchmarks/requirements-reference.txt), best in an environment of their own.

Example:
    python benchmarks/finetune_reference.py path/to/checkpoint path/to/sentiment-mr --seeds 1 2 3 --json reference.json
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path

import torch
import transformers
from report import machine_facts, print_table, write_json

MAX_GRADIENT_NORM = 1.0
Examples = tuple[list[tuple[str, ...]], list[str]]


def read_table(path: Path, rows: int | None) -> Examples:
    """Return the texts (one or two a row) and labels of a TSV file with a header; at most `rows` of them."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    lines = lines[:rows]
    return [tuple(line[:-1]) for line in lines], [line[-1] for line in lines]


class Reference:
    """Trains one seed and scores it.

    Args:
        arguments: the command line's options.
        splits: `train`, `dev` and `test` examples.
    """

    def __init__(self, arguments: argparse.Namespace, splits: dict[str, Examples]) -> None:
        self.arguments, self.splits = arguments, splits
        self.labels = sorted(set(splits["train"][1]))
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.checkpoint)

    def batch(self, texts: list[tuple[str, ...]]) -> dict[str, torch.Tensor]:
        """Tokenise texts or pairs and pad them to the longest."""
        columns = [list(column) for column in zip(*texts, strict=True)]
        return self.tokenizer(
            *columns, truncation=True, max_length=self.arguments.max_length, padding=True, return_tensors="pt"
        )

    def accuracy(self, model: torch.nn.Module, split: str) -> float:
        """Share of a split's texts whose label the model finds."""
        texts, labels = self.splits[split]
        model.eval()
        right = 0
        with torch.no_grad():
            for start in range(0, len(texts), 64):
                found = model(**self.batch(texts[start : start + 64])).logits.argmax(-1).tolist()
                right += sum(
                    self.labels[i] == label for i, label in zip(found, labels[start : start + 64], strict=True)
                )
        return right / len(texts)

    def train(self, seed: int) -> dict[str, float]:
        """Fine-tune with one seed; return its dev and test accuracies and the seconds it took."""
        arguments = self.arguments
        torch.manual_seed(seed)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            arguments.checkpoint, num_labels=len(self.labels)
        )
        decayed = [p for name, p in model.named_parameters() if not name.endswith("bias") and "LayerNorm" not in name]
        others = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
        groups = [{"params": decayed, "weight_decay": arguments.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=arguments.learning_rate)
        texts, labels = self.splits["train"]
        steps = -(-len(texts) // arguments.batch_size) * arguments.epochs
        schedule = transformers.get_linear_schedule_with_warmup(optimizer, int(arguments.warmup * steps), steps)
        started, best_dev, best_test, last_test = time.perf_counter(), -1.0, 0.0, 0.0
        for epoch in range(arguments.epochs):
            model.train()
            order = torch.randperm(len(texts)).tolist()
            for start in range(0, len(order), arguments.batch_size):
                chosen = order[start : start + arguments.batch_size]
                targets = torch.tensor([self.labels.index(labels[i]) for i in chosen])
                loss = model(**self.batch([texts[i] for i in chosen]), labels=targets).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            dev, last_test = self.accuracy(model, "dev"), self.accuracy(model, "test")
            print(f"seed {seed} epoch {epoch + 1}: dev {dev:.4f}", flush=True)
            if dev > best_dev:
                best_dev, best_test = dev, last_test
        seconds = time.perf_counter() - started
        return {"seed": seed, "dev": best_dev, "test": best_test, "test_last_epoch": last_test, "seconds": seconds}


def main() -> None:
    """Train every seed, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a Hugging Face checkpoint directory")
    parser.add_argument("data", type=Path, help="folder with train.tsv, dev.tsv and test.tsv")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--warmup", type=float, default=0.1, help="share of the steps")
    parser.add_argument("--max-length", type=int, default=128, help="tokens a text")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("--rows", type=int, help="use only the first rows of each file (a trial run)")
    parser.add_argument("--json", type=Path, help="write the accuracies here")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    splits = {name: read_table(arguments.data / f"{name}.tsv", arguments.rows) for name in ("train", "dev", "test")}
    reference = Reference(arguments, splits)
    results = [reference.train(seed) for seed in arguments.seeds]
    columns = ("dev", "test", "test_last_epoch")
    rows = [[str(r["seed"]), *(f"{r[name]:.4f}" for name in columns), f"{r['seconds']:.0f}"] for r in results]
    rows.append(["mean", *(f"{statistics.mean(r[name] for r in results):.4f}" for name in columns), ""])
    print_table(f"transformers on {arguments.data.name}", ["seed", "dev", "test", "test, last epoch", "s"], rows)
    if arguments.json:
        facts = machine_facts(["torch", "transformers"])
        options = {name: value for name, value in vars(arguments).items() if name not in ("json", "data")}
        write_json(arguments.json, {"machine": facts, "options": options, "results": results})


if __name__ == "__main__":
    main()
