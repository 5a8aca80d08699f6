"""A corpus to shards: against a second implementation, for any number of processes, after kills, on Beam."""

from __future__ import annotations

import itertools
import json
import pathlib

import numpy as np
import pytest
import tokenizers
from preparing import SETTINGS, contents, make_documents

import keras_bert as kb
from keras_bert.data import merging
from keras_bert.data.corpus_files import find_files
from keras_bert.data.preparation import prepare
from keras_bert.data.preparation_plan import WORK_FOLDER, PreparationSettings
from keras_bert.data.shards import read_manifest, verify
from keras_bert.data.token_documents import TextRules
from keras_bert.errors import DataError, KerasBertError
from keras_bert.tokenizers.training import train_tokenizer


def read_shards(folder: pathlib.Path) -> list[dict[int, tuple[list[int], list[int]]]]:
    """Number -> (token ids, sentence lengths) of each shard, read with TensorFlow."""
    import tensorflow as tf

    names = {"token_ids": tf.string, "sentence_lengths": tf.string, "document": tf.int64}
    features = {name: tf.io.FixedLenFeature((), dtype) for name, dtype in names.items()}
    shards = []
    for shard in json.loads((folder / "manifest.json").read_text())["shards"]:
        shards.append({})
        for record in tf.data.TFRecordDataset(str(folder / shard["file"])):
            row = tf.io.parse_single_example(record, features)
            ids = tf.io.decode_raw(row["token_ids"], tf.uint16).numpy().tolist()
            shards[-1][int(row["document"])] = (
                ids,
                tf.io.decode_raw(row["sentence_lengths"], tf.int32).numpy().tolist(),
            )
    return shards


# === What comes out ===


def test_every_document_is_there_as_the_bare_tokenizer_reads_it(corpus, tokenizer_folder, prepared) -> None:
    bare = tokenizers.Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    expected = {}
    for number, sentences in enumerate(corpus[1]):
        ids = [bare.encode(sentence, add_special_tokens=False).ids for sentence in sentences]
        expected[number] = (sum(ids, []), [len(row) for row in ids])  # noqa: RUF017
    shards = read_shards(prepared)
    assert {number: row for shard in shards for number, row in shard.items()} == expected
    assert sum(map(len, shards)) == len(expected)
    manifest = read_manifest(prepared)
    assert [shard.documents for shard in manifest.shards] == list(map(len, shards))
    assert [shard.tokens for shard in manifest.shards] == [sum(len(r[0]) for r in s.values()) for s in shards]
    assert [shard.sentences for shard in manifest.shards] == [sum(len(r[1]) for r in s.values()) for s in shards]
    assert manifest.tokens == sum(len(row[0]) for row in expected.values())
    assert verify(prepared) == manifest
    assert not (prepared / WORK_FOLDER).exists()
    kb.Tokenizer.from_pretrained(prepared).check_vocabulary(manifest.vocab_size)


def test_shards_are_random_samples(corpus, prepared) -> None:
    shards = read_shards(prepared)
    for shard in shards:
        numbers = list(shard)
        assert numbers != sorted(numbers)
        # The four sources have 450, 350, 250 and 20 documents; a sample has about these shares.
        shares = np.histogram(numbers, [0, 450, 800, 1050, 1071])[0] / len(numbers)
        assert np.allclose(shares, np.array([450, 350, 250, 20]) / 1070, atol=0.12)


def test_joined_lines_and_sentences_by_line(tmp_path, tokenizer) -> None:
    (tmp_path / "a.txt").write_text("The film\nwas bad. It\nwas sad.\n\n\nGreat\nfilm!\n")
    (tmp_path / "b.txt").write_text("A film.")
    wanted = {
        (True, "split"): ["The film was bad.", "It was sad.", "Great film!"],
        (False, "split"): ["The film", "was bad.", "It", "was sad.", "Great", "film!"],
        (True, "line"): ["The film was bad. It was sad.", "Great film!"],
        (False, "line"): ["The film", "was bad. It", "was sad.", "Great", "film!"],
    }
    for i, ((join, rule), sentences) in enumerate(wanted.items()):
        settings = PreparationSettings(rules=TextRules(join, rule))  # type: ignore[arg-type]
        prepare([tmp_path / "a.txt", tmp_path / "b.txt"], tokenizer, tmp_path / str(i), settings, workers=1)
        (shard,) = read_shards(tmp_path / str(i))
        lengths = [len(row) for row in tokenizer.tokenize_batch(sentences)]
        assert shard[0] == (sum(tokenizer.tokenize_batch(sentences), []), lengths)  # noqa: RUF017


def test_same_bytes_for_any_number_of_workers_and_other_for_another_seed(corpus, tokenizer, prepared, tmp_path) -> None:
    files = find_files([str(corpus[0])])
    seen = []
    prepare(files, tokenizer, tmp_path / "one", SETTINGS, workers=1, on_progress=lambda *step: seen.append(step))
    assert contents(tmp_path / "one") == contents(prepared)
    for stage, total in (("tokenising", sum(file.stat().st_size for file in files)), ("writing shards", 6)):
        steps = [step for step in seen if step[0] == stage]
        assert {step[2] for step in steps} == {total}
        assert sum(step[1] for step in steps) == total
    other = PreparationSettings(SETTINGS.corpus, num_shards=6, seed=4)
    prepare(files, tokenizer, tmp_path / "other", other, workers=2)
    assert [set(shard) for shard in read_shards(tmp_path / "other")] != [set(shard) for shard in read_shards(prepared)]


def test_many_parts_are_merged_first_and_the_bytes_are_the_same(corpus, tokenizer, prepared, tmp_path, monkeypatch):
    """Also after a stop in the middle of it, with one of what was merged damaged."""
    monkeypatch.setattr(merging, "FEW_PARTS", 2)
    files, output = find_files([str(corpus[0])]), tmp_path / "out"
    steps = []

    def stop(stage: str, done: int, total: int) -> None:
        steps.append(stage)
        if steps.count("merging") == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(files, tokenizer, output, SETTINGS, workers=2, on_progress=stop)
    merged = sorted((output / WORK_FOLDER).glob("merged-*"))
    assert len(merged) >= 4
    data = bytearray(merged[0].read_bytes())
    data[-10] ^= 4
    merged[0].write_bytes(data)
    kept = merged[1].stat().st_mtime_ns
    seen: list[tuple[str, int]] = []

    def watch(stage: str, done: int, total: int) -> None:
        seen.append((stage, total))
        assert stage != "writing shards" or merged[1].stat().st_mtime_ns == kept

    prepare(files, tokenizer, output, SETTINGS, workers=2, on_progress=watch)
    counts = {total for stage, total in seen if stage == "merging"}
    assert counts == {seen.count(("merging", max(counts)))}
    assert max(counts) >= len(merged)
    assert contents(output) == contents(prepared)


def test_a_shard_opens_few_of_many_parts(tmp_path):
    """100 runs of 100 files of 10,000 parts: one range of each run, at its edges two."""
    parts = [merging.KeyRange(tmp_path / str(i), i) for i in range(10_000)]
    targets = [job.target for job in merging.merge_jobs(parts, tmp_path)]
    assert len(targets) == 10_000
    assert not list(merging.merge_jobs(parts[: merging.FEW_PARTS], tmp_path))
    shards = [merging.KEYS_END * i // 2999 for i in range(3000)]
    met = [sum(t.meets(low, high) for t in targets) for low, high in itertools.pairwise(shards[:200])]
    assert set(met) == {100, 200}
    assert sum(met) < 1.05 * 100 * len(met)


def test_shares_divide_the_corpus(corpus, tokenizer, prepared, tmp_path) -> None:
    files = find_files([str(corpus[0])])
    rows = []
    for name, share in (("train", (0.0, 0.9)), ("held-out", (0.9, 1.0))):
        settings = PreparationSettings(SETTINGS.corpus, num_shards=2, seed=3, share=share)
        manifest = prepare(files, tokenizer, tmp_path / name, settings, workers=2).manifest
        shards = read_shards(tmp_path / name)
        assert sorted(number for shard in shards for number in shard) == list(range(manifest.documents))
        rows.append([row for shard in shards for row in shard.values()])
    # A tenth of 1070 documents is 107, with a standard deviation of 10.
    assert abs(len(rows[1]) - 107) < 40
    whole = [row for shard in read_shards(prepared) for row in shard.values()]
    assert sorted(rows[0] + rows[1]) == sorted(whole)


def test_beam_writes_the_same(corpus, tokenizer, prepared, tmp_path) -> None:
    pytest.importorskip("apache_beam")
    from keras_bert.data.preparation_beam import prepare_with_beam

    files = find_files([str(corpus[0])])
    result = prepare_with_beam(files, tokenizer, tmp_path / "beam", SETTINGS, ["--runner=DirectRunner"])
    assert result.replaced == 0
    # Record sets first, for a readable failure; then every byte.
    assert read_shards(tmp_path / "beam") == read_shards(prepared)
    assert contents(tmp_path / "beam") == contents(prepared)
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match="the corpus holds no text"):
        prepare_with_beam([tmp_path / "empty.txt"], tokenizer, tmp_path / "none", SETTINGS)
    (tmp_path / "bad.txt").write_bytes(b"x \xff")
    with pytest.raises(KerasBertError, match=r"bad\.txt line 1: not UTF-8: invalid start byte at byte 2"):
        prepare_with_beam([tmp_path / "bad.txt"], tokenizer, tmp_path / "bad", SETTINGS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_shards": 0}, "at least 1"),
        ({"shard_tokens": 0}, "at least 1"),
        ({"seed": -1}, "seed"),
        ({"share": (0.5, 0.5)}, "share must be"),
    ],
)
def test_impossible_settings(options, message) -> None:
    with pytest.raises(DataError, match=message):
        PreparationSettings(**options)


def test_running_text_of_byte_level_bpe(tmp_path) -> None:
    """A sentence's first word keeps the space before it: the ids of a paragraph are those of its text as a whole."""
    words = " ".join(sentence for document in make_documents(20, 1) for sentence in document)
    bpe = train_tokenizer("bpe", lambda: [words], 300)
    (tmp_path / "a.txt").write_text("The film was bad. It was\nsad! Great film?\n\nOf the film. Fun.\n")
    (tmp_path / "b.txt").write_text("A film.")
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    settings = PreparationSettings(rules=TextRules(join_lines=True))
    prepare(files, bpe, tmp_path / "out", settings, workers=1)
    bare = tokenizers.Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    paragraphs = ["The film was bad. It was sad! Great film?", "Of the film. Fun."]
    expected = [bare.encode(paragraph, add_special_tokens=False).ids for paragraph in paragraphs]
    (shard,) = read_shards(tmp_path / "out")
    assert shard[0][0] == expected[0] + expected[1]
    assert len(shard[0][1]) == 5
