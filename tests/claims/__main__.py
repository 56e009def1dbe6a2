"""Try the book's claims against slips in the library and against other states of the generators.

    python -m tests.claims mutate                  every slip in every chapter that meets it
    python -m tests.claims mutate 02_elbo          the same of one chapter
    python -m tests.claims reseed --states 20      every chapter under twenty other states
    python -m tests.claims write                   writes both records into their page

Both are resumable: what is recorded of a chapter whose code has not changed is not run again,
unless `--again` says so, as it should after a change of the library. `--jobs 2` runs two chapters
at a time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.claims.chapters import (
    Outcome,
    chapter_names,
    code_cells,
    execute,
    fingerprint,
    with_slip,
)
from tests.claims.page import write_page
from tests.claims.records import MUTATIONS, STATES, summary_of_states
from tests.claims.slips import SLIPS, Slip, install
from tests.claims.states import enter

LIBRARY = Path(__file__).parents[2] / "aevb_lib"


def run_with_slip(chapter: str, slip: Slip | None) -> Outcome:
    """Execute a chapter with a slip, or as it is while its calls are watched."""
    cells = code_cells(chapter)
    if slip is None:
        return execute(cells, watch=LIBRARY)
    if slip.is_of_a_chapter:
        return execute(with_slip(cells, slip))
    install(slip)
    return execute(cells)


def run_in_state(chapter: str, state: int) -> Outcome:
    """Execute a chapter in another state of the generators; state 0 is the reader's."""
    enter(state)
    return execute(code_cells(chapter))


def meets(chapter: str, slip: Slip, outcome: Outcome) -> bool:
    """Whether a chapter, as it was watched, runs the line that a slip is in."""
    if slip.is_of_a_chapter:
        return slip.module == chapter
    place = slip.function()
    return place is None or place in {(file, line) for file, line in outcome.called}


def in_processes(
    jobs: int, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]
) -> Iterable[tuple[tuple[Any, ...], Any]]:
    """Call a function for each task in a process of its own, and yield what comes as it comes."""
    context = multiprocessing.get_context("fork")  # torch is imported once, here
    with context.Pool(jobs, maxtasksperchild=1) as pool:
        calls = ((function, task) for task in tasks)
        yield from pool.imap_unordered(_call, calls, chunksize=1)


def _call(call: tuple[Callable[..., Any], tuple[Any, ...]]) -> tuple[tuple[Any, ...], Any]:
    function, task = call
    return task, function(*task)


def mutate(chapters: list[str], jobs: int, *, again: bool) -> None:
    """Record which asserts of the chapters notice which slips."""
    if again:
        MUTATIONS.forget(chapters)
    names = [slip.name for slip in SLIPS]
    codes = {name: fingerprint(code_cells(name)) for name in chapters}
    todo = [name for name in chapters if not MUTATIONS.knows(name, codes[name], names)]
    for (chapter, _), right in in_processes(jobs, run_with_slip, [(name, None) for name in todo]):
        if right.failed or right.errors:
            sys.exit(f"{chapter} does not hold as it is: {right.failed} {right.errors}")
        met = {slip.name: meets(chapter, slip, right) for slip in SLIPS}
        MUTATIONS.begin(chapter, codes[chapter], right.asserts, met)
    tasks = [
        (name, slip)
        for name in chapters
        for slip in SLIPS
        if slip.name in MUTATIONS.read()[name]["missing"]
    ]
    started = time.monotonic()
    for done, ((chapter, slip), wrong) in enumerate(in_processes(jobs, run_with_slip, tasks), 1):
        MUTATIONS.add(chapter, slip.name, wrong.failed, sorted(wrong.errors, key=int))
        noticed = f"{len(wrong.failed)} asserts, {len(wrong.errors)} errors"
        minutes = (time.monotonic() - started) / 60
        print(
            f"{minutes:5.1f} min {done}/{len(tasks)} {chapter}: {slip.name}: {noticed}", flush=True
        )


def reseed(chapters: list[str], jobs: int, states: int, *, again: bool) -> None:
    """Record which asserts fail under other states, and how printed numbers vary."""
    if again:
        STATES.forget(chapters)
    todo = [name for name in chapters if not _is_recorded(name, states)]
    outcomes: dict[str, dict[int, Outcome]] = {name: {} for name in todo}
    tasks = [(name, state) for name in todo for state in range(states + 1)]
    for (chapter, state), outcome in in_processes(jobs, run_in_state, tasks):
        outcomes[chapter][state] = outcome
        print(f"{chapter} {state}: {outcome.failed} {outcome.errors}", flush=True)
        if len(outcomes[chapter]) == states + 1:
            code = fingerprint(code_cells(chapter))
            STATES.put(chapter, summary_of_states(code, outcomes[chapter]))


def _is_recorded(chapter: str, states: int) -> bool:
    entry = STATES.read().get(chapter, {"code": "", "states": 0})
    is_current: bool = entry["code"] == fingerprint(code_cells(chapter))
    return is_current and entry["states"] >= states


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.claims",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=["mutate", "reseed", "write"])
    parser.add_argument("chapters", nargs="*", metavar="NN_name", help="by default all")
    parser.add_argument("--states", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1, help="chapters at a time, one thread each")
    parser.add_argument("--again", action="store_true", help="run also what is recorded")
    arguments = parser.parse_args()
    chapters = arguments.chapters or chapter_names()
    if unknown := set(chapters) - set(chapter_names()):
        parser.error(f"no chapter {', '.join(sorted(unknown))}")
    os.environ.update(TQDM_DISABLE="1", MPLBACKEND="agg")
    import torch

    torch.set_num_threads(1)
    if arguments.action == "mutate":
        mutate(chapters, arguments.jobs, again=arguments.again)
    elif arguments.action == "reseed":
        reseed(chapters, arguments.jobs, arguments.states, again=arguments.again)
    write_page()


if __name__ == "__main__":
    main()
