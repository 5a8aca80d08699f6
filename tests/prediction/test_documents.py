"""Documents beyond the model's positions: pooled by hand from single windows, in bounded memory, in linear work."""

import tracemalloc

import keras
import numpy as np
import pytest

import keras_bert as kb
from keras_bert.data.documents import DocumentExamples, document_windows, spread
from keras_bert.errors import ConfigError
from keras_bert.prediction import document_logits

SIZES = {"pooler": True, "hidden_size": 16, "num_layers": 1, "max_positions": 64, "initializer_range": 0.2}
WORDS = ("the", "film", "was", "very", "good", "and", "sad")


def text_of(num_words):
    draw = np.random.default_rng(0)
    return " ".join(draw.choice(WORDS, num_words))


@pytest.fixture(scope="module")
def classifier(make_tiny):
    return make_tiny(kb.SequenceClassifier, "bert", 3, **SIZES)


@pytest.fixture(params=["mean", "max", "learned", "hierarchical"])
def model(request, classifier):
    keras.utils.set_random_seed(3)
    return kb.DocumentClassifier(classifier, request.param, window_length=64, overlap=8)


def windows_of(model, text):
    (windows,) = document_windows(model.tokenizer, [text], window_length=model.window_length, overlap=model.overlap)
    return windows


def test_pooled_by_hand(model, classifier):
    text = text_of(150)
    windows = windows_of(model, text)
    assert len(windows) > 3
    logits, vectors = [], []
    for window in windows:
        inputs = {"token_ids": np.array([window.token_ids]), "segment_ids": np.array([window.segment_ids])}
        logits.append(np.array(classifier(inputs))[0])
        vectors.append(np.array(classifier.encoder(inputs)["pooled_output"])[0])
    logits, vectors = np.stack(logits), np.stack(vectors)
    if model.pooling == "hierarchical":
        places = np.arange(len(windows))[:, None] / 10000 ** (np.arange(0, 16, 2) / 16)
        mixed = vectors + np.concatenate([np.sin(places), np.cos(places)], -1)
        bias = np.zeros((1, 1, 1, len(windows)), "float32")
        vectors = np.array(model.mixer.block(mixed[None].astype("float32"), bias))[0]
        logits = np.array(classifier.head(vectors))
    if model.pooling == "mean":
        expected = logits.mean(0)
    elif model.pooling == "max":
        expected = logits.max(0)
    else:
        kernel, bias = (np.array(v.value) for v in model.window_pooling.scorer.weights)
        weights = np.exp(vectors @ kernel + bias)
        expected = (weights / weights.sum() * logits).sum(0)
    np.testing.assert_allclose(document_logits(model, [text])[0], expected, atol=1e-5)


def test_a_document_of_20000_tokens(model):
    """The same result for any batch size, and beside any other text."""
    text = text_of(13_000)
    windows = windows_of(model, text)
    assert windows[-1].end > 20_000
    expected = document_logits(model, [text], batch_size=16)[0]
    results = [
        document_logits(model, [text], batch_size=3)[0],
        document_logits(model, ["the film", text, "was good"], batch_size=64)[1],
    ]
    np.testing.assert_allclose(results, [expected, expected], atol=2e-5)


def test_memory_is_bounded(classifier):
    """Of twice as many tokens the tokens themselves are kept, not what the model computes: each window's activations
    alone would be 64 x 16 floats a layer."""
    model = kb.DocumentClassifier(classifier, "mean", window_length=64, overlap=8)
    peaks = []
    for words in (500, 6_500, 13_000):
        text = text_of(words)
        tracemalloc.start()
        document_logits(model, [text], batch_size=16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    tokens = windows_of(model, text_of(13_000))[-1].end - windows_of(model, text_of(6_500))[-1].end
    assert (peaks[2] - peaks[1]) / tokens < 600  # bytes: ids, offsets and word ids as Python lists


def test_work_is_linear_in_length(model):
    ends, counts = [], []
    for factor in (1, 2, 4):
        windows = windows_of(model, text_of(1000 * factor))
        ends.append(windows[-1].end)
        counts.append(len(windows))
        assert max(len(window.token_ids) for window in windows) == 64
    # Each window goes on by its length less the special tokens and the overlap.
    assert counts == [-(-(end - 8) // (64 - 2 - 8)) for end in ends]


def test_training_batches_say_the_same(model):
    """The padded [documents, windows, length] batch of `fit` gives what prediction gives."""
    texts = ["the film was good", text_of(80), text_of(30)]
    examples = DocumentExamples(model.tokenizer, texts, window_length=64, overlap=8, max_windows=50)
    features = examples.features(np.arange(3), model.config)
    assert features["token_ids"].ndim == 3
    np.testing.assert_allclose(np.array(model(features)), document_logits(model, texts), atol=1e-5)


def test_windows_to_train_on_are_spread():
    assert spread(3, 8).tolist() == [0, 1, 2]
    assert spread(9, 3).tolist() == [0, 4, 8]
    assert spread(9, 1).tolist() == [0]


@pytest.mark.tensorflow_only
def test_it_is_trained_and_saved(model, tmp_path):
    rows = "".join(
        f"{'the film was very sad ' * 12}{'good ' * 30 if i % 2 else 'bad ' * 30}\t{i % 2}\n" for i in range(16)
    )
    (tmp_path / "d.tsv").write_text("text\tlabel\n" + rows)
    data = kb.data.documents(
        tmp_path / "d.tsv", model.tokenizer, labels=["0", "1", "2"], window_length=64, overlap=8, config=model.config
    )
    model.compile(kb.fine_tuning_optimizer(model, 1e-2, steps=4 * len(data)))
    before = [np.array(v.value) for v in model.trainable_variables]
    losses = model.fit(data, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    moved = [not np.array_equal(np.array(v.value), b) for v, b in zip(model.trainable_variables, before, strict=True)]
    assert sum(moved) >= len(moved) - 2
    model.save_pretrained(tmp_path / "out")
    again = kb.DocumentClassifier.from_pretrained(tmp_path / "out")
    assert (again.pooling, again.window_length, again.overlap) == (model.pooling, 64, 8)
    np.testing.assert_allclose(
        document_logits(again, [text_of(400)]), document_logits(model, [text_of(400)]), atol=1e-6
    )
    assert kb.SequenceClassifier.from_pretrained(tmp_path / "out").labels == model.labels


def test_arguments_out_of_range_are_named(classifier):
    with pytest.raises(ConfigError, match="pooling: expected one of mean, max, learned, hierarchical"):
        kb.DocumentClassifier(classifier, "median")
    with pytest.raises(ConfigError, match="64 positions"):
        kb.DocumentClassifier(classifier, window_length=65)
