"""The board that all widgets are: controls, and pictures that follow them."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from math import isqrt
from typing import Any

import PIL.Image
import torch
from ipywidgets import Button, HBox, Image, Label, Layout, VBox, Widget
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["Board", "png"]

SLIDER = "24em"  # wide enough for a hundred positions
ALONE, IN_ROW = 210, 60  # pixels on the screen: side of a picture alone, and of one in a row


class Board(HBox):  # type: ignore[misc]  # ipywidgets publishes no types
    """Controls, and pictures that are drawn anew whenever a control moves.

    Args:
        draw: Function that returns the pictures, caption to PNG; called at once and after every
            move.
        controls: Widgets with a ``value``, such as sliders; their ``description`` is their name.
        actions: Functions called by buttons, by name. The pictures are drawn anew after each.

    Attributes:
        controls: The controls by name: ``board.controls["noise"].value = 0.5`` moves one.
        buttons: The buttons by name: ``board.buttons["Reset"].click()`` presses one.
        pictures: The image widgets by caption; their ``value`` is a PNG.

    Example:
        >>> from ipywidgets import FloatSlider
        >>> shade = FloatSlider(description="shade", max=1)
        >>> Board(lambda: {"pixel": png(torch.tensor([shade.value]))}, [shade])
        Board(shade=0.0, pictures=['pixel'])
    """

    def __init__(
        self,
        draw: Callable[[], Mapping[str, bytes]],
        controls: Sequence[Widget] = (),
        actions: Mapping[str, Callable[[], None]] | None = None,
    ) -> None:
        super().__init__(layout=Layout(flex_flow="row wrap"))
        self._draw, self._acting = draw, False
        self.controls = {control.description: control for control in controls}
        self.buttons: dict[str, Button] = {}
        self.pictures: dict[str, Image] = {}
        for control in controls:
            control.layout.width, control.style.description_width = SLIDER, "initial"
            control.observe(self._moved, "value")
        for name, action in (actions or {}).items():
            self.buttons[name] = Button(description=name)
            self.buttons[name].on_click(lambda _, action=action: self._act(action))
        self._gallery = HBox(layout=Layout(flex_flow="row wrap"))
        desk = VBox([*controls, HBox([*self.buttons.values()])])
        self.children = [desk, self._gallery] if controls else [self._gallery]
        self.redraw()

    def redraw(self) -> None:
        """Bring the pictures up to date, for instance after the model has changed."""
        for caption, picture in self._draw().items():
            if caption in self.pictures:
                self.pictures[caption].value = picture
            else:
                self.pictures[caption] = Image(value=picture, layout=Layout(max_width="100%"))
                frame = VBox([self.pictures[caption], Label(caption)])
                frame.layout.align_items = "center"
                self._gallery.children = (*self._gallery.children, frame)

    def _moved(self, change: object) -> None:
        if not self._acting:
            self.redraw()

    def _act(self, action: Callable[[], None]) -> None:
        self._acting = True  # an action may move many controls and be one change
        try:
            action()
        finally:
            self._acting = False
        self.redraw()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """What Jupyter shows: without a kernel, the pictures as they were."""
        bundle = super()._repr_mimebundle_(**options)
        return bundle and bundle | {"text/html": self._still()}

    def _still(self) -> str:
        frames = "".join(
            f'<figure style="display: inline-block; margin: 0 1em 0 0"><img alt="{caption}" '
            f'src="data:image/png;base64,{b64encode(bytes(picture.value)).decode()}">'
            f"<figcaption>{caption}</figcaption></figure>"
            for caption, picture in self.pictures.items()
        )
        return f"<div>{frames}<p>A widget: it is alive once this cell has run.</p></div>"

    def __repr__(self) -> str:
        values = [f"{name}={control.value}" for name, control in self.controls.items()]
        return f"{type(self).__name__}({', '.join([*values, f'pictures={[*self.pictures]}'])})"


def png(images: Tensor) -> bytes:
    r"""Return a picture of flat images, dark on white, every pixel enlarged to a square.

    Args:
        images: Pixels in [0, 1]: one image ``[P]``, a row ``[n, P]``, or rows ``[rows, n, P]``.

    Returns:
        The picture as a PNG.

    Raises:
        ValueError: If the images are not flat squares.

    Example:
        >>> png(torch.zeros(784))[:4]
        b'\x89PNG'
    """
    side = isqrt(images.shape[-1])
    if images.ndim > 3 or side**2 != images.shape[-1]:
        raise ValueError(
            f"expected flat square images [n, P], got shape {[*images.shape]}: "
            "use images.flatten(-2) on [n, 28, 28]"
        )
    rows, columns = (1, 1, *images.shape[:-1])[-2:]
    tiles = pad(images.detach().float().cpu().reshape(rows, columns, side, side), (1, 1, 1, 1))
    ink = tiles.transpose(1, 2).reshape(rows * (side + 2), columns * (side + 2))
    picture = PIL.Image.fromarray((255 * (1 - ink.clamp(0, 1))).round().to(torch.uint8).numpy())
    zoom = max(1, (ALONE if rows == columns == 1 else IN_ROW) // (side + 2))
    size = picture.width * zoom, picture.height * zoom
    file = io.BytesIO()
    picture.resize(size, PIL.Image.Resampling.NEAREST).save(file, "png", compress_level=1)
    return file.getvalue()
