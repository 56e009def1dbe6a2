"""Training as it runs: learning curves and reconstructions."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from aevb_lib.history import History
from aevb_lib.plotting import lines
from aevb_lib.types import Codec
from aevb_lib.widgets.board import Board, png
from aevb_lib.widgets.viewer import Viewer

__all__ = ["Monitor", "training_monitor"]


class Monitor(Board):
    """The board of :func:`training_monitor`: call it with a history, and it shows that.

    Args:
        draw: Makes the pictures of a history, which may be empty.
    """

    def __init__(self, draw: Callable[[History], Mapping[str, bytes]]) -> None:
        self._history = History()
        super().__init__(lambda: draw(self._history))

    def __call__(self, history: History) -> None:
        """Show this history, and the model as it is now."""
        self._history = history
        self.redraw()


def training_monitor(
    codec: Codec, images: Tensor, *, metrics: Sequence[str] | None = None
) -> Monitor:
    """Return a widget that draws learning curves and reconstructions while a model is trained.

    Show it first, then train with it: ``fit(..., on_record=monitor)``. It draws at every new row of
    the history. The history's clock stands still meanwhile, and what is trained is the same as
    without it, to the last bit.

    Args:
        codec: The model that is trained.
        images: A few flat images to reconstruct, shape ``[n, P]``.
        metrics: Columns of the history to draw. By default the first thing that ``step`` returns,
            which is what it maximizes, and all that ``evaluate`` returns.

    Returns:
        The monitor.

    Raises:
        TypeError: If the codec is none, or the images are no tensor.
        ValueError: If shapes do not fit, or the images are not flat squares.

    Example:
        >>> import aevb_lib as aevb
        >>> model = aevb.VAE(aevb.GaussianMLP(16, 2), aevb.BernoulliMLP(2, 16))
        >>> learner = aevb.AEVB(model, torch.optim.Adam(model.parameters()))
        >>> data = aevb.ImageSet(torch.rand(200, 16))
        >>> monitor = training_monitor(model, data.images[:5])
        >>> history = aevb.fit(learner, data.batches(100), epochs=2, on_record=monitor)
        >>> monitor
        Monitor(pictures=['originals and reconstructions', 'learning curves'])
    """
    view = Viewer(codec)

    def draw(history: History) -> dict[str, bytes]:
        reconstructions = view.decode(view.encode(images))
        rows = torch.stack([images.detach().float().cpu(), reconstructions])
        pictures = {"originals and reconstructions": png(rows)}
        if len(history):
            pictures["learning curves"] = _curves(history, metrics)
        return pictures

    return Monitor(draw)


def _curves(history: History, metrics: Sequence[str] | None) -> bytes:
    if metrics is None:
        first, *others = history.metrics
        metrics = [first, *(name for name in others if not name.startswith("train_"))]
    curves = {name: history[name] for name in metrics}
    figure = lines(history["epoch"], curves, xlabel="epoch", ylabel="nats per image")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
