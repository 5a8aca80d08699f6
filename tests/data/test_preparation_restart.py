"""Preparation into a folder that holds something: after a kill, a full disk or bad bytes, or of another corpus."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time

import pytest
from preparing import SETTINGS, command, contents

import keras_bert as kb
from keras_bert.data import preparation_plan
from keras_bert.data.corpus import CorpusFormat
from keras_bert.data.corpus_files import find_files
from keras_bert.data.preparation import prepare
from keras_bert.data.preparation_plan import WORK_FOLDER, PreparationSettings
from keras_bert.data.shards import read_manifest
from keras_bert.errors import DataError


@pytest.mark.parametrize("pattern", ["part-*.safetensors", "shard-*.json"])
def test_killed_and_started_again(corpus, tokenizer, tokenizer_folder, tmp_path, pattern) -> None:
    output = tmp_path / "out"
    many = PreparationSettings(SETTINGS.corpus, num_shards=60, seed=3)
    with subprocess.Popen(
        command(corpus[0], tokenizer_folder, output, "--shards", "60"), stderr=subprocess.PIPE
    ) as run:
        while run.poll() is None and len(list((output / WORK_FOLDER).glob(pattern))) < 3:
            time.sleep(0.002)
        assert run.poll() is None, "the run ended before it could be killed"
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert run.stderr is not None
        run.stderr.read()  # at its end when the workers have ended too
    assert not (output / "manifest.json").exists()
    # One of what was finished is damaged: it must be made again, the others kept.
    damaged = min(output.glob("shard-*") if pattern.startswith("shard") else (output / WORK_FOLDER).glob(pattern))
    data = bytearray(damaged.read_bytes())
    data[-10] ^= 4
    damaged.write_bytes(data)
    files = find_files([str(corpus[0])])
    result = prepare(files, tokenizer, output, many, workers=2)
    assert result.kept_parts >= 2
    assert result.kept_shards >= (2 if pattern.startswith("shard") else 0)
    prepare(files, tokenizer, tmp_path / "whole", many, workers=2)
    assert contents(output) == contents(tmp_path / "whole")


def test_full_disk_leaves_nothing_half(corpus, tokenizer, tokenizer_folder, prepared, tmp_path) -> None:
    """A limit on the size of files stands for the disk's end; then there is room again."""

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    output = tmp_path / "out"
    arguments = command(corpus[0], tokenizer_folder, output, "--shards", "6")
    run = subprocess.run(arguments, preexec_fn=small_disk, capture_output=True, text=True)
    assert run.returncode == 2
    assert "error: cannot write" in run.stderr
    assert "File too large" in run.stderr
    assert "Traceback" not in run.stderr
    assert [path.name for path in output.iterdir()] == [WORK_FOLDER]
    assert not list(output.rglob("*.part"))
    prepare(find_files([str(corpus[0])]), tokenizer, output, SETTINGS, workers=2)
    assert contents(output) == contents(prepared)


def test_bad_bytes_that_stopped_it_can_be_replaced(tokenizer, tmp_path) -> None:
    """In the same folder, with what was done before them kept: the result is that of replacing from the start."""
    (tmp_path / "a.txt").write_text("The film was bad.\n\n" * 9000)  # a block of its own
    (tmp_path / "b.txt").write_bytes(b"The \xff film was great.\n")
    files, output = [tmp_path / "a.txt", tmp_path / "b.txt"], tmp_path / "out"
    with pytest.raises(DataError, match=r"b\.txt line 1: not UTF-8: .* at byte 4; --errors replace"):
        prepare(files, tokenizer, output, PreparationSettings(CorpusFormat("blank-line")), workers=1)
    lenient = PreparationSettings(CorpusFormat("blank-line", errors="replace"))
    result = prepare(files, tokenizer, output, lenient, workers=1)
    assert (result.replaced, result.kept_parts > 0) == (1, True)
    prepare(files, tokenizer, tmp_path / "whole", lenient, workers=1)
    assert contents(output) == contents(tmp_path / "whole")
    # The other way what is done may hold characters that were put in.
    plan = preparation_plan.make_plan(files, tokenizer, lenient)
    (tmp_path / "other").mkdir()
    preparation_plan.begin(tmp_path / "other", plan)
    with pytest.raises(DataError, match="errors was 'replace', now 'strict'"):
        prepare(files, tokenizer, tmp_path / "other", PreparationSettings(CorpusFormat("blank-line")), workers=1)


# === Folders that hold something already ===


def test_a_finished_folder_is_checked_and_left(corpus, tokenizer, prepared) -> None:
    before = {path: path.stat().st_mtime_ns for path in prepared.iterdir()}
    result = prepare(find_files([str(corpus[0])]), tokenizer, prepared, SETTINGS)
    assert (result.manifest, result.replaced) == (read_manifest(prepared), None)
    assert {path: path.stat().st_mtime_ns for path in prepared.iterdir()} == before


def test_a_work_folder_left_by_a_kill_at_the_very_end_goes(tokenizer, tmp_path) -> None:
    """Between the manifest and the removal of the parts, which are as large as the shards."""
    (tmp_path / "a.txt").write_text("The film.")
    prepare([tmp_path / "a.txt"], tokenizer, tmp_path / "out", PreparationSettings(), workers=1)
    left = tmp_path / "out" / WORK_FOLDER
    left.mkdir()
    (left / "part-000000-000000.safetensors").write_bytes(b"x")
    prepare([tmp_path / "a.txt"], tokenizer, tmp_path / "out", PreparationSettings(), workers=1)
    assert not left.exists()


def test_another_corpus_is_refused_with_the_difference(corpus, tokenizer, tmp_path) -> None:
    a, b, output = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "out"
    a.write_text("The film.")
    b.write_text("A bad film.")
    plan = preparation_plan.make_plan([a, b], tokenizer, SETTINGS)
    output.mkdir()
    preparation_plan.begin(output, plan)
    cased = kb.Tokenizer.from_json(tokenizer.to_json().replace('"lowercase":true', '"lowercase":false'))

    def refused(files, tokenizer, settings, message) -> None:
        with pytest.raises(DataError, match=f"out holds shards of another corpus or other settings: .*{message}"):
            prepare(files, tokenizer, output, settings, workers=1)

    def check() -> None:
        refused([a, b], cased, one, "tokenizer_sha256 was")
        refused([a, b], tokenizer, PreparationSettings(SETTINGS.corpus, num_shards=1, seed=9), "seed was 3, now 9")
        refused([a, b], tokenizer, PreparationSettings(num_shards=1, seed=3), "documents was 'blank-line', now 'auto'")
        refused([a], tokenizer, one, "b.txt was part of it, and is not now")
        refused([b, a], tokenizer, one, "the files come in another order")

    output_plan = output / WORK_FOLDER / "plan.json"
    assert json.loads(output_plan.read_text()) == plan
    one = PreparationSettings(SETTINGS.corpus, num_shards=1, seed=3)
    output_plan.write_text(json.dumps(preparation_plan.make_plan([a, b], tokenizer, one)))
    check()
    prepare([a, b], tokenizer, output, one, workers=1)
    check()
    os.utime(b, (time.time() + 60,) * 2)
    refused([a, b], tokenizer, one, "b.txt has changed since")
    b.write_text("A very bad film.")
    refused([a, b], tokenizer, one, "b.txt had 11 bytes, now 16")


def test_a_broken_shard_of_a_finished_folder_is_named(corpus, tokenizer, tmp_path) -> None:
    (tmp_path / "a.txt").write_text("The film.")
    output = tmp_path / "out"
    prepare([tmp_path / "a.txt"], tokenizer, output, PreparationSettings(), workers=1)
    shard = output / "shard-00000-of-00001.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"shard-00000-of-00001\.tfrecord has .* bytes, expected .*: it was cut short"):
        prepare([tmp_path / "a.txt"], tokenizer, output, PreparationSettings(), workers=1)
