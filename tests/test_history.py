"""Rows in, columns out; JSON and back loses nothing."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevb_lib.history import History, Record

FINITE = st.floats(allow_nan=False, allow_infinity=False)
# Rows as tuples: a record made inside a strategy would be type-checked there, by chance (beartype).
ROWS = st.tuples(
    st.integers(0, 10**9),
    FINITE,
    st.integers(0, 10**12),
    FINITE,
    st.dictionaries(st.text(), FINITE | st.just(math.inf) | st.integers(-9, 9)),
)


def history_of(rows, interrupted=False) -> History:
    return History([Record(*row) for row in rows], interrupted)


def example() -> History:
    return History([Record(s, s / 2, 100 * s, 0.1 * s, {"elbo": -200.0 / s}) for s in (1, 2, 3)])


@given(st.lists(ROWS, max_size=6), st.booleans())
@settings(deadline=None, max_examples=50)
def test_json_round_trip(rows, interrupted):
    history = history_of(rows, interrupted)
    assert History.from_json(history.to_json()) == history


@given(st.lists(ROWS, max_size=6))
@settings(deadline=None, max_examples=50)
def test_json_has_one_row_per_line(rows):
    history = history_of(rows)
    lines = [line for line in history.to_json().splitlines() if line.startswith('  {"step"')]
    assert len(lines) == len(history)
    assert [json.loads(row.rstrip(","))["step"] for row in lines] == history["step"]


def test_file_round_trip(tmp_path):
    history = example()
    history.save(tmp_path / "ü.json")
    assert History.load(str(tmp_path / "ü.json")) == history


def test_columns():
    history = example()
    assert history["step"] == [1, 2, 3]
    assert history["epoch"] == [0.5, 1.0, 1.5]
    assert history["examples"] == [100, 200, 300]
    assert history["elbo"] == [-200.0, -100.0, -200.0 / 3]
    assert history.metrics == ["elbo"]
    assert history.last is history.records[-1]
    assert list(history) == history.records
    assert len(history) == 3


@pytest.mark.parametrize("column", ["ebo", "kl", ""])
def test_an_unknown_column_lists_those_there_are(column):
    with pytest.raises(KeyError, match="there are: step, epoch, examples, seconds, elbo"):
        example()[column]


def test_a_column_with_holes_is_named():
    history = example()
    history.records.append(Record(4, 2.0, 400, 0.4, {}))
    with pytest.raises(KeyError, match=r"'elbo'.*step 4"):
        history["elbo"]


def test_an_empty_history_says_what_to_do():
    with pytest.raises(IndexError, match="train for at least one epoch"):
        _ = History().last
    assert History()["step"] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "{}",
        '{"records": []}',
        '{"interrupted": false, "records": 3}',
        '{"interrupted": false, "records": [{"step": 1}]}',
        '{"interrupted": false, "records": [{"epohc": 1}]}',
    ],
)
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="not a history written by"):
        History.from_json(text)


def test_rows_cannot_be_changed_by_accident():
    with pytest.raises(AttributeError):
        example().last.step = 5


def test_a_history_is_read_without_torch():
    # By file, since importing the package itself imports torch.
    code = (
        "import runpy, sys; from aevb_lib_path import path; names = runpy.run_path(path); "
        "assert 'torch' not in sys.modules"
    )
    from aevb_lib import history

    code = code.replace("from aevb_lib_path import path", f"path = {history.__file__!r}")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
