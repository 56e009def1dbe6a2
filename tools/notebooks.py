"""Write book/NN_name.ipynb, executed and in plain Markdown, from book/sources/NN_name.md.

    python -m tools.notebooks                chapters whose source changed
    python -m tools.notebooks 02_elbo        the same, for the named chapters only
    python -m tools.notebooks --all          execute every chapter again

Change is decided by comparing cells, never file times, which a fresh clone scrambles. If only
prose, tags or captions changed, the stored outputs stay and nothing is executed. A rebuild without
a change gives the same bytes.
"""

import argparse
import base64
import io
import os
import sys
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

from tools.labels import BOOK, SOURCES, source_cells
from tools.plain import Converter

# As in conftest.py: what would make the stored outputs differ from those of the tests.
ENVIRONMENT = {
    "AEVB_BOOK": "1",  # explorers are stored as a picture
    "TQDM_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "JUPYTER_PLATFORM_DIRS": "1",
    "PYTHONPATH": str(BOOK.parent),
}

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def assemble(cells):
    """A notebook without outputs, with cell ids that only depend on position."""
    notebook = nbformat.v4.new_notebook(metadata=METADATA, nbformat_minor=5)
    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    for position, cell in enumerate(cells):
        notebook.cells.append(
            make[cell["cell_type"]](
                cell["source"], metadata=cell["metadata"], id=f"cell-{position:02d}"
            )
        )
    return notebook


def read_source(path):
    """The chapter as people run it: in plain Markdown."""
    return assemble(Converter(f"{path.stem}.ipynb").convert(source_cells(path)))


def read_for_the_book(path):
    """The chapter as the book reads it: as it is written, with the outputs of its notebook."""
    notebook = assemble(source_cells(path))
    target = BOOK / f"{path.stem}.ipynb"
    if not keep_outputs(notebook, nbformat.read(target, as_version=4)):
        raise ValueError(f"{target.name} has other code than its source: run make notebooks")
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "metadata" in output:
                output.metadata = {}  # in the book figures are as wide as the text
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def keep_outputs(notebook, stored):
    """Copy the stored outputs if the code is the same; says whether it was."""
    if [cell.source for cell in code_cells(notebook)] != [
        cell.source for cell in code_cells(stored)
    ]:
        return False
    for cell, old in zip(code_cells(notebook), code_cells(stored), strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    return True


def lighter(picture):
    """The same pixels in a tenth less: matplotlib writes an opaque fourth channel, and fast."""
    image, file = Image.open(io.BytesIO(base64.b64decode(picture))), io.BytesIO()
    if image.mode == "RGBA" and image.getextrema()[3] == (255, 255):
        image = image.convert("RGB")
    image.save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def pixels(picture):
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    return np.asarray(image.convert("RGB")).astype(int)


def pictures(notebook):
    """The outputs that hold a picture."""
    outputs = (output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs)
    return [data for data in outputs if "image/png" in data]


def keep_pictures(notebook, stored):
    """Store again what looks the same: another encoder or rounding would make git heavier."""
    kept = [(data["image/png"], pixels(data["image/png"])) for data in pictures(stored)]
    for data in pictures(notebook):
        new = pixels(data["image/png"])
        for picture, old in kept:
            if new.shape == old.shape and np.abs(new - old).max() <= 4:
                data["image/png"] = picture


def set_widths(notebook):
    """Let notebooks show figures at their designed width: they have two pixels for each of it."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if picture := output.get("data", {}).get("image/png"):
                width = Image.open(io.BytesIO(base64.b64decode(picture))).width
                output.metadata = {"image/png": {"width": width // 2}}


def execute(notebook):
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(BOOK)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )
    client.execute()
    notebook.metadata = METADATA  # the kernel writes its own version into it
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = lighter(output.data["image/png"])
            # A live widget is nothing without its kernel; the text or HTML beside it stays.
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)


def build(source, *, force=False):
    """Bring one notebook up to date; says what was done."""
    target = BOOK / f"{source.stem}.ipynb"
    notebook = read_source(source)
    before = target.read_text("utf8") if target.exists() else None
    if before is None or force or not keep_outputs(notebook, nbformat.reads(before, as_version=4)):
        execute(notebook)
        if before is not None:
            keep_pictures(notebook, nbformat.reads(before, as_version=4))
        done = "executed"
    else:
        done = "outputs kept"
    set_widths(notebook)
    nbformat.validate(notebook)
    after = nbformat.writes(notebook) + "\n"
    if after == before:
        return f"{done}, unchanged"
    target.write_text(after, "utf8")
    return f"{done}, written"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NN_name", help="chapters; all of them if none is named"
    )
    parser.add_argument("--all", action="store_true", help="execute even if nothing changed")
    arguments = parser.parse_args()

    chapters = {path.stem: path for path in sorted(SOURCES.glob("*.md"))}
    names = [Path(name).stem for name in arguments.names] or list(chapters)
    if unknown := [name for name in names if name not in chapters]:
        parser.error(
            f"no source for {', '.join(unknown)}; there are {', '.join(chapters) or 'none'}"
        )

    os.environ.update(ENVIRONMENT)
    failed = False
    for name in names:
        try:
            print(f"{name}: {build(chapters[name], force=arguments.all)}", flush=True)
        except CellExecutionError as error:
            failed = True
            print(
                f"{name}: a cell failed; the notebook was left as it was\n{error}", file=sys.stderr
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
