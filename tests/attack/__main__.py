"""Attack the public functions as readers call them, without the checks of types that tests add.

    python -m tests.attack            prints what came of every kind of input, as JSON
    python -m tests.attack --write    writes it into book/robustness.md

Every outcome is a right value, a value that passes on nan or infinity, or a refusal: an error of a
kind that a reader can act on, with a message of its own. Anything else is a fault.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from tests.attack.functions import TARGETS, Target
from tests.attack.inputs import FLOAT_KINDS, LABEL_KINDS, NUMBER_KINDS

REFUSALS = (TypeError, ValueError, IndexError, ArithmeticError, NotImplementedError)
PAGE = Path(__file__).parents[2] / "book" / "robustness.md"
SEEDS, SEEDS_IF_SLOW = 14, 2

Outcomes = dict[str, dict[str, dict[str, list[str]]]]


def kinds_of(target: Target, argument: str) -> dict[str, Any]:
    if argument in target.labels:
        return LABEL_KINDS
    return NUMBER_KINDS if argument in target.numbers else FLOAT_KINDS


def is_finite(value: Any) -> bool:
    """Whether all numbers in a value are finite: a tensor, a number, or a tuple of them."""
    parts = value if isinstance(value, tuple) else (value,)
    numbers = [torch.as_tensor(p) for p in parts if isinstance(p, int | float | torch.Tensor)]
    return all(bool(number.isfinite().all()) for number in numbers)


def outcome(target: Target, arguments: dict[str, Any]) -> str:
    """What came of a call, in a word, and why if it is a fault."""
    try:
        value = target.call(**arguments)
    except REFUSALS as error:
        return "refused" if len(str(error)) > 15 else f"FAULT: says only {error!r}"
    except Exception as error:
        # Torch says itself which sizes do not go together.
        if str(error).startswith("The size of tensor a"):
            return "refused"
        return f"FAULT: {type(error).__name__}: {str(error)[:120]}"
    try:
        if target.check(value, arguments):
            return "right" if is_finite(value) else "passed on"
    except Exception as error:
        return f"FAULT: no value, {type(error).__name__}: {str(error)[:80]}"
    is_extreme = any(
        isinstance(given, torch.Tensor)
        and given.is_floating_point()
        and bool((given.isnan() | (given.abs() > 1e20)).any())
        for given in arguments.values()
    )
    return "passed on" if is_extreme and not is_finite(value) else "FAULT: wrong value"


def attack() -> tuple[Outcomes, int]:
    """Return the outcomes of every kind of input to every argument, and the number of calls."""
    found: Outcomes = {}
    calls = 0
    for name, target in TARGETS.items():
        found[name] = {}
        for argument in target.make(torch.Generator().manual_seed(0)):
            outcomes: dict[str, Counter[str]] = {}
            for kind, change in kinds_of(target, argument).items():
                for seed in range(SEEDS_IF_SLOW if target.is_slow else SEEDS):
                    arguments = target.make(torch.Generator().manual_seed(seed))
                    torch.manual_seed(seed)
                    try:
                        arguments[argument] = change(arguments[argument])
                    except (IndexError, RuntimeError):
                        continue  # this argument has no such kind
                    outcomes.setdefault(kind, Counter())[outcome(target, arguments)] += 1
                    calls += 1
            found[name][argument] = {kind: sorted(seen) for kind, seen in outcomes.items()}
    return found, calls


def table(found: Outcomes) -> str:
    """The outcomes as a Markdown table, one row per argument; right values are not listed."""
    lines = ["| argument | not a right value |", "|:--|:--|"]
    for name, arguments in found.items():
        for argument, kinds in arguments.items():
            parts = []
            for word in ("refused", "passed on"):
                listed = [
                    f"{kind} (not always)" if len(seen) > 1 else kind
                    for kind, seen in kinds.items()
                    if word in seen
                ]
                parts += [f"{word}: {', '.join(listed)}"] if listed else []
            lines.append(f"| `{argument}` of `{name}` | {'; '.join(parts)} |")
    return "\n".join(lines)


def write(found: Outcomes, calls: int) -> None:
    kinds = [*FLOAT_KINDS, *LABEL_KINDS, *NUMBER_KINDS]
    page = PAGE.read_text(encoding="utf-8")
    head, _, _ = page.partition("<!-- table -->")
    said = f"In **{calls:,}** calls, the kinds were: {', '.join(dict.fromkeys(kinds))}."
    PAGE.write_text(f"{head}<!-- table -->\n\n{said}\n\n{table(found)}\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write book/robustness.md")
    is_to_write = parser.parse_args().write
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn, about few or equal codes
        found, calls = attack()
    if is_to_write:
        write(found, calls)
    else:
        json.dump({"calls": calls, "outcomes": found}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
