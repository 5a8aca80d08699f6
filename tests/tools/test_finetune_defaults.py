"""What `finetune` does where nothing is asked for."""

import pytest
from keras_bert_tools.tasks import ADAPTERS
from keras_bert_tools.tasks.base import Schedule

from keras_bert.data import LabelledTexts


@pytest.mark.parametrize(
    ("task", "pairs", "labels", "width", "epochs", "rate", "dropout", "adversarial", "restarted"),
    [
        ("sequence_classification", None, 2, 768, 3, 2.5e-5, None, 0.02, 0),
        ("sequence_classification", ["b"], 2, 384, 5, 1e-4, None, 0.02, 0),
        ("sequence_classification", None, 1, 768, 3, 2.5e-5, None, 0, 0),
        ("sequence_classification", None, 77, 384, 6, 2e-4, None, 0, 0),
        ("sequence_classification", None, 2, 128, 3, 2.5e-4, None, 0.02, 0),
        ("token_classification", None, 9, 384, 5, 2e-4, None, 0, 1 / 3),
        ("question_answering", None, 0, 384, 3, 1e-4, 0.0, 0, 0),
    ],
)
def test_defaults_are_those_of_the_documentation(
    task, pairs, labels, width, epochs, rate, dropout, adversarial, restarted
):
    train = LabelledTexts("train.tsv", ["a"], pairs, ["x"], [2])
    schedule = ADAPTERS[task].schedule(train, labels)
    assert (schedule.epochs, schedule.rate_at(width)) == (epochs, pytest.approx(rate))
    assert (schedule.dropout, schedule.adversarial, schedule.restarted) == (dropout, adversarial, restarted)


def test_texts_of_several_labels_are_trained_on_as_they_are():
    train = LabelledTexts("train.tsv", ["a"], None, ["x,y"], [2], label_sets=[["x", "y"]])
    assert ADAPTERS["sequence_classification"].schedule(train, 2).adversarial == 0


def test_a_short_training_is_not_adversarial():
    schedule = Schedule(adversarial=0.02)
    assert [schedule.adversarial_in(steps) for steps in (48, 299, 300, 1000)] == [0, 0, 0.02, 0.02]
