"""The judge's training, and its record: what is written down is what ships."""

import json
import math

import pytest
import torch

import aevb_lib as aevb
from aevb_lib.experiments import judge as module
from aevb_lib.experiments.judge import accuracy, record_judge, train_judge
from aevb_lib.experiments.store import Store
from aevb_lib.pretrained import load_judge
from aevb_lib.sample_quality import Judge

SHIPPED = Store().judge_path


def easy_images(n, seed):
    """Ten classes, one bright block each, where a shift by two pixels cannot confuse them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 10
    images = 0.2 * torch.rand(n, 28, 28, generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        top, left = 4 + 11 * (label // 5), 2 + 5 * (label % 5)
        image[top : top + 8, left : left + 3] = 1.0
    return aevb.ImageSet(images.flatten(1), labels)


class EasyStore(Store):
    """A store whose MNIST is easy."""

    def images(self, regime="grey"):
        return easy_images(200, 0), easy_images(50, 1)


def test_an_easy_set_is_learned():
    judge = train_judge(easy_images(200, 0), epochs=4, batch_size=20)
    assert not judge.training
    assert accuracy(judge, easy_images(50, 1)) > 0.9


def test_one_seed_one_judge():
    train = easy_images(60, 0)
    first, second, other = (train_judge(train, epochs=1, seed=seed) for seed in (3, 3, 4))
    weights = [judge.head.weight for judge in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_accuracy_is_the_share_of_labels_met():
    judge = Judge().eval()
    images = torch.rand(8, 784)
    labels = judge.probabilities(images).argmax(-1)
    labels[:2] = (labels[:2] + 1) % 10
    assert accuracy(judge, aevb.ImageSet(images, labels)) == 0.75


def test_the_record_is_of_the_written_weights(tmp_path):
    store = EasyStore(tmp_path)
    record = record_judge(store, epochs=2)
    names = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert names == ["judge.json", "weights/judge.safetensors"]
    assert json.loads((tmp_path / "judge.json").read_text()) == record
    written = store.load_judge()
    assert not written.training
    assert record["test_accuracy"] == accuracy(written, easy_images(50, 1))
    assert record["train_accuracy"] == accuracy(written, easy_images(200, 0))
    assert record["epochs"] == 2
    assert {"torch", "commit", "hardware", "training_seconds"} <= set(record["provenance"])


def test_no_record_without_its_weights(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        record_judge(EasyStore(tmp_path), epochs=1)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.skipif(not SHIPPED.exists(), reason="the judge is not recorded yet")
def test_what_ships_is_what_the_code_would_train():
    record = json.loads(SHIPPED.read_text())
    constants = {"EPOCHS", "BATCH_SIZE", "LEARNING_RATE", "MAX_SHIFT", "SEED"}
    assert {name: record[name.lower()] for name in constants} == {
        name: getattr(module, name) for name in constants
    }


@pytest.mark.skipif(not SHIPPED.exists(), reason="the judge is not recorded yet")
def test_what_ships_is_as_good_as_recorded():
    p = json.loads(SHIPPED.read_text())["test_accuracy"]
    _, test = aevb.load_mnist()
    # MNIST's second five thousand test images are cleaner than the first: take evenly from both.
    subset = test[::5]
    assert accuracy(load_judge(), subset) == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 2000))
