"""Figures in the dark: beside each PNG and each drawing of the pages, a file in dark colors.

A figure is made once, as dark ink on white paper. Its twin for dark pages has their paper and ink,
and every color of the book is there what explorers make of it in the dark. Each color has a line
that leads to it from white, on which lie its mixtures with the paper; a point of the line goes to
the same point of the dark line. What lies beside the lines, such as a cloud over another, is an
average over all of them in which near ones weigh most.
"""

import hashlib
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
from docutils import nodes
from PIL import Image
from scipy import ndimage

from aevb_lib import plotting

ROOT = Path(__file__).resolve().parents[2]
WHITER = 0.38  # by which explorers move digits' colors to white in the dark (drawing.js)
# Classes of pictures that stay as they are: a page may have one for each mode already.
OWN_COLORS = {"only-light", "only-dark", "dark-light", "no-invert"}


def dark_names(sheet):
    """The colors that a style sheet has names for on dark pages."""
    rule = r'^html\[data-theme="dark"\][^{]*\{(.*?)\}'
    rules = re.findall(rule, (ROOT / sheet).read_text("utf8"), re.M | re.S)
    return dict(re.findall(r"--(?:book|x)-(\S+): (#\w{6})", " ".join(rules)))


def rgb(color):
    return np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)], dtype=float)


def hexadecimal(color):
    return "#" + "".join(f"{round(channel):02x}" for channel in color)


def whiter(color):
    return hexadecimal(np.floor(rgb(color) + WHITER * (255 - rgb(color)) + 0.5))


PAGE, EXPLORER = dark_names("book/_assets/book.css"), dark_names("aevb_lib/explorer/explorer.css")
WHITE, BLACK, PAPER = "#ffffff", "#000000", PAGE["paper"]
GRAYS = {WHITE: PAPER, plotting.INK: PAGE["ink"], BLACK: EXPLORER["ink"]}
COLORS = {
    plotting.BLUE: EXPLORER["vae"],
    plotting.VERMILION: EXPLORER["autoencoder"],
    plotting.PURPLE: EXPLORER["score"],
    plotting.ORANGE: plotting.ORANGE,
    "#8a5f00": EXPLORER["gap-text"],  # the same orange as a color of words
    "#b84f00": EXPLORER["autoencoder-text"],
    # Explorers have none of these. Pale blue is nearer to the paper than blue, deep blue farther.
    plotting.GREEN: "#2bbf90",
    plotting.SKY: "#2f7fb0",
    plotting.BLUES[3]: "#6cbaea",
    plotting.BLUES[4]: "#8fcdf5",
    **{color: whiter(color) for color in plotting.DIGIT_COLORS},
}
# A map of colors is the same on any paper.
VIRIDIS = [
    hexadecimal(255 * np.array(c)) for c in mpl.colormaps["viridis"].resampled(9).colors[:, :3]
]
TWINS = GRAYS | COLORS | {color: color for color in VIRIDIS}
LINES = [(WHITE, plotting.INK), (plotting.INK, BLACK), *((WHITE, color) for color in COLORS)]
LINES += pairwise(VIRIDIS)
FROM, TO = (np.array([rgb(line[end]) for line in LINES]) for end in (0, 1))
DARK_FROM, DARK_TO = (np.array([rgb(TWINS[line[end]]) for line in LINES]) for end in (0, 1))


def darken(colors):
    """What colors, [N, 3] in 0-255, are on a dark page."""
    way = TO - FROM
    share = ((colors[:, None] - FROM) * way).sum(-1) / (way**2).sum(-1)
    share = np.clip(share, 0, 1)[..., None]
    distance = ((colors[:, None] - FROM - share * way) ** 2).sum(-1, keepdims=True)
    weight = (distance + 1) ** -2.0  # one, since colors are rounded
    dark = DARK_FROM + share * (DARK_TO - DARK_FROM)
    return (weight * dark).sum(1) / weight.sum(1)


def luminance(colors):
    """As WCAG defines it, of [..., 3] in 0-255."""
    share = colors / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def contrast(one, other):
    one, other = luminance(one) + 0.05, luminance(other) + 0.05
    return np.maximum(one / other, other / one)


def is_pale(dark):
    """Whether paper is read better on it than ink."""
    return contrast(dark, rgb(PAPER)) > contrast(dark, rgb(PAGE["ink"]))


def darken_picture(light):
    """A picture, [height, width, 3] in 0-255, for a dark page; each of its colors is done once."""
    packed = light.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    is_there = np.zeros(1 << 24, dtype=bool)
    is_there[packed] = True
    found = np.flatnonzero(is_there)
    colors = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1).astype(float)

    def paint(values):
        table = np.empty((1 << 24, *values.shape[1:]), dtype=values.dtype)
        table[found] = values
        return table[packed]

    twins = darken(colors)
    dark = paint(np.round(twins).astype(np.uint8))
    spread = np.ptp(colors, axis=1)
    is_badge = (spread > 60) & is_pale(twins)
    if is_badge.any():
        is_ink = (spread < 30) & (colors.max(1) < 110)
        keep_letters_dark(light, dark, paint(is_ink), paint(is_badge))
    return dark


def keep_letters_dark(light, dark, ink, badge):
    """Letters on a badge that is pale in the dark as well must not turn pale with the other ink."""
    edge = 3  # pixels in which ink fades into the badge
    letters, _ = ndimage.label(ink & ndimage.binary_dilation(badge, iterations=2 * edge))
    for number, place in enumerate(ndimage.find_objects(letters), 1):
        box = tuple(slice(max(0, s.start - 2 * edge), s.stop + 2 * edge) for s in place)
        letter = ndimage.binary_dilation(letters[box] == number, iterations=edge)
        around = ndimage.binary_dilation(letter, iterations=2) & ~letter
        if badge[box][around].mean() > 0.8:
            ground, dark_ground = (np.median(picture[box][around], 0) for picture in (light, dark))
            way = rgb(plotting.INK) - ground
            share = ((light[box][letter] - ground) @ way / (way @ way)).clip(0, 1)[:, None]
            dark[box][letter] = np.round(dark_ground + share * (rgb(PAPER) - dark_ground))


def darken_png(light, dark):
    with Image.open(light) as picture:
        Image.fromarray(darken_picture(np.asarray(picture.convert("RGB")))).save(dark)


def darken_drawing(light, dark):
    def twin(found):
        digits = found[0][1:]
        digits = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
        return hexadecimal(darken(rgb(f"#{digits}")[None])[0])

    color = r"(?<=[\"\s:])#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b"
    dark.write_text(re.sub(color, twin, light.read_text("utf8")), "utf8")


WAYS = {".png": darken_png, ".svg": darken_drawing}
STATE = Path(__file__).read_bytes() + repr(TWINS).encode()  # what twins are made by


def write_twin(light, folder, name):
    """The name of the twin, made only if there is none of the same picture made in the same way."""
    start, end = Path(name).stem, f"dark{light.suffix}"
    twin = folder / f"{start}.{hashlib.sha256(STATE + light.read_bytes()).hexdigest()[:8]}.{end}"
    if not twin.exists():
        for old in folder.glob(f"{start}.*.{end}"):
            old.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        WAYS[light.suffix](light, twin)
    return twin.name


def visit_image(self, node):
    """Write a figure's tag for light pages, then that for dark ones; the style sheet shows one.

    Those of a plot share a box, in which it scrolls on a phone.
    """
    write_tag, light = type(self).visit_image, Path(self.builder.srcdir, node["uri"])
    name = self.builder.images.get(node["uri"])
    if name is None or light.suffix not in WAYS or OWN_COLORS.intersection(node["classes"]):
        write_tag(self, node)
        return
    dark = node.deepcopy()
    folder = Path(self.builder.outdir, self.builder.imagedir)
    dark["uri"] = f"{self.builder.imgpath}/{quote(write_twin(light, folder, name))}"
    dark["ids"] = []
    dark["classes"] += ["in-dark"]
    node["classes"] += ["in-light"]
    if light.suffix != ".png":
        write_tag(self, node)
        write_tag(self, dark)
        return
    dark["loading"] = "lazy"  # so that who reads light pages does not load it
    with Image.open(light) as picture:
        width, height = picture.size
    # A plot has two pixels for each of its designed width. At three quarters of that width, its
    # words have ten pixels; a phone shows it no narrower.
    least = 0 if "wordless" in node["classes"] else round(0.75 * width / 2)
    self.body.append(f'<span class="plot" style="--least: {least}px">')
    for one in (node, dark):
        write_tag(self, one)
        tag = f'<img width="{width}" height="{height}" '  # a page must not jump when it comes
        self.body[-1] = self.body[-1].replace("<img ", tag, 1)
    self.body.append("</span>")


def setup(app):
    # Sphinx writes every page anew when this is another than last time.
    app.add_config_value("book_dark_state", hashlib.sha256(STATE).hexdigest(), "html")
    app.add_node(nodes.image, override=True, html=(visit_image, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
