"""Explorers that run in a page without a kernel: the trained models, moved by hand.

The book's pages show them where :func:`embed` left a place for one. They need no server, no
network and no Python: decoders of this size answer a moving finger in a few milliseconds.
"""

from aevb_lib.explorer.data import DATA, data_script
from aevb_lib.explorer.page import EXPLORERS, Embedded, embed, page, write_site_files

__all__ = ["DATA", "EXPLORERS", "Embedded", "data_script", "embed", "page", "write_site_files"]
