"""Hermetic tests: no network, no user's files, one thread per process, shapes checked.

Environment variables are set here, before torch is imported and before any worker or notebook
kernel starts, because those inherit them.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import config as checking
from jaxtyping import install_import_hook

ROOT = Path(__file__).parent

# Runtime checks of every shape in a public signature. In tests only: readers get plain functions.
# A check costs as much as a small step of training, and a test of many steps checks the same shapes
# again and again: so a test checks this many calls, its first.
CHECKS = 2_000
_checks_left = CHECKS
# An int is a float here as it is for mypy (PEP 484).
_checked: Any = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_types(function: Any) -> Any:
    """Return what checks its types, and counts how often it does."""
    check: Callable[..., Any] = _checked(function)
    if isinstance(function, type):
        return check

    @functools.wraps(check)
    def counted(*args: Any, **kwargs: Any) -> Any:
        global _checks_left
        _checks_left -= 1
        if _checks_left <= 0:
            checking.update("jaxtyping_disable", True)
        return check(*args, **kwargs)

    return counted


def pytest_runtest_setup() -> None:
    """Check the shapes of the first calls of every test."""
    global _checks_left
    _checks_left = CHECKS
    checking.update("jaxtyping_disable", False)


@pytest.fixture
def as_for_readers() -> None:
    """Without any checks of shapes, which would answer before the library does."""
    checking.update("jaxtyping_disable", True)


install_import_hook("aevb_lib", "conftest.check_types")

# The first example of a property may pay for a slow import, and a busy machine for anything: how
# long an example takes says nothing about whether the property holds.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

os.environ.update(
    AEVB_BOOK="1",  # notebooks show explorers as they are stored
    TQDM_DISABLE="1",  # progress bars print times, which strict notebooks would compare
    OMP_NUM_THREADS="1",  # two pytest workers with a kernel each share two cores
    MKL_NUM_THREADS="1",
    PYDEVD_DISABLE_FILE_VALIDATION="1",  # the debugger in a kernel warns on stderr otherwise
    JUPYTER_PLATFORM_DIRS="1",  # jupyter_core warns about a coming change otherwise
    # What honors proxies finds none that answers: so kernels and subprocesses are offline too.
    http_proxy="http://127.0.0.1:9",
    https_proxy="http://127.0.0.1:9",
    no_proxy="localhost,127.0.0.1,::1",
    # Kernels and subprocesses test this checkout, whatever else is installed.
    PYTHONPATH=os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
)
# MPLBACKEND stays unset: kernels choose the inline backend only if nobody chose before.
os.environ.pop("MPLBACKEND", None)

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_connect = socket.socket.connect


def _connect_locally(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOCAL:
        raise ConnectionRefusedError(f"tests have no network, but something wants {address}")
    _connect(self, address)


def pytest_configure(config: pytest.Config) -> None:
    """Go offline, and give all workers and kernels of this session one empty home for caches."""
    socket.socket.connect = _connect_locally  # type: ignore[method-assign]
    if hasattr(config, "workerinput"):
        return  # an xdist worker: the session that started it has made the folder
    home = Path(tempfile.mkdtemp(prefix="aevb-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    # IPYTHONDIR: kernels must not run the user's start-up files.
    os.environ.update(AEVB_DATA=str(home / "data"), IPYTHONDIR=str(home / "ipython"))
