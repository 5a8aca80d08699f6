"""The networks inside the test fixtures, in plain numpy: the oracle that the edge runner's answers are held against.

`make_fixtures.py` builds the same networks in TensorFlow from the same weights. Weights are functions of a seed
(numpy's RandomState, whose streams are frozen), so neither side reads the other's output.
"""

import numpy as np

HIDDEN = 8
MAX_LENGTH = 24

TEXT = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] a b c the in of is lives what capital where does john mary paris berlin france new "
    "york film good bad great dull very not it was london bank ! ? . , - ' ##s ##ing ##ed ##er ##ly ##y un ##believ "
    "##able cat dog walk talk happy sad one two three ##1 ##2 ##a ##b ##c ##d ##e"
)
WORDS = TEXT.split()

ENTITY_LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
ENTITY_WORDS = {"john": "B-PER", "mary": "B-PER", "paris": "B-LOC", "berlin": "B-LOC", "london": "B-LOC"}
ENTITY_WORDS.update({"new": "B-LOC", "york": "I-LOC", "france": "B-LOC"})


def classifier_weights(num_labels, vocab_size, num_segments, seed=7):
    """Weights of a one-layer, one-head attention network that reads its first position; float32 arrays by name."""
    random = np.random.RandomState(seed)

    def draw(*shape):
        return random.normal(0.0, 1.0, shape).astype(np.float32)

    return {
        "tokens": draw(vocab_size, HIDDEN),
        "positions": 0.5 * draw(MAX_LENGTH, HIDDEN),
        "segments": draw(max(num_segments, 1), HIDDEN),
        "query": draw(HIDDEN, HIDDEN) / 4,
        "key": draw(HIDDEN, HIDDEN) / 4,
        "value": draw(HIDDEN, HIDDEN),
        "kernel": draw(HIDDEN, num_labels) / 2,
        "bias": draw(num_labels),
    }


def classifier_logits(weights, token_ids, segment_ids=None):
    """Logits [labels] for one text of exact length; token_ids and segment_ids int [length]."""
    length = len(token_ids)
    segments = np.zeros(length, int) if segment_ids is None else np.asarray(segment_ids)
    hidden = weights["tokens"][np.asarray(token_ids)] + weights["positions"][:length] + weights["segments"][segments]
    scores = (hidden @ weights["query"]) @ (hidden @ weights["key"]).T
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    attention = scores / scores.sum(-1, keepdims=True)
    first = (hidden + attention @ (hidden @ weights["value"]))[0]
    return first @ weights["kernel"] + weights["bias"]


def entity_table(vocab):
    """Tag logits by token id [vocab_size, 5]: each known name has its tag, every other token is O."""
    table = np.zeros((len(vocab), len(ENTITY_LABELS)), np.float32)
    for token, index in vocab.items():
        tag = ENTITY_WORDS.get(token.lower().strip("Ġ▁"), "O")
        table[index, ENTITY_LABELS.index(tag)] = 4.0
    return table


def answer_table(vocab):
    """Start and end logits by token id [vocab_size, 2]: names of places start and end answers, `[CLS]` is worth 1."""
    table = np.zeros((len(vocab), 2), np.float32)
    scores = {"paris": (6, 6), "berlin": (5, 5), "london": (4, 4), "new": (3, 0), "york": (0, 3)}
    scores.update({"[cls]": (1, 1), "<s>": (1, 1)})
    for token, index in vocab.items():
        table[index] = scores.get(token.lower().strip("Ġ▁"), (0, 0))
    return table


def embedding_table(vocab_size, seed=11):
    """Token vectors [vocab_size, 8] whose normalised mean is a text's embedding."""
    return np.random.RandomState(seed).normal(0.0, 1.0, (vocab_size, HIDDEN)).astype(np.float32)


def sentence_embedding(table, token_ids):
    mean = table[np.asarray(token_ids)].mean(0)
    return mean / np.sqrt((mean * mean).sum())


def vocabulary_projection(vocab_size, seed=13):
    """Input and output tables [vocab_size, 8] of a masked language model that reads the mean of its text."""
    random = np.random.RandomState(seed)
    return tuple(random.normal(0.0, 1.0, (vocab_size, HIDDEN)).astype(np.float32) for _ in range(2))


def masked_logits(tables, token_ids):
    """Logits [length, vocab_size]."""
    rows = tables[0][np.asarray(token_ids)]
    return (rows + rows.mean(0)) @ tables[1].T
