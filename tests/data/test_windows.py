"""Windows over long texts, and where words and answers are in them, against the tokenizer and plain loops."""

import pathlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_bert as kb
from keras_bert.data import (
    GoldAnswer,
    Question,
    question_answering,
    read_questions,
    read_tagged_sentences,
    token_classification,
)
from keras_bert.data.questions import answer_tokens, asked_contexts, question_examples
from keras_bert.data.tokens import first_tokens, joined, token_examples, words_of_sentences
from keras_bert.data.windows import WindowMaker, bare_texts, widest_context
from keras_bert.errors import KerasBertError

FOLDER = pathlib.Path(__file__).parent
TOKENIZERS = FOLDER.parent / "tokenizers" / "data"
KINDS = ["wordpiece-uncased", "wordpiece-cased", "bpe", "unigram"]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return kb.Tokenizer.from_pretrained(TOKENIZERS / request.param)


@pytest.fixture(scope="module")
def wordpiece():
    return kb.Tokenizer.from_pretrained(TOKENIZERS / "wordpiece-uncased")


def test_a_window_is_what_the_tokenizer_gives(tokenizer):
    question, text = "where is it?", "the river rises in the sea"
    asked, bare = bare_texts(tokenizer, [question, text])
    (window,) = WindowMaker(tokenizer, max_length=64, with_question=True).windows(bare.token_ids, asked.token_ids)
    whole = tokenizer.encode(question, text)
    assert (window.token_ids, window.segment_ids) == (whole.token_ids, whole.segment_ids)
    assert window.token_ids[window.first_row : window.first_row + len(bare.token_ids)] == bare.token_ids
    (window,) = WindowMaker(tokenizer, max_length=64).windows(bare.token_ids)
    assert (window.token_ids, window.segment_ids) == (tokenizer.encode(text).token_ids, [0] * len(window.token_ids))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 60), st.integers(0, 30), st.integers(9, 30), st.integers(0, 20))
def test_windows_cover_the_text(wordpiece, length, asked, max_length, overlap):
    maker = WindowMaker(wordpiece, max_length=max_length, with_question=True, overlap=overlap)
    tokens = list(range(1000, 1000 + length))
    windows = maker.windows(tokens, list(range(asked)))
    kept = min(asked, (max_length - 3) // 2)
    room = max_length - 3 - kept
    shared = min(overlap, room // 2)
    assert [w.start for w in windows] == [i * (room - shared) for i in range(len(windows))]
    assert [w.end for w in windows] == [min(w.start + room, length) for w in windows]
    assert windows[-1].end == length
    assert all(w.end < length for w in windows[:-1])
    for w in windows:
        assert len(w.token_ids) == len(w.segment_ids) <= max_length
        assert w.token_ids[w.first_row : w.first_row + w.end - w.start] == tokens[w.start : w.end]
        assert w.token_ids[1 : 1 + kept] == list(range(kept))
    best = []
    for token in range(length):
        held = [(min(token - w.start, w.end - 1 - token) + 0.01 * (w.end - w.start), -i) for i, w in enumerate(windows)]
        inside = [score for score, w in zip(held, windows, strict=True) if w.start <= token < w.end]
        best.append(-max(inside)[1])
    assert widest_context(windows, length).tolist() == best


def test_windows_without_room_are_refused(wordpiece):
    with pytest.raises(KerasBertError, match="max_length 4 leaves no room beside the 3 special tokens"):
        WindowMaker(wordpiece, max_length=4, with_question=True)
    with pytest.raises(KerasBertError, match="overlap must not be negative"):
        WindowMaker(wordpiece, max_length=9, overlap=-1)


WORDS = [
    "New",
    "York",
    "U.S.",
    "naïve",
    "e\u0301te\u0301",
    "\U0001f600",
    "👩‍👩‍👧",
    "\u0301",
    "東京",
    "don't",
    "#tag",
    "\u00a0",
    "x" * 40,
]


def test_words_begin_where_their_first_token_does(tokenizer):
    """Against the rule word by word: the first token whose place is in the word or in the blank before it."""
    draw = random.Random(1)
    for _ in range(60):
        words = [draw.choice(WORDS) for _ in range(draw.randint(1, 8))]
        text, spans = joined(words)
        assert [text[start:end] for start, end in spans] == words
        (bare,) = bare_texts(tokenizer, [text])
        expected = []
        for start, end in spans:
            found = [i for i, (at, _) in enumerate(bare.offsets) if start - (start > 0) <= at < end]
            expected.append(found[0] if found else -1)
        assert first_tokens(spans, bare.offsets).tolist() == expected


@pytest.mark.parametrize("max_length", [512, 9])
def test_each_word_has_one_target(tokenizer, max_length):
    data = read_tagged_sentences(FOLDER / "ner.conll")
    words = [sentence.words for sentence in data.sentences]
    targets = data.targets(data.label_names())
    examples = token_examples(words_of_sentences(tokenizer, words, max_length=max_length), targets)
    assert examples.unread_words == 0
    assert examples.texts.lengths.max() <= max_length
    values = examples.targets.values
    assert len(values) == len(examples.texts.token_ids)
    assert np.bincount(values[values >= 0]).tolist() == np.bincount(np.concatenate(targets)).tolist()
    if max_length == 512:
        assert values[values >= 0].tolist() == np.concatenate(targets).tolist()
        assert (values[0], values[1]) == (-100, 5)  # [CLS], then John as B-PER


def test_token_batches(wordpiece):
    dataset = token_classification(FOLDER / "ner.conll", wordpiece, batch_size=4, seed=3)
    assert int(dataset.cardinality()) == 8
    words = 0
    for features, targets in dataset:
        assert targets.shape == features["token_ids"].shape
        assert (targets.numpy()[features["padding_mask"].numpy() == 0] == -100).all()
        words += (targets.numpy() >= 0).sum()
    assert words == sum(len(s.words) for s in read_tagged_sentences(FOLDER / "ner.conll").sentences)


@pytest.mark.parametrize("max_length", [512, 40])
def test_answers_are_where_the_targets_say(tokenizer, max_length):
    """The tokens between the targets, read back, are the answer; every window without it points at row 0."""
    questions = read_questions(FOLDER / "qa.json").questions
    asked = list(
        asked_contexts(
            tokenizer, [q.question for q in questions], [q.context for q in questions], max_length=max_length
        )
    )
    examples = question_examples(questions, iter(asked))
    assert not examples.left_out
    starts, ends = examples.targets["start_logits"], examples.targets["end_logits"]
    window = 0
    for question, item in zip(questions, asked, strict=True):
        answer = question.answers[0]
        found = 0
        for held in item.windows:
            start, end = starts[window], ends[window]
            window += 1
            if (start, end) == (0, 0):
                continue
            found += 1
            first, last = start - held.first_row + held.start, end - held.first_row + held.start
            text = question.context[item.context.offsets[first][0] : item.context.offsets[last][1]]
            assert answer.text in text
            assert len(text.strip()) <= len(answer.text) + 2
        assert found >= (max_length == 512)
    assert window == len(examples.texts) == len(starts)


def test_questions_without_a_place_are_left_out(wordpiece):
    answers = [(GoldAnswer("b", None),), (GoldAnswer("b", None), GoldAnswer("b", 2)), ()]
    questions = [Question(str(i), "who?", "a b", given, 1) for i, given in enumerate(answers)]
    asked = asked_contexts(wordpiece, ["who?"] * 3, ["a b"] * 3)
    examples = question_examples(questions, asked)
    assert [question.id for question in examples.left_out] == ["0"]
    assert (examples.targets["start_logits"] > 0).tolist() == [True, False]


def test_answer_tokens():
    offsets = [(0, 3), (3, 3), (4, 6), (6, 9)]
    assert answer_tokens(offsets, 4, 9) == (2, 3)
    assert answer_tokens(offsets, 5, 6) == (2, 2)
    assert answer_tokens(offsets, 3, 4) is None


def test_question_batches(wordpiece):
    dataset = question_answering(FOLDER / "qa.json", wordpiece, batch_size=4, max_length=64)
    for features, targets in dataset:
        length = features["token_ids"].shape[1]
        assert set(targets) == {"start_logits", "end_logits"}
        assert (targets["start_logits"].numpy() <= targets["end_logits"].numpy()).all()
        assert (targets["end_logits"].numpy() < length).all()
