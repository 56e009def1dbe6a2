"""Training of the judge: the fixed classifier that looks at generated and disturbed digits."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from aevb_lib.data import ImageSet, load_mnist
from aevb_lib.experiments.provenance import provenance, write_atomically
from aevb_lib.experiments.studies import studies_folder
from aevb_lib.pretrained import load_judge, save_judge
from aevb_lib.randomness import seed_everything
from aevb_lib.sample_quality import Judge

__all__ = ["accuracy", "record_judge", "train_judge"]

EPOCHS = 6
BATCH_SIZE = 100
LEARNING_RATE = 3e-3
SEED = 0
MAX_SHIFT = 2  # pixels, in each direction


def train_judge(train: ImageSet, *, epochs: int = EPOCHS, seed: int = SEED) -> Judge:
    """Return a judge trained on randomly shifted digits, in evaluation mode.

    Args:
        train: Labeled training images.
        epochs: Passes over them.
        seed: Of weights, order and shifts.
    """
    generator = seed_everything(seed)
    judge = Judge().to(train.images.device).train()
    batches = train.batches(BATCH_SIZE, generator=generator)
    optimizer = torch.optim.Adam(judge.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=epochs * len(batches)
    )
    for _ in range(epochs):
        for batch in batches:
            shift = torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (2,), generator=generator).tolist()
            # MNIST's outer pixels are empty, so rolling an image is shifting it.
            images = batch.images.unflatten(1, (28, 28)).roll(shift, (1, 2)).flatten(1)
            loss = cross_entropy(judge(images), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return judge.eval()


def accuracy(judge: Judge, data: ImageSet) -> float:
    """Return the share of images whose likeliest class is their label."""
    return float((judge.probabilities(data.images).argmax(-1) == data.labels).double().mean())


def record_judge(folder: Path | None = None) -> dict[str, Any]:
    """Train the judge, write its weights, and write down how well the written weights do.

    Args:
        folder: Where to write; the package's own assets by default.

    Returns:
        The record, with configuration, accuracy on training and test images, and provenance.
    """
    train, test = load_mnist()
    started = time.perf_counter()
    judge = train_judge(train)
    seconds = time.perf_counter() - started
    weights = studies_folder(folder).parent / "weights" if folder is None else folder / "weights"
    save_judge(judge, folder=weights)
    judge = load_judge(folder=weights)  # what ships is what is measured
    record = {
        "epochs": EPOCHS,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "max_shift": MAX_SHIFT,
        "seed": SEED,
        "train_accuracy": accuracy(judge, train),
        "test_accuracy": accuracy(judge, test),
        "provenance": provenance(seconds, "cpu"),
    }
    write_atomically(studies_folder(folder) / "judge.json", json.dumps(record, indent=1) + "\n")
    return record
