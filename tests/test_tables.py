"""Tables hold the records' numbers, and the pages hold the tables."""

import importlib.util
import re
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
import torch

from aevb_lib.experiments import (
    ComparisonRun,
    Result,
    TrainedRun,
    group_results,
    interval_of_mean,
    latent_dimension_table,
    mean_and_interval,
    mean_and_spread,
    metric_after,
    metric_at,
    recorded_band,
    regimes_table,
    seconds_per_image,
)
from aevb_lib.history import History, Record

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tools_tables", ROOT / "tools" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def result(model, latent_dim, seed, **metrics):
    history = History(
        [
            Record(1, 1.0, 100, 0.1, dict.fromkeys(metrics, -999.0)),
            Record(2, 2.0, 200, 0.2, metrics),
        ]
    )
    return Result(TrainedRun("latent-dimension", model, latent_dim, seed), history, {}, {})


def vae(latent_dim, seed, elbo, log_likelihood, kl, active_units):
    return result(
        "vae",
        latent_dim,
        seed,
        elbo=elbo,
        log_likelihood=log_likelihood,
        kl=kl,
        active_units=active_units,
    )


def rows(results):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in latent_dimension_table(results).splitlines()[2:]
    ]


def test_between_rows_a_metric_is_linear_in_the_logarithm_of_the_step():
    steps = [(10, -200.0), (1000, -100.0), (4000, -90.0)]
    history = History([Record(k, k / 10, k, 0.0, {"elbo": value}) for k, value in steps])
    recorded = Result(TrainedRun("latent-dimension", "vae", 2, 0), history, {}, {})
    assert [metric_at(recorded, "elbo", step) for step in (10, 1000, 4000)] == [-200, -100, -90]
    assert metric_at(recorded, "elbo", 100) == pytest.approx(-150)
    assert metric_at(recorded, "elbo", 2000.0) == pytest.approx(-95)
    for step in (9.9, 4001):
        with pytest.raises(ValueError, match="outside the rows, 10 to 4000"):
            metric_at(recorded, "elbo", step)


def test_runs_of_other_batches_are_compared_after_as_many_images():
    results = []
    for batch_size in (10, 50):
        steps = [(k // batch_size, float(-k)) for k in (100, 1000)]
        history = History([Record(n, n / 10, 0, 0.0, {"elbo": value}) for n, value in steps])
        run = TrainedRun("latent-dimension", "vae", 2, 0, batch_size=batch_size)
        results.append(Result(run, history, {}, {}))
    assert metric_after(results, "elbo", 100) == [-100.0, -100.0]
    assert metric_after(results, "elbo", 1000) == [-1000.0, -1000.0]
    with pytest.raises(ValueError, match="outside the rows, 2 to 20"):
        metric_after(results[1:], "elbo", 99)


def test_a_row_is_the_last_epoch_over_seeds():
    results = [
        vae(20, 0, -102.0, -77.0, 25.0, 18),
        vae(20, 1, -104.0, -78.0, 26.0, 20),
        result("autoencoder", 20, 0, log_likelihood=-64.0),
        result("autoencoder", 20, 1, log_likelihood=-66.0),
    ]
    assert rows(results) == [
        ["20", "−103.0 (1.4)", "−77.5 (0.7)", "25.5 (0.7)", "19.0 (1.4)", "−65.0 (1.4)", "2"]
    ]


def test_seconds_of_different_machines_are_not_compared():
    def timed(seconds, hardware):
        run = ComparisonRun("ten-streams", "vae", 3, 0)
        return Result(run, History(), {"step_seconds": seconds}, {"hardware": hardware})

    here = [timed(seconds, "x86_64 CPU, 1 thread") for seconds in (0.5, 0.3)]
    assert seconds_per_image(iter(here)) == pytest.approx(0.003)
    with pytest.raises(ValueError, match=r"NVIDIA H200; x86_64 CPU, 1 thread.*of one machine"):
        seconds_per_image([*here, timed(0.001, "NVIDIA H200")])
    with pytest.raises(ValueError, match="no run, so no time"):
        seconds_per_image([])


def test_sizes_are_sorted_as_numbers_and_incomplete_ones_left_out():
    results = []
    for size in (200, 3, 20):
        results += [vae(size, 0, -1.0, -1.0, 0.0, 1)]
        results += [result("autoencoder", size, 0, log_likelihood=-1.0)]
    results += [vae(5, 0, -1.0, -1.0, 0.0, 1)]  # its autoencoder is not recorded yet
    assert [row[0] for row in rows(results)] == ["3", "20", "200"]


def test_both_models_are_averaged_over_the_same_seeds():
    results = [
        vae(2, 0, -150.0, -140.0, 10.0, 2),
        vae(2, 1, -100.0, -90.0, 10.0, 2),
        result("autoencoder", 2, 1, log_likelihood=-80.0),
    ]
    assert rows(results) == [["2", "−100.0", "−90.0", "10.0", "2.0", "−80.0", "1"]]


@pytest.mark.parametrize("values", [[-1.0], [-1.25, -3.5], [0.0, 0.0, 0.0], [1e-9, -1e-9]])
def test_mean_and_spread_use_the_sample_standard_deviation(values):
    center, *spread = mean_and_spread(values, digits=3).replace("−", "-").rstrip(")").split(" (")
    assert float(center) == pytest.approx(mean(values), abs=5.1e-4)
    if len(values) > 1:
        assert float(spread[0]) == pytest.approx(stdev(values), abs=5.1e-4)
    else:
        assert spread == []


def test_rounding_to_zero_leaves_no_minus():
    assert mean_and_spread([-0.01]) == "0.0"


# --- the pages -----------------------------------------------------------------------------------


PAGES = {"README.md": ["latent-dimension"], "book/index.md": ["latent-dimension", "regimes"]}
each_page = pytest.mark.parametrize("page", PAGES)


@pytest.fixture(scope="module")
def recorded(tables):
    return tables.recorded_tables()


@each_page
def test_a_page_holds_the_records_tables(tables, recorded, page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert ROOT / page in tables.PAGES
    assert [match[2] for match in tables.TABLE.finditer(text)] == PAGES[page], "the marks are gone"
    assert tables.with_tables(text, recorded) == text, "stale: run `make tables`"


def test_every_chapter_has_a_card_that_says_how_long_it_takes(tables):
    text = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    sources = sorted((ROOT / "book" / "sources").glob("[0-9][0-9]_*.md"))  # not the appendix
    chapters = [path.stem for path in sources]
    assert [match[2] for match in tables.CARD.finditer(text)] == chapters
    assert tables.with_minutes(text) == text, "stale: run `make tables`"
    assert all(5 <= tables.minutes(chapter) <= 60 for chapter in chapters)
    (evening,) = re.findall(r"^\*In an evening,\* under three hours.*\n.*", text, re.MULTILINE)
    evening_chapters = re.findall(r"\((\d\d_\w+)\.ipynb\)", evening)
    assert len(evening_chapters) == 5
    assert sum(map(tables.minutes, evening_chapters)) < 180


@pytest.mark.parametrize(
    ("page", "study"), [(page, study) for page, studies in PAGES.items() for study in studies]
)
def test_another_digit_would_be_noticed(tables, recorded, page, study):
    text, table = (ROOT / page).read_text(encoding="utf-8"), recorded[study]
    digit = next(i for i in range(len(table) - 1, 0, -1) if table[i].isdigit())
    forged = table[:digit] + str((int(table[digit]) + 1) % 10) + table[digit + 1 :]
    page_with_forgery = tables.with_tables(text, recorded | {study: forged})
    assert page_with_forgery != text
    assert tables.with_tables(page_with_forgery, recorded) == text


# --- the regimes ---------------------------------------------------------------------------------


def regime(name, seed, elbo, log_evidence):
    metrics = {"elbo": elbo, "log_likelihood": elbo + 25.0, "kl": 25.0, "active_units": 20}
    history = History([Record(1, 1.0, 100, 0.1, metrics | {"seen_elbo": elbo + 1.0})])
    final = {"importance_log_likelihood": log_evidence}
    return Result(TrainedRun("regimes", "vae", 20, seed, name), history, final, {})


def test_regimes_have_columns_of_their_own():
    results = [
        regime("static", 0, -99.0, -93.0),
        regime("dynamic", 0, -97.0, -91.0),
        regime("static", 1, -101.0, -95.0),
    ]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in regimes_table(results).splitlines()
    ]
    assert rows[0] == ["VAE, D = 20", "static", "dynamic"]
    assert ["ELBO", "−100.0 (1.4)", "−97.0"] in rows
    assert ["log p(x), importance sampled", "−94.0 (1.4)", "−91.0"] in rows
    assert rows[-1] == ["training seeds", "2", "1"]


# --- bands over seeds ----------------------------------------------------------------------------


def test_results_are_grouped_by_model_and_size_in_their_order():
    results = [
        vae(20, 0, -102.0, -77.0, 25.0, 18),
        result("autoencoder", 20, 0, log_likelihood=-64.0),
        vae(2, 0, -150.0, -140.0, 10.0, 2),
        vae(20, 1, -104.0, -78.0, 26.0, 20),
    ]
    assert group_results(results) == {
        ("vae", 20): [results[0], results[3]],
        ("autoencoder", 20): [results[1]],
        ("vae", 2): [results[2]],
    }
    with pytest.raises(KeyError):  # a plain dictionary: a typing error does not make a group
        group_results(results)["vae", 3]


@pytest.mark.parametrize(
    ("elbos", "quantile"),  # of Student's t at 0.9995, from a printed table
    [((-1.0, -2.0, -3.0), 31.599), ((-4.0, -3.0, -2.0, -1.0, 0.0), 8.610)],
)
def test_a_band_is_where_one_more_run_is_to_be_expected(elbos, quantile):
    results = [vae(20, seed, elbo, 0.0, 0.0, 0) for seed, elbo in enumerate(elbos)]
    reach = quantile * stdev(elbos) * (1 + 1 / len(elbos)) ** 0.5
    assert recorded_band(results, epoch=2) == pytest.approx((-2 - reach, -2 + reach), rel=1e-4)
    assert recorded_band(results, "kl", epoch=2) == (0.0, 0.0)
    assert recorded_band(results) == (-999.0, -999.0), "the first epoch, if not said otherwise"


def test_impossible_bands():
    results = [vae(20, seed, -1.0, 0.0, 0.0, 0) for seed in range(3)]
    with pytest.raises(ValueError, match="no band from 2 runs: give those of at least three seeds"):
        recorded_band(results[:2])
    for epoch in (0, 3):
        with pytest.raises(ValueError, match=f"no band at epoch {epoch}: 2 epochs of every run"):
            recorded_band(results, epoch=epoch)
    with pytest.raises(ValueError, match="differ in their seed only"):
        recorded_band([*results, vae(2, 0, -1.0, 0.0, 0.0, 0)])
    with pytest.raises(KeyError, match="elbos"):
        recorded_band(results, "elbos")


@pytest.mark.parametrize(
    ("level", "quantile"), [(0.95, 4.303), (0.99, 9.925)]
)  # of Student's t, two degrees of freedom, from a printed table
def test_an_interval_is_where_the_mean_is_to_be_expected(level, quantile):
    reach = quantile / 3**0.5
    assert interval_of_mean([1.0, 2.0, 3.0], level) == pytest.approx((2 - reach, 2 + reach), 1e-3)
    for values in ([1.0, 2.0, 3.0], torch.arange(1, 4), np.arange(1.0, 4.0)):
        assert mean_and_interval(values) == "2.0 [−0.5, 4.5]"
        assert mean_and_spread(values) == "2.0 (1.0)"


def test_impossible_intervals():
    with pytest.raises(ValueError, match="give at least two"):
        interval_of_mean([1.0])
    for level in (0, 1, 95):
        with pytest.raises(ValueError, match="level must be between 0 and 1"):
            interval_of_mean([1.0, 2.0], level)
