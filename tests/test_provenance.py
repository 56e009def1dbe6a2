"""Where a recorded number says that it comes from."""

import subprocess

import torch

from aevb_lib.experiments.provenance import commit_of, provenance
from aevb_lib.experiments.results import Run


def test_what_one_needs_to_do_it_again():
    origin = provenance(12.345, "cpu")
    assert origin["torch"] == torch.__version__
    assert origin["training_seconds"] == 12.3
    assert "CPU" in origin["hardware"]
    assert origin["recorded"].endswith("+00:00")


def test_of_a_training_of_several_each_has_its_share():
    runs = [Run("mine", "vae", 2, seed) for seed in range(4)]
    assert provenance(100.0, "cpu", together=runs)["training_seconds"] == 25.0
    assert provenance(100.0, "cpu", together=runs[:1])["training_seconds"] == 100.0


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
