"""Try the book's claims against slips in the library and against other states of the generators.

    python -m tests.claims mutate                  every slip in every chapter that meets it
    python -m tests.claims mutate 02_elbo          the same of one chapter
    python -m tests.claims reseed --states 20      every chapter under twenty other states
    python -m tests.claims write                   writes both records into their page

Both are resumable: what was run of a chapter whose code has not changed is not run again, unless
`--again` says so, as it should after a change of the library, or of a slip that keeps its name.
More states are added to those that are recorded.
`--jobs 2` runs two at a time, and `mutate` beside them the chapter as it is. A chapter is the same
with a slip and without it until a cell runs the slip's line, so `mutate` runs it once and forks
before that cell. Set `OMP_NUM_THREADS=1`: a pool of threads does not survive a fork.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.claims.chapters import (
    Outcome,
    chapter_names,
    code_cells,
    execute,
    fingerprint,
    place_of,
)
from tests.claims.page import write_page
from tests.claims.records import MUTATIONS, OUTCOMES, STATES, pooled, summary_of_states
from tests.claims.slips import SLIPS, Slip, install
from tests.claims.states import enter

LIBRARY = Path(__file__).parents[2] / "aevb_lib"


def run_watched(chapter: str, cells: list[str]) -> Outcome:
    """Execute a chapter as it is, while its calls are watched."""
    return execute(cells, watch=LIBRARY)


def first_cell(slip: Slip, cells: list[str], outcome: Outcome) -> int | None:
    """Return the first cell that runs the line of a slip; None if the chapter never does.

    Args:
        slip: The slip, which concerns the chapter.
        cells: The chapter's cells.
        outcome: What came of them while they were watched.
    """
    if slip.is_of_a_chapter:
        return place_of(slip, cells)
    place = slip.function()
    return 0 if place is None else outcome.called.get(place)


def try_slips(
    cells: list[str],
    first_cells: dict[Slip, int],
    jobs: int,
    say: Callable[[Slip, Outcome], None],
) -> None:
    """Execute a chapter once, and from its first cell on once more with each slip.

    Call it in a process of its own, which ends here.

    Args:
        cells: The chapter's cells.
        first_cells: First cell that runs the line of each slip to be tried.
        jobs: Slips that run at a time.
        say: Called with a slip and what came of the chapter, in the process that ran it.
    """
    children: set[int] = set()
    mine: list[Slip] = []  # empty in the process that runs the chapter as it is

    def fork(number: int) -> None:
        if mine:
            return
        for slip in (slip for slip, first in first_cells.items() if first == number):
            if len(children) >= jobs:
                children.discard(os.wait()[0])  # or a process of a cell
            if child := os.fork():
                children.add(child)
                continue
            mine.append(slip)
            if slip.is_of_a_chapter:
                cells[number] = slip.applied_to(cells[number])
            else:
                install(slip)
            return
        if number == max(first_cells.values()):
            while children:
                children.discard(os.wait()[0])  # or a process of a cell
            os._exit(0)

    try:
        outcome = execute(cells, before_cell=fork)
        say(mine[0], outcome)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)  # a child must not go on with what its parent was about to do


def run_in_state(chapter: str, state: int, cells: list[str]) -> Outcome:
    """Execute a chapter in another state of the generators; state 0 is the reader's."""
    enter(state)
    return execute(cells)


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
    slips = {name: [slip for slip in SLIPS if slip.concerns(name)] for name in chapters}
    cells = {name: code_cells(name) for name in chapters}  # who edits them now is not heard
    codes = {name: fingerprint(cells[name]) for name in chapters}
    todo = [
        name
        for name in chapters
        if not MUTATIONS.knows(name, codes[name], {slip.name for slip in slips[name]})
    ]
    tasks = [(name, cells[name]) for name in todo]
    for (chapter, _), right in in_processes(jobs, run_watched, tasks):
        if right.failed or right.errors:
            sys.exit(f"{chapter} does not hold as it is: {right.failed} {right.errors}")
        first = {s.name: first_cell(s, cells[chapter], right) for s in slips[chapter]}
        MUTATIONS.begin(chapter, codes[chapter], right.asserts, first)
    started = time.monotonic()
    for chapter in chapters:
        missing = MUTATIONS.read()[chapter]["missing"]
        first_cells = {slip: missing[slip.name] for slip in SLIPS if slip.name in missing}
        for slip, wrong in outcomes_with_slips(cells[chapter], first_cells, jobs):
            MUTATIONS.add(chapter, slip.name, wrong.failed, sorted(wrong.errors, key=int))
            noticed = f"{len(wrong.failed)} asserts, {len(wrong.errors)} errors"
            minutes = (time.monotonic() - started) / 60
            print(f"{minutes:5.1f} min {chapter}: {slip.name}: {noticed}", flush=True)
        if silent := MUTATIONS.read()[chapter]["missing"]:
            sys.exit(f"{chapter} ended without a word with {', '.join(silent)}")


def outcomes_with_slips(
    cells: list[str], first_cells: dict[Slip, int], jobs: int
) -> Iterator[tuple[Slip, Outcome]]:
    """Yield what comes of a chapter's cells with each slip, as it comes."""
    if not first_cells:
        return
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    lock = context.Lock()

    def say(slip: Slip, outcome: Outcome) -> None:
        with lock:
            sender.send((slip, outcome))

    process = context.Process(target=try_slips, args=(cells, first_cells, jobs, say))
    process.start()
    sender.close()
    with contextlib.suppress(EOFError):  # when the last process that can say something has ended
        while True:
            yield receiver.recv()
    process.join()


def reseed(chapters: list[str], jobs: int, states: int, *, again: bool) -> None:
    """Record which asserts fail under other states, and how printed numbers vary."""
    if again:
        STATES.forget(chapters)
        OUTCOMES.forget(chapters)
    cells = {name: code_cells(name) for name in chapters}
    codes = {name: fingerprint(cells[name]) for name in chapters}
    known = {name: _known_states(name, codes[name]) for name in chapters}
    # The reader's state again, whose lines say which numbers are the same as those known.
    todo = {name: [0, *range(k + 1, states + 1)] for name, k in known.items() if k < states}
    tasks = [
        (name, state, cells[name])
        for name, its_states in todo.items()
        for state in its_states
        if not OUTCOMES.has(name, codes[name], state)
    ]

    def record(name: str) -> None:
        if all(OUTCOMES.has(name, codes[name], state) for state in todo[name]):
            outcomes = OUTCOMES.read(name, codes[name], todo[name])
            entry = summary_of_states(codes[name], outcomes)
            STATES.put(name, pooled(STATES.read()[name], entry) if known[name] else entry)

    for name in todo:  # of which all states are kept
        record(name)
    started = time.monotonic()
    for (chapter, state, _), outcome in in_processes(jobs, run_in_state, tasks):
        OUTCOMES.put(chapter, codes[chapter], state, outcome)
        minutes = (time.monotonic() - started) / 60
        print(
            f"{minutes:5.1f} min {chapter} {state}: {outcome.failed} {outcome.errors}", flush=True
        )
        record(chapter)


def _known_states(chapter: str, code: str) -> int:
    """Number of states in which a chapter of this code is recorded."""
    entry = STATES.read().get(chapter, {"code": ""})
    return int(entry["states"]) if entry["code"] == code else 0


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.claims",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=["mutate", "reseed", "write"])
    parser.add_argument("chapters", nargs="*", metavar="NN_name", help="by default all")
    parser.add_argument("--states", type=int, default=20)
    parser.add_argument(
        "--jobs", type=int, default=1, help="chapters, states or slips at a time, one thread each"
    )
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
