"""Writes files as the published programs do, from stand-ins for their modules that exist only while the file is written."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file
from support.reference import REFERENCE, settings
from torch import Tensor, nn

VARIANTS = settings("stylegan2_ada")["variants"]
"""How the published code was asked for each variant of StyleGAN2-ADA."""

BUFFERS = ("resample_filter", "noise_const", "w_avg", "kernel")
CANARY = "canary"


def clamp_of(variant: str) -> float | None:
    """The conv_clamp of a variant."""
    return VARIANTS[variant]["init_kwargs"]["synthesis_kwargs"].get("conv_clamp")


UNCLAMPED = [variant for variant in VARIANTS if clamp_of(variant) is None]
CONDITIONAL = [variant for variant in VARIANTS if VARIANTS[variant]["init_kwargs"]["c_dim"]]
PLAIN = next(variant for variant in UNCLAMPED if variant not in CONDITIONAL)
"""The first variant that has neither labels nor a clamp."""


def ada_state(variant: str) -> dict[str, Tensor]:
    return load_file(REFERENCE / "stylegan2_ada" / f"{variant}.state.safetensors")


@contextmanager
def modules(**members: dict[str, object]) -> Iterator[None]:
    """Put modules into ``sys.modules`` for a moment; two underscores in a name stand for a dot."""
    names = []
    for name, contents in members.items():
        path = name.replace("__", ".")
        for i in range(path.count(".") + 1):
            part = ".".join(path.split(".")[: i + 1])
            if part not in sys.modules:
                sys.modules[part] = types.ModuleType(part)
                names.append(part)
        for key, value in contents.items():
            value.__module__, value.__qualname__, value.__name__ = path, key, key  # type: ignore[attr-defined]
            setattr(sys.modules[path], key, value)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def tree(state: dict[str, Tensor], kind: type[nn.Module], attributes: dict[str, dict[str, object]]) -> nn.Module:
    """Build nested modules whose state dict is ``state``; ``attributes`` are set by the last part of a module's path."""
    root = kind()
    for key, value in state.items():
        *path, name = key.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, kind())
                for attribute, setting in attributes.get(part, {}).items():
                    setattr(module._modules[part], attribute, setting)
            module = module._modules[part]
        if name.startswith(BUFFERS):
            module.register_buffer(name, value)
        else:
            module.register_parameter(name, nn.Parameter(value))
    return root


def persistent_class(canary: Path) -> tuple[type[nn.Module], types.FunctionType]:
    """NVIDIA's way to pickle a module: a record with its source code, which here would leave a mark if it ever ran."""

    def _reconstruct_persistent_obj(meta: dict) -> None:
        raise AssertionError("the stand-in is not for loading")

    class Generator(nn.Module):
        def __reduce__(self) -> tuple:
            source = f"open({str(canary)!r}, 'w')"
            meta = {"type": "class", "version": 6, "module_src": source, "class_name": "Generator", "state": self.__dict__}
            return _reconstruct_persistent_obj, (meta,), None

    return Generator, _reconstruct_persistent_obj


def write_nvidia(
    path: Path,
    state: dict[str, Tensor],
    *,
    clamp: float | None = None,
    only: str = "",
    whole: bool = False,
    mapping: dict[str, object] | None = None,
) -> None:
    """A snapshot of stylegan2-ada-pytorch: G, D, G_ema and the options of the training set.

    Args:
        path: the file.
        state: state dict of G_ema; G is another network of the same kind.
        clamp: conv_clamp of its layers.
        only: write this entry alone.
        whole: write the bare generator by ``torch.save``, as fine-tuning programs do.
        mapping: attributes of the mapping network.
    """
    kind, rebuild = persistent_class(path.with_name(CANARY))
    settings = {"conv_clamp": clamp, "activation": "lrelu"}
    attributes = {"conv0": settings, "conv1": settings, "torgb": {"conv_clamp": clamp}}
    attributes |= {"mapping": mapping or {}} | {
        path.split(".")[1]: {"bias_gain": 0.01} for path in state if path.startswith("mapping.fc")
    }
    easy = type("EasyDict", (dict,), {})
    with modules(torch_utils__persistence={"_reconstruct_persistent_obj": rebuild}, dnnlib__util={"EasyDict": easy}):
        ema = tree(state, kind, attributes)
        if whole:
            torch.save(ema, path)
            return
        other = tree({key: value * 2 for key, value in state.items()}, kind, attributes)
        critic = tree({"b4.out.weight": torch.zeros(1, 2), "b4.conv.weight": torch.zeros(2, 2, 3, 3)}, kind, {})
        options = easy(class_name="training.dataset.ImageFolderDataset", resolution=32)
        snapshot = {"G": other, "D": critic, "G_ema": ema, "training_set_kwargs": options}
        with path.open("wb") as file:
            pickle.dump({only: snapshot[only]} if only else snapshot, file)


def as_tensorflow(state: dict[str, Tensor]) -> dict:
    """Write a stylegan2-ada state dict as the TensorFlow code names, turns and mirrors it."""
    names = {"conv1.": "Conv1/", "conv0.": "Conv0_up/", "torgb.": "ToRGB/", "skip.": "Skip/"}
    out = {"lod": torch.zeros(()).numpy(), "G_mapping/dlatent_avg": state["mapping.w_avg"].numpy()}
    for key, value in state.items():
        if key.endswith("resample_filter") or key == "mapping.w_avg":
            continue
        if key.startswith("mapping."):
            name = key.removeprefix("mapping.").replace("fc", "Dense").replace("embed", "LabelEmbed").replace(".", "/")
            out["G_mapping/" + name] = (value.T if value.ndim == 2 else value).contiguous().numpy()
            continue
        size, rest = key.removeprefix("synthesis.b").split(".", 1)
        if rest == "const":
            out["G_synthesis/4x4/Const/const:0"] = value[None].numpy()
        elif rest.endswith("noise_const"):
            index = 2 * (int(size).bit_length() - 1) - (4 if rest.startswith("conv1") else 5)
            out[f"G_synthesis/noise{index}:0"] = value[None, None].numpy()
        else:
            for theirs, tf in names.items():
                rest = rest.replace(theirs, "Conv/" if size == "4" and tf == "Conv1/" else tf)
            if rest.endswith("affine.weight"):
                written = value.T
            elif rest.endswith("affine.bias"):
                written = value - 1
            elif rest.endswith("weight"):
                written = (value.flip(2, 3) if "Conv0_up" in rest else value).permute(2, 3, 1, 0)
            else:
                written = value
            rest = rest.replace("affine.", "mod_")
            out[f"G_synthesis/{size}x{size}/{rest}:0"] = written.contiguous().numpy()
    return out


def write_tensorflow(path: Path, state: dict[str, Tensor], *, bare: bool = False) -> None:
    """A file of the TensorFlow StyleGAN2: (G, D, Gs), networks of networks with named variables."""

    class Network:
        def __init__(self, name: str, variables: list, components: dict | None = None) -> None:
            self.parts = {"version": 4, "name": name, "static_kwargs": easy(resolution=32), "components": easy(components or {})}
            self.parts |= {"build_module_src": "import os", "build_func_name": "G_main", "variables": variables}

        def __getstate__(self) -> dict:
            return self.parts

    easy = type("EasyDict", (dict,), {})
    rows: dict[str, list] = {"G_mapping": [], "G_synthesis": [], "": []}
    for name, value in as_tensorflow(state).items():
        scope, _, rest = name.removesuffix(":0").rpartition("G_mapping/" if "G_mapping" in name else "G_synthesis/")
        scope = "" if rest in ("lod", "dlatent_avg") else scope or name.split("/")[0]
        rows[scope if scope in rows else ""].append((rest, value))
    with modules(dnnlib__tflib__network={"Network": Network}, dnnlib__util={"EasyDict": easy}):
        parts = {"mapping": Network("G_mapping", rows["G_mapping"]), "synthesis": Network("G_synthesis", rows["G_synthesis"])}
        ema = Network("Gs", rows[""], parts)
        with path.open("wb") as file:
            pickle.dump(ema if bare else (Network("G", []), Network("D", []), ema), file, protocol=4)


def write_whole_rosinality(path: Path) -> None:
    """``torch.save(generator)`` of rosinality's classes, with the training options beside it."""
    state = torch.load(REFERENCE / "stylegan2_rosinality" / "generator.pt", weights_only=True)["g_ema"]
    kind = type("Generator", (nn.Module,), {})
    with modules(model={"Generator": kind}):
        torch.save(tree(state, kind, {}), path)
