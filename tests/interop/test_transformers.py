"""`transformers` opens what `save_pretrained` wrote and computes the same; what it writes opens here, defaults too."""

from __future__ import annotations

import json

import numpy as np
import pytest
from harness import TINY, arrays, features, randomize

import keras_bert as kb
from keras_bert.checkpoints.config_json import parse_config, write_config
from keras_bert.models import get_family

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-5
SINUSOIDAL = TINY["distilbert"].replace(sinusoidal_positions=True)
RELU = TINY["bert"].replace(activation="relu", layer_norm_epsilon=1e-5)
CONFIGS = {**TINY, "distilbert-sinusoidal": SINUSOIDAL, "bert-relu": RELU}
LABELS = ["O", "B-PER", "I-PER"]

# Our task -> how it is made, the reference's class, and its outputs by our names.
TASKS = {
    "masked_lm": (kb.MaskedLanguageModel, "AutoModelForMaskedLM", {"output": ("logits",)}),
    "pretraining": (
        kb.PretrainingModel,
        "AutoModelForPreTraining",
        {
            "mlm_logits": ("prediction_logits", "logits"),
            "sentence_logits": ("seq_relationship_logits", "sop_logits"),
        },
    ),
    "sequence_classification": (
        lambda encoder: kb.SequenceClassifier(encoder, LABELS),
        "AutoModelForSequenceClassification",
        {"output": ("logits",)},
    ),
    "token_classification": (
        lambda encoder: kb.TokenClassifier(encoder, LABELS),
        "AutoModelForTokenClassification",
        {"output": ("logits",)},
    ),
    "question_answering": (
        kb.QuestionAnswerer,
        "AutoModelForQuestionAnswering",
        {"start_logits": ("start_logits",), "end_logits": ("end_logits",)},
    ),
    "encoder": (
        lambda encoder: encoder,
        "AutoModel",
        {"sequence_output": ("last_hidden_state",), "pooled_output": ("pooler_output",)},
    ),
}


def reference_outputs(model, inputs):
    """What the reference computes for our inputs, by its names."""
    names = {"token_ids": "input_ids", "padding_mask": "attention_mask", "segment_ids": "token_type_ids"}
    with torch.no_grad():
        outputs = model.eval()(**{names[name]: torch.from_numpy(value).long() for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def assert_equal_where_text_is(ours, theirs, outputs, mask):
    for name, value in arrays(ours).items():
        reference = next(theirs[key] for key in outputs[name] if key in theirs)
        assert value.shape == reference.shape
        error = np.abs(value - reference)
        assert (error[mask == 1] if error.shape[:2] == mask.shape else error).max() <= TOLERANCE, name


def has_pooler(task: str, config: kb.EncoderConfig) -> bool:
    """Whether the reference builds this model with a pooler."""
    families = {"encoder": ("bert", "roberta", "albert")}
    families.update(dict.fromkeys(("pretraining", "sequence_classification"), ("bert", "albert")))
    return config.family in families.get(task, ())


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("task", TASKS)
def test_transformers_opens_what_we_save(task, name, tmp_path):
    make, class_name, outputs = TASKS[task]
    config = CONFIGS[name].replace(pooler=has_pooler(task, CONFIGS[name]))
    model = make(kb.Encoder(config))
    randomize(model)
    model.save_pretrained(tmp_path)

    reference, info = getattr(transformers, class_name).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["unexpected_keys"]
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    inputs = features(config)
    assert_equal_where_text_is(model(inputs), reference_outputs(reference, inputs), outputs, inputs["padding_mask"])
    if hasattr(model, "labels"):
        assert reference.config.id2label == dict(enumerate(LABELS))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("task", TASKS)
def test_we_open_what_transformers_saves(task, name, tmp_path):
    make, class_name, outputs = TASKS[task]
    config = CONFIGS[name].replace(pooler=has_pooler(task, CONFIGS[name]))
    kb.Encoder(config).save_pretrained(tmp_path / "sizes")
    settings = transformers.AutoConfig.from_pretrained(tmp_path / "sizes")
    if "classification" in task:
        settings.id2label = dict(enumerate(LABELS))
    torch.manual_seed(3)
    reference = getattr(transformers, class_name).from_config(settings)
    with torch.no_grad():
        for parameter in reference.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    reference.save_pretrained(tmp_path / "theirs")

    model = type(make(kb.Encoder(config))).from_pretrained(tmp_path / "theirs")
    assert getattr(model, "new_parts", ()) == ()
    inputs = features(model.config)
    assert_equal_where_text_is(model(inputs), reference_outputs(reference, inputs), outputs, inputs["padding_mask"])


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification", "regression"])
def test_problem_types(problem_type, tmp_path):
    labels = 1 if problem_type == "regression" else 3
    kb.SequenceClassifier(kb.Encoder(TINY["bert"]), labels, problem_type=problem_type).save_pretrained(tmp_path)
    reference = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert (reference.config.problem_type, reference.config.num_labels) == (problem_type, labels)


@pytest.mark.parametrize("name", ["Bert", "DistilBert", "Roberta", "Albert"])
def test_what_a_configuration_leaves_out_means_the_same(name, tmp_path):
    """A config.json with the model type alone stands for the reference's defaults."""
    settings = getattr(transformers, f"{name}Config")()
    minimal = {"model_type": settings.model_type}
    _, ours = parse_config(minimal, tmp_path / "config.json")
    _, theirs = parse_config(json.loads(settings.to_json_string(use_diff=False)), tmp_path / "config.json")
    assert ours == theirs


@pytest.mark.parametrize("preset", kb.PRESETS)
def test_presets_are_configurations_of_the_reference(preset, unallocated):
    """The reference reads a preset's config.json into the same shape: parameters counted without allocating them."""
    config = kb.PRESETS[preset]
    raw = write_config(config, get_family(config.family).architectures["encoder"])
    settings = transformers.AutoConfig.for_model(**raw)
    with torch.device("meta"):
        reference = transformers.AutoModel.from_config(settings)
    count = sum(int(np.prod(weight.shape)) for weight in kb.Encoder(config).trainable_weights)
    assert count == sum(parameter.numel() for parameter in reference.parameters())
