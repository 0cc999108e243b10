"""What all tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
import torch
from support import shapes
from support.places import TESTS
from support.reference import REAL, REFERENCE

shapes.install()  # before any module of ours is imported

from support.sketches import sketched  # noqa: E402  (it imports ours)

from semanifold.app.process import keep_memory  # noqa: E402  (of ours, so behind it)


def pytest_configure() -> None:
    """Without the published numbers there is nothing to compare with: stop, rather than skip most of the tests."""
    if not (REFERENCE / "full_size_layouts.json").is_file():
        raise pytest.UsageError(
            f"The numbers of the published code are expected in {REFERENCE}: unset SEMANIFOLD_REFERENCE, or let it name a folder "
            "like tests/data/reference."
        )
    keep_memory()  # as the command line does: the system clears pages once, not for every test


def pytest_collection_finish() -> None:
    """Do not look through what stays, torch and all tests, for garbage time and again: a twentieth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture(autouse=True, scope="session")
def _kept_files_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let tests keep nothing in the user's own folder, and find nothing there."""
    os.environ["SEMANIFOLD_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _same_draws_in_every_order() -> None:
    """Let a test that draws global random numbers draw the same whichever tests ran before; a seed tries other draws."""
    seed = int(os.environ.get("SEMANIFOLD_TEST_SEED", "0"))
    if GPU:
        torch.manual_seed(seed)
    else:  # the former loads a compiler at its first call, and writes down for every device whence it was called
        torch.default_generator.manual_seed(seed)


@pytest.fixture(autouse=True, scope="module")
def _small_films_and_plots(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let films and figures be small where nothing is said of their size: encoding and drawing them takes a second a command."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path not in SIZES:
            patch.setattr("semanifold.images.films.VIEWABLE", 64)
            patch.setattr("semanifold.images.plots.FINE", {"dpi": 20})
        if request.path not in DRAWN:
            sketched(patch)
        yield


GPU = torch.accelerator.is_available()
SIZES = {TESTS / "images/test_media.py", TESTS / "app/test_cli_odd_places.py"}
"""Modules about films and figures as they are usually made."""
DRAWN = {*SIZES, TESTS / "app/test_cli.py", TESTS / "project/test_docs.py"}
"""Modules whose figures matplotlib draws, of all commands that have some."""
LONGEST = (
    *("project/test_docs.py", "app/test_cli.py", "app/test_cli_photographs.py", "app/test_cli_first_hour.py"),
    *("manifolds/test_solve.py", "app/test_cli_weights.py", "app/test_cli_train.py", "training/test_trainer.py"),
    *("hostile/test_files.py", "locality/test_benchmark.py", "app/test_cli_invert.py", "paths/test_weight_axes.py"),
    *("contracts/test_generator_contract.py", "analysis/attributes/test_published_parity.py", "app/test_cli_odd_places.py"),
    *("app/test_answers.py", "analysis/attributes/test_published_networks.py", "app/test_cli_paths.py"),
)
"""Modules that take ten seconds of one core or more, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest modules: a module stays in one process, and the last one should not run alone."""
    order = {TESTS / name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_report_header() -> list[str]:
    """Say which numbers are compared with."""
    return [f"published numbers: {REFERENCE}", f"real models: {REAL if REAL.is_dir() else f'none at {REAL}'}"]
