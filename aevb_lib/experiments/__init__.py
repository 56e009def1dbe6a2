"""The recorded studies: what was run, how to run it again, and what came out.

A long run is recorded once, by ``python -m aevb_lib.experiments run STUDY``, as a small JSON file:
its configuration, its history, its final measurements and where it came from. The book only reads
these files. Nothing in them is typed by hand, and ``verify`` trains any of them again.
"""

from aevb_lib.experiments.codes import MeasuredCodes, measure_codes
from aevb_lib.experiments.comparison import Comparison
from aevb_lib.experiments.densities import MeasuredDensities, measure_densities
from aevb_lib.experiments.likelihoods import LikelihoodRun, Likelihoods, likelihoods_table
from aevb_lib.experiments.paths import MeasuredPaths, measure_paths
from aevb_lib.experiments.race import Race, VariantRun
from aevb_lib.experiments.recipe import ComparisonRun, new_learner
from aevb_lib.experiments.recording import Verification, record, run_study, verify
from aevb_lib.experiments.results import Result, Run
from aevb_lib.experiments.store import Store
from aevb_lib.experiments.studies import STUDIES, load_result
from aevb_lib.experiments.study import Study, VerificationError
from aevb_lib.experiments.summaries import (
    group_results,
    interval_of_mean,
    mean_and_interval,
    mean_and_spread,
    metric_after,
    metric_at,
    recorded_band,
    seconds_per_image,
)
from aevb_lib.experiments.together import allowed_difference, same_but_seed
from aevb_lib.experiments.trained import (
    TrainedModels,
    TrainedRun,
    latent_dimension_table,
    regimes_table,
)

__all__ = [
    "STUDIES",
    "Comparison",
    "ComparisonRun",
    "LikelihoodRun",
    "Likelihoods",
    "MeasuredCodes",
    "MeasuredDensities",
    "MeasuredPaths",
    "Race",
    "Result",
    "Run",
    "Store",
    "Study",
    "TrainedModels",
    "TrainedRun",
    "VariantRun",
    "Verification",
    "VerificationError",
    "allowed_difference",
    "group_results",
    "interval_of_mean",
    "latent_dimension_table",
    "likelihoods_table",
    "load_result",
    "mean_and_interval",
    "mean_and_spread",
    "measure_codes",
    "measure_densities",
    "measure_paths",
    "metric_after",
    "metric_at",
    "new_learner",
    "record",
    "recorded_band",
    "regimes_table",
    "run_study",
    "same_but_seed",
    "seconds_per_image",
    "verify",
]
