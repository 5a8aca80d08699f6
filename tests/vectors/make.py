"""Writes the models and `vectors.json` of this folder; needs the toolkit with the extra `export`.

python tests/vectors/make.py
"""

from __future__ import annotations

import importlib.util
import json
import pathlib
import shutil
import struct
import sys
import zipfile

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from keras_bert_tools import cli

import keras_bert as kb
from keras_bert.data import predict_logits
from keras_bert.data.predict import probabilities
from keras_bert.prediction import answer_questions, find_entities

HERE = pathlib.Path(__file__).parent
TEXTS = (
    "",
    "a",
    "John lives in New York.",
    "the film was not good at all, was it?",
    " two  spaces\tand a tab\r\n",
    "\u00c9t\u00e9 \u00e0 Z\u00fcrich, e\u0301te\u0301, na\u00efve",
    "\u6771\u4eac and \U0001f600 emoji \U0001f469\u200d\U0001f469\u200d\U0001f467",
    "don't split-this 1,000.50 $9 [SEP] <b>",
    "\u00a0no\u200bbreak\u00adsoft",
    "Harbour \u0130stanbul STRASSE \u00df \ufb01n \u2460",
    "x" * 120,
    " ".join(["the lighthouse keeper lived in the harbour of the old town"] * 12),
)
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SMALL = {"hidden_size": 16, "intermediate_size": 24}


def make_model(task: type, family: str, *arguments: object, **changes: object):
    """One of the tiny models of tests/prediction."""
    spec = importlib.util.spec_from_file_location("prediction", HERE.parent / "prediction" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.tiny(task, family, *arguments, **{**SMALL, **changes})


def save(model: object, name: str, *options: str) -> None:
    """The checkpoint folder `name` and its file `name`.tflite."""
    shutil.rmtree(HERE / name, ignore_errors=True)
    model.save_pretrained(HERE / name)
    export(name, name, "--recipe", "float32", *options)


def export(name: str, file_name: str, *options: str) -> None:
    """`keras-bert export` of the checkpoint folder `name`, without its report."""
    command = ["export", str(HERE / name), "-o", str(HERE / f"{file_name}.tflite"), *options]
    if cli.main(command):
        raise SystemExit(f"export of {name} failed")
    (HERE / f"{file_name}.report.json").unlink()


def ids(model: object, text: str, pair: str | None = None) -> list[int]:
    return list(model.tokenizer.encode(text, pair, max_length=model.config.max_positions).token_ids)


def classification(family: str, pairs: bool, **changes: object) -> tuple[object, list[dict]]:
    model = make_model(kb.SequenceClassifier, family, ["bad", "so so", "good"], **changes)
    seconds = [TEXTS[(i + 3) % len(TEXTS)] for i in range(len(TEXTS))] if pairs else None
    scores = probabilities(predict_logits(model, TEXTS, seconds), model.problem_type)
    rows = []
    for text, pair, row in zip(TEXTS, seconds or [None] * len(TEXTS), scores, strict=True):
        rows.append({"text": text, "pair": pair, "token_ids": ids(model, text, pair), "scores": row.tolist()})
    return model, rows


def entities() -> tuple[object, list[dict]]:
    model = make_model(kb.TokenClassifier, "bert", TAGS)
    found = find_entities(model, list(TEXTS))
    return model, [
        {
            "text": text,
            "words": [list(word[:4]) for word in row.words],
            "entities": [list(entity[:4]) for entity in row.entities],
            "scores": [word.score for word in row.words],
        }
        for text, row in zip(TEXTS, found, strict=True)
    ]


def answers() -> tuple[object, list[dict]]:
    model = make_model(kb.QuestionAnswerer, "bert")
    rows = []
    for threshold in (None, 0.0):
        questions = [TEXTS[(i + 2) % 5] for i in range(len(TEXTS))]
        found = answer_questions(model, questions, list(TEXTS), n_best=5, max_answer_length=6, null_threshold=threshold)
        for question, context, row in zip(questions, TEXTS, found, strict=True):
            rows.append(
                {
                    "question": question,
                    "context": context,
                    "null_threshold": threshold,
                    "answer": [row.answer, row.start, row.end],
                    "score": row.score,
                    "null_score_difference": row.null_score_difference,
                    "n_best": [list(answer[:3]) for answer in row.n_best],
                }
            )
    return model, rows


def embeddings() -> tuple[object, list[dict]]:
    model = make_model(kb.SentenceEncoder, "albert")
    vectors = predict_logits(model, TEXTS)
    return model, [{"text": text, "vector": vector.tolist()} for text, vector in zip(TEXTS, vectors, strict=True)]


def fills() -> tuple[object, list[dict]]:
    model = make_model(kb.MaskedLanguageModel, "roberta")
    mask = model.tokenizer.mask_id
    rows = []
    for text in (f"{text[:8]} <mask> and <mask>" for text in TEXTS):
        token_ids = ids(model, text)
        logits = np.asarray(model({"token_ids": np.array([token_ids], "int32")}), np.float64)[0]
        scores = np.exp(logits - logits.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        best = [
            [[int(index), float(scores[at, index])] for index in np.argsort(-scores[at], kind="stable")[:3]]
            for at, token in enumerate(token_ids)
            if token == mask
        ]
        rows.append({"text": text, "fills": best})
    return model, rows


def mislabel(source: pathlib.Path, target: pathlib.Path) -> None:
    """`source` with FULLY_CONNECTED said to be of version 9, under a digest that is right."""
    sys.path.insert(0, str(HERE.parent / "edge"))
    import tflite_file

    flatbuffer, members = tflite_file.split(source.read_bytes())
    content = bytearray(flatbuffer)
    model = schema.Model.GetRootAs(content, 0)
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        if code.BuiltinCode() == schema.BuiltinOperator.FULLY_CONNECTED and code.Version() == 12:
            struct.pack_into("<i", content, code._tab.Pos + code._tab.Offset(8), 9)
    target.write_bytes(tflite_file.write(bytes(content), members))


def main() -> None:
    """All of it."""
    vectors = {}
    for name, (model, rows), options in (
        ("classification", classification("distilbert", False), []),
        ("pairs", classification("bert", True, pooler=True), []),
        ("entities", entities(), []),
        ("answers", answers(), []),
        ("embeddings", embeddings(), ["--task", "sentence_embedding"]),
        ("fills", fills(), []),
    ):
        save(model, name, *options)
        vectors[name] = rows
    for profile in ("default", "compatible"):
        export("classification", f"int8_{profile}", "--profile", profile)
    mislabel(HERE / "int8_default.tflite", HERE / "int8_mislabelled.tflite")
    (HERE / "vectors.json").write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")
    for path in sorted(HERE.glob("*.tflite")):
        with zipfile.ZipFile(path) as archive:
            print(path.name, f"{path.stat().st_size:,}", archive.namelist())


if __name__ == "__main__":
    main()
