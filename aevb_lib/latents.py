"""Points of the latent space: grids, paths, noise, fitted densities, and the classes in them."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from aevb_lib.checks import check_tensors

__all__ = [
    "add_noise",
    "fit_mixture",
    "interpolate",
    "linear_accuracy",
    "neighbor_accuracy",
    "prior_grid",
    "random_codes",
]


def prior_grid(
    size: int, *, latent_dim: int = 2, dims: tuple[int, int] = (0, 1), coverage: float = 0.95
) -> Float[Tensor, "size size D"]:
    r"""Return a grid of codes that covers two dimensions of the prior evenly in probability.

    The grid is even on the unit square and is mapped through the inverse of the normal distribution
    function, :math:`z = \Phi^{-1}(u)`, as in the paper's figure 4: every cell holds the same share
    of the prior, so a picture of the decoded grid shows what the model generates how often.

    Args:
        size: Number of codes along each axis.
        latent_dim: Dimension D of the code; dimensions that the grid does not vary are zero.
        dims: The two dimensions it varies: the first grows to the right, the second upwards.
        coverage: Share of the prior's mass that each axis spans.

    Returns:
        Codes on the CPU, shape ``[size, size, D]``, first axis from top to bottom, second from left
        to right.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> grid = prior_grid(3, coverage=0.95)
        >>> grid[1, 1].tolist(), round(float(grid[0, 2, 0]), 2)
        ([0.0, 0.0], 1.96)
    """
    if size < 2 or not 0 < coverage < 1:
        raise ValueError(f"need size >= 2 and 0 < coverage < 1, got {size} and {coverage}")
    if len(set(dims)) != 2 or not all(0 <= dim < latent_dim for dim in dims):
        raise ValueError(f"dims must name two of the {latent_dim} dimensions, got {dims}")
    quantiles = torch.linspace(-coverage, coverage, size, dtype=torch.float64, device="cpu")
    # Phi^-1((1 + t) / 2) = sqrt(2) erfinv(t)
    ticks = (quantiles.erfinv() * 2**0.5).float()
    codes = torch.zeros(size, size, latent_dim, device="cpu")
    codes[..., dims[0]] = ticks
    codes[..., dims[1]] = ticks.flip(0)[:, None]
    return codes


def interpolate(
    start: Float[Tensor, "*batch D"], end: Float[Tensor, "*batch D"], steps: int
) -> Float[Tensor, "steps *batch D"]:
    """Return equally spaced codes on the straight line from ``start`` to ``end``, ends included.

    Args:
        start: First code, shape ``[..., D]``.
        end: Last code, same shape.
        steps: Number of codes, at least two.

    Returns:
        Codes, shape ``[steps, ..., D]``.

    Raises:
        TypeError: If an end is no tensor.
        ValueError: If there are fewer than two steps, or the ends differ in shape or type.

    Example:
        >>> interpolate(torch.zeros(1), torch.ones(1), 3).flatten().tolist()
        [0.0, 0.5, 1.0]
    """
    check_tensors(start=start, end=end)
    if (start.shape, start.dtype) != (end.shape, end.dtype) or not start.is_floating_point():
        raise ValueError(
            "a path leads from one code to another of the same shape and floating-point type, got "
            f"{list(start.shape)} of {start.dtype} and {list(end.shape)} of {end.dtype}"
        )
    if steps < 2:
        raise ValueError(f"a path needs at least its two ends, got steps={steps}")
    weights = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device)
    weights = weights.reshape(-1, *(1 for _ in start.shape))
    return torch.lerp(start, end, weights)


def add_noise(
    codes: Float[Tensor, "*batch D"],
    scale: float | Float[Tensor, "*#batch #D"],
    *,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*batch D"]:
    r"""Return :math:`z + s\,\epsilon` with :math:`\epsilon \sim \mathcal N(0, I)`.

    Args:
        codes: Codes, shape ``[..., D]``.
        scale: Standard deviation s of the noise: one number, or a tensor such as each dimension's
            own spread ``codes.std(0)`` times a dial.
        generator: CPU generator of the noise; torch's global one by default. The noise is drawn on
            the CPU, so one seed gives one noise on every device.

    Returns:
        Noisy codes, same shape.

    Example:
        >>> add_noise(torch.ones(2, 3), 0.0).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    check_tensors(codes=codes)
    noise = torch.randn(codes.shape, generator=generator, dtype=codes.dtype, device="cpu")
    return codes + scale * noise.to(codes.device)


def random_codes(num: int, latent_dim: int) -> Float[Tensor, "num D"]:
    r"""Draw codes as the report did: first random :math:`\mu` and :math:`\sigma`, then the code.

    The report does not say from which distributions. Here :math:`\mu_j \sim \mathcal N(0, 1)`, the
    prior, and :math:`\sigma_j` is uniform on [0, 1], the range in which a trained encoder's lie.

    Args:
        num: Number of codes.
        latent_dim: Dimension D of the code.

    Returns:
        Codes, shape ``[num, D]``.

    Example:
        >>> random_codes(3, 20).shape
        torch.Size([3, 20])
    """
    mu, sigma = torch.randn(num, latent_dim), torch.rand(num, latent_dim)
    return torch.addcmul(mu, sigma, torch.randn(num, latent_dim))


def fit_mixture(
    codes: Float[Tensor, "N D"], num_components: int = 1, *, seed: int = 0
) -> MixtureSameFamily:
    """Return a mixture of normals with full covariances, fitted to codes by maximum likelihood.

    With one component it is the normal distribution with the codes' mean and covariance. This gives
    an autoencoder, which has no prior, something to draw codes from.

    Args:
        codes: Codes of training images, shape ``[N, D]``.
        num_components: Number of normals.
        seed: Seed of the initial means of EM (scikit-learn's ``GaussianMixture``).

    Returns:
        A distribution over codes, event shape ``[D]``, on the CPU.

    Raises:
        TypeError: If the codes are no tensor.
        ValueError: If there are fewer codes than components, or the codes are no rows.

    Example:
        >>> codes = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> fit_mixture(codes, 3).sample((10,)).shape
        torch.Size([10, 2])
    """
    from sklearn.mixture import GaussianMixture  # heavy, and seldom needed

    check_tensors(codes=codes)
    if codes.ndim != 2:
        raise ValueError(f"codes must have shape [N, D], not {list(codes.shape)}")
    points = codes.detach().cpu().double()
    # What is added to each variance so that none is zero must be small beside all of them.
    spread = [float(v) for v in points.var(0, correction=0) if v > 0]
    ridge = 1e-6 * min(spread, default=1.0)
    mixture = GaussianMixture(num_components, reg_covar=ridge, random_state=seed)
    mixture.fit(points.numpy())
    # Factorized in float64: in float32 a nearly flat cloud of codes has no Cholesky factor.
    weights, means, covariances = map(
        torch.from_numpy, (mixture.weights_, mixture.means_, mixture.covariances_)
    )
    factors = torch.linalg.cholesky(covariances)
    components = MultivariateNormal(means.float(), scale_tril=factors.float())
    return MixtureSameFamily(Categorical(weights.float()), components)


def neighbor_accuracy(
    codes: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    test_codes: Float[Tensor, "M D"],
    test_labels: Int[Tensor, " M"],
    *,
    neighbors: int = 5,
) -> float:
    """Return the accuracy of a nearest-neighbor classifier of codes: are classes near themselves?

    A majority vote among the nearest codes in Euclidean distance. It depends on the units of each
    dimension, as distances do, and on nothing that is trained.

    Args:
        codes: Labeled codes, shape ``[N, D]``.
        labels: Their classes, shape ``[N]``.
        test_codes: Codes to classify, shape ``[M, D]``.
        test_labels: Their true classes, shape ``[M]``.
        neighbors: Number of labeled codes that vote.

    Returns:
        The share of test codes whose class the vote gets right.

    Raises:
        ValueError: If there are fewer labeled codes than voters, no code to classify, lengths or
            dimensions that do not fit, or a code that is not a finite number.

    Example:
        >>> codes, labels = torch.tensor([[0.0], [0.1], [5.0]]), torch.tensor([0, 0, 1])
        >>> neighbor_accuracy(codes, labels, torch.tensor([[4.0]]), torch.tensor([1]), neighbors=1)
        1.0
    """
    from sklearn.neighbors import KNeighborsClassifier  # heavy, and seldom needed

    check_tensors(codes=codes)
    if not 1 <= neighbors <= len(codes):
        raise ValueError(
            f"{neighbors} of {len(codes)} codes cannot vote: "
            "give more labeled codes, or another number of neighbors"
        )
    classifier = KNeighborsClassifier(neighbors)
    return _accuracy(classifier, codes, labels, test_codes, test_labels)


def linear_accuracy(
    codes: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    test_codes: Float[Tensor, "M D"],
    test_labels: Int[Tensor, " M"],
) -> float:
    """Return the accuracy of a linear classifier of codes: are the classes linearly separable?

    Multinomial logistic regression on codes whose dimensions were brought to equal spread first
    (the *linear probe* of Alain and Bengio 2016), so the units of a dimension do not matter.

    Args:
        codes: Labeled codes to fit the classifier on, shape ``[N, D]``.
        labels: Their classes, shape ``[N]``.
        test_codes: Codes to classify, shape ``[M, D]``.
        test_labels: Their true classes, shape ``[M]``.

    Returns:
        The share of test codes that the classifier gets right.

    Raises:
        ValueError: If the labels name one class only, there is no code to classify, lengths or
            dimensions do not fit, or a code is not a finite number.

    Example:
        >>> codes, labels = torch.tensor([[0.0], [0.1], [5.0]]), torch.tensor([0, 0, 1])
        >>> linear_accuracy(codes, labels, torch.tensor([[4.5]]), torch.tensor([1]))
        1.0
    """
    from sklearn.linear_model import LogisticRegression  # heavy, and seldom needed
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    check_tensors(labels=labels)
    if len(labels.unique()) < 2:
        raise ValueError(
            "a classifier needs labels of at least two classes: give codes of more images, and see "
            "that they are not sorted by class"
        )
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _accuracy(classifier, codes, labels, test_codes, test_labels)


def _accuracy(
    classifier: Any, codes: Tensor, labels: Tensor, test_codes: Tensor, test_labels: Tensor
) -> float:
    check_tensors(codes=codes, labels=labels, test_codes=test_codes, test_labels=test_labels)
    for name, points, classes in (("", codes, labels), ("test_", test_codes, test_labels)):
        if not len(points) == len(classes) > 0:
            raise ValueError(
                f"{name}codes and {name}labels must be of the same images, at least one, but there "
                f"are {len(points)} and {len(classes)}"
            )
        if classes.min() < 0:
            raise ValueError(
                f"some {name}labels are negative, which is no class: make the data with "
                "ImageSet(images, labels)"
            )
        if not points.isfinite().all():
            raise ValueError(f"{name}codes must be finite numbers: look for nan in the images")
    if codes.shape[1:] != test_codes.shape[1:]:
        raise ValueError(
            f"codes and test_codes must come from the same model, but have shapes "
            f"{list(codes.shape)} and {list(test_codes.shape)}"
        )
    x, y, test_x, test_y = (
        tensor.detach().cpu().numpy() for tensor in (codes, labels, test_codes, test_labels)
    )
    return float(classifier.fit(x, y).score(test_x, test_y))
