"""Any configuration made small enough to run in a minute, and text to run it on."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from keras_bert.config import PRESETS
from keras_bert.data.preparation import PreparationSettings, prepare
from keras_bert.data.shards import MANIFEST
from keras_bert.errors import ConfigError
from keras_bert.files import atomic_write_text
from keras_bert.models import Encoder, MaskedLanguageModel
from keras_bert.tokenizers import Tokenizer
from keras_bert.tokenizers.training import train_tokenizer
from keras_bert.tokenizers.vocabulary import Kind
from keras_bert.training.strategies import Distribution

_KINDS: dict[str, Kind] = {"bert": "wordpiece", "distilbert": "wordpiece", "roberta": "bpe", "albert": "unigram"}
_VOCABULARY = 400
_TINY = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64, "max_positions": 64}
# Whose shape, made tiny, a teacher has, and a checkpoint to start from.
_TEACHER = "bert_mini_uncased"
_SENTENCES_A_DOCUMENT = 12
_EXAMPLES_A_REPLICA = 4


def shrink(values: Mapping[str, Any], distribution: Distribution) -> dict[str, Any]:
    """The sections of a configuration with a tiny model and six steps; what makes the run what it is (objective,
    masking, optimizer, accumulation, precision, strategy) stays.

    Args:
        distribution: where it will run; each replica gets four examples a step.

    Raises:
        ConfigError: no preset says what kind of model it is.
    """
    values = {name: dict(section) for name, section in values.items()}
    model = values.setdefault("model", {})
    distillation = values.setdefault("distillation", {})
    from_layers = distillation.get("layers", 0) > 0
    if model.get("init"):
        model["preset"] = model.get("preset") or _TEACHER
    preset = PRESETS[_TEACHER] if from_layers else PRESETS.get(model.get("preset", ""))
    if preset is None:
        raise ConfigError(f"--smoke needs model.preset, one of {', '.join(PRESETS)}; got {model.get('preset')!r}")
    encoder = dict(_TINY)
    if preset.embedding_size != preset.hidden_size:
        encoder["embedding_size"] = 16
    kept = {name: value for name, value in model.get("encoder", {}).items() if name.endswith("dropout")}
    if from_layers:  # the teacher has the shape
        values["model"] = {"encoder": kept}
        distillation["layers"] = 2
    else:
        start = {name: model[name] for name in ("preset", "positions") if name in model}
        values["model"] = {**start, "encoder": {**kept, **encoder}}
    training, optimizer = values.setdefault("training", {}), values.setdefault("optimizer", {})
    accumulates = 0 < training.get("micro_batch_size", 0) < training.get("batch_size", 0)
    batch_size = _EXAMPLES_A_REPLICA * distribution.num_replicas
    micro_batch_size = _EXAMPLES_A_REPLICA // 2 if accumulates else 0
    training.update(steps=6, batch_size=batch_size, micro_batch_size=micro_batch_size, steps_per_call=2)
    optimizer["warmup_steps"] = min(optimizer.get("warmup_steps", 0), 2)
    examples = values.setdefault("examples", {})
    examples.update(sequence_length=32, max_predictions=5)
    values.setdefault("data", {})["lanes"] = 2 * distribution.num_workers
    for name, section in (
        ("evaluation", {"every": 3, "batches": 2, "batch_size": 0}),
        ("checkpoint", {"every": 3}),
        ("logging", {"every": 1}),
    ):
        values[name] = {**values.get(name, {}), **section}
    return values


def make_smoke_data(values: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Shards for the preset's family from the demo's sentences, in `folder`, and a teacher where one is needed; those
    that are there already stay.

    Raises:
        ConfigError: several machines, which would all write it.
    """
    if values.get("distribution", {}).get("strategy") == "multi_worker":
        raise ConfigError("--smoke on several machines needs --data: a folder of shards that all of them see")
    distillation = values.get("distillation", {})
    needs_teacher = distillation.get("layers", 0) > 0 and not distillation.get("teacher")
    family = PRESETS[values["model"].get("preset", _TEACHER)].family
    places = {name: folder / family / name for name in ("train", "held-out")}
    if not all((place / MANIFEST).exists() for place in places.values()):
        _write_shards(family, places)
    data = {**values.get("data", {}), "folder": str(places["train"]), "evaluation": str(places["held-out"])}
    if needs_teacher:
        teacher = folder / family / "teacher"
        if not (teacher / "config.json").exists():
            _write_teacher(places["train"], teacher)
        values = {**values, "distillation": {**distillation, "teacher": str(teacher)}}
    return {**values, "data": data}


def _write_teacher(shards: pathlib.Path, folder: pathlib.Path) -> None:
    """A BERT of four layers with random weights, for the tokenizer of the shards."""
    tokenizer = Tokenizer.from_pretrained(shards)
    config = PRESETS[_TEACHER].replace(
        **{**_TINY, "num_layers": 4}, embedding_size=0, vocab_size=tokenizer.vocab_size, pad_token_id=tokenizer.pad_id
    )
    MaskedLanguageModel(Encoder(config.replace(pooler=False)), tokenizer=tokenizer).save_pretrained(folder)


def _write_shards(family: str, places: Mapping[str, pathlib.Path]) -> None:
    """Documents of some sentences each, a fifth of them held out, in the vocabulary that they teach."""
    sentences = _demo_sentences()
    texts = [
        "\n".join(sentences[start : start + _SENTENCES_A_DOCUMENT])
        for start in range(0, len(sentences), _SENTENCES_A_DOCUMENT)
    ]
    tokenizer = train_tokenizer(_KINDS[family], lambda: iter(texts), _VOCABULARY)
    held_out = len(texts) // 5
    for name, part in (("train", texts[held_out:]), ("held-out", texts[:held_out])):
        source = places[name].with_name(f"{name}-text")
        files = []
        for number, text in enumerate(part):
            files.append(source / f"{number:03d}.txt")
            if not files[-1].exists():  # preparation that was stopped goes on only with the same files
                atomic_write_text(files[-1], text + "\n")
        prepare(files, tokenizer, places[name], PreparationSettings(num_shards=2), workers=1)


def _demo_sentences() -> list[str]:
    table = pathlib.Path(__file__).parent / "demo_data" / "train.tsv"
    rows = table.read_text(encoding="utf-8").splitlines()[1:]
    return [row.split("\t")[0] for row in rows]
