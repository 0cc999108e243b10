"""Attributes that any ONNX network reads, given a short description of what goes in and what comes out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from semanifold.analysis.attributes.base import AttributeReader
from semanifold.analysis.attributes.onnx_descriptions import DESCRIPTIONS, Description, read_description
from semanifold.analysis.attributes.sampling import rgb
from semanifold.core.errors import SemanifoldError, first_line, near_names, shown
from semanifold.core.extras import missing_package
from semanifold.storage.files import is_file


class OnnxAttributes(AttributeReader):
    """The reader that :func:`onnx_reader` makes; runs on the CPU."""

    def __init__(self, description: Description, files: Sequence[Path]) -> None:
        """Open the networks; see :func:`onnx_reader`."""
        self.description, self.attributes = description, description.attributes
        self.sessions = [_session(file) for file in files]
        for session, file in zip(self.sessions, files, strict=True):
            _check_fit(description, session, file)

    @torch.no_grad()
    def read(self, images: Tensor, reference: Tensor) -> Tensor:
        """See :meth:`AttributeReader.read`; returned float32 on the device of the pictures.

        Raises:
            SemanifoldError: if the network returns other shapes than its description promises.
        """
        pictures = prepared(images, self.description)
        outputs = [_run(session, pictures) for session in self.sessions]
        mean = {name: torch.stack([one[name] for one in outputs]).mean(0) for name in outputs[0]}
        return decoded(mean, self.description).to(images.device)


def onnx_reader(path: str | os.PathLike[str]) -> AttributeReader:
    """Return a reader of one or several ONNX networks, run by ``onnxruntime`` on the CPU.

    Args:
        path: ``NAME.onnx`` with its description ``NAME.json`` or ``NAME.toml`` beside it, or the description itself.

    Raises:
        SemanifoldError: if ``onnxruntime`` or a file is missing, or the description does not fit the network.
    """
    path = Path(path)
    text = path if path.suffix in DESCRIPTIONS else next((p for s in DESCRIPTIONS if is_file(p := path.with_suffix(s))), None)
    if text is None or not is_file(text):
        if not is_file(path):
            raise SemanifoldError(
                f"There is no file {shown(str(path), 200)}; give NAME.onnx with its description NAME.json or NAME.toml beside it."
            )
        raise SemanifoldError(
            f"There is no description {path.with_suffix('.json').name} beside {path}, which says what goes in and what comes out."
        )
    description = read_description(text)
    files = [text.parent / name for name in description.models or (text.with_suffix(".onnx").name,)]
    for file in files:
        if not is_file(file):
            raise SemanifoldError(f"There is no file {shown(str(file), 200)}, which {text.name} describes.")
    return OnnxAttributes(description, files)


def prepared(images: Tensor, description: Description) -> Tensor:
    """Return pictures ``[n, 1 or 3, h, w]`` in [-1, 1] as the network wants them, ``[n, c, h, w]`` or ``[n, h, w, c]``.

    They are stretched to the size of the input, with anti-aliasing; grey is ``0.299 R + 0.587 G + 0.114 B``.
    """
    x = interpolate(rgb(images), description.size, mode="bilinear", align_corners=False, antialias=True) * 255
    if description.colours == "bgr":
        x = x.flip(1)
    elif description.colours == "grey":
        x = (x * x.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    mean, scale = (x.new_tensor(v).view(-1, 1, 1) for v in (description.mean, description.scale))
    x = (x - mean) / scale
    return x.permute(0, 2, 3, 1) if description.layout == "nhwc" else x


def decoded(outputs: Mapping[str, Tensor], description: Description) -> Tensor:
    """Return the attributes ``[n, m]`` that outputs stand for; see :class:`Description`.

    Raises:
        SemanifoldError: if the outputs have other shapes than the description promises.
    """
    n, m = len(next(iter(outputs.values()))), len(description.attributes)
    name = description.output or next(iter(outputs))
    output = outputs[name]
    if description.decode == "box":
        return surest_box(output.reshape(n, -1, 4), outputs[description.scores], description.threshold)
    if description.decode == "expectation":
        values = output.new_tensor(description.values or range(output.shape[-1]))
        if len(values) == output.shape[-1] > 1 and output[0].numel() == m * len(values):
            return (output.reshape(n, m, -1).softmax(-1) * values).sum(-1)
        raise SemanifoldError(
            f"The output {name} has shape {list(output.shape)}, but {m} attributes of {len(values)} classes are described."
        )
    columns = output.reshape(n, -1)
    chosen = list(description.columns or range(columns.shape[1]))
    if len(chosen) != m or max(chosen) >= columns.shape[1]:
        raise SemanifoldError(
            f"The output {name} has {columns.shape[1]} columns, but {m} attributes are described; say which in columns."
        )
    activation = {"softmax": lambda x: x.softmax(1), "sigmoid": torch.sigmoid}.get(description.decode, lambda x: x)
    return activation(columns)[:, chosen]


def surest_box(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return width, height and middle x, y ``[n, 4]`` of the box with the highest score; NaN where none exceeds the threshold.

    Args:
        boxes: ``[n, cells, 4]`` left, top, right, bottom.
        scores: ``[n, cells, 1 or 2]``; the last column counts.
        threshold: probability.

    Raises:
        SemanifoldError: unless there is a score for every box.
    """
    score = scores.reshape(*scores.shape[:2], -1)[..., -1]
    if score.shape != boxes.shape[:2]:
        raise SemanifoldError(f"There are {boxes.shape[1]} boxes per picture, but the scores have shape {list(scores.shape)}.")
    best, cell = score.max(1)
    left, top, right, bottom = boxes[torch.arange(len(boxes)), cell].unbind(1)
    places = torch.stack([right - left, bottom - top, (left + right) / 2, (top + bottom) / 2], 1)
    return places.where(best[:, None] > threshold, torch.nan)


def _session(file: Path) -> Any:
    try:
        import onnxruntime  # noqa: PLC0415  (an extra, and slow to import)
    except ImportError as error:
        raise missing_package("An ONNX attribute", "onnxruntime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about how the file was written
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise SemanifoldError(f"{file} cannot be opened as an ONNX network: {first_line(error)}.") from error


def _check_fit(description: Description, session: Any, file: Path) -> None:
    """Refuse a description whose names or sizes are not the network's."""
    inputs, names = session.get_inputs(), [output.name for output in session.get_outputs()]
    if len(inputs) != 1:
        raise SemanifoldError(f"{file} wants {len(inputs)} inputs, but a network of one picture alone is expected.")
    for name in (description.output, description.scores):
        if name and name not in names:
            raise SemanifoldError(f"{file} has no output {name!r}: {near_names(name, names)}")
    if not description.output and len(names) > 1:
        raise SemanifoldError(f"{file} has the outputs {', '.join(names)}; say in the description which is meant by output.")
    channels = 1 if description.colours == "grey" else 3
    shape = (channels, *description.size) if description.layout == "nchw" else (*description.size, channels)
    expected = inputs[0].shape[1:]
    if len(expected) != 3 or any(isinstance(side, int) and side != ours for side, ours in zip(expected, shape, strict=False)):
        raise SemanifoldError(
            f"{file} wants pictures {list(expected)}, but its description says {list(shape)} (layout {description.layout})."
        )


def _run(session: Any, pictures: Tensor) -> dict[str, Tensor]:
    """Return all outputs by name, of as many pictures at once as the network takes."""
    entry = session.get_inputs()[0]
    names = [output.name for output in session.get_outputs()]
    at_once = entry.shape[0] if isinstance(entry.shape[0], int) else 64
    parts: list[list[Tensor]] = []
    for chunk in pictures.cpu().split(at_once):
        full = (
            torch.cat([chunk, chunk[-1:].expand(at_once - len(chunk), *chunk.shape[1:])]) if entry.shape[0] == at_once else chunk
        )
        try:
            outputs = session.run(names, {entry.name: full.contiguous().numpy()})
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise SemanifoldError(f"The ONNX network failed: {first_line(error)}.") from error
        parts.append([torch.from_numpy(output)[: len(chunk)].float() for output in outputs])
    return {name: torch.cat(column) for name, column in zip(names, zip(*parts, strict=True), strict=True)}
