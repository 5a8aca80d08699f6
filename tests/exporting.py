"""Tiny checkpoints to export, and how the exported file and Keras are asked the same."""

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from harness import randomize
from tiny import tiny_tokenizer

import keras_bert as kb

TEXTS = ("a good film", "bad", "the film was very dull and poor, it was sad!")
# Large enough that int8 is a real approximation, small enough to convert in a second.
SIZES = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 64, "max_positions": 40}


def save(folder, family="bert", task="sequence", labels=("bad", "so so", "good"), **changes):
    """A checkpoint with a tokenizer and a random value in every weight."""
    tokenizer = tiny_tokenizer(folder)
    changes = {"vocab_size": tokenizer.vocab_size, **SIZES, **changes}
    config = kb.EncoderConfig(family=family, **changes)
    keras.utils.set_random_seed(0)  # of unlucky weights the scores hardly move
    encoder = kb.Encoder(config)
    model = {
        "sequence": lambda: kb.SequenceClassifier(encoder, labels=labels, tokenizer=tokenizer),
        "question": lambda: kb.QuestionAnswerer(encoder, tokenizer=tokenizer),
        "token": lambda: kb.TokenClassifier(encoder, labels=labels, tokenizer=tokenizer),
        "embedding": lambda: kb.SentenceEncoder(encoder, tokenizer=tokenizer),
        "masked": lambda: kb.MaskedLanguageModel(encoder, tokenizer=tokenizer),
    }[task]()
    randomize(model)
    model.save_pretrained(folder)
    return model


def bare_outputs(path, inputs):
    """The outputs of the bare interpreter, which knows nothing of us."""
    interpreter = Interpreter(model_path=str(path))
    return interpreter.get_signature_runner("serving_default")(**inputs)


def encoded(model, text):
    encoding = model.tokenizer.encode(text)
    return {
        "token_ids": np.array([encoding.token_ids], "int32"),
        "segment_ids": np.array([encoding.segment_ids], "int32"),
    }
