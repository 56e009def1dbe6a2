"""The MNIST archives that ship with this package, unpacked where torchvision finds them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import tempfile
import time
import zlib
from pathlib import Path

__all__ = ["ARCHIVES", "default_root", "unpack"]

ARCHIVES = Path(__file__).parent / "assets" / "mnist"
_ABANDONED_SECONDS = 3600.0


def default_root() -> Path:
    """Return the folder that ``AEVB_DATA`` names, or one in the user's cache."""
    if named := os.environ.get("AEVB_DATA"):
        return Path(named).expanduser()
    # Last, since a user may have no home.
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aevb"


def unpack(root: Path) -> None:
    """Unpack the archives into ``root/MNIST/raw``, unless sound files are there already.

    Everything is prepared in a private folder beside it and moved file by file: each move replaces
    a whole file by a whole file, so another process sees the old or the new one, never a part.
    """
    from torchvision.datasets import MNIST  # heavy: `import aevb_lib` stays light without it

    raw = root / "MNIST" / "raw"
    archives = {ARCHIVES / name: md5 for name, md5 in MNIST.resources}
    if missing := [path.name for path in archives if not path.is_file()]:
        raise FileNotFoundError(
            f"{', '.join(missing)} should be in {ARCHIVES} but the package was installed without, "
            "and nothing is downloaded instead. Reinstall aevb-lib."
        )
    if all(_is_sound(raw / path.stem, path) for path in archives):
        return
    for path, md5 in archives.items():
        if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != md5:
            raise RuntimeError(f"{path} is damaged: its MD5 sum is not {md5}. Reinstall aevb-lib.")
    try:
        raw.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(raw.parent)
        with tempfile.TemporaryDirectory(dir=raw.parent, prefix=".unpacking-") as private:
            staged = Path(private, "MNIST", "raw")
            staged.mkdir(parents=True)
            for path in archives:
                shutil.copyfile(path, staged / path.name)  # not its mode: it may be read-only
            MNIST(private, download=True)  # verifies and unpacks
            for file in staged.iterdir():
                os.replace(file, raw / file.name)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot unpack MNIST into {root} ({error.strerror}): make room for 70 MB there, or "
            "name a folder that can be written to, as load_mnist(root=...) or in AEVB_DATA",
        ) from error


def _is_sound(unpacked: Path, archive: Path) -> bool:
    """Whether a file is what the archive holds: a gzip archive ends in CRC-32 and size of it."""
    try:
        content = unpacked.read_bytes()
    except OSError:
        return False
    return struct.pack("<II", zlib.crc32(content), len(content)) == archive.read_bytes()[-8:]


def _remove_abandoned(folder: Path) -> None:
    """Remove what a killed process left; a younger folder may belong to one that still works."""
    for private in folder.glob(".unpacking-*"):
        with contextlib.suppress(OSError):  # another process may be removing it as well
            if time.time() - private.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(private)
