"""Auto-encoding variational Bayes, in parts that a notebook cell can hold.

Distributions flow between small modules; estimators are pure functions with one value per image;
an inference algorithm is an object with one method, ``step(batch)``; one short ``fit`` turns any of
them into a ``History``. Figures live in :mod:`aevb_lib.plotting`, which is not imported here.
"""

from aevb_lib.architectures import mnist_autoencoder, mnist_vae
from aevb_lib.ascent import clip_gradients
from aevb_lib.continuous_bernoulli import (
    continuous_bernoulli,
    continuous_bernoulli_log_normalizer,
)
from aevb_lib.data import ImageSet, load_mnist
from aevb_lib.distributions import (
    bernoulli,
    diagonal_normal,
    kl_divergence,
    log_mean_exp,
    standard_normal,
)
from aevb_lib.evaluation import (
    active_units,
    bits_per_dimension,
    kl_per_dimension,
    mean_bound,
    mean_elbo,
    mean_point_log_likelihood,
    mean_squared_error,
)
from aevb_lib.evidence import (
    ais_log_likelihood,
    hmc_log_likelihood,
    importance_log_likelihood,
    posterior_draws,
    quadrature_log_likelihood,
    refine_posterior,
    reverse_ais_log_likelihood,
)
from aevb_lib.history import History, Record
from aevb_lib.inference import (
    AEVB,
    MonteCarloEM,
    OnlineMonteCarloEM,
    Reconstruction,
    Replay,
    Together,
    WakeSleep,
)
from aevb_lib.linear_gaussian import LinearGaussian
from aevb_lib.models import VAE, Autoencoder, LatentVariableModel
from aevb_lib.networks import (
    MLP,
    BernoulliMLP,
    ContinuousBernoulliMLP,
    GaussianMLP,
    GaussianPixelsMLP,
)
from aevb_lib.objectives import (
    Bound,
    complete_data,
    iwae,
    point_log_likelihood,
    sgvb_a,
    sgvb_b,
    sleep_phase,
    wake_phase,
)
from aevb_lib.pretrained import load_pretrained
from aevb_lib.randomness import seed_everything
from aevb_lib.training import fit, fit_each
from aevb_lib.types import Algorithm, Batch, Codec

__version__ = "0.1.0"

__all__ = [
    "AEVB",
    "MLP",
    "VAE",
    "Algorithm",
    "Autoencoder",
    "Batch",
    "BernoulliMLP",
    "Bound",
    "Codec",
    "ContinuousBernoulliMLP",
    "GaussianMLP",
    "GaussianPixelsMLP",
    "History",
    "ImageSet",
    "LatentVariableModel",
    "LinearGaussian",
    "MonteCarloEM",
    "OnlineMonteCarloEM",
    "Reconstruction",
    "Record",
    "Replay",
    "Together",
    "WakeSleep",
    "active_units",
    "ais_log_likelihood",
    "bernoulli",
    "bits_per_dimension",
    "clip_gradients",
    "complete_data",
    "continuous_bernoulli",
    "continuous_bernoulli_log_normalizer",
    "diagonal_normal",
    "fit",
    "fit_each",
    "hmc_log_likelihood",
    "importance_log_likelihood",
    "iwae",
    "kl_divergence",
    "kl_per_dimension",
    "load_mnist",
    "load_pretrained",
    "log_mean_exp",
    "mean_bound",
    "mean_elbo",
    "mean_point_log_likelihood",
    "mean_squared_error",
    "mnist_autoencoder",
    "mnist_vae",
    "point_log_likelihood",
    "posterior_draws",
    "quadrature_log_likelihood",
    "refine_posterior",
    "reverse_ais_log_likelihood",
    "seed_everything",
    "sgvb_a",
    "sgvb_b",
    "sleep_phase",
    "standard_normal",
    "wake_phase",
]
