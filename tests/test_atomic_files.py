"""Folders written whole or not at all, wherever they are mounted."""

import errno
import os
import pathlib

import pytest

from keras_bert.errors import KerasBertError
from keras_bert.files import atomic_directory


def write_to_a_full_disk(target):
    with atomic_directory(target) as temporary:
        (temporary / "half").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_existing_folder_may_be_a_file_system_of_its_own(tmp_path, monkeypatch):
    """As a mounted volume is: nothing can be renamed into it from outside, and around it nothing may be written."""
    target = tmp_path / "volume"
    target.mkdir()
    (target / "report.json").write_text("mine")
    rename = os.replace

    def rename_within(source, destination):
        if target in pathlib.Path(source).parents and target in pathlib.Path(destination).parents:
            return rename(source, destination)
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "replace", rename_within)
    with atomic_directory(target) as temporary:
        (temporary / "variables").mkdir()
        (temporary / "variables" / "weights").write_text("new")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["volume"]
    assert (target / "variables" / "weights").read_text() == "new"
    assert sorted(path.name for path in target.iterdir()) == ["report.json", "variables"]
    with pytest.raises(KerasBertError, match=r"cannot write .*volume: No space left"):
        write_to_a_full_disk(target)
    assert sorted(path.name for path in target.iterdir()) == ["report.json", "variables"]


def test_a_new_folder_appears_with_all_its_files(tmp_path):
    with atomic_directory(tmp_path / "new") as temporary:
        (temporary / "a").write_text("x")
        assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "a"]
