"""Files that are there whole or not at all, and where a number says that it comes from."""

import subprocess
from pathlib import Path

import pytest
import torch

from aevb_lib.experiments.provenance import commit_of, provenance
from aevb_lib.experiments.store import write_atomically


def test_a_file_and_its_folder_are_made(tmp_path):
    path = tmp_path / "new" / "deep" / "a.json"
    write_atomically(path, "σ\n")
    assert path.read_bytes() == "σ\n".encode()
    write_atomically(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("where", ["os.replace", "pathlib.Path.write_text"])
@pytest.mark.parametrize("before", [None, "old"])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, where, before):
    path = tmp_path / "a.json"
    if before is not None:
        path.write_text(before)

    def fail(self, *_, **__):
        if where.endswith("write_text"):
            Path(self).write_bytes(b"half a f")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(where, fail)
        with pytest.raises(OSError, match="disk full"):
            write_atomically(path, "new")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == (
        {} if before is None else {"a.json": before}
    )


def test_what_one_needs_to_do_it_again():
    origin = provenance(12.345, "cpu")
    assert origin["torch"] == torch.__version__
    assert origin["training_seconds"] == 12.3
    assert "CPU" in origin["hardware"]
    assert origin["recorded"].endswith("+00:00")


def test_no_commit_without_git(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert provenance(0.0, "cpu")["commit"] is None


def test_no_commit_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit_of(tmp_path) is None


def test_an_accelerator_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device}")
    assert provenance(0.0, "cuda:1")["hardware"] == "GPU cuda:1"
