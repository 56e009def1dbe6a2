"""Curves over epochs, samples, seconds: named at their ends, with bands where they have any."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from aevb_lib.history import History
from aevb_lib.plotting.look import (
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    as_array,
    canvas,
    color_of,
    has_color,
    style,
)

__all__ = ["learning_curves", "lines", "small_multiples"]

Curve = ArrayLike | tuple[ArrayLike, ArrayLike, ArrayLike]


def learning_curves(
    histories: Mapping[str, History | Sequence[History]],
    metric: str = "elbo",
    *,
    x: str = "epoch",
    title: str | None = None,
    ylabel: str | None = None,
) -> Figure:
    """Draw a metric of one or several training runs.

    Args:
        histories: Name to history, or to several histories of the same length (one per seed): then
            the line is their mean and the band goes from the smallest to the largest.
        metric: Column to draw.
        x: Counter to draw it against: ``"epoch"``, ``"step"``, ``"examples"`` or ``"seconds"``.
        title: Title of the figure.
        ylabel: Label of the vertical axis; made from the metric by default.

    Returns:
        The figure.

    Raises:
        ValueError: If there is nothing to draw.
        KeyError: If a history has no such column.

    Example:
        >>> from aevb_lib.history import Record
        >>> records = [Record(s, s, 100 * s, 0.1 * s, {"elbo": -200 / s}) for s in (1, 2, 3)]
        >>> figure = learning_curves({"AEVB": History(records)})
    """
    curves: dict[str, Curve] = {}
    positions: dict[str, ArrayLike] = {}
    for name, group in histories.items():
        runs = [group] if isinstance(group, History) else list(group)
        if len({len(run) for run in runs}) > 1:
            raise ValueError(
                f"the histories of {name!r} differ in length, so they have no mean curve: "
                "give each a name of its own"
            )
        values = np.array([run[metric] for run in runs])
        if values.size == 0:
            raise ValueError(f"{name!r} has no recorded rows to draw")
        positions[name] = np.mean([run[x] for run in runs], axis=0)
        band = (values.mean(0), values.min(0), values.max(0))
        curves[name] = band if len(runs) > 1 else values[0]
    label = metric.replace("_", " ").replace("elbo", "ELBO").replace("kl", "KL")
    return lines(
        positions, curves, xlabel=x, ylabel=ylabel or f"{label} (nats per image)", title=title
    )


def lines(
    x: ArrayLike | Mapping[str, ArrayLike],
    curves: Mapping[str, Curve],
    *,
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    xscale: str = "linear",
    yscale: str = "linear",
    height: float = 3.6,
) -> Figure:
    """Draw named curves with their names at their ends, and bands where they have any.

    Args:
        x: Horizontal positions, shared by all curves or one array per name.
        curves: Name to heights, or to ``(center, low, high)`` for a curve with a band.
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        title: Title of the figure.
        xscale: ``"linear"`` or ``"log"``.
        yscale: ``"linear"`` or ``"log"``.
        height: Height in inches.

    Returns:
        The figure.

    Raises:
        ValueError: If there is nothing to draw.

    Example:
        >>> figure = lines([1, 2], {"Truth": [1.0, 2.0]}, xlabel="x", ylabel="y")
    """
    if not curves:
        raise ValueError("no curve to draw")
    figure, axes = canvas(height=height)
    spare = cycle([GREEN, PURPLE, ORANGE, SKY])
    ends: list[tuple[float, float, str, str]] = []
    with style():
        for name, curve in curves.items():
            color = color_of(name) if has_color(name) else next(spare)
            across = as_array(x[name] if isinstance(x, Mapping) else x)
            marker = "o" if len(across) <= 12 else None
            line = _draw(axes, name, across, curve, color=color, marker=marker, markersize=4)
            center = as_array(line.get_ydata())
            ends.append((float(across[-1]), float(center[-1]), name, color))
        axes.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
        if title is not None:
            axes.set_title(title)
        _label_ends(figure, axes, ends)
    return figure


def small_multiples(
    panels: Mapping[str, Mapping[str, tuple[ArrayLike, Curve]]],
    *,
    xlabel: str,
    ylabel: str,
    dashed: Container[str] = (),
    columns: int = 3,
    xscale: str = "linear",
    height: float = 4.4,
) -> Figure:
    """Draw the same curves in several panels with one legend for all.

    Heights have one axis in common, and horizontal positions one in each column.

    Args:
        panels: Title to curves; each curve is a name with its horizontal positions and its heights,
            or ``(center, low, high)`` in place of the heights for a curve with a band.
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        dashed: Names of the curves that are drawn with dashes.
        columns: Panels per row. The legend stands where the last row has room for one more panel,
            or else below all of them.
        xscale: ``"linear"`` or ``"log"``.
        height: Height in inches.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no panel, or no curve in one of them.

    Example:
        >>> curves = {"AEVB": ([1, 2, 3], [-150.0, -120.0, -110.0])}
        >>> figure = small_multiples({"D = 3": curves, "D = 20": curves}, xlabel="x", ylabel="y")
    """
    if not panels or not all(panels.values()):
        raise ValueError("no curve to draw: every panel needs at least one")
    rows = -(-len(panels) // columns)
    figure, grid = canvas(rows, columns, height=height, sharex="col", sharey=True, squeeze=False)
    handles: dict[str, Line2D] = {}
    with style():
        for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
            spare = cycle([ORANGE, SKY])
            for name, (x, curve) in curves.items():
                color = color_of(name) if has_color(name) else next(spare)
                dashes = "--" if name in dashed else "-"
                line = _draw(axes, name, as_array(x), curve, color=color, linestyle=dashes)
                handles.setdefault(name, line)
            axes.set(title=title, xscale=xscale)
        free = list(grid.flat)[len(panels) :]
        for axes in free:
            axes.set_axis_off()
        if free:
            free[0].legend(handles=list(handles.values()), loc="center left")
        else:
            figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=3)
        # A free place in the last row leaves the panel above it without an axis below.
        for axes in list(grid.flat)[max(0, len(panels) - columns) : len(panels)]:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(xlabel)
        figure.supylabel(ylabel, fontsize=11)
    return figure


def _draw(axes: Axes, name: str, across: NDArray[np.float64], curve: Curve, **look: Any) -> Line2D:
    """Draw one curve, and its band if it has one; return its line."""
    if isinstance(curve, tuple):
        center, low, high = (as_array(part) for part in curve)
        axes.fill_between(across, low, high, color=look["color"], alpha=0.2, linewidth=0)
    else:
        center = as_array(curve)
    if center.shape != across.shape or not across.size:
        raise ValueError(
            f"{name!r} needs one height for each position and at least one, got "
            f"{len(center)} heights for {len(across)} positions"
        )
    (line,) = axes.plot(across, center, label=name, **look)
    return line


def _label_ends(figure: Figure, axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Write each curve's name beside its last point, pushed apart where two would overlap."""
    axes.margins(x=0.02)
    # The limits are needed to know which names would collide. Not canvas.draw(): that of a closed
    # figure does nothing.
    figure.draw_without_rendering()
    to_pixels = axes.transData.transform
    line_height = 1.25 * 10 * figure.dpi / 72
    placed: float | None = None
    for x, y, name, color in sorted(ends, key=lambda end: float(to_pixels(end[:2])[1])):
        pixel = float(to_pixels((x, y))[1])
        target = pixel if placed is None else max(pixel, placed + line_height)
        placed = target
        axes.annotate(
            name,
            (x, y),
            xytext=(8, (target - pixel) * 72 / figure.dpi),
            textcoords="offset points",
            color=color,
            va="center",
            fontsize=10,
            annotation_clip=False,
        )
