"""Texts in, answers out: against the fixtures' networks in numpy and ids looked up by hand."""

import random
import threading

import keras_bert_edge
import numpy as np
import pytest
import tiny_model
from keras_bert_edge import EdgeError
from tflite_file import FIXTURES

VOCAB = {token: index for index, token in enumerate(tiny_model.WORDS)}
CLS, SEP = VOCAB["[CLS]"], VOCAB["[SEP]"]
PLAIN_WORDS = [word for word in tiny_model.WORDS if word.isalpha()]
LABELS = ["negative", "neutral", "positive"]


def ids_of(text):
    return [VOCAB[word] for word in text.split()]


def expected_logits(num_labels, num_segments, text, pair=None):
    ids = [CLS, *ids_of(text), SEP]
    segments = [0] * len(ids)
    if pair is not None:
        ids += [*ids_of(pair), SEP]
        segments += [1] * (len(ids) - len(segments))
    weights = tiny_model.classifier_weights(num_labels, len(VOCAB), num_segments)
    return tiny_model.classifier_logits(weights, ids, segments if num_segments else None).astype(np.float64)


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def random_text(draw, most):
    return " ".join(draw.choice(PLAIN_WORDS) for _ in range(draw.randrange(most + 1)))


@pytest.mark.parametrize(("name", "num_segments"), [("pair", 2), ("single", 0), ("lengths", 2), ("mediapipe", 2)])
def test_classification_equals_the_network(open_model, name, num_segments):
    model = open_model(name)
    draw = random.Random(0)
    seen = set()
    for _ in range(60):
        text = random_text(draw, 6)
        pair = random_text(draw, 6) if draw.random() < 0.5 else None
        result = model(text, pair)
        expected = softmax(expected_logits(3, num_segments, text, pair))
        np.testing.assert_allclose([result.scores[label] for label in LABELS], expected, atol=2e-6)
        assert (result.label, result.truncated) == (LABELS[int(expected.argmax())], False)
        assert result.score == result.scores[result.label]
        seen.add(result.label)
    assert len(seen) > 1, "the texts do not tell labels apart"


def test_multi_label_equals_the_network(open_model):
    model = open_model("multi_label")
    for text in ("a good film", "", "very bad", "the dog was not happy"):
        expected = 1 / (1 + np.exp(-expected_logits(3, 2, text)))
        result = model(text)
        np.testing.assert_allclose(list(result.scores.values()), expected, atol=2e-6)
        assert result.labels == tuple(label for label, score in zip(LABELS, expected) if score >= 0.5)


def test_regression_equals_the_network(open_model):
    result = open_model("regression")("a cat", "a dog")
    assert result.value == pytest.approx(expected_logits(1, 2, "a cat", "a dog")[0], abs=2e-5)


def test_forms_of_the_call_agree(open_model):
    model = open_model("pair")
    one, two = model("a cat"), model("a cat", "a dog")
    assert model(("a cat", "a dog")) == two != one
    assert model(["a cat", ("a cat", "a dog"), "a cat"]) == [one, two, one]
    assert model([]) == []


def test_long_texts_are_cut_and_say_so(open_model):
    model = open_model("pair")
    words = ("good bad film " * 20).split()
    fits = " ".join(words[: tiny_model.MAX_LENGTH - 2])
    assert not model(fits).truncated
    longer = model(fits + " dull")
    assert longer.truncated
    assert longer.scores == model(fits).scores
    assert model(fits, "a").truncated
    assert model(" ".join(words * 500)).scores == longer.scores
    assert open_model("lengths")(" ".join(words[:15])).truncated
    assert not open_model("lengths")(" ".join(words[:14])).truncated


def test_the_longest_signature_is_the_longest_text(open_model):
    assert open_model("lengths").max_length == 16
    assert open_model("pair").max_length == tiny_model.MAX_LENGTH


@pytest.mark.parametrize("text", [None, b"bytes", 3, ("a",), ("a", "b", "c"), ("a", None, None), [None], {"a": 1}])
def test_what_is_no_text_is_refused(open_model, text):
    with pytest.raises(EdgeError):
        open_model("pair")(text)


def test_misuse_is_named(open_model):
    model = open_model("pair")
    with pytest.raises(EdgeError, match="must be a string, not int"):
        model("a", 3)
    with pytest.raises(EdgeError, match="with a list, give pairs as tuples"):
        model(["a"], "b")
    with pytest.raises(EdgeError, match="has no option 'top_k'"):
        model("a", top_k=3)
    with pytest.raises(EdgeError, match="takes one text, not a pair"):
        open_model("entities")("a", "b")
    with pytest.raises(EdgeError, match="takes a pair"):
        open_model("answers")("who?")
    with pytest.raises(EdgeError, match=r"holds no \[MASK\]"):
        open_model("masked")("a cat")
    with pytest.raises(EdgeError, match="holds a model for sequence_classification, and masked_lm was expected"):
        keras_bert_edge.load(FIXTURES / "pair.tflite", task="masked_lm")
    for threads in (0, -1, 1.5, "2", True, 10**6):
        with pytest.raises(EdgeError, match="threads must be an integer"):
            keras_bert_edge.load(FIXTURES / "pair.tflite", threads=threads)


@pytest.mark.parametrize("count", [0, -1, "3", 2.5, None, True, [3]])
def test_counts_are_integers(open_model, count):
    for name, option, texts in (
        ("masked", "top_k", ["a [MASK]"]),
        ("answers", "n_best", ["where", "in Paris"]),
        ("answers", "max_answer_length", ["where", "in Paris"]),
    ):
        with pytest.raises(EdgeError, match=f"{option} must be an integer of at least 1, not "):
            open_model(name)(*texts, **{option: count})
    with pytest.raises(EdgeError, match="null_threshold must be a number or None, not '0'"):
        open_model("answers")("where", "in Paris", null_threshold="0")
    assert len(open_model("masked")("[MASK]", top_k=np.int64(3)).fills[0]) == 3


@pytest.mark.parametrize(("name", "longest"), [("lengths", 16), ("pair", tiny_model.MAX_LENGTH)])
def test_an_engine_names_the_lengths_that_it_runs(open_model, name, longest):
    engine = open_model(name).engine
    assert engine.run([CLS] * longest)["logits"].shape == (1, 3)
    for length in (0, longest + 1):
        with pytest.raises(EdgeError, match=rf"reads texts of 1 to {longest} tokens, not of {length}"):
            engine.run([CLS] * length)


def test_threads_can_be_set(open_model):
    model = keras_bert_edge.load(FIXTURES / "pair.tflite", threads=2, task="sequence_classification")
    assert model.engine.threads == 2
    assert model("a cat").label == open_model("pair")("a cat").label


@pytest.mark.parametrize("name", ["flex", "newer_operation"])
def test_operations_that_the_runtime_lacks_are_named(name):
    cause = {"flex": "not TFLite's own", "newer_operation": "needs newer operations"}[name]
    with pytest.raises(EdgeError, match=cause):
        keras_bert_edge.load(FIXTURES / f"{name}.tflite")


def any_text(draw):
    """Characters from everywhere: controls, spaces, accents, CJK, emoji, half surrogates, special tokens."""
    ranges = [
        (0, 127),
        (0, 0x2FF),
        (0x300, 0x36F),
        (0x4E00, 0x4EFF),
        (0xD7F0, 0xE00F),
        (0x1F600, 0x1F64F),
        (0, 0x10FFFF),
    ]
    text = "".join(chr(draw.randint(*draw.choice(ranges))) for _ in range(draw.randrange(40)))
    return text + draw.choice(["", " [MASK]", "[CLS]", "a\u0301", "\u200d", "\r\n\t", "word " * 40])


@pytest.mark.parametrize(
    "name", ["pair", "lengths", "entities", "entities_unigram", "answers", "answers_bpe", "embedding", "masked"]
)
def test_no_text_raises_and_every_place_is_true(open_model, name):
    model = open_model(name)
    draw = random.Random(name)
    for _ in range(300):
        text, context = any_text(draw), any_text(draw)
        if name.startswith("answers"):
            result = model(text, context)
            assert context[result.start : result.end] == result.answer
            assert all(context[best.start : best.end] == best.text for best in result.n_best)
        elif name.startswith("entities"):
            result = model(text)
            assert all(text[word.start : word.end] == word.text for word in result.words)
            assert all(text[entity.start : entity.end] == entity.text for entity in result.entities)
        elif name == "masked":
            model(text + " [MASK]" if len(text) < 20 else "[MASK]" + text)
        elif name == "embedding":
            assert np.isfinite(model(text).vector).all()
        else:
            assert model(text, context).label in LABELS


def test_one_model_in_many_threads(open_model):
    model = open_model("pair")
    texts = [" ".join(PLAIN_WORDS[i : i + 1 + i % 9]) for i in range(30)]
    expected = [model(text) for text in texts]
    wrong = []

    def work(seed):
        draw = random.Random(seed)
        for _ in range(300):
            index = draw.randrange(len(texts))
            if model(texts[index]) != expected[index]:
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_files_open_in_many_threads_at_once():
    labels = []

    def work():
        labels.append(keras_bert_edge.load(FIXTURES / "pair.tflite")("a cat").label)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(labels) == 8
    assert len(set(labels)) == 1


def test_results_outlive_later_calls(open_model):
    model = open_model("embedding")
    first = model("a cat").vector
    kept = first.copy()
    model("the dog was happy")
    np.testing.assert_array_equal(first, kept)


def test_an_engine_zeroes_what_it_is_not_given(open_model):
    """Segment ids that are not given are zeros, not what the last text left there."""
    engine = open_model("pair").engine
    alone = engine.run([CLS, 7, SEP])["logits"]
    engine.run([CLS, 7, SEP], [1, 1, 1])
    np.testing.assert_array_equal(engine.run([CLS, 7, SEP])["logits"], alone)


def test_memory_does_not_grow(open_model):
    def resident():
        with open("/proc/self/statm") as stream:
            return int(stream.read().split()[1])

    try:
        resident()
    except OSError:
        pytest.skip("only Linux tells the resident pages here")
    model = open_model("pair")
    texts = ["film " * length for length in range(24)]
    for _ in range(50):
        model(texts)
    before = resident()
    for _ in range(200):
        model(texts)
    assert resident() - before < 512, "2 MB in 4,800 calls"
