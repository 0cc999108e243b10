"""How local an edit is: published metrics, the truth of the bundled faces, closed-form baselines and the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semanifold.core.lazy import lazy_exports

if TYPE_CHECKING:
    from semanifold.locality.benchmark import locality_benchmark as locality_benchmark
    from semanifold.locality.report import LocalityReport as LocalityReport
    from semanifold.locality.settings import LocalitySettings as LocalitySettings

_HOMES = {
    "benchmark": ("locality_benchmark",),
    "report": ("LocalityReport",),
    "settings": ("LocalitySettings",),
}
__getattr__ = lazy_exports(__name__, _HOMES)
