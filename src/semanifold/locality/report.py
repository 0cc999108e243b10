"""What the locality benchmark says: a table, JSON and a figure."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from semanifold.core.extras import drawing
from semanifold.locality.methods import TITLES
from semanifold.locality.rows import Row, unpacked
from semanifold.storage.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

COLUMNS = {
    "mse_ratio": ("out/in MSE ↓", "{:.4f}"),
    "roir": ("ROIR ↓", "{:.3f}"),
    "perceptual": ("perceptual outside ↓", "{:.4f}"),
    "localization": ("localization score ↑", "{:.3f}"),
    "ssim": ("SSIM outside ↑", "{:.4f}"),
    "truth": ("truth share ↑", "{:.3f}"),
}
"""Metric → title with direction, and format."""

OURS = "ours"
OWN = (OURS, "weights")
"""Methods of this library; the others are baselines."""
TRUTH_GOAL, RATIO_GOAL = 0.8, 0.5


@dataclass(frozen=True)
class Goals:
    """How our edits of one mask compare with the best baseline's; None where there is no number.

    Attributes:
        ours: our mean ratio of change outside over inside.
        best_baseline: the baseline of the smallest.
        best_baseline_ratio: its.
        quotient: ours over its.
        ahead: whether that is below 1.
        half: whether it is at most :data:`RATIO_GOAL`.
        truth: our share of the true change.
        truth_goal: whether that is at least :data:`TRUTH_GOAL`.
    """

    ours: float | None
    best_baseline: str | None
    best_baseline_ratio: float | None
    quotient: float | None
    ahead: bool
    half: bool
    truth: float | None
    truth_goal: bool | None


@dataclass(frozen=True)
class LocalityReport:
    """Results of the locality benchmark.

    Attributes:
        rows: one a (mask, seed, method), as in the JSON-lines file.
        about: settings, and what the perceptual distance and the truth are.
    """

    rows: list[Row]
    about: dict[str, Any]

    @property
    def masks(self) -> list[str]:
        """Masks in their order."""
        return list(dict.fromkeys(row.mask for row in self.rows))

    @property
    def methods(self) -> list[str]:
        """Methods in their order, without those that the generator does not allow."""
        return list(dict.fromkeys(row.method for row in self.rows if row.candidates))

    def mean(self, mask: str, method: str, metric: str) -> float | None:
        """Return the mean of a metric over the seeds that have a value, or None."""
        values = [value for row in self._rows(mask, method) if (value := getattr(row, metric)) is not None]
        return float(np.mean(values)) if values else None

    def misses(self, mask: str, method: str) -> tuple[int, int]:
        """Return how many sides never reach the inside change, and how many sides there are."""
        rows = self._rows(mask, method)
        return sum(row.misses for row in rows), sum(row.sides for row in rows)

    def summary(self) -> dict[str, Goals]:
        """Return for each mask our ratio, the best baseline's, their quotient, our truth share, and which goals are met."""
        rows = {}
        for mask in self.masks if OURS in self.methods else []:
            ours = self.mean(mask, OURS, "mse_ratio")
            others = {m: self.mean(mask, m, "mse_ratio") for m in self.methods if m not in OWN}
            known = {m: value for m, value in others.items() if value is not None}
            best = min(known, key=known.__getitem__, default=None)
            quotient = None if ours is None or best is None else ours / known[best]
            truth = self.mean(mask, OURS, "truth")
            rows[mask] = Goals(
                ours=ours,
                best_baseline=best,
                best_baseline_ratio=None if best is None else known[best],
                quotient=quotient,
                ahead=quotient is not None and quotient < 1,
                half=quotient is not None and quotient <= RATIO_GOAL,
                truth=truth,
                truth_goal=None if truth is None else truth >= TRUTH_GOAL,
            )
        return rows

    def markdown(self) -> str:
        """Return one table a mask and a table of the goals."""
        about = self.about
        seeds = len({row.seed for row in self.rows})
        lines = [
            f"Generator `{about['generator']}`, {seeds} seeds; every edit at the same inside change, "
            f"{about['level']:g} of the usual one between two faces, mean over both signs (or all ends) and all seeds. "
            f"Perceptual distance: {about['perceptual']}. Truth: {about['truth']}.",
        ]
        for mask in self.masks:
            shown = [c for c in COLUMNS if any(self.mean(mask, m, c) is not None for m in self.methods)]
            lines += ["", f"**{mask}**", "", "| method | " + " | ".join(COLUMNS[c][0] for c in shown) + " | missed |"]
            lines += ["|---|" + "---:|" * (len(shown) + 1)]
            for method in self.methods:
                cells = [self._cell(mask, method, column) for column in shown]
                missed, sides = self.misses(mask, method)
                lines += [f"| {self._title(method)} | " + " | ".join(cells) + f" | {missed} of {sides} |"]
        return "\n".join(lines + self._goals()) + "\n"

    def numbers(self) -> dict[str, Any]:
        """Return settings, means, goals and all rows (without pictures)."""
        means = {
            mask: {
                method: {c: self.mean(mask, method, c) for c in COLUMNS} | {"misses": self.misses(mask, method)}
                for method in self.methods
            }
            for mask in self.masks
        }
        rows = [{k: v for k, v in msgspec.to_builtins(row).items() if k not in ("picture", "key")} for row in self.rows]
        goals = {mask: asdict(goal) for mask, goal in self.summary().items()}
        return {"about": self.about, "means": means, "goals": goals, "rows": rows}

    def figure(self, path: str | os.PathLike[str]) -> Path:
        """Draw the edited pictures of the first seed with heat maps, and the ratios of all seeds, to a PNG file.

        One row a method, two columns a mask: the picture at equal inside change, and where it differs from the unedited one (one
        scale a mask for all methods). Below, out/in MSE of every seed (dots) and its mean (bars).
        """
        with drawing(), replacing(path) as part:
            self._figure().savefig(part, format="png")
        return Path(path)

    def _figure(self) -> Figure:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (slow to import)
        from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import)

        masks, methods = self.masks, self.methods
        cell = 1.1
        height = cell * (len(methods) + 1) + 0.3
        whole = Figure(figsize=(max(2 * cell * len(masks) + 0.4, 3.6), height + 2.6), dpi=120, layout="constrained")
        FigureCanvasAgg(whole)
        parts = whole.subfigures(2, 1, squeeze=False, height_ratios=[height, 2.6])
        whole.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
        self._pictures(parts[0, 0])
        self._ratios(parts[1, 0])
        return whole

    def _ratios(self, figure: SubFigure) -> None:
        masks, methods = self.masks, self.methods
        axes = figure.subplots(1, len(masks), squeeze=False)[0]
        for axis, mask in zip(axes, masks):
            for i, method in enumerate(methods):
                values = [row.mse_ratio for row in self._rows(mask, method) if row.mse_ratio is not None]
                colour = "tab:orange" if method in OWN else "tab:blue"
                axis.plot([max(v, 1e-6) for v in values], [i] * len(values), "o", ms=4, alpha=0.5, color=colour, mew=0)
                if values:
                    axis.plot([max(float(np.mean(values)), 1e-6)], [i], "|", ms=16, mew=2.5, color=colour)
            shown = [max(row.mse_ratio, 1e-6) for row in self.rows if row.mask == mask and row.mse_ratio is not None] or [1]
            decades = 10 ** np.floor(np.log10(min(shown))), 10 ** np.ceil(np.log10(max(shown)) + 1e-6)
            axis.set(xscale="log", ylim=(len(methods) - 0.5, -0.5), xlim=decades, title=mask)
            axis.set_yticks(range(len(methods)), methods if axis is axes[0] else [""] * len(methods))
            axis.set_xlabel("out/in MSE", fontsize=9)
            axis.grid(axis="x", alpha=0.3)

    def _pictures(self, figure: SubFigure) -> None:
        masks, methods = self.masks, self.methods
        axes = figure.subplots(len(methods) + 1, 2 * len(masks), squeeze=False)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
        for column, mask in enumerate(masks):
            shown = {m: unpacked(row.picture) for m in methods for row in self._rows(mask, m) if row.picture}
            if not shown:
                continue
            plain, _, inside = next(iter(shown.values()))
            axes[0, 2 * column].imshow(plain)
            axes[0, 2 * column + 1].imshow(plain * (0.25 + 0.75 * inside))
            axes[0, 2 * column].set_title(mask, fontsize=10)
            changes = {m: np.sqrt(((edited - before) ** 2).mean(-1)) for m, (before, edited, _) in shown.items()}
            scale = max(float(np.quantile(change, 0.99)) for change in changes.values())
            for line, method in enumerate(methods, 1):
                if method not in shown:
                    axes[line, 2 * column].text(0.5, 0.5, "nothing\nreached", ha="center", va="center", fontsize=8)
                    for axis in axes[line, 2 * column : 2 * column + 2]:
                        axis.set_box_aspect(1)
                        axis.spines[:].set_visible(False)
                else:
                    axes[line, 2 * column].imshow(shown[method][1])
                    axes[line, 2 * column + 1].imshow(changes[method], cmap="magma", vmin=0, vmax=scale)
                    axes[line, 2 * column + 1].contour(inside[..., 0], [0.5], colors="white", linewidths=0.6)
        for line, name in enumerate(["unedited, mask", *methods]):
            axes[line, 0].set_ylabel(name, fontsize=9)

    def _goals(self) -> list[str]:
        if not self.summary():
            return []
        lines = [
            "",
            "**Goals**",
            "",
            "| mask | ours | best baseline | ours / best (goal ≤ 0.5) | truth share (goal ≥ 0.8) |",
            "|---|---:|---|---:|---:|",
        ]
        for mask, goal in self.summary().items():
            best = "–" if goal.best_baseline is None else f"{goal.best_baseline} {goal.best_baseline_ratio:.4f}"
            ours, quotient, truth = (
                "–" if v is None else form.format(v)
                for v, form in ((goal.ours, "{:.4f}"), (goal.quotient, "{:.2f}"), (goal.truth, "{:.2f}"))
            )
            lines.append(f"| {mask} | {ours} | {best} | {quotient} | {truth} |")
        return lines

    def _cell(self, mask: str, method: str, metric: str) -> str:
        value = self.mean(mask, method, metric)
        return "–" if value is None else COLUMNS[metric][1].format(value)

    def _rows(self, mask: str, method: str) -> list[Row]:
        return [row for row in self.rows if row.mask == mask and row.method == method]

    def _title(self, method: str) -> str:
        return TITLES.get(method, method).format(**self.about)
