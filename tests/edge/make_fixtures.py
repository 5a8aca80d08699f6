"""Writes tests/edge/fixtures/*.tflite: tiny networks in every shape that `keras-bert export` gives its files.

Needs tensorflow and tokenizers; run it again only when the format changes:

    python tests/edge/make_fixtures.py
"""

import json
import tempfile

import flatbuffers
import numpy as np
import tensorflow as tf
import tflite_file
import tiny_model
from tensorflow.lite.python import schema_py_generated as schema
from tflite_file import FIXTURES
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram, WordPiece

LABELS = ["negative", "neutral", "positive"]


# === Tokenizers ===


def bert_template(tokenizer, cls="[CLS]", sep="[SEP]"):
    special = [(cls, tokenizer.token_to_id(cls)), (sep, tokenizer.token_to_id(sep))]
    return processors.TemplateProcessing(f"{cls} $A {sep}", f"{cls} $A {sep} $B:1 {sep}:1", special)


def wordpiece():
    vocab = {token: index for index, token in enumerate(tiny_model.WORDS)}
    tokenizer = Tokenizer(WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = bert_template(tokenizer)
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


def byte_level_bpe():
    """Bytes, and merges that make whole words of a few names, with and without the space before."""
    words = ["paris", "berlin", "london", "new", "york", "john", "the", "capital", "of", "is", "in", "france"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: index for index, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *alphabet])}
    merges = []
    for word in [*words, *("Ġ" + word for word in words)]:
        left = word[0]
        for letter in word[1:]:
            if (left, letter) not in merges:
                merges.append((left, letter))
                vocab.setdefault(left + letter, len(vocab))
            left += letter
    tokenizer = Tokenizer(BPE(vocab, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True)
    return tokenizer


def unigram():
    pieces = ["▁john", "▁mary", "▁lives", "▁in", "▁new", "▁york", "▁paris", "▁", *"abcdefghijklmnopqrstuvwxyz.,!?-"]
    scored = [(token, 0.0) for token in ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")]
    scored += [(piece, -1.0 if len(piece) > 2 else -5.0) for piece in pieces]
    tokenizer = Tokenizer(Unigram(scored, unk_id=1))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = bert_template(tokenizer)
    tokenizer.add_special_tokens(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


# === Networks: each returns the outputs of one flat text, ids [n] ===


def classifier(num_labels, vocab_size, num_segments):
    weights = tiny_model.classifier_weights(num_labels, vocab_size, num_segments)

    def network(ids, segments=None, mask=None):
        hidden = tf.gather(weights["tokens"], ids) + tf.constant(weights["positions"])[: tf.shape(ids)[0]]
        hidden += weights["segments"][0] if segments is None else tf.gather(weights["segments"], segments)
        scores = tf.matmul(hidden @ weights["query"], hidden @ weights["key"], transpose_b=True)
        if mask is not None:
            scores += (1.0 - tf.cast(mask, tf.float32)) * -1e4
        attended = tf.matmul(tf.nn.softmax(scores), hidden @ weights["value"])
        return {"logits": (hidden + attended)[:1] @ weights["kernel"] + weights["bias"]}

    return network


def probabilities(network):
    return lambda *inputs: {"probability": tf.nn.softmax(network(*inputs)["logits"])}


def entities(vocab):
    table = tiny_model.entity_table(vocab)
    return lambda ids, mask=None: {"logits": tf.gather(table, ids)[None]}


def answers(vocab, with_segments):
    starts, ends = np.ascontiguousarray(tiny_model.answer_table(vocab).T)

    def network(ids, segments=None, mask=None):
        # Places named in the question are no answers; without segments every place counts.
        bonus = tf.zeros_like(ids, tf.float32)
        if with_segments:
            bonus = tf.cast(segments, tf.float32) * 2.0
        return {
            "start_logits": (tf.gather(starts, ids) + bonus)[None],
            "end_logits": (tf.gather(ends, ids) + bonus)[None],
        }

    return network


def embedding(vocab_size):
    table = tiny_model.embedding_table(vocab_size)

    def network(ids, mask=None):
        mean = mean_of_text(tf.gather(table, ids), mask)
        return {"embedding": mean * tf.math.rsqrt(tf.reduce_sum(mean * mean, -1, keepdims=True))}

    return network


def masked(vocab_size):
    inputs, outputs = tiny_model.vocabulary_projection(vocab_size)

    def network(ids, mask=None):
        rows = tf.gather(inputs, ids)
        return {"logits": tf.matmul(rows + mean_of_text(rows, mask), outputs, transpose_b=True)[None]}

    return network


def mean_of_text(rows, mask):
    if mask is None:
        return tf.reduce_mean(rows, 0, keepdims=True)
    mask = tf.cast(mask, tf.float32)[:, None]
    return tf.reduce_sum(rows * mask, 0, keepdims=True) / tf.reduce_sum(mask)


def outside_tflite(ids):
    """Uses an operation that only TensorFlow has."""
    return {"logits": tf.linalg.det(tf.eye(2, batch_shape=[1, 3]) + tf.cast(ids[0], tf.float32))}


# === Files ===


def convert(network, names, lengths, select_ops=False):
    """FlatBuffer bytes; `lengths` maps signature name -> int or None (dynamic), inputs int32 [1, n] called `names`."""
    module = tf.Module()
    signatures = {}
    for key, length in lengths.items():
        specs = [tf.TensorSpec([1, length], tf.int32, name=name) for name in names]

        def call(*inputs):
            return network(*(tf.reshape(value, [-1]) for value in inputs))

        signatures[key] = tf.function(call, autograph=False).get_concrete_function(*specs)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(lengths))
        if select_ops:
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        return converter.convert()


def with_newer_operation(model):
    """The model with a version of its first operation that no runtime has yet."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    tree.operatorCodes[0].version = 99
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def save(name, network, tokenizer, task, inputs=("token_ids",), lengths=None, names=None, change=None, **fields):
    lengths = lengths or {"serving_default": None}
    names = names or (list(inputs) + (["padding_mask"] if None not in lengths.values() else []))
    model = convert(network, names, lengths, select_ops=name == "flex.tflite")
    if change:
        model = change(model)
    config = {
        "format": "keras-bert-edge",
        "format_version": 1,
        "task": task,
        "family": "bert",
        "labels": [],
        "problem_type": None,
        "max_length": tiny_model.MAX_LENGTH,
        "pad_token_id": tokenizer.token_to_id("[PAD]") or 0,
        "inputs": list(inputs),
        "signatures": lengths,
        "profile": "default",
        "recipe": "float32",
        "model_size": len(model),
        "versions": {"tensorflow": tf.__version__},
    }
    config.update(fields)
    members = {"config.json": json.dumps(config).encode(), "tokenizer.json": tokenizer.to_str().encode()}
    if config["labels"]:
        members["labels.txt"] = "\n".join(config["labels"]).encode()
    data = tflite_file.write(model, members)
    (FIXTURES / name).write_bytes(data)
    print(f"{name}: {len(data):,} bytes")


def main():
    FIXTURES.mkdir(exist_ok=True)
    words, subwords, pieces = wordpiece(), byte_level_bpe(), unigram()
    vocab_size = words.get_vocab_size()
    both = ("token_ids", "segment_ids")
    single = {"task": "sequence_classification", "labels": LABELS, "problem_type": "single_label_classification"}
    save("pair.tflite", classifier(3, vocab_size, 2), words, inputs=both, **single)
    save("single.tflite", classifier(3, vocab_size, 0), words, family="distilbert", **single)
    save(
        "multi_label.tflite",
        classifier(3, vocab_size, 2),
        words,
        inputs=both,
        **{**single, "problem_type": "multi_label_classification"},
    )
    save(
        "regression.tflite",
        classifier(1, vocab_size, 2),
        words,
        "sequence_classification",
        both,
        labels=["similarity"],
        problem_type="regression",
    )
    lengths = {"length_8": 8, "length_16": 16}
    masked_call = classifier(3, vocab_size, 2)
    save("lengths.tflite", masked_call, words, inputs=both, lengths=lengths, **{**single, "max_length": 16})
    save(
        "mediapipe.tflite",
        probabilities(lambda ids, mask, segments: masked_call(ids, segments, mask)),
        words,
        inputs=("ids", "mask", "segment_ids"),
        names=["ids", "mask", "segment_ids"],
        lengths={"serving_default": 16},
        **{**single, "max_length": 16, "profile": "mediapipe"},
    )
    tags = {"task": "token_classification", "labels": tiny_model.ENTITY_LABELS}
    save("entities.tflite", entities(words.get_vocab()), words, **tags)
    save("entities_unigram.tflite", entities(pieces.get_vocab()), pieces, family="albert", **tags)
    save("answers.tflite", answers(words.get_vocab(), True), words, "question_answering", both)
    save("answers_bpe.tflite", answers(subwords.get_vocab(), False), subwords, "question_answering", family="roberta")
    save("embedding.tflite", embedding(vocab_size), words, "sentence_embedding", pooling="mean", normalize=True)
    save("flex.tflite", outside_tflite, words, **single)
    save("newer_operation.tflite", classifier(3, vocab_size, 0), words, change=with_newer_operation, **single)
    save("masked.tflite", masked(vocab_size), words, "masked_lm")
    fixed = {"lengths": lengths, "max_length": 16}
    save("embedding_lengths.tflite", embedding(vocab_size), words, "sentence_embedding", **fixed)
    save("masked_lengths.tflite", masked(vocab_size), words, "masked_lm", **fixed)
    save("entities_lengths.tflite", entities(words.get_vocab()), words, **tags, **fixed)
    save("answers_lengths.tflite", answers(words.get_vocab(), True), words, "question_answering", both, **fixed)


if __name__ == "__main__":
    main()
