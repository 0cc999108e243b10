"""Writes the small good files that ``make fuzz`` starts from, into ``tests/data/corpus``: one folder for each reader.

    python tests/fuzz/make_corpus.py

All of them belong to one tiny random generator, :func:`tiny`.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from support.dialects import ada, made, rosinality  # noqa: E402

from semanifold.core.minimise import Descent, Evaluation  # noqa: E402
from semanifold.edits import EditInfo, Lattice, save_edit  # noqa: E402
from semanifold.generators.loading import save_generator  # noqa: E402
from semanifold.generators.pools import pool_of, save_pool  # noqa: E402
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config  # noqa: E402
from semanifold.manifolds.checkpoints import SearchState, save_state  # noqa: E402
from semanifold.paths.base import PathSetInfo  # noqa: E402
from semanifold.paths.files import save_paths  # noqa: E402
from semanifold.paths.linear import LinearPaths  # noqa: E402
from semanifold.paths.warped import WarpedPaths  # noqa: E402
from semanifold.training.checkpoints import (  # noqa: E402
    NEWEST,
    SavedTraining,
    save_checkpoint,
)

CORPUS = TESTS / "data" / "corpus"
RUN = {
    "format": "semanifold-run-1", "command": "discover", "status": "finished", "files": ["edit.safetensors", "frames"],
    "arguments": {
        "mask": "mouth", "offset": [0.1], "model": {"generator": "faces", "device": None}, "start": {"seed": 7},
        "search": {"frames": 24, "layers": [0, 4], "springs": {"1": 0.02}}, "film": {"fps": 30.0}, "output": {"out": "x"},
    },
    "facts": {"generator": "faces", "fingerprint": "0123456789abcdef"}, "environment": {"torch": "2.6.0"},
    "command_line": ["semanifold", "discover"], "directory": "somewhere", "started": "2026-01-01T00:00:00+00:00",
    "searches": [{"offset": 0.1, "result": "converged"}],
}  # fmt: skip
WALK = {
    "codes": ["aa", "bb"], "paths": [0, 1], "names": ["smile +", "path 1"], "t": [-1.0, 0.0, 1.0], "step": 0.2, "count": 1,
    "leap": 1, "space": "z", "method": "warped paths", "generator": "faces", "fingerprint": "0123456789abcdef", "channels": 3,
    "faces": True, "path_set": "faces", "path_set_fingerprint": "0123456789abcdef",
}  # fmt: skip
MEASURES = {
    "format": "semanifold-measures-1", "attributes": [{"name": "smile", "low": 0.0, "high": 1.0, "unit": "", "relative": False}],
    "codes": ["aa"], "paths": [0, 1], "names": ["a", "b"], "t": [-1.0, 0.0, 1.0], "mask": "", "metrics": [], "traversal": WALK,
}  # fmt: skip
TIMELINE = (
    'seed = 7\nease = "smooth"\nseconds = 2.0\n\n[[track]]\nedit = "smile"\nkeys = [[0, 0], [1.5, 1], [2, -0.5]]\nease = "step"\n'
)
DESCRIPTION = {
    "size": [64, 64], "attributes": [{"name": "age", "low": 0, "high": 100, "unit": "years"}, {"name": "b"}], "decode": "softmax",
    "output": "out", "columns": [0, 1], "layout": "nchw", "colours": "bgr", "mean": [104, 117, 123], "scale": 255, "values": [],
}  # fmt: skip
ARGS = {
    "gan_type": "StyleGAN2", "num_support_sets": 2, "batch_size": 8, "max_iter": 100, "min_shift_magnitude": 0.1,
    "max_shift_magnitude": 0.2, "reconstructor_type": "LeNet", "z_truncation": None, "biggan_target_classes": [1, 2],
}  # fmt: skip


def tiny() -> StyleGAN2:
    """The generator of all these files."""
    return StyleGAN2(StyleGAN2Config(size=8, z_dim=4, w_dim=4, channels=(3, 3), mapping_layers=1), seed=3)


def write(name: str, data: bytes) -> None:
    """Write one file of the corpus."""
    place = CORPUS / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def saved(tree: object, **options: bool) -> bytes:
    """The bytes of ``torch.save``."""
    buffer = io.BytesIO()
    torch.save(tree, buffer, **options)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """The bytes of ``np.save``."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    """The bytes of ``np.savez``."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def weights() -> None:
    """Generators in our own format and in those of two programs."""
    small = made(size=8, channels=(3, 3), z_dim=3, w_dim=3, mapping_layers=1)
    state, mean = rosinality(small)
    write("generators/rosinality.pt", saved({"g_ema": state, "latent_avg": mean}))
    write("generators/legacy.pt", saved({"g_ema": state, "latent_avg": mean}, _use_new_zipfile_serialization=False))
    write("generators/ada.pt", saved({"G_ema": ada(small)}))
    save_generator(tiny(), CORPUS / "generators" / "own.safetensors")


def codes_and_directions(generator: StyleGAN2) -> None:
    """Arrays that are codes or directions."""
    draw = np.random.default_rng(0)
    layers, width = generator.shapes["w+"]
    w = draw.normal(size=(1, layers, width)).astype(np.float32)
    for name, array in (("code", w), ("direction", w[0, 0]), ("directions", draw.normal(size=(3, width)))):
        write(f"arrays/{name}.npy", npy(array))
    write("arrays/projected.npz", npz(w=w))
    write("arrays/codes.pt", saved({"latent": torch.from_numpy(w)}))
    write("arrays/factor.pt", saved({"ckpt": "x", "eigvec": torch.eye(width)}))
    sets = {"SUPPORT_SETS": torch.randn(2, 4 * width), "ALPHAS": torch.ones(2, 4), "LOGGAMMA": torch.zeros(2, 1)}
    write("arrays/support_sets.pt", saved(sets))


def our_files(generator: StyleGAN2) -> None:
    """Edits, sets and pools."""
    for name in ("edits", "paths", "pools"):
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
    layers, width = generator.shapes["w+"]
    info = EditInfo(
        name="mouth", space="w+", mask="mouth", usable=(0.0, 1.0), generator="tiny", locality={"roir": 0.1}, cite=("a",)
    )
    knots = torch.linspace(0, 1, 3)
    save_edit(
        Lattice(torch.arange(3.0)[:, None, None] * torch.ones(layers, width), [knots], info),
        CORPUS / "edits" / "path.safetensors",
    )
    grid = torch.randn(3, 3, layers, width)
    grid[0, 0] = 0
    save_edit(Lattice(grid, [knots, knots], info), CORPUS / "edits" / "pad.safetensors")
    said = PathSetInfo(method="x", space="z", generator="tiny", names={0: "smile +"}, count=4, cite=("a",))
    warped = WarpedPaths.create(2, 3, (4,), said, seed=0)
    save_paths(warped, CORPUS / "paths" / "warped.safetensors")
    save_paths(LinearPaths("ortho", 2, (4,), said), CORPUS / "paths" / "linear.safetensors")
    save_edit(warped[0], CORPUS / "edits" / "flow.safetensors")
    save_pool(pool_of(generator.sample([0, 1]), generator, (0, 1)), CORPUS / "pools" / "pool.safetensors")


def checkpoints() -> None:
    """Where a search and a training stand."""
    (CORPUS / "checkpoints").mkdir(parents=True, exist_ok=True)
    x = torch.randn(3, 4)
    descent = Descent(x, Evaluation(1.0, x, {"inside": 1.0, "outside": 0.1}), (x,), (x,))
    state = SearchState(0, 1, 2, 3, 0.1, 4.0, 1.0, descent, (1.0,), x, 1.0, None, 0)
    save_state(state, str(CORPUS / "checkpoints" / "search.safetensors"), "key")
    save_checkpoint(CORPUS / "checkpoints", SavedTraining(5, {"sums": torch.zeros(3), "history": torch.zeros(2, 6)}), "key")
    (CORPUS / "checkpoints" / NEWEST).rename(CORPUS / "checkpoints" / "training.safetensors")


def pictures() -> None:
    """Masks."""
    square = np.zeros((16, 16), np.uint8)
    square[4:12, 4:12] = 255
    for form, array in (
        ("PNG", square), ("TIFF", square.astype(np.float32) / 255), ("GIF", square), ("BMP", square), ("JPEG", square),
        ("WEBP", square), ("PPM", square),
    ):  # fmt: skip
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, form)
        write(f"pictures/mask.{form.lower()}", buffer.getvalue())
    for name, image in (
        ("deep", Image.fromarray(square.astype(np.uint16) * 257)),
        ("alpha", Image.merge("LA", [Image.fromarray(square)] * 2)),
    ):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        write(f"pictures/{name}.png", buffer.getvalue())


def records() -> None:
    """JSON and TOML."""
    for name, value in (
        ("runs/run.json", RUN), ("walks/traversal.json", WALK), ("measures/measures.json", MEASURES),
        ("settings/args.json", ARGS),
        ("settings/stats.json", {"1": {"accuracy": 0.5, "loss": 1.0}}), ("descriptions/x.json", DESCRIPTION),
    ):  # fmt: skip
        write(name, json.dumps(value).encode())
    write("timelines/x.toml", TIMELINE.encode())
    write("descriptions/x.toml", b'size = [64, 64]\n[[attributes]]\nname = "age"\nlow = 0\nhigh = 100\n')


def main() -> None:
    """Write everything anew."""
    shutil.rmtree(CORPUS, ignore_errors=True)
    torch.manual_seed(0)
    weights()
    codes_and_directions(tiny())
    our_files(tiny())
    checkpoints()
    pictures()
    records()
    files = [file for file in CORPUS.rglob("*") if file.is_file()]
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files):,} bytes")


if __name__ == "__main__":
    main()
