r"""How probable is an image? Estimates of the evidence :math:`\log p_\theta(x)`.

All take a model and images ``[B, P]`` and return nats per image ``[B]``:

* :func:`importance_log_likelihood` leans on a trained encoder;
* :func:`ais_log_likelihood`, annealed importance sampling, needs the generative model alone, is
  unbiased for p(x) and works in any dimension; :func:`reverse_ais_log_likelihood` bounds from above
  where an exact draw of the posterior is known;
* :func:`hmc_log_likelihood`, the paper's appendix D, fits a density to :func:`posterior_draws`: for
  a few dimensions;
* :func:`quadrature_log_likelihood` adds the integral up: the truth in one to three dimensions.

:func:`refine_posterior` finds, for each image on its own, the best posterior of the encoder's
family, and so tells the encoder's fault from the family's.

They draw their random numbers from ``seed`` and disturb nobody's, work in pieces that fit into
memory, and leave parameters and their gradients alone.
"""

from aevb_lib.evidence.ais import ais_log_likelihood, reverse_ais_log_likelihood
from aevb_lib.evidence.appendix_d import hmc_log_likelihood
from aevb_lib.evidence.chains import posterior_draws
from aevb_lib.evidence.importance import importance_log_likelihood
from aevb_lib.evidence.quadrature import quadrature_log_likelihood
from aevb_lib.evidence.refinement import refine_posterior

__all__ = [
    "ais_log_likelihood",
    "hmc_log_likelihood",
    "importance_log_likelihood",
    "posterior_draws",
    "quadrature_log_likelihood",
    "refine_posterior",
    "reverse_ais_log_likelihood",
]
