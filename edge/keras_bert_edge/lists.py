"""Lists of texts: shared out among workers, and short texts of like length answered together."""

from concurrent.futures import ThreadPoolExecutor

from .errors import EdgeError

# Texts that one worker takes at a time: what a list needs beyond its answers does not grow with its length.
LARGEST_CHUNK = 256
# Where several workers share a list: each answered alone, or together.
CHUNK = 8
BATCHED_CHUNK = 32

# Beyond this many tokens a text fills the kernels by itself.
LONGEST = 64
# Padding costs as much as text does. A run of its own costs a text about these many tokens.
SPARED = 2


def answer_list(items, alone, task, engine):
    """Answers in the order of `items`, which are answered from the shortest to the longest.

    Neighbours of one length need no new allocation of the interpreter's tensors, and little padding together.

    Args:
      items: texts and pairs.
      alone: item -> answer.
      task: the task object, whose `encode` and `decode` serve where its answers are one run each.
      engine: where they run.
    """
    order = sorted(range(len(items)), key=lambda index: _characters(items[index]))
    results = [None] * len(items)

    def together():
        """Texts of one run. The engine gives up its model for lists where it cannot be opened, maybe half-way."""
        return engine.batch_size if task.ONE_RUN else None

    def answer(indices):
        size = together()
        if size is None:
            answers = (_naming(index, alone, items[index]) for index in indices)
        else:
            encodings = [_naming(index, lambda item: task.encode(*as_pair(item)), items[index]) for index in indices]
            answers = _answer_together(encodings, task, engine, size)
        for index, result in zip(indices, answers):
            results[index] = result

    workers = engine.workers_for(len(items))
    chunk = LARGEST_CHUNK
    if workers > 1:
        chunk = max(1, min(CHUNK if together() is None else BATCHED_CHUNK, len(items) // workers))
    parts = [order[at : at + chunk] for at in range(0, len(order), chunk)]
    if workers < 2:
        for part in parts:
            answer(part)
        return results
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(answer, parts):
            pass
    return results


def as_pair(item):
    """(text, pair or None) of a text or a tuple of two.

    Raises:
      EdgeError: another tuple.
    """
    if not isinstance(item, tuple):
        return item, None
    if len(item) != 2:
        raise EdgeError(f"a pair is a tuple of two strings, not of {len(item)}")
    return item


def _naming(index, function, item):
    """`function(item)`, with the item's place in the list in front of its error."""
    try:
        return function(item)
    except EdgeError as error:
        raise EdgeError(f"item {index} of the list: {error}") from error


def _answer_together(encodings, task, engine, size):
    rows = [engine.row(encoding) for encoding in encodings]
    answers = [None] * len(encodings)
    for group in group_by_length([len(ids) for ids, _ in rows], size):
        outputs = engine.run_batch([rows[k] for k in group]) if len(group) == size else [engine.run(*rows[group[0]])]
        for k, output in zip(group, outputs):
            answers[k] = task.decode(encodings[k], output)
    return answers


def group_by_length(lengths, size):
    """Lists of `size` indices whose lengths are near one another, of one index each for the rest, shortest first."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    groups = []
    at = 0
    while at < len(order):
        group = order[at : at + size]
        longest = lengths[group[-1]]
        padding = size * longest - sum(lengths[index] for index in group)
        if len(group) < size or longest > LONGEST or padding > size * SPARED:
            group = group[:1]
        groups.append(group)
        at += len(group)
    return groups


def _characters(item):
    """Length of a text or pair; what is neither is refused when it is answered."""
    texts = item if isinstance(item, tuple) else (item,)
    return sum(len(text) for text in texts if isinstance(text, str))
