"""A tokenizer in TensorFlow ops: strings to ids, without special tokens around them."""

from __future__ import annotations

import json
import re
from typing import Any

import tensorflow as tf
import tokenizers

from ..errors import MissingExtraError, TokenizerError
from ..tokenizers import Tokenizer
from ..tokenizers.sentencepiece_model import NORMAL, UNKNOWN, SentencePieceModel
from .characters import CharacterTable, character_table

# ALBERT's steps, each of which changes one character at a time. Of another step the table would know too little.
_UNIGRAM_STEPS = {"NFD", "NFKD", "StripAccents", "Lowercase", "Precompiled"}
_WORD_START = "▁"
_UTF8_BYTES = 4
# The op adds scores in float32, the host in float64. Multiples of 2^-14 add up exactly in both as far as 1024, so that
# "!!!!" with its equally likely `! !!!` and `!!! !` is cut alike.
_SCORE_UNIT = 2.0**14
_NOTHING = r"\z."  # a pattern that matches nowhere
_MARK = b"\xff"  # no byte of any UTF-8 text


class GraphTokenizer(tf.Module):
    """`Tokenizer.tokenize_batch` in the graph; the ops' resources are tracked, so that a SavedModel holds them.

    Args:
        tokenizer: WordPiece with BERT's normaliser and pre-tokeniser, or Unigram with ALBERT's.

    Raises:
        MissingExtraError: tensorflow-text is not installed.
        TokenizerError: a pipeline that the graph cannot follow; the message says which part.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(name="graph_tokenizer")
        if tokenizer.kind == "bpe":
            raise TokenizerError(
                "byte-level BPE (RoBERTa) cannot run in the graph: tensorflow-text has no op for it;"
                " tokenise on the host with keras_bert.Tokenizer and feed ids"
            )
        text = tensorflow_text()
        content = json.loads(tokenizer.to_json())
        self._added = _added_tokens(content)
        longest_first = sorted(self._added, key=len, reverse=True)
        self._pattern = f"({'|'.join(map(re.escape, longest_first)) or _NOTHING})"
        self._replacements = _replacements(content) if tokenizer.kind == "unigram" else []
        _check_steps(content, tokenizer.kind)
        self._characters = _table(content)
        self._words: WordPieceWords | UnigramWords
        if tokenizer.kind == "wordpiece":
            self._words = WordPieceWords(text, content, tokenizer.unk_id)
        else:
            self._words = UnigramWords(text, content)

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Strings [batch] to ids, int32 [batch, tokens] ragged."""
        # What the text spells out of the added tokens stands for itself; the rest is tokenised piece by piece.
        # (tensorflow-text's regex_split would end a text at its first NUL.)
        valid = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        segments = tf.strings.split(tf.strings.regex_replace(valid, self._pattern, _MARK + rb"\1" + _MARK), _MARK)
        flat = segments.flat_values
        matches = flat[:, tf.newaxis] == tf.constant(list(self._added), tf.string)[tf.newaxis]
        is_added = tf.reduce_any(matches, axis=1)
        rest = tf.where(is_added, "", flat)
        for pattern, content in self._replacements:
            rest = tf.strings.regex_replace(rest, pattern, content)
        code_points = tf.strings.unicode_decode(rest, "UTF-8", errors="replace")
        spaced = tf.strings.unicode_encode(self._characters(code_points), "UTF-8")
        words = tf.strings.split(spaced)
        pieces = words.with_flat_values(self._words(words.flat_values)).merge_dims(1, 2)
        added_ids = tf.matmul(
            tf.cast(matches, tf.int32), tf.constant(list(self._added.values()), tf.int32, [len(self._added), 1])
        )
        added = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(added_ids[:, 0], is_added), tf.cast(is_added, tf.int64), validate=False
        )
        return segments.with_flat_values(tf.concat([pieces, added], axis=1)).merge_dims(1, 2)


class WordPieceWords(tf.Module):
    """Words to WordPiece ids: longest match first, one unknown token for a word that has no pieces or is too long."""

    def __init__(self, text: Any, content: dict[str, Any], unk_id: int) -> None:
        super().__init__(name="wordpiece")
        model = content["model"]
        token_of = {token_id: token for token, token_id in model["vocab"].items()}
        # An id without a token needs its place. White space is in no word, so that nothing matches there.
        vocabulary = [token_of.get(token_id, f" {token_id}") for token_id in range(max(token_of) + 1)]
        self._max_characters = model["max_input_chars_per_word"]
        self._unknown = unk_id
        self._tokenizer = text.FastWordpieceTokenizer(
            vocabulary,
            suffix_indicator=model["continuing_subword_prefix"],
            unknown_token=model["unk_token"],
            # The op counts bytes; characters are counted here.
            max_bytes_per_word=_UTF8_BYTES * self._max_characters,
            token_out_type=tf.int32,
            no_pretokenization=True,
        )

    def __call__(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Strings [words] to ids, int32 [words, pieces] ragged."""
        too_long = tf.strings.length(words, unit="UTF8_CHAR") > self._max_characters
        pieces = self._tokenizer.tokenize(tf.where(too_long, "", words))
        count = tf.cast(too_long, tf.int64)
        unknown = tf.fill([tf.reduce_sum(count)], self._unknown)
        return tf.concat([pieces, tf.RaggedTensor.from_row_lengths(unknown, count, validate=False)], axis=1)


class UnigramWords(tf.Module):
    """Words to Unigram ids: the likeliest pieces of `▁word`, neighbouring unknown characters as one token."""

    def __init__(self, text: Any, content: dict[str, Any]) -> None:
        super().__init__(name="unigram")
        model = content["model"]
        if model.get("byte_fallback"):
            raise TokenizerError("Unigram with byte fallback cannot run in the graph: feed ids")
        pieces = tuple(
            (piece, round(score * _SCORE_UNIT) / _SCORE_UNIT, UNKNOWN if index == model["unk_id"] else NORMAL)
            for index, (piece, score) in enumerate(model["vocab"])
        )
        # Text arrives normalised and split, with its word starts: the op is to do neither.
        data = SentencePieceModel(pieces, b"").to_bytes(prepares_text=False)

        # The op keeps the model in its kernel, and TensorFlow may drop the kernel of an op that ran eagerly
        # (`clear_session` does): inside a function of its own the op is made again with its kernel.
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def pieces_of(words: tf.Tensor) -> tf.RaggedTensor:
            return text.SentencepieceTokenizer(model=data, out_type=tf.int32).tokenize(words)

        self._pieces_of = pieces_of

    def __call__(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Strings [words] to ids, int32 [words, pieces] ragged."""
        return self._pieces_of(tf.strings.regex_replace(words, f"^[^{_WORD_START}]", rf"{_WORD_START}\0"))


def tensorflow_text() -> Any:
    """The tensorflow_text module.

    Raises:
        MissingExtraError: it is not installed, or was built for another TensorFlow.
    """
    try:
        import tensorflow_text as text
    except ImportError:
        raise MissingExtraError(
            "text inside the graph needs the extra text: pip install 'keras-bert-toolkit[text]'"
        ) from None
    except tf.errors.NotFoundError as error:
        raise MissingExtraError(
            f"the installed tensorflow-text does not fit TensorFlow {tf.__version__}: install the extra text anew"
            f" ({error.message.splitlines()[0]})"
        ) from error
    return text


def _added_tokens(content: dict[str, Any]) -> dict[str, int]:
    """Token -> id of what is matched in the raw text.

    Raises:
        TokenizerError: one that is matched in another way.
    """
    for token in content["added_tokens"]:
        if token["normalized"] or token["single_word"]:
            raise TokenizerError(
                f"the added token {token['content']!r} cannot be matched in the graph: it is matched as a whole word or"
                " in normalised text; feed ids"
            )
    # lstrip and rstrip take spaces, which separate words and come to nothing in both kinds.
    return {token["content"]: token["id"] for token in content["added_tokens"]}


def _steps(part: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """The steps of a normaliser or pre-tokeniser, a single one being a sequence of one."""
    if part is None:
        return []
    return part[name] if part["type"] == "Sequence" else [part]


def _replacements(content: dict[str, Any]) -> list[tuple[str, str]]:
    """(pattern, content) of the Replace steps that open a normaliser, for `tf.strings.regex_replace`."""
    return [
        (re.escape(step["pattern"]["String"]), step["content"].replace("\\", r"\\"))
        for step in _steps(content["normalizer"], "normalizers")
        if step["type"] == "Replace" and "String" in step["pattern"]
    ]


def _check_steps(content: dict[str, Any], kind: str) -> None:
    """Raise TokenizerError for a pipeline that is not made of steps on single characters."""
    normalizers = _steps(content["normalizer"], "normalizers")
    splitters = _steps(content["pre_tokenizer"], "pretokenizers")
    if kind == "wordpiece":
        known = [step["type"] for step in normalizers] == ["BertNormalizer"]
        known_split = [step["type"] for step in splitters] == ["BertPreTokenizer"]
        expected = "BertNormalizer and BertPreTokenizer"
    else:
        while normalizers and _replaces_string(normalizers[0]):
            normalizers = normalizers[1:]
        known = all(step["type"] in _UNIGRAM_STEPS or _joins_spaces(step) for step in normalizers)
        known_split = [step["type"] for step in splitters] == ["WhitespaceSplit", "Metaspace"] and (
            splitters[1]["replacement"] == _WORD_START
            and splitters[1]["prepend_scheme"] == "always"
            and splitters[1].get("split", True)
        )
        expected = f"replacements of text, then of {', '.join(sorted(_UNIGRAM_STEPS))}; WhitespaceSplit and Metaspace"
    if not (known and known_split):
        came = ", ".join(step["type"] for step in [*_steps(content["normalizer"], "normalizers"), *splitters])
        raise TokenizerError(
            f"this {kind} tokenizer cannot run in the graph: expected {expected}; got {came or 'none'}"
        )


def _replaces_string(step: dict[str, Any]) -> bool:
    """A step such as "``" to '"'. Of a single character the table would know, and it would be done twice."""
    return step["type"] == "Replace" and len(step["pattern"].get("String", "")) > 1


def _joins_spaces(step: dict[str, Any]) -> bool:
    """Hugging Face's ALBERT files join neighbouring spaces, which changes no word."""
    return step["type"] == "Replace" and step["pattern"] == {"Regex": " {2,}"} and step["content"] == " "


def _table(content: dict[str, Any]) -> CharacterTable:
    """The characters' table; one for all tokenizers whose normaliser and pre-tokeniser are equal."""
    empty = json.loads(tokenizers.Tokenizer(tokenizers.models.WordPiece({"a": 0}, unk_token="a")).to_str())
    parts = {name: content[name] for name in ("normalizer", "pre_tokenizer")}
    return character_table(json.dumps({**empty, **parts}))
