"""The studies of the book, and what is recorded of them."""

from __future__ import annotations

from typing import Any

from aevb_lib.experiments.arms import NOISE_ARMS
from aevb_lib.experiments.codes import CODES
from aevb_lib.experiments.comparison import BOUND_VS_SAMPLES
from aevb_lib.experiments.densities import DENSITIES
from aevb_lib.experiments.figures import (
    FIGURE_2,
    FIGURE_2_FULL,
    FIGURE_3,
    FIGURE_3_FULL,
    FIRST_MILLION,
    STEP_SIZES,
    TEN_STREAMS,
)
from aevb_lib.experiments.likelihoods import LIKELIHOODS
from aevb_lib.experiments.paths import PATHS
from aevb_lib.experiments.race import LIKELIHOOD_RACE, MCEM_VARIANTS
from aevb_lib.experiments.results import Result
from aevb_lib.experiments.speed import TIME_TO_BOUND
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.experiments.study import Study
from aevb_lib.experiments.trained import LATENT_DIMENSION, REGIMES

__all__ = ["STUDIES", "load_result"]

#: All studies by name. A new one is a file beside this one and a line here.
STUDIES: dict[str, Study[Any]] = {
    study.name: study
    for study in (
        LATENT_DIMENSION,
        REGIMES,
        LIKELIHOODS,
        CODES,
        PATHS,
        NOISE_ARMS,
        DENSITIES,
        BOUND_VS_SAMPLES,
        LIKELIHOOD_RACE,
        MCEM_VARIANTS,
        TIME_TO_BOUND,
        STEP_SIZES,
        FIRST_MILLION,
        FIGURE_2,
        FIGURE_3,
        TEN_STREAMS,
        FIGURE_2_FULL,
        FIGURE_3_FULL,
    )
}


def load_result(study: str, store: Store = ASSETS) -> list[Result[Any]]:
    """Return the recorded results of a study, in the order of its runs.

    Args:
        study: Name of the study.
        store: Store of the records; those that ship with the package by default.

    Returns:
        The results of all runs that have been recorded.

    Raises:
        KeyError: If there is no such study.
        FileNotFoundError: If nothing of it has been recorded.

    Example:
        >>> load_result("latent-dimension")[0].run.name
        'vae-grey-d002-seed0'
    """
    if study not in STUDIES:
        raise KeyError(f"no study {study!r}; there are: {', '.join(STUDIES)}")
    results = store.read_all(STUDIES[study].runs)
    if not results:
        raise FileNotFoundError(
            f"no run of {study!r} is recorded; "
            f"record it: python -m aevb_lib.experiments run {study}"
        )
    return results
