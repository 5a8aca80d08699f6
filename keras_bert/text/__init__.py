"""Text to model inputs inside the graph (extra `text`: tensorflow-text).

`TextPreprocessor` is a Keras layer that does in TensorFlow ops what `keras_bert.Tokenizer` does on the host, for
WordPiece (BERT, DistilBERT) and SentencePiece Unigram (ALBERT). It serves where no Python can run beside the model: in
a SavedModel that takes strings (`keras-bert export MODEL -o DIR --format saved_model --text-input`), and in tf.data.

    import keras_bert as kb
    from keras_bert.text import TextPreprocessor

    tokenizer = kb.Tokenizer.from_pretrained("path/to/checkpoint")
    preprocess = TextPreprocessor(tokenizer, max_length=128)
    preprocess(["a text", "another one"])                 # token_ids, padding_mask, segment_ids: int32 [batch, length]
    preprocess(["a premise"], ["its hypothesis"])         # pairs: [CLS] a premise [SEP] its hypothesis [SEP]
    dataset = tf.data.TextLineDataset("texts.txt").batch(32).map(preprocess)

The ids are the host tokenizer's. Only the matching of pieces is tensorflow-text's; what the host does to characters
(cleaning, case, accents, compatibility forms, Chinese characters, punctuation, white space) is read off the host
tokenizer itself, character by character, and goes into the graph as a table. Literal special tokens in a text
(`[MASK]`) become that token, and words of more than 100 characters the unknown token, as on the host.

What differs:

1. WordPiece that strips accents: combining marks that the host does not strip (spacing ones such as U+302E, and those
   newer than its Unicode tables) stay in the order in which the text has them, where the host sorts neighbours of
   different combining classes. Two of them side by side, in an order that Unicode holds to be not canonical, it takes.
2. Unigram: the unknown token spelled in compatibility characters (full-width `＜unk＞`) is that token for the host and
   ordinary characters in the graph.
3. Unigram that keeps accents and has a character map: a letter with a combining mark behind it is two characters in the
   graph, where the host composes them. (ALBERT's models strip accents: there is nothing to compose.)
4. Unigram: the log probabilities of pieces are rounded to 2^-14, which makes their float32 sums exact. Another cut is
   taken where two are within some 1e-4 of each other but not equal, or, by rounding, in words of a hundred pieces.
5. Bytes that are no UTF-8 count as U+FFFD; a Python string on the host cannot hold any.
6. Truncation is `longest_first`, the host's default, alone.

Refused with a TokenizerError: byte-level BPE (tensorflow-text has no such op), words added with `Tokenizer.add_tokens`,
and a `tokenizer.json` whose normaliser or pre-tokeniser is neither BERT's nor ALBERT's.
"""

from .layer import TextPreprocessor

__all__ = ["TextPreprocessor"]
