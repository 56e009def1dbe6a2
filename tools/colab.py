"""Write one zip for Colab: notebooks, pages of text with pictures, and the package as a wheel.

make colab        writes _build/aevb-colab.zip
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tools.plain import MODULE

ROOT = Path(__file__).resolve().parents[1]
ZIP = ROOT / "_build" / "aevb-colab.zip"
PICTURES = "../aevb_lib/explorer/pictures/"
README = """\
Auto-Encoding Variational Bayes, measured: the notebooks

1. Unzip this file.
2. Open https://colab.research.google.com, choose Upload, and drop a notebook (.ipynb) there.
3. For a GPU: Runtime > Change runtime type. Every chapter runs without one, too.
4. Open the folder icon on the left and drop the file {wheel} there.
5. Run the cells from the top. The first one installs that file; data and weights are in it.

In JupyterLab or VS Code: leave all files in one folder and open a notebook. The first cell installs
the package if it is not there.
"""


def build_wheel(folder):
    """Build the wheel as an installer would; returns its path."""
    command = ["pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", *command], check=True)
    [wheel] = Path(folder).glob("aevb_lib-*.whl")
    return wheel


def beside_notebooks(page):
    """A page of text with its pictures beside it, and without links into the package."""
    return MODULE.sub(r"`\1`", page.replace(PICTURES, ""))


def write(target, wheel):
    """Put together what a reader of notebooks needs, all in one folder."""
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", README.format(wheel=wheel.name))
        for path in sorted(ROOT.glob("book/*.md")):
            archive.writestr(path.name, beside_notebooks(path.read_text("utf8")))
        pictures = ROOT.joinpath("book", PICTURES).glob("*.webp")
        for path in (*ROOT.glob("book/*.ipynb"), *pictures, ROOT / "book" / "references.bib"):
            archive.write(path, path.name)
        archive.write(wheel, wheel.name, zipfile.ZIP_STORED)


def main():
    with tempfile.TemporaryDirectory() as folder:
        write(ZIP, build_wheel(folder))
    print(f"{ZIP.relative_to(ROOT)}: {ZIP.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
