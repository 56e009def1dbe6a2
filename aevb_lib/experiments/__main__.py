"""The command line: ``python -m aevb_lib.experiments list | run | verify | judge | table``."""

from __future__ import annotations

import argparse
import sys
from argparse import BooleanOptionalAction
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from tqdm import tqdm

from aevb_lib.experiments.judge import record_judge
from aevb_lib.experiments.recording import run_study, verify
from aevb_lib.experiments.store import ASSETS, Store
from aevb_lib.experiments.studies import STUDIES
from aevb_lib.experiments.study import Study, VerificationError


def main(
    arguments: Sequence[str] | None = None,
    *,
    studies: Mapping[str, Study[Any]] = STUDIES,
    store: Store = ASSETS,
) -> int:
    """Run the command line; see ``python -m aevb_lib.experiments --help``.

    Args:
        arguments: Words after the name of the command; those of this process by default.
        studies: Studies to choose from.
        store: Store in which they are recorded.

    Returns:
        The exit status: 1 if a record could not be verified.
    """
    parser = argparse.ArgumentParser(
        prog="python -m aevb_lib.experiments",
        description="Record and verify the studies of the book.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the studies, and how much of each is recorded")
    run = commands.add_parser("run", help="record what is missing of a study")
    check = commands.add_parser("verify", help="train recorded runs again and compare")
    commands.add_parser("judge", help="train and record the judge of generated digits")
    table = commands.add_parser("table", help="a recorded study as Markdown")
    table.add_argument("study", choices=[name for name in studies if studies[name].table])
    for command in (run, check):
        command.add_argument("study", choices=studies)
        command.add_argument("--seeds", type=int, nargs="+", help="by default all")
        command.add_argument("--device", default="cpu")
    run.add_argument(
        "--together",
        action=BooleanOptionalAction,
        default=None,
        help="train all seeds of a configuration in one training; by default on a GPU",
    )
    where = run.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=_positive, default=1, help="runs at a time, one thread each")
    where.add_argument("--scheduler", help="address of a Dask scheduler, to run on its workers")
    check.add_argument("--epochs", type=_positive, default=1)
    check.add_argument(
        "--tolerance",
        type=float,
        help="largest difference that is no failure; by default the study's own, or that which "
        "the spread over seeds allows",
    )
    options = parser.parse_args(arguments)
    if options.command == "list":
        return _list(studies, store)
    if options.command == "judge":
        print(f"judge: test accuracy {record_judge(store)['test_accuracy']:.2%}")
        return 0
    study = studies[options.study]
    if options.command == "table":
        return _table(study, store)
    if unknown := set(options.seeds or ()) - {run.seed for run in study.runs}:
        parser.error(f"argument --seeds: {study.name} has no seed {min(unknown)}")
    store = replace(store, device=options.device)
    if options.command == "verify":
        _check_device(check, options.device)
        return _verify(study, store, options, check)
    if not options.scheduler:
        _check_device(run, options.device)  # workers may have what this machine lacks
    return _run(study, store, options, run)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _check_device(parser: argparse.ArgumentParser, device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter if torch was built without it
        reason = str(error).splitlines()[0]
        parser.error(f"argument --device: {device!r} cannot be used here: {reason}")


def _list(studies: Mapping[str, Study[Any]], store: Store) -> int:
    for name, study in studies.items():
        done = sum(store.result_path(run).exists() for run in study.runs)
        print(f"{name:20} {done:3} of {len(study.runs)} runs recorded")
    return 0


def _run(
    study: Study[Any], store: Store, options: argparse.Namespace, parser: argparse.ArgumentParser
) -> int:
    with ExitStack() as workers:
        if options.scheduler:
            from aevb_lib.experiments.cluster import cluster  # Dask is an optional dependency

            try:
                workers.enter_context(cluster(options.scheduler, store))
            except (ImportError, OSError, ValueError) as error:
                parser.error(f"argument --scheduler: {error}")
        results = run_study(
            study, store, jobs=options.jobs, seeds=options.seeds, together=options.together
        )
        try:
            for result in results:
                tqdm.write(f"{study.name}: {result.run.name} recorded")
        except VerificationError as error:  # such as a step that another study has to choose
            parser.error(str(error))
    return 0


def _table(study: Study[Any], store: Store) -> int:
    results = store.read_all(study.runs)
    if study.table is None or not results:
        print(f"no table: no run of {study.name} is recorded")
        return 1
    print(study.table(results))
    return 0


def _verify(
    study: Study[Any], store: Store, options: argparse.Namespace, parser: argparse.ArgumentParser
) -> int:
    is_passed = []
    try:
        for check in verify(study, store, seeds=options.seeds, epochs=options.epochs):
            limit = check.allowed if options.tolerance is None else options.tolerance
            is_passed.append(check.difference <= limit)
            print(
                f"{check.name}: {check.difference:.4f} {study.unit} from the record, {check.reason}"
                + ("" if is_passed[-1] else ": TOO FAR"),
                flush=True,
            )
    except VerificationError as error:
        parser.error(str(error))
    if not is_passed:
        print(f"nothing to verify: no run of {study.name} with these seeds is recorded")
        return 1
    return int(not all(is_passed))


if __name__ == "__main__":
    sys.exit(main())
