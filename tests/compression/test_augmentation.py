"""Altered copies for a teacher to label: what is altered, how often, and what they weigh."""

import numpy as np
import pytest
from command import run
from keras_bert_tools.compression.augmentation import with_copies
from keras_bert_tools.compression.distiller import DistillationLosses, Distiller
from keras_bert_tools.compression.soft_labels import distillation_dataset, teacher_logits
from test_distiller import make
from tiny import tiny_tokenizer

from keras_bert.config import IGNORED_TARGET
from keras_bert.data.batches import TokenTargets, laid_end_to_end

COPIES = 40


def rows(texts):
    return [texts.token_ids[end - length : end] for end, length in zip(texts.ends, texts.lengths, strict=True)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def texts(tokenizer):
    """50 texts of 30 words each, a word in 20 of them unlike any in the rest."""
    words = [f"[CLS] {'the film was good and great ' * 5}[SEP]".split() for _ in range(50)]
    ids = [[tokenizer.token_to_id(word) for word in row] for row in words]
    return laid_end_to_end((row, [0] * len(row)) for row in ids)


def test_shares_over_fifty_thousand_tokens(texts, tokenizer):
    joined, targets, weights = with_copies(texts, np.arange(50), tokenizer, COPIES, seed=3)
    assert len(joined) == 50 * (COPIES + 1)
    assert np.array_equal(targets, np.tile(np.arange(50), COPIES + 1))
    assert np.array_equal(weights, np.r_[np.ones(50), np.zeros(50 * COPIES)])
    originals, found = rows(texts), rows(joined)
    assert all(np.array_equal(a, b) for a, b in zip(originals, found[:50], strict=True))
    copies = found[50:]
    assert all((row[0], row[-1]) == (tokenizer.cls_id, tokenizer.sep_id) for row in copies)
    lengths = np.array([len(row) for row in copies])
    cut = lengths != 32
    assert cut.mean() == pytest.approx(0.25, abs=0.04)
    assert set(lengths[cut] - 2) == {1, 2, 3, 4, 5}
    whole = np.stack([row[1:-1] for row in copies if len(row) == 32])
    masked = whole == tokenizer.mask_id
    assert masked.mean() == pytest.approx(0.1, abs=0.01)
    # One in six of the tokens that replace another is that other one.
    changed = (whole != originals[0][1:-1]) & ~masked
    assert changed.mean() == pytest.approx(0.1 * 5 / 6, abs=0.01)
    assert set(whole[changed]) == set(originals[0][1:-1])


def test_the_seed_decides(texts, tokenizer):
    first, again, other = (with_copies(texts, np.arange(50), tokenizer, 2, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first.token_ids, again.token_ids)
    assert len(first.token_ids) != len(other.token_ids) or (first.token_ids != other.token_ids).any()


def test_pairs_keep_both_texts(tokenizer):
    pair = [tokenizer.token_to_id(word) for word in ["[CLS]", "the", "film", "[SEP]", "was", "good", "[SEP]"]]
    texts = laid_end_to_end([(pair, [0, 0, 0, 0, 1, 1, 1])])
    joined, _, _ = with_copies(texts, np.zeros(1), tokenizer, COPIES, seed=0)
    assert set(joined.lengths) == {7}
    assert all(row[3] == row[6] == tokenizer.sep_id for row in rows(joined))
    assert np.array_equal(joined.segment_ids, np.tile(texts.segment_ids, COPIES + 1))


def test_tags_of_copies_are_not_asked_for(texts, tokenizer):
    tags = TokenTargets(np.arange(len(texts.token_ids), dtype="int32"))
    joined, targets, weights = with_copies(texts, tags, tokenizer, 1, seed=0)
    assert weights is None
    assert len(targets.values) == len(joined.token_ids)
    assert np.array_equal(targets.values[: len(tags.values)], tags.values)
    assert set(targets.values[len(tags.values) :]) == {IGNORED_TARGET}


@pytest.mark.parametrize("task", ["sequence", "question"])
def test_the_labels_of_a_text_alone_count(task, texts, tokenizer):
    """The hard part of a batch is the sum over the texts that are no copies, over all texts."""
    student, teacher = (make("bert", task, seed=seed, vocab_size=tokenizer.vocab_size) for seed in (6, 5))
    few = laid_end_to_end((row, [0] * len(row)) for row in rows(texts)[:2])
    labels = {"start_logits": np.array([1, 2]), "end_logits": np.array([2, 3])} if task == "question" else np.arange(2)
    joined, targets, weights = with_copies(few, labels, tokenizer, 3, seed=0)
    soft = teacher_logits(teacher, joined)
    dataset = distillation_dataset(joined, targets, soft, student.config, weights=weights, batch_size=8)
    ((x, y),) = list(dataset)
    distiller = Distiller(student, DistillationLosses(soft=0.0, hard=1.0))
    outputs = distiller(x)
    found = float(distiller.compute_loss(x=x, y=y, y_pred=outputs))
    logits = outputs["outputs"] if task == "question" else {"": outputs["outputs"]}
    classes = y["hard"] if task == "question" else {"": y["hard"]}
    expected = []
    for name, values in logits.items():
        values = np.array(values, "float64")
        if task == "question":
            values = np.where(np.array(x["padding_mask"]) == 1, values, -1e9)
        losses = np.log(np.exp(values).sum(-1)) - values[np.arange(8), np.array(classes[name])]
        expected.append(losses[np.array(y["weight"]) == 1].sum() / 8)
    assert np.array(y["weight"]).sum() == 2
    assert found == pytest.approx(np.mean(expected), rel=1e-5)


def test_distill_with_copies(classifier, sentiment, tmp_path):
    out = tmp_path / "student"
    command = ("distill", classifier, "--layers", 1, "--train", sentiment, "--dev", sentiment, "-o", out, "--augment")
    fast = ("--epochs", 1, "--learning-rate", 5e-3, "--batch-size", 8)
    assert run(*command, 2, *fast) == 0


def test_copies_need_the_teachers_answers(classifier, sentiment, tmp_path, capsys):
    command = ("distill", classifier, "--layers", 1, "--train", sentiment, "-o", tmp_path / "out", "--augment", 2)
    assert run(*command, "--soft", 0) == 2
    assert "--augment: only a teacher can label altered texts" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
