"""Training of the judge: the fixed classifier that looks at generated and disturbed digits."""

from __future__ import annotations

import json
import time
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from aevb_lib.data import ImageSet
from aevb_lib.experiments.provenance import provenance
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.randomness import seed_everything
from aevb_lib.sample_quality import Judge

__all__ = ["accuracy", "record_judge", "train_judge"]

EPOCHS = 6
BATCH_SIZE = 100
LEARNING_RATE = 3e-3
SEED = 0
MAX_SHIFT = 2  # pixels, in each direction


def train_judge(
    train: ImageSet, *, epochs: int = EPOCHS, batch_size: int = BATCH_SIZE, seed: int = SEED
) -> Judge:
    """Return a judge trained on randomly shifted digits, in evaluation mode.

    Args:
        train: Labeled training images.
        epochs: Number of passes over them.
        batch_size: Number of images per step.
        seed: Decides weights, order and shifts.
    """
    generator = seed_everything(seed)
    judge = Judge().to(train.images.device).train()
    batches = train.batches(batch_size, generator=generator)
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


def record_judge(store: Store = ASSETS, *, epochs: int = EPOCHS) -> dict[str, Any]:
    """Train the judge, write its weights, and write down how well the written weights do.

    Args:
        store: Store to write to.
        epochs: Number of passes over the training images.

    Returns:
        The record, with configuration, accuracy on training and test images, and provenance.
    """
    train, test = store.images()
    started = time.perf_counter()
    judge = train_judge(train, epochs=epochs)
    seconds = time.perf_counter() - started
    store.save_judge(judge)
    judge = store.load_judge().to(store.device)  # what ships is what is measured
    record = {
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "max_shift": MAX_SHIFT,
        "seed": SEED,
        "train_accuracy": accuracy(judge, train),
        "test_accuracy": accuracy(judge, test),
        "provenance": provenance(seconds, store.device),
    }
    store.write_judge(json.dumps(record, indent=1) + "\n")
    return record
