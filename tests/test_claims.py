"""The instruments that try the chapters' claims, on small chapters; and what they have recorded."""

import json

import pytest

from tests.claims.chapters import Outcome, code_cells, fingerprint, place_of
from tests.claims.page import PAGE, idle_asserts, is_far, with_records
from tests.claims.records import (
    MUTATIONS,
    STATES,
    Mutations,
    Outcomes,
    pooled,
    summary_of_states,
)
from tests.claims.slips import SLIPS, Slip
from tests.interpreter import ROOT, answer_of

CHAPTER = [
    "import torch\nimport aevb_lib as aevb",
    """q = aevb.diagonal_normal(torch.zeros(1, 2), torch.full((1, 2), 2.0))
kl = aevb.kl_divergence(q, aevb.standard_normal(torch.zeros(2)))
assert kl > 0, "a divergence is not negative"
assert abs(float(kl) - 1.6137) < 1e-3
torch.testing.assert_close(kl, torch.tensor([1.6137]), atol=1e-3, rtol=0)
print(f"KL {float(kl):.3f}")""",
    "torch.manual_seed(0)\nprint(f'draw {float(torch.randn(1)):.3f} of 1')",
    """def check():
    for seed in (0, 0):
        assert len({seed}) == 1
check()
raise KeyError("a fault")
assert False""",
]

SCRIPT = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from tests.claims.__main__ import first_cell, in_processes, outcomes_with_slips
from tests.claims.chapters import execute, place_of
from tests.claims.slips import SLIPS, Slip, install
from tests.claims.states import enter

cells = json.loads(sys.argv[1])
slips = {slip.name: slip for slip in SLIPS}

def run(name, state):
    if name:
        install(slips[name])
    enter(state)
    return execute(cells, watch=None if name else Path(sys.argv[2]))

slip, other = "\u03c3\u2074 for \u03c3\u00b2 in the KL", "gradient with the wrong sign"
tasks = [("", 0), ("", 1), ("", 2), (slip, 0), (other, 0)]
found = dict(in_processes(1, run, tasks))
right = found["", 0]
library = [slip for slip in SLIPS if slip.concerns("a chapter without slips of its own")]
first = {slip: first_cell(slip, cells, right) for slip in library}
met = {slip: cell for slip, cell in first.items() if cell is not None}
own = Slip("own", "02_elbo", "- 1.6137) < 1e-3", "- 1.7) < 1e-3")
some = {slip: cell for slip, cell in met.items() if "in the KL" in slip.name}
of_own = outcomes_with_slips(cells, {own: place_of(own, cells)}, 1)
print(json.dumps({
    "own": [asdict(wrong) for _, wrong in of_own],
    "right": {**asdict(right), "called": None},
    "states": [found["", state].printed["2"] for state in (0, 1, 2)],
    "sigma": asdict(found[tasks[3]]),
    "sign": asdict(found[tasks[4]]),
    "met": {slip.name: cell for slip, cell in met.items()},
    "forked": {slip.name: asdict(wrong) for slip, wrong in outcomes_with_slips(cells, some, 2)},
}))
"""


@pytest.fixture(scope="module")
def found():
    """What comes of a small chapter, in an interpreter that does not know the library yet."""
    return answer_of("-c", SCRIPT, json.dumps(CHAPTER), str(ROOT / "aevb_lib"))


def test_asserts_are_found_and_hold_as_they_are(found):
    right = found["right"]
    assert list(right["asserts"]) == ["1.0", "1.1", "1.2", "3.0", "3.1"]
    assert right["asserts"]["1.0"] == "kl > 0"
    assert right["failed"] == []
    assert right["printed"]["1"] == "KL 1.614"


def test_an_error_ends_its_cell_and_is_no_failed_assert(found):
    assert found["right"]["errors"] == {"3": "KeyError: 'a fault'"}


def test_a_slip_of_the_chapter_is_put_into_its_cell(found):
    (wrong,) = found["own"]
    assert wrong["failed"] == ["1.1"]


def test_a_cell_that_never_ends_is_given_up():
    script = """
import tests.claims.chapters as chapters
chapters.PATIENCE = 0.3
outcome = chapters.execute(["while True: pass", "print('on')"])
print(__import__("json").dumps([outcome.errors, outcome.printed["1"]]))
"""
    errors, printed = answer_of("-c", script)
    assert errors == {"0": "TimeoutError: more than 0.3 s of a processor"}
    assert printed == "on"


def test_a_slip_fails_what_it_touches(found):
    assert found["sigma"]["failed"] == ["1.1", "1.2"]  # it stays positive
    assert found["sign"]["failed"] == []


def test_a_chapter_meets_the_slips_whose_lines_it_runs(found):
    assert "KL without its ½" in found["met"]
    assert "gradient with the wrong sign" not in found["met"]
    assert "an acceptance that is always one" not in found["met"]
    assert found["met"]["KL without its ½"] == 1  # the library is imported before


def test_a_slip_put_in_on_the_way_does_what_it_does_from_the_start(found):
    assert set(found["forked"]) == {name for name in found["met"] if "in the KL" in name}
    name = "σ⁴ for σ² in the KL"
    assert found["forked"][name] == found["sigma"]


def test_states_change_the_draws_of_equal_seeds(found):
    assert found["states"][0] == "draw 1.541 of 1"  # what a reader gets
    assert len(set(found["states"])) == 3


def test_names_of_slips_differ_and_there_are_many():
    assert len({slip.name for slip in SLIPS}) == len(SLIPS) >= 50


def test_a_slip_of_a_chapter_concerns_no_other():
    own = Slip("own", "02_elbo", "", "")
    assert own.concerns("02_elbo")
    assert not own.concerns("05_models")
    assert Slip("own", "longer_races", "", "").is_of_a_chapter
    assert Slip("of the library", "objectives", "", "").concerns("longer_races")


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.name)
def test_a_slip_finds_its_place(slip):
    if slip.is_of_a_chapter:
        cells = code_cells(slip.module)
        assert slip.applied_to(cells[place_of(slip, cells)]) not in cells
        return
    source = slip.path.read_text(encoding="utf-8")
    changed = slip.applied_to(source)
    assert changed != source
    compile(changed, str(slip.path), "exec")


def test_a_slip_that_lost_its_place_says_so():
    with pytest.raises(LookupError, match="0 places in objectives"):
        Slip("no such line", "objectives", "no such line", "").applied_to("another")


def test_numbers_that_vary_are_found_with_their_spread():
    outcomes = {
        state: Outcome({"0.0": "x"}, failed, {}, {"0": f"words\nmean −{value} ± 0.5 of 20"})
        for state, (value, failed) in enumerate([(3.0, []), (1.0, ["0.0"]), (1.2, []), (1.1, [])])
    }
    entry = summary_of_states("code", outcomes)
    assert entry["failed"] == {"0.0": 1}
    assert entry["states"] == 3
    (number,) = entry["numbers"]
    assert (number["printed"], number["mean"], number["spread"]) == (-3.0, -1.1, 0.1)
    assert is_far(number)


def test_more_states_are_added_as_if_all_had_been_run_at_once():
    values = [3.0, 1.0, 1.2, 1.1, 5.0, 0.7, 2.0]
    outcomes = {
        state: Outcome(
            {"0.0": "x"}, ["0.0"] if value > 2.5 else [], {}, {"0": f"mean {value} of 9"}
        )
        for state, value in enumerate(values)
    }
    first = {state: outcomes[state] for state in (0, 1, 2, 3)}
    others = {state: outcomes[state] for state in (0, 4, 5, 6)}
    entry = pooled(summary_of_states("code", first), summary_of_states("code", others))
    whole = summary_of_states("code", outcomes)
    (number,), (expected,) = entry.pop("numbers"), whole.pop("numbers")
    assert entry == whole
    for value in ("mean", "spread"):
        assert number.pop(value) == pytest.approx(expected.pop(value), rel=0.01)
    assert number == expected


def test_numbers_stay_that_vary_among_the_first_states_and_the_others():
    def entry(*texts):
        return summary_of_states(
            "code", {s: Outcome(printed={"0": t}) for s, t in enumerate(texts)}
        )

    known = entry("a 1\nb 2", "a 3\nb 4", "a 5\nb 6")
    assert len(known["numbers"]) == 2
    (number,) = pooled(known, entry("a 1\nb 2", "a 7\nc 8", "a 9\nc 8"))["numbers"]
    assert number["line"] == "a 1"
    assert number["mean"] == 6


def test_a_large_number_is_not_far_by_rounding():
    outcomes = {
        state: Outcome(printed={"0": f"log p {value:.2f}"})
        for state, value in enumerate([-3728.73, -3728.72, -3728.74, -3728.73])
    }
    (number,) = summary_of_states("code", outcomes)["numbers"]
    assert not is_far(number)


def test_one_more_slip_is_one_more_run(tmp_path):
    record = Mutations(tmp_path / "mutations.json")
    record.begin("01_a", "code", {"0.0": "x"}, {"old": 3, "unmet": None})
    record.add("01_a", "old", ["0.0"], [])
    assert record.knows("01_a", "code", ["old", "unmet"])
    assert not record.knows("01_a", "code", ["old", "unmet", "new"])
    record.begin("01_a", "code", {"0.0": "x"}, {"old": 3, "unmet": None, "new": 0})
    assert record.read()["01_a"]["missing"] == {"new": 0}
    assert record.read()["01_a"]["slips"] == {"old": {"failed": ["0.0"], "errors": []}}
    record.begin("01_a", "other code", {"0.0": "x"}, {"old": 3, "unmet": None})
    assert record.read()["01_a"]["missing"] == {"old": 3}
    record.forget(["01_a"])
    assert record.read() == {}


def test_words_around_what_is_displayed_are_no_code():
    cells = ["x = 3  # three", 'Markdown(f"""\n* It is {x:.0f}.\n""")']
    same = ["x = 3", 'Markdown(f"""\n* There are\n  {x:.0f}.\n""")']
    assert fingerprint(same) == fingerprint(cells)
    nested = ['display(Markdown(f"a {x}"))'], ['display(Markdown(f"b {x}"))']
    assert fingerprint(nested[0]) == fingerprint(nested[1])
    for other in (["x = 4", cells[1]], [cells[0], 'Markdown(f"It is {x:.1f}.")'], ["'x'"]):
        assert fingerprint(other) != fingerprint(cells)


def test_sentences_are_no_code_and_names_are():
    said = ['print("on one image of them:", x["wake sleep"], f"{x:.2f} nats of a hundred")']
    better = ['print("On one of the images:", x["wake sleep"], f"{x:.2f} nats for each hundred")']
    assert fingerprint(said) == fingerprint(better)
    assert fingerprint(said) != fingerprint([said[0].replace("wake sleep", "wake")])
    assert fingerprint(said) != fingerprint([said[0].replace(".2f", ".1f")])


def test_outcomes_of_single_states_are_kept_to_go_on_from(tmp_path):
    kept = Outcomes(tmp_path / "claims")
    outcome = Outcome({"0.0": "x"}, ["0.0"], {"1": "KeyError: 'a'"}, {"0": "3 ± 1"})
    kept.put("01_a", "code", 0, outcome)
    assert kept.has("01_a", "code", 0)
    assert not kept.has("01_a", "other code", 0)
    assert not kept.has("01_a", "code", 1)
    assert kept.read("01_a", "code", [0]) == {0: outcome}
    kept.forget(["01_a"])
    assert not kept.has("01_a", "code", 0)


# --- what is recorded


def test_the_page_says_what_is_recorded():
    text = PAGE.read_text(encoding="utf-8")
    assert with_records(text) == text, "write it again: python -m tests.claims write"


def test_another_record_would_change_the_page(monkeypatch):
    noticed = {"KL term twice (β = 2)": {"failed": ["1.0"] * 77, "errors": []}}
    entry = {"code": "", "asserts": {"1.0": "x"}, "missing": {}, "unmet": [], "slips": noticed}
    record = {"02_elbo": entry}
    monkeypatch.setattr(type(MUTATIONS), "read", lambda self: record)
    text = PAGE.read_text(encoding="utf-8")
    changed = with_records(text)
    assert "77" in changed
    assert "02†" in changed, "its code is another one"
    tried_nowhere = changed.split("have not been tried in all of these chapters: ")[1]
    assert int(tried_nowhere.split("<")[0]) == sum(s.concerns("02_elbo") for s in SLIPS) - 1


def test_recorded_slips_are_those_there_are():
    for name, entry in MUTATIONS.read().items():
        known = {slip.name for slip in SLIPS if slip.concerns(name)}
        assert {*entry["slips"], *entry["missing"], *entry["unmet"]} <= known, name
        assert len(idle_asserts(entry)) <= len(entry["asserts"])


@pytest.mark.parametrize("name", STATES.read())
def test_no_assert_fails_in_more_than_one_state_of_twenty(name):
    entry = STATES.read()[name]
    if entry["code"] != fingerprint(code_cells(name)):
        pytest.skip("the chapter has changed since: make reseed")
    assert entry["here"] == [], "it fails as readers run it"
    allowed = max(1, entry["states"] // 20)
    often = {
        entry["asserts"].get(place, f"cell {place}"): count
        for place, count in (entry["failed"] | entry["errors"]).items()
        if count > allowed
    }
    assert often == {}
