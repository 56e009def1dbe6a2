"""Bad input to every public function, and processes that are killed: as a reader meets them."""

import os
import re

import pytest

from tests.attack.__main__ import PAGE, table
from tests.interpreter import answer_of

# What becomes of numbers at the edge of a precision may differ between processors.
EDGES = {"float16", "1e4", "1e30", "1e-30"}


@pytest.fixture(scope="module")
def report():
    return answer_of("-m", "tests.attack")


def test_every_outcome_is_a_right_value_or_a_clear_refusal(report):
    assert report["calls"] >= 10_000
    faults = [
        (name, argument, kind, seen)
        for name, arguments in report["outcomes"].items()
        for argument, kinds in arguments.items()
        for kind, outcomes in kinds.items()
        for seen in outcomes
        if seen not in ("right", "passed on", "refused")
    ]
    assert faults == []


def test_good_arguments_give_right_values(report):
    for name, arguments in report["outcomes"].items():
        for argument, kinds in arguments.items():
            assert kinds["as it should be"] == ["right"], (name, argument)


def test_the_page_says_what_was_found(report):
    def steady(text):
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        return [
            [part for part in re.split(r"[|,;] ?", row) if not EDGES & set(part.split())]
            for row in rows
        ]

    written = PAGE.read_text(encoding="utf-8")
    assert steady(written) == steady(table(report["outcomes"])), (
        "write it again: python -m tests.attack --write"
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")
def test_nothing_is_lost_or_half_written():
    report = answer_of(
        "-m", "tests.attack.violence", "--times", os.environ.get("AEVB_VIOLENCE", "6")
    )
    assert report["interrupted"] > 0
    assert report["recorded"] > 0
