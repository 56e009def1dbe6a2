"""Trained models that ship with the package, one file each.

Weights are stored as float16 `safetensors`: half the size, and a test shows that the bound moves by
less than a hundredth of a nat. Loading them runs no code from the file.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeVar, overload

from torch import Tensor, nn

from aevb_lib.architectures import ARCHITECTURES
from aevb_lib.files import replacing
from aevb_lib.models import VAE, Autoencoder
from aevb_lib.sample_quality import Judge

__all__ = [
    "load_judge",
    "load_pretrained",
    "load_weights",
    "save_judge",
    "save_weights",
]

M = TypeVar("M", bound=nn.Module)


@overload
def load_pretrained(
    kind: Literal["vae"],
    latent_dim: int,
    *,
    hidden_dim: int = 500,
    folder: str | Path | None = None,
) -> VAE: ...
@overload
def load_pretrained(
    kind: Literal["autoencoder"],
    latent_dim: int,
    *,
    hidden_dim: int = 500,
    folder: str | Path | None = None,
) -> Autoencoder: ...
@overload
def load_pretrained(
    kind: str, latent_dim: int, *, hidden_dim: int = 500, folder: str | Path | None = None
) -> VAE | Autoencoder: ...
def load_pretrained(
    kind: str, latent_dim: int, *, hidden_dim: int = 500, folder: str | Path | None = None
) -> VAE | Autoencoder:
    """Return a model trained on the grey 60,000 images for 40 epochs, on the CPU in float32.

    Args:
        kind: ``"vae"`` or ``"autoencoder"``.
        latent_dim: Dimension D of the code; the error for one that is missing lists those there
            are.
        hidden_dim: Number of units in the hidden layers; 500 in all models that ship.
        folder: Folder of the weight files; that of the package by default.

    Raises:
        ValueError: If there is no such kind, or the file is damaged.
        FileNotFoundError: If there are no such weights; the message lists those there are.

    Example:
        >>> model = load_pretrained("vae", latent_dim=20)
        >>> model.sample(3).shape
        torch.Size([3, 784])
    """
    if kind not in ARCHITECTURES:
        raise ValueError(f"no model called {kind!r}; there are: {', '.join(ARCHITECTURES)}")
    model = ARCHITECTURES[kind](latent_dim, hidden_dim=hidden_dim)
    return _load(model, _path(kind, latent_dim, folder))


def load_judge(*, folder: str | Path | None = None) -> Judge:
    """Return the trained judge of digits, in evaluation mode.

    Args:
        folder: Folder of the weight files; that of the package by default.

    Raises:
        FileNotFoundError: If there are no such weights.
    """
    return _load(Judge(), _weights_folder(folder) / "judge.safetensors").eval()


def load_weights(
    model: nn.Module, kind: str, latent_dim: int, *, folder: str | Path | None = None
) -> None:
    """Load into any model the weights that :func:`save_weights` wrote.

    Args:
        model: A model of the same shape, which is changed.
        kind: The name under which they were written.
        latent_dim: Dimension D of the code.
        folder: Folder of the weight files; that of the package by default.

    Raises:
        FileNotFoundError: If there are no such weights; the message lists those there are.
    """
    _load(model, _path(kind, latent_dim, folder))


def save_weights(model: nn.Module, kind: str, latent_dim: int, *, folder: str | Path) -> Path:
    """Write a model's weights as float16 where :func:`load_pretrained` finds them.

    A tensor with a number beyond 65,504, the largest in float16, is kept in float32.

    Args:
        model: The trained model.
        kind: ``"vae"`` or ``"autoencoder"``, or another name for :func:`load_weights`.
        latent_dim: Dimension D of the code.
        folder: Folder to write to; it is made if need be.

    Returns:
        The file written. It appears all at once or not at all.

    Raises:
        OSError: If it cannot be written; an older file stays as it was.

    Example:
        >>> import tempfile, aevb_lib as aevb
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(aevb.mnist_vae(2), "vae", 2, folder=folder).name
        'vae-d002.safetensors'
    """
    return _save(model, _path(kind, latent_dim, folder))


def save_judge(judge: Judge, *, folder: str | Path) -> Path:
    """Write the judge's weights as float16 where :func:`load_judge` finds them."""
    return _save(judge, _weights_folder(folder) / "judge.safetensors")


def _weights_folder(folder: str | Path | None) -> Path:
    if folder is None:
        return Path(str(files("aevb_lib"))) / "assets" / "weights"
    return Path(folder).expanduser()


def _path(kind: str, latent_dim: int, folder: str | Path | None) -> Path:
    return _weights_folder(folder) / f"{kind}-d{latent_dim:03d}.safetensors"


def _load(model: M, path: Path) -> M:
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.safetensors"))) or "none"
        raise FileNotFoundError(f"no weights {path.name!r}; there are: {known}")
    from safetensors import SafetensorError  # not torch alone, so not for `import aevb_lib`
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged or no safetensors file ({error}): copy it again, or reinstall "
            "aevb-lib if it came with the package"
        ) from error
    model.load_state_dict(weights)  # copies into the model's own float32
    return model


def _save(model: nn.Module, path: Path) -> Path:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    weights = {name: _stored(value) for name, value in model.state_dict().items()}
    with replacing(path) as temporary:
        try:
            save_file(weights, temporary)
        except SafetensorError as error:
            raise OSError(f"cannot write {path}: {error}") from error
        temporary.chmod(0o644)  # safetensors writes files that only their owner can read
    return path


def _stored(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value
    half = value.half()
    overflows = half.isinf() & ~value.isinf()
    return value.float() if overflows.any() else half
