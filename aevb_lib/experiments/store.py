"""Paths of records and weights, and the one place that writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from torch import nn

from aevb_lib.archives import default_root
from aevb_lib.data import ImageSet, load_mnist
from aevb_lib.experiments.results import R, Result, Run
from aevb_lib.files import replacing
from aevb_lib.pretrained import load_judge, load_weights, save_judge, save_weights
from aevb_lib.sample_quality import Judge

__all__ = ["ASSETS", "Store"]


@dataclass(frozen=True)
class Store:
    """A folder of records and weights, and the device on which they are made.

    Weights that do not ship with the package would be 80 MB: they stay in the user's cache, beside
    the unpacked MNIST, for whoever wants to measure the same models again without training them.

    Attributes:
        folder: Folder for everything; by default, what ships is in the package's own assets.
        device: Device that trains and measures.

    Example:
        >>> from pathlib import Path
        >>> run = Run("mine", "vae", 2, seed=0)
        >>> Store(Path("here")).result_path(run).as_posix()
        'here/mine/vae-grey-d002-seed0.json'
    """

    folder: Path | None = None
    device: str = "cpu"

    @property
    def studies(self) -> Path:
        """Folder of the records, with one folder per study in it."""
        return _assets() / "studies" if self.folder is None else self.folder

    @property
    def weights(self) -> Path:
        """Folder of the weights that ship."""
        return (_assets() if self.folder is None else self.folder) / "weights"

    def result_path(self, run: Run) -> Path:
        """Return the path of a run's record."""
        return self.studies / run.study / f"{run.name}.json"

    def weights_folder(self, run: Run, *, ships_in: str | None) -> Path:
        """Return the folder of the weights that a run ends with.

        Args:
            run: The run.
            ships_in: Folder below :attr:`weights` if they ship; None for the cache.
        """
        if ships_in is not None:
            return self.weights / ships_in
        cache = default_root() if self.folder is None else self.folder / "cache"
        return cache / "weights" / run.study / f"{run.regime}-seed{run.seed}"

    @contextmanager
    def checkpoint(self, runs: Sequence[Run]) -> Iterator[Path]:
        """Give runs that are trained together a file for their state, until they are recorded.

        A run that was killed finds it there. It is removed when the ``with`` block ends well.

        Args:
            runs: The runs.

        Yields:
            The path of the file, in the user's cache.
        """
        seeds = "-".join(str(run.seed) for run in runs)
        cache = default_root() if self.folder is None else self.folder / "cache"
        device = torch.device(self.device).type
        facts = hashlib.sha256(repr(runs).encode()).hexdigest()[:8]
        name = f"{runs[0].name}-of-{seeds}-{device}-{facts}.pt"
        path = cache / "checkpoints" / runs[0].study / name
        yield path
        path.unlink(missing_ok=True)

    def images(self, regime: str = "grey") -> tuple[ImageSet, ImageSet]:
        """Return MNIST's training and test images on the device."""
        train, test = load_mnist(regime=regime)
        return train.to(self.device), test.to(self.device)

    def read(self, run: R) -> Result[R]:
        """Return the recorded result of a run.

        Raises:
            FileNotFoundError: If it was never recorded.
            ValueError: If it was recorded with another configuration than ``run``.
        """
        path = self.result_path(run)
        result = Result.from_json(path.read_text(encoding="utf-8"), type(run))
        if result.run != run:
            raise ValueError(
                f"{path.name} was recorded with another configuration than the code has now; "
                "remove the file and record it again"
            )
        return result

    def read_all(self, runs: Iterable[R]) -> list[Result[R]]:
        """Return the results of those runs that are recorded, in the same order."""
        return [self.read(run) for run in runs if self.result_path(run).exists()]

    def write(self, result: Result) -> None:
        """Write the record of a run."""
        with replacing(self.result_path(result.run)) as temporary:
            temporary.write_text(result.to_json(), encoding="utf-8")

    def save_weights(self, model: nn.Module, run: Run, *, ships_in: str | None) -> None:
        """Write the weights that a run ended with; see :meth:`weights_folder`."""
        folder = self.weights_folder(run, ships_in=ships_in)
        save_weights(model, run.kind, run.latent_dim, folder=folder)

    def load_weights(self, model: nn.Module, run: Run, *, ships_in: str | None) -> None:
        """Load into a model the weights that a run ended with.

        Raises:
            FileNotFoundError: If they are not here; the message lists those there are.
        """
        folder = self.weights_folder(run, ships_in=ships_in)
        load_weights(model, run.kind, run.latent_dim, folder=folder)

    @property
    def judge_path(self) -> Path:
        """Path of the judge's record."""
        return self.studies / "judge.json"

    def save_judge(self, judge: Judge) -> None:
        """Write the weights of the judge of digits."""
        save_judge(judge, folder=self.weights)

    def load_judge(self) -> Judge:
        """Return the judge that was trained into this folder, or else the one that ships."""
        own = (self.weights / "judge.safetensors").exists()
        return load_judge(folder=self.weights if own else None)

    def write_judge(self, text: str) -> None:
        """Write the judge's record."""
        with replacing(self.judge_path) as temporary:
            temporary.write_text(text, encoding="utf-8")


#: The package's own assets.
ASSETS = Store()


def _assets() -> Path:
    return Path(str(files("aevb_lib"))) / "assets"
