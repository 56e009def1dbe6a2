"""Tables hold the records' numbers, and the pages hold the tables."""

import importlib.util
from pathlib import Path
from statistics import mean, stdev

import pytest

from aevb_lib.experiments import Result, Run, latent_dimension_table, load_result
from aevb_lib.experiments.tables import mean_and_spread
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
    return Result(Run("latent-dimension", model, latent_dim, seed), history, {}, {})


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


def test_a_row_is_the_last_epoch_over_seeds():
    results = [
        vae(20, 0, -102.0, -77.0, 25.0, 18),
        vae(20, 1, -104.0, -78.0, 26.0, 20),
        result("autoencoder", 20, 0, log_likelihood=-64.0),
        result("autoencoder", 20, 1, log_likelihood=-66.0),
    ]
    assert rows(results) == [
        ["20", "−103.0 ± 1.4", "−77.5 ± 0.7", "25.5 ± 0.7", "19.0 ± 1.4", "−65.0 ± 1.4", "2"]
    ]


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
    center, *spread = mean_and_spread(values, digits=3).replace("−", "-").split(" ± ")
    assert float(center) == pytest.approx(mean(values), abs=5.1e-4)
    if len(values) > 1:
        assert float(spread[0]) == pytest.approx(stdev(values), abs=5.1e-4)
    else:
        assert spread == []


def test_rounding_to_zero_leaves_no_minus():
    assert mean_and_spread([-0.01]) == "0.0"


# --- the pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["README.md", "book/index.md"])
def test_a_page_holds_the_records_table(tables, page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert ROOT / page in tables.PAGES
    assert len(tables.TABLE.findall(text)) == 1, "the marks of the table are gone"
    table = latent_dimension_table(load_result("latent-dimension"))
    assert tables.with_table(text, table) == text, "stale: run `make tables`"


@pytest.mark.parametrize("page", ["README.md", "book/index.md"])
def test_another_digit_would_be_noticed(tables, page):
    text = (ROOT / page).read_text(encoding="utf-8")
    table = latent_dimension_table(load_result("latent-dimension"))
    digit = next(i for i in range(len(table) - 1, 0, -1) if table[i].isdigit())
    forged = table[:digit] + str((int(table[digit]) + 1) % 10) + table[digit + 1 :]
    assert tables.with_table(text, forged) != text
    assert tables.with_table(tables.with_table(text, forged), table) == tables.with_table(
        text, table
    )
