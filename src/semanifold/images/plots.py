"""Plots of an edit: the heat map of its change, and the map of its codes.

Made with matplotlib's figures directly, without pyplot, so that nothing depends on a display or on global state.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semanifold.core.errors import shown
from semanifold.core.extras import apart_from, drawing, missing_package, torch_threads_kept
from semanifold.images.media import (
    ACCENT,
    VIEWABLE,
    Frame,
    Frames,
    GreyPicture,
    check_some,
    enlarge,
    evenly,
    left_out,
    outlined,
    save_png,
    show_mask,
)
from semanifold.storage.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

INK, ORANGE = "#3c3c42", "#{:02x}{:02x}{:02x}".format(*ACCENT)
LARGE = 0.15
"""Share of its range from which the change of an attribute is a number in the map of all."""
THINNEST = 0.6
"""Inches of the shorter side of a picture in a figure, at least."""
FINE: dict[str, Any] = {"dpi": 120, "layout": "constrained"}
"""How figures are made."""
MOST_MAPS = 48
"""Heat maps in one figure; of more some are left out, never the first or the last."""
ALONE, AMONG = 4.4, 2.4
"""Longer side in inches of a heat map, and of one of several."""


class Filmed(NamedTuple):
    """What a heat map shows.

    Attributes:
        frames: the film.
        plain: the unedited picture.
        mask: ``[h, w]`` in [0, 1], or None.
    """

    frames: Frames
    plain: Frame
    mask: GreyPicture | None


def mean_change(frames: Frames, plain: Frame) -> GreyPicture:
    """Return the mean absolute change ``[h, w]`` of the film from the seed, as a share of the full range 0..1."""
    check_some(frames)
    total = np.zeros(plain.shape[:2])
    for i in range(len(frames)):
        total += np.abs(frames[i].astype(np.float32) - plain).mean(-1)
    return (total / len(frames) / 255).astype(np.float32)


def heat_map(frames: Frames, plain: Frame, mask: GreyPicture | None, path: str | os.PathLike[str]) -> Path:
    """Write what :func:`heat_pictures` draws of one film to a PNG file."""
    save_png(heat_pictures([Filmed(frames, plain, mask)]), path)
    return Path(path)


def heat_pictures(films: Sequence[Filmed], names: Sequence[str] = ()) -> Frame:
    """Draw each seed beside a map of where its film changes, with the mask's outline and the means inside and outside.

    All maps have one colour scale, which ends at the largest change of all.

    Args:
        films: of pictures of one size; two or more pairs lie side by side as far as the whole stays about as high as wide.
        names: what to write above the seeds; one alone needs none.
    """
    check_some(films)
    with drawing(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font lacks
        return _heat_pictures(films, names)


def _heat_pictures(films: Sequence[Filmed], names: Sequence[str]) -> Frame:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (slow to import)
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import)

    if len(films) > MOST_MAPS:
        kept = evenly(len(films), MOST_MAPS)
        names = [f"{names[i]}{'' if i < kept[-1] else ', ' + left_out(len(kept), len(films))}" for i in kept] if names else []
        films = [films[i] for i in kept]
    changes = [mean_change(film.frames, film.plain) * 100 for film in films]
    height, width = changes[0].shape
    columns = math.ceil(math.sqrt(len(films) / 2))  # a pair is twice as wide as high
    rows = math.ceil(len(films) / columns)
    scale = (ALONE if len(films) == 1 else AMONG) / max(height, width)
    wide, high = (max(side * scale, THINNEST) for side in (width, height))
    figure = Figure(figsize=(2 * columns * wide + 1.2, rows * (high + 0.5)), **FINE)
    grid = figure.subplots(rows, 2 * columns, squeeze=False)
    most = max(0.1, *(float(change.max()) for change in changes))
    image = None
    pairs = list(grid.reshape(-1, 2))
    for (left, right), film, change, name in zip(pairs, films, changes, names or [""] * len(films)):
        left.imshow(enlarge(film.plain, VIEWABLE) if film.mask is None else show_mask(film.plain, film.mask, VIEWABLE))
        image = right.imshow(change, cmap="magma", vmin=0, vmax=most, interpolation="bicubic")
        left.set_title(name or ("seed" if film.mask is None else "seed and mask"), fontsize=11, color=INK, parse_math=False)
        right.set_title("mean change over the path", fontsize=11, color=INK)
        if film.mask is not None:
            mask = Image.fromarray(np.asarray(film.mask, dtype=np.float32))
            share = np.asarray(mask.resize((width, height), Image.Resampling.BOX))
            if share.min() < 0.5 < share.max():
                right.contour(share, levels=[0.5], colors="white", linewidths=1.6)
            inside, outside = ((change * part).sum() / max(part.sum(), 1e-6) for part in (share, 1 - share))
            numbers = f"{inside:.2f} % inside, {outside:.2f} % outside"
            right.set_title(f"mean change: {numbers}" if len(films) == 1 else numbers, fontsize=11, color=INK)
    for axes in grid.flat:
        if min(height, width) * scale < THINNEST:  # one sees more of it out of shape
            axes.set_aspect("auto")
        axes.set(xticks=[], yticks=[])  # they are laid out even where they are not drawn: a third of the time
        axes.set_axis_off()
    assert image is not None
    what = "" if len(films) == 1 else "mean change over the path, "
    _colour_bar(figure, image, grid[:, -1].tolist(), what + "% of the full range")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def outside_map(change: GreyPicture, mask: GreyPicture, top: float, size: int) -> Image.Image:
    """Draw where a picture changes outside of a mask, brighter where it changes more; the inside is grey, and outlined.

    Args:
        change: ``[h, w]``.
        mask: ``[h, w]`` in [0, 1].
        top: change that is drawn brightest, such as the larger one of two maps that are compared.
        size: longer side of the result.
    """
    from matplotlib import colormaps  # noqa: PLC0415  (slow to import)

    colours = colormaps["magma"](np.clip(change / max(top, 1e-6), 0, 1))[..., :3]
    drawn = enlarge((colours * 255).round().astype(np.uint8), size)
    return outlined(Image.new("RGB", drawn.size, "#808080"), drawn, mask)


def _colour_bar(figure: Figure, mappable: ScalarMappable, axes: Axes | Sequence[Axes], label: str) -> None:
    """Draw the scale of colours at the right of some axes that lie below one another, as high as all of them."""
    rows = len(axes) if isinstance(axes, Sequence) else 1
    bar = figure.colorbar(mappable, ax=axes, fraction=0.05, pad=0.03, aspect=20 * rows)
    bar.set_label(label, fontsize=10, color=INK)
    bar.ax.tick_params(labelsize=9, colors=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]  # its type names no class


def pair_map(
    contrast: NDArray[np.floating],
    spread: NDArray[np.floating],
    planes: Sequence[tuple[int, int]],
    path: str | os.PathLike[str],
) -> Path:
    """Draw how well each pair of axes is told apart, beside how far each axis varies; pairs that are not are marked.

    Args:
        contrast: ``[k, k]`` from 0 (not at all) to 1.
        spread: ``[k]`` degrees.
        planes: the pairs to mark.
        path: the PNG file.
    """
    with drawing(), replacing(path) as part:
        _pair_figure(contrast, spread, planes).savefig(part, format="png")
    return Path(path)


def _pair_figure(contrast: NDArray[np.floating], spread: NDArray[np.floating], planes: Sequence[tuple[int, int]]) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import)

    k = len(spread)
    figure = Figure(figsize=(9.6, 4.8), **FINE)
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    shown = np.where(np.eye(k, dtype=bool), np.nan, contrast)
    image = left.imshow(shown, cmap="viridis", vmin=0, vmax=1)
    for p, q in planes:
        left.scatter([p, q], [q, p], s=60, facecolors="none", edgecolors=ORANGE, linewidths=1.6)
    left.set_title("pairs of axes", fontsize=11, color=INK)
    _colour_bar(figure, image, left, "told apart: 0 not at all, 1 well")
    right.barh(np.arange(k), spread, color="#7a8fb8")
    right.invert_yaxis()
    for axis in (left.xaxis, left.yaxis, right.yaxis):
        axis.get_major_locator().set_params(integer=True)
    right.set_ylabel("axis", color=INK)
    right.set_xlabel("degrees over draws of codes", color=INK)
    right.set_title("how far each axis varies", fontsize=11, color=INK)
    return figure


def change_map(
    moved: NDArray[np.floating],
    rows: Sequence[str],
    columns: Sequence[str],
    path: str | os.PathLike[str],
    title: str = "what each path changes, from one end to the other",
) -> Path:
    """Draw how far each path moves each attribute from one of its ends to the other, the larger ones with their numbers.

    Args:
        moved: ``[paths, attributes]`` shares of the attributes' ranges, -1 to 1; NaN where there is no value.
        rows: names of the paths.
        columns: names of the attributes.
        path: the PNG file.
        title: what to write above it.
    """
    rows, columns = ([shown(name, 60) for name in names] for names in (rows, columns))
    with drawing(), replacing(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font lacks
        _change_figure(moved, rows, columns, title).savefig(part, format="png")
    return Path(path)


def _change_figure(moved: NDArray[np.floating], rows: Sequence[str], columns: Sequence[str], title: str) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import)

    wide, high = (0.08 * max(map(len, names), default=0) for names in (rows, columns))
    figure = Figure(figsize=(0.34 * len(columns) + 3 + wide, 0.26 * len(rows) + 1.6 + high), **FINE)
    axes = figure.subplots()
    image = axes.imshow(moved * 100, cmap="RdBu_r", vmin=-100, vmax=100, aspect="auto")
    for row, column in zip(*np.nonzero(np.abs(moved) >= LARGE)):
        share = float(moved[row, column])
        ink = "white" if abs(share) > 0.6 else INK
        axes.text(column, row, f"{100 * share:+.0f}", fontsize=7, color=ink, ha="center", va="center")
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=9, color=INK, parse_math=False)
    axes.set_yticks(range(len(rows)), rows, fontsize=9, color=INK, parse_math=False)
    axes.set_title(title, fontsize=11, color=INK, parse_math=False)
    _colour_bar(figure, image, axes, "% of the range; nothing beyond its ends is counted")
    return figure


def plane(codes: NDArray[np.floating]) -> tuple[NDArray[np.floating], str] | None:
    """Return codes ``[n, d]`` laid out on a plane ``[n, 2]`` by UMAP, and its name; None if n < 8 or d < 2.

    UMAP: McInnes, Healy, Melville 2018, arXiv:1802.03426.
    """
    if len(codes) < 8 or codes.shape[1] < 2:
        return None
    try:
        # numba takes settings from the current folder, among them where it finds code that it compiled before
        with warnings.catch_warnings(), apart_from(".numba_config.yaml", "numba"), torch_threads_kept():
            warnings.simplefilter("ignore")  # umap warns that a fixed seed means one thread
            from umap import UMAP  # noqa: PLC0415  (slow to import, and an extra)

            neighbours = min(15, len(codes) - 2)
            layout = UMAP(n_neighbors=neighbours, min_dist=0.3, init="pca", random_state=0).fit_transform(
                np.asarray(codes, dtype=np.float64)
            )
    except ImportError as error:
        raise missing_package("The map by UMAP", "umap-learn", "umap") from error
    return np.asarray(layout), "UMAP: neighbours stay neighbours"


def principal_plane(codes: NDArray[np.floating]) -> tuple[NDArray[np.floating], str]:
    """Return codes ``[n, d]`` on the plane ``[n, 2]`` of their two principal components, and the share of variance of each."""
    centred = np.asarray(codes, dtype=np.float64) - codes.mean(0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    layout = np.zeros((len(codes), 2))
    layout[:, : min(2, len(spread))] = (left * spread)[:, :2]
    shares = (*(spread**2 / max(float((spread**2).sum()), 1e-30))[:2], 0.0)[:2]
    return layout, f"by PCA: {shares[0]:.0%} of the variance across, {shares[1]:.0%} up"


def first_equals(codes: NDArray[np.floating]) -> list[int]:
    """Return for each code the index of the first one that equals it but for rounding.

    UMAP puts equal codes at different places; a path that comes back to its seed must be drawn so.
    """
    near = 1e-5 * np.abs(codes - codes.mean(0)).max()
    return [int((np.abs(codes[: i + 1] - codes[i]).max(1) <= near).argmax()) for i in range(len(codes))]


def path_plot(
    codes: Sequence[NDArray[np.floating]],
    t: NDArray[np.floating],
    path: str | os.PathLike[str],
    *,
    umap: bool = False,
    label: str = "t",
) -> Path:
    """Plot the codes of a path on a plane by PCA and, if asked for, by UMAP, coloured by t, the start (t = 0) marked.

    PCA shows how straight a path is, and of paths from several codes how alike: all are drawn from one start, for codes lie much
    farther from one another than paths are long. UMAP shows which codes are neighbours, and may bend a straight path.

    Args:
        codes: ``[n, d]`` for each picture that the path begins at.
        t: ``[n]``.
        path: the PNG file.
        umap: draw the map by UMAP as well; it compiles for up to half a minute.
        label: what the colours are.

    Raises:
        SemanifoldError: if umap-learn is not installed.
    """
    joined, start = np.concatenate(list(codes)), int(np.abs(t).argmin())
    first = first_equals(joined)
    once = sorted(set(first))
    layout, how = principal_plane(joined if len(codes) == 1 else np.concatenate([way - way[start] for way in codes]))
    layouts, titles = [layout], [("the codes " if len(codes) == 1 else "how each code moves, ") + how]
    if umap and (flat := plane(joined[once])) is not None:
        layouts.append(flat[0][[once.index(i) for i in first]])
        titles.append(flat[1])
    with drawing(), replacing(path) as part:
        _path_figure(codes, t, layouts, titles, label).savefig(part, format="png")
    return Path(path)


def _path_figure(
    codes: Sequence[NDArray[np.floating]],
    t: NDArray[np.floating],
    layouts: Sequence[NDArray[np.floating]],
    how: Sequence[str],
    label: str,
) -> Figure:
    """Draw codes side by side in several layouts ``[n, 2]``, each under how it was made; what ``t`` is, is the ``label``."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import)

    points = None
    figure = Figure(figsize=(5.2 * len(layouts) + 0.8, 5), **FINE)
    panels = figure.subplots(1, len(layouts), squeeze=False)[0]
    for axes, layout, title in zip(panels, layouts, how, strict=True):
        for placed in np.split(layout, len(codes)):
            axes.plot(*placed.T, color="#c8c8d0", linewidth=1.2, zorder=1)
            # all white rims lie below all dots: those of many dots close to one another would hide them
            axes.scatter(*placed.T, color="white", s=66, linewidths=0, zorder=2)
            points = axes.scatter(*placed.T, c=t, cmap="viridis", s=46, linewidths=0, zorder=2)
            start = placed[int(np.abs(t).argmin())]
            axes.scatter(*start, s=150, facecolors="none", edgecolors=ORANGE, linewidths=2, zorder=3)
            right, up = np.where(start > layout.mean(0), 1, -1)  # off the path; several paths from one start say it at one place
            axes.annotate(
                "start",
                start,
                xytext=(10 * right, 10 * up),
                textcoords="offset points",
                color=ORANGE,
                ha="left" if right > 0 else "right",
                va="bottom" if up > 0 else "top",
            )
        axes.set_title(title, fontsize=11, color=INK)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set_color("#d0d0d6")
        axes.margins(0.16)
    assert points is not None
    _colour_bar(figure, points, panels[-1], label)
    return figure
