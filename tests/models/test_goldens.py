"""Parity with `transformers`: hidden states, pooled output and every head of the golden checkpoints."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from harness import GOLDENS, arrays, values

import keras_bert as kb

TOLERANCE = 2e-5

# Ending of the class name in `transformers` -> our task and, for each of its outputs there, the name here.
HEADS = {
    "ForMaskedLM": (kb.MaskedLanguageModel, {"logits": "output"}),
    "ForPreTraining": (
        kb.PretrainingModel,
        {
            "prediction_logits": "mlm_logits",
            "seq_relationship_logits": "sentence_logits",
            "sop_logits": "sentence_logits",
        },
    ),
    "ForSequenceClassification": (kb.SequenceClassifier, {"logits": "output"}),
    "ForTokenClassification": (kb.TokenClassifier, {"logits": "output"}),
    "ForQuestionAnswering": (
        kb.QuestionAnswerer,
        {"start_logits": "start_logits", "end_logits": "end_logits"},
    ),
}
CHECKPOINTS = sorted(str(path.parent.relative_to(GOLDENS)) for path in GOLDENS.rglob("golden.npz"))


def difference(got: np.ndarray, expected: np.ndarray, mask: np.ndarray) -> float:
    """Largest difference where there are tokens."""
    assert got.shape == expected.shape
    error = np.abs(got - expected)
    return float((error[mask == 1] if error.shape[:2] == mask.shape else error).max())


def test_every_family_and_head_has_goldens():
    heads = {(path.split("/")[0].split("-")[0], path.split("/")[1].split("For")[-1]) for path in CHECKPOINTS}
    for family in ("bert", "distilbert", "roberta", "albert"):
        for head in ("MaskedLM", "SequenceClassification", "TokenClassification", "QuestionAnswering"):
            assert (family, head) in heads
    assert {("bert", "PreTraining"), ("albert", "PreTraining")} <= heads


@pytest.mark.backend
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_outputs_equal_those_of_transformers(name):
    golden = np.load(GOLDENS / name / "golden.npz")
    mask = golden["attention_mask"]
    ending = next((ending for ending in HEADS if name.endswith(ending)), None)
    if ending:
        task, outputs = HEADS[ending]
        model = task.from_pretrained(GOLDENS / name)
        encoder = model.encoder
        assert model.new_parts == ()
    else:
        model = encoder = kb.Encoder.from_pretrained(GOLDENS / name)
        outputs = {}
    inputs = {"token_ids": golden["input_ids"].astype("int32"), "padding_mask": mask.astype("int32")}
    if encoder.config.uses_segments:
        inputs["segment_ids"] = golden["token_type_ids"].astype("int32")

    states = keras.Model(encoder.input, list(encoder.hidden_states))(inputs)
    # One for the embedding and one for every block run, those inside an ALBERT group too.
    assert len(states) == len(golden["hidden_states"])
    for state, expected in zip(states, golden["hidden_states"], strict=True):
        assert difference(arrays(state)["output"], expected, mask) <= TOLERANCE
    got = arrays(model(inputs))
    compared = {theirs: ours for theirs, ours in outputs.items() if theirs in golden}
    assert ending is None or set(compared.values()) == set(got)
    for theirs, ours in compared.items():
        assert difference(got[ours], golden[theirs], mask) <= TOLERANCE
    if "pooler_output" in golden:
        pooled = arrays(encoder(inputs))["pooled_output"]
        assert difference(pooled, golden["pooler_output"], mask) <= TOLERANCE


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_parameter_counts_equal_the_tensors_stored(name):
    """The reference's own file counts: nothing shared is counted twice, nothing is left out."""
    from safetensors.numpy import load_file

    stored = sum(tensor.size for tensor in load_file(GOLDENS / name / "model.safetensors").values())
    ending = next((ending for ending in HEADS if name.endswith(ending)), None)
    model = (HEADS[ending][0] if ending else kb.Encoder).from_pretrained(GOLDENS / name)
    seeds = sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights if "seed" in weight.path)
    config = json.loads((GOLDENS / name / "config.json").read_text())
    assert model.count_params() - seeds == stored, config["architectures"]


@pytest.mark.tensorflow_only
def test_a_loaded_model_is_like_any_other(tmp_path):
    """Weights that started from a checkpoint train, save as `.keras` and export as those that were drawn."""
    import tensorflow as tf

    model = kb.SequenceClassifier.from_pretrained(GOLDENS / "bert/BertForSequenceClassification")
    inputs = {"token_ids": np.full((2, 5), 7, "int32"), "padding_mask": np.ones((2, 5), "int32")}
    inputs["segment_ids"] = np.zeros((2, 5), "int32")
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    before = values(model.encoder.blocks[0].feedforward_in.kernel)
    model.fit(inputs, np.array([0, 2]), verbose=0)
    assert not np.array_equal(values(model.encoder.blocks[0].feedforward_in.kernel), before)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(arrays(again(inputs))["output"], arrays(model(inputs))["output"])
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(arrays(exported.serve(inputs))["output"], arrays(model(inputs))["output"], atol=1e-6)


@pytest.mark.tensorflow_only
def test_loading_inside_a_strategy_mirrors_the_weights():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = kb.Encoder.from_pretrained(GOLDENS / "bert/BertModel")
    assert isinstance(model.embeddings.token_table.value, tf.distribute.DistributedValues)
