"""Answers from BERT models in `.tflite` files, without TensorFlow.

import keras_bert_edge

model = keras_bert_edge.load("model.tflite")
model("a fine film").label
"""

from .errors import EdgeError
from .model import Model, load
from .version import __version__

__all__ = ["EdgeError", "Model", "__version__", "load"]
