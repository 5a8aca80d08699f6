"""What each task makes of a text: one module a task, imported when a file of that task is opened.

A task class is made from (manifest, engine, tokenizer, path) and raises EdgeError there if the model's outputs are not
what the task reads. It has `__call__(text, pair, **options) -> result`, `describe(result) -> str`, the names of its
options (OPTIONS), whether it takes pairs (READS_PAIRS), and whether an answer is one run of the model between its
`encode(text, pair)` and `decode(encoding, outputs)` (ONE_RUN). Results are named tuples of plain values.
"""

import importlib

MODULES = {
    "sequence_classification": ("sequence_classification", "SequenceClassification"),
    "token_classification": ("token_classification", "TokenClassification"),
    "question_answering": ("question_answering", "QuestionAnswering"),
    "sentence_embedding": ("sentence_embedding", "SentenceEmbedding"),
    "masked_lm": ("masked_lm", "MaskedLanguageModel"),
}


def open_task(manifest, engine, tokenizer, path):
    """The task object for a manifest; see the module's docstring."""
    module, name = MODULES[manifest.task]
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)(manifest, engine, tokenizer, path)
