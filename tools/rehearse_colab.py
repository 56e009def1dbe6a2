"""Run every notebook as Colab would: Colab's versions, the wheel, an empty folder.

    make rehearse-colab                          all notebooks, with Python 3.12
    make rehearse-colab ARGS="02_elbo slips"     some of them
    make rehearse-colab ARGS="--torch 2.14.1 --torchvision 0.29.1"

It makes a fresh environment in _build/rehearsal, unpacks what `make colab` writes, and runs the
notebooks there with a stand-in for the module `google.colab`. The last full run is recorded in
CONTRIBUTING.md. Not part of the tests: it downloads some gigabytes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
import zipfile

from tools.colab import ROOT, ZIP
from tools.colab import main as write_zip

HOME = ROOT / "_build" / "rehearsal"
# Colab's versions as this project was told them, of what the notebooks meet; ask a machine there
# with `pip list` before you trust them.
VERSIONS = {
    "torch": "2.11.*",
    "torchvision": "0.26.*",
    "numpy": "2.1.*",
    "matplotlib": "3.10.*",
    "ipywidgets": "7.7.1",
    "ipython": "7.34.0",
    "ipykernel": "6.17.1",
}
RUN = """
import sys, nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
notebook = nbformat.read(sys.argv[1], as_version=4)
try:
    NotebookClient(notebook, timeout=3600, kernel_name="python3").execute()
except CellExecutionError as error:
    sys.exit(str(error)[-3000:])
"""


def find_python():
    """A Python as new as Colab's that runs (pyenv leaves names that do not), or this one."""
    for name in ("python3.12", "python3.13"):
        found = shutil.which(name)
        if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
            return found
    return sys.executable


def make_environment(python, versions):
    """A fresh environment with Colab's versions, and a kernel that thinks it is there."""
    subprocess.run([python, "-m", "venv", "--clear", HOME / "env"], check=True)
    pip = [HOME / "env" / "bin" / "python", "-m", "pip", "install", "--quiet"]
    wanted = [f"{name}=={version}" for name, version in versions.items()]
    subprocess.run([*pip, *wanted, "nbclient"], check=True)
    [packages] = (HOME / "env" / "lib").glob("python*/site-packages")
    (packages / "google" / "colab").mkdir(parents=True)
    (packages / "google" / "colab" / "__init__.py").touch()
    (packages / "stand_in.pth").write_text("import google.colab\n")  # as Colab's kernel does


def run(notebook, folder):
    """Seconds that a notebook takes, or the end of what went wrong."""
    python = HOME / "env" / "bin" / "python"
    clean = {"PYTHONPATH", "AEVB_DATA", "AEVB_BOOK"}
    own = {name: value for name, value in os.environ.items() if name not in clean}
    own["PATH"] = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    start = time.monotonic()
    done = subprocess.run(
        [python, "-c", RUN, notebook], cwd=folder, env=own, capture_output=True, text=True
    )
    return time.monotonic() - start, done.stderr if done.returncode else ""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="notebooks without .ipynb; all by default")
    parser.add_argument("--python", default=find_python())
    for name, version in VERSIONS.items():
        parser.add_argument(f"--{name}", default=version, help=f"by default {version}")
    options = parser.parse_args()

    write_zip()
    make_environment(options.python, {name: getattr(options, name) for name in VERSIONS})
    folder = HOME / "notebooks"
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(ZIP) as archive:
        archive.extractall(folder)
    failed = False
    for path in sorted(folder.glob("*.ipynb")):
        if not options.names or path.stem in options.names:
            seconds, error = run(path.name, folder)
            print(f"{path.stem}: {error or f'{seconds:.0f} s'}", flush=True)
            failed |= bool(error)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
