"""Adding things as docs/extending.md says: each test touches those places alone, and then everything else works."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, Self, cast

import pytest
import torch
from torch import Tensor, nn

import semanifold as sm
from semanifold.analysis.attributes.base import Attribute
from semanifold.analysis.attributes.published import MEASURES, PublishedNetwork, published_reader
from semanifold.app import cli
from semanifold.app.actions import train_arguments
from semanifold.app.actions.train_arguments import settings_of
from semanifold.app.answers import Answer, Caller
from semanifold.app.commands import table, train
from semanifold.app.commands.arguments import TRAINING, flat, option
from semanifold.app.commands.base import Command
from semanifold.app.commands.train import Train, Training, request_of
from semanifold.core.latents import Latents
from semanifold.core.spaces import Space, named
from semanifold.edits import EditInfo, Lattice
from semanifold.generators import architectures
from semanifold.generators.architecture import Architecture, by_key
from semanifold.generators.base import Generator
from semanifold.generators.loading import save_generator
from semanifold.paths import files, kinds
from semanifold.paths.base import LatentPaths, PathSetInfo, SetOptions, Size, info_for
from semanifold.paths.kinds import NewPaths
from semanifold.storage import zoo
from semanifold.training.reconstructor import make_reconstructor
from semanifold.training.settings import (
    ReconstructorSettings,
    ReportSettings,
    Setting,
    TrainingSettings,
    option_values,
    options_in,
    published_values,
    with_published,
)


@dataclass(frozen=True)
class DotsConfig:
    """Sizes of :class:`Dots`."""

    channels: tuple[int, ...] = (3,)
    size: int = 16


class Dots(Generator):
    """A generator whose file and class nobody has heard of: three linear maps."""

    def __init__(self, config: DotsConfig, *, name: str = "dots", source: str = "unknown", licence: str = "unknown") -> None:
        super().__init__()
        self.config, self.name, self.source, self.licence = config, name, source, licence
        self.spaces, self.picture_shape = named(Space("z", (4,))), (3, config.size, config.size)
        self.dots = nn.Conv2d(4, 3, config.size, padding=config.size - 1)
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> Tensor:
        """Return the pictures."""
        self.check_shape(latents)
        pictures = self.dots(latents.values[:, :, None, None]).tanh()
        return pictures if size is None else nn.functional.adaptive_avg_pool2d(pictures, size)


def published(found: Any) -> tuple[DotsConfig, dict[str, Tensor]]:
    weight = found.state["dotty.weight"]
    return DotsConfig(size=weight.shape[-1]), {"dots.weight": weight, "dots.bias": found.state["dotty.bias"]}


DOTS = Architecture(
    name="dots",
    kind="Dots",
    title="a Dots generator",
    layouts={"dotty": "nobody"},
    mark=r"dotty\.weight",
    recognise=by_key("dotty", __import__("re").compile(r"dotty\.weight")),
    translate=published,
    config=DotsConfig,
    make=Dots,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: object) -> None:
    assert cli.main([str(word) for word in words]) == 0


def test_a_generator_takes_its_file_and_one_row(here, monkeypatch, capsys):
    monkeypatch.setattr(architectures, "ARCHITECTURES", (*architectures.ARCHITECTURES, DOTS))
    torch.manual_seed(0)
    dots = Dots(DotsConfig())
    state = {"dotty.weight": dots.dots.weight, "dotty.bias": dots.dots.bias}
    torch.save({"g_ema": state}, "theirs.pt")
    run("inspect", "theirs.pt")
    assert "a Dots generator of nobody" in capsys.readouterr().out
    run("convert", "theirs.pt", "ours.safetensors")
    loaded = sm.load_generator("ours.safetensors")
    assert isinstance(loaded, Dots)
    assert torch.equal(loaded.images(loaded.sample([1, 2])), dots.images(dots.sample([1, 2])))
    run("sample", "--generator", "ours.safetensors", "--seeds", "0-3")
    run("discover", "--mask", "box:0,0,0.5,0.5", "--generator", "theirs.pt", "--frames", 3, "--iterations", 3, "--seconds", 0.5)
    run("directions", "joint", "--k", 2, "--generator", "theirs.pt", "--out", "axes")
    run("weights", "svd", "--layer", "dots", "--k", 2, "--generator", "ours.safetensors", "--out", "weights")
    run("bake", "weights:0", "baked.safetensors", "--generator", "ours.safetensors")
    assert isinstance(sm.load_generator("baked.safetensors"), Dots)
    save_generator(replace_size(dots), "small.safetensors")
    assert sm.load_generator("small.safetensors").picture_shape == (3, 8, 8)


def replace_size(dots: Dots) -> Dots:
    return Dots(replace(dots.config, size=8))


class SwingOptions(SetOptions):
    """What a file says of :class:`SwingPaths`."""

    width: Size


class SwingPaths(LatentPaths):
    """Paths that swing along one axis each."""

    kind: ClassVar[str] = "swing"
    schema = SwingOptions

    def __init__(self, count: int, width: int, info: PathSetInfo) -> None:
        super().__init__()
        self.count, self.info, self.shape = count, info, (width,)
        self.far = nn.Parameter(torch.ones(count))

    def __len__(self) -> int:
        return self.count

    def shift(self, moving: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        return nn.functional.one_hot(index, moving.shape[1]).to(moving) * (magnitude * self.far[index]).sin()[:, None]

    def edit(self, index: int, info: EditInfo) -> Lattice:
        t = torch.linspace(-1, 1, 2 * self.info.count + 1)
        unit = torch.eye(self.shape[0])[index]
        way = (t * self.info.count * self.info.step * self.far[index].detach()).sin()
        return Lattice(way[:, None] * unit, (t,), info)

    def options(self) -> dict[str, Any]:
        return {"count": self.count, "width": self.shape[0]}

    @classmethod
    def from_options(cls, options: Mapping[str, Any], info: PathSetInfo) -> Self:
        return cls(options["count"], options["width"], info)


def new_swings(generator: Generator, new: NewPaths) -> SwingPaths:
    shape, info = info_for(generator, new.space, None, method="swings", step=new.step, count=new.steps, cite=())
    return SwingPaths(new.k, shape[0], info)


def test_a_kind_of_paths_takes_one_more_row_to_be_trained_by_the_command(here, monkeypatch, capsys):
    theirs = ModuleType("semanifold_swings")
    theirs.new_swings = new_swings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "semanifold_swings", theirs)
    monkeypatch.setitem(files.KINDS, "swing", SwingPaths)
    monkeypatch.setitem(kinds.KINDS, "swing", kinds.Kind(make="semanifold_swings:new_swings", takes=("space", "step", "steps")))
    train = ["train", "--generator", "analytic", "--kind", "swing", "--k", 2, "--space", "z", "--iterations", 2, "--batch", 4]
    run(*train, "--steps", 4, "--test-draws", 4, "--out", "swings")
    paths = sm.load_paths("swings")
    assert isinstance(paths, SwingPaths)
    assert (len(paths), paths.info.count) == (2, 4)
    assert json.loads(Path("swings/args.json").read_text())["num_support_dipoles"] is None
    assert cli.main([str(word) for word in [*train, "--dipoles", 2, "--out", "more"]]) == 2
    assert "--dipoles means nothing to swing paths" in capsys.readouterr().err


def test_a_kind_of_paths_takes_its_file_and_one_row(here, monkeypatch):
    monkeypatch.setitem(files.KINDS, "swing", SwingPaths)
    generator = sm.load_generator("analytic")
    _, info = info_for(generator, "z", None, method="swings", cite=())
    swings = SwingPaths(3, 32, replace(info, step=0.25, count=4))
    files.save_paths(swings, "swings.safetensors")
    again = sm.load_paths("swings.safetensors")
    assert isinstance(again, SwingPaths)
    assert torch.equal(again[1].images(generator, 7, [0.5]), swings[1].images(generator, 7, [0.5]))
    run("render", "swings.safetensors:1", "--generator", "analytic", "--seconds", 0.5, "--fps", 8, "--out", "film")
    run("traverse", "swings.safetensors", "--generator", "analytic", "--seeds", "0-1", "--no-films", "--out", "walk")
    run("measure", "walk", "--mask", "box:0.3,0.6,0.7,0.9", "--attributes", "faces")
    run("rank", "walk")
    assert json.loads(Path("walk/rank/ranking.json").read_text())
    settings = TrainingSettings(iterations=2, batch=4, min_magnitude=0.2, max_magnitude=0.5)
    sm.train_paths(generator, again, make_reconstructor("lenet", 3, 3), settings, progress=False)
    assert not torch.equal(again.far, swings.far), "the one trainer moves them"


@dataclass(frozen=True, kw_only=True)
class Greet(Command):
    """Say hello.

    Attributes:
        name: of whom.
    """

    does: ClassVar[str] = "semanifold_greetings:greet"
    name: Annotated[str, option("NAME")] = "nobody"


def greet(command: Greet, caller: Caller) -> Answer:
    return Answer(said=(f"Hello, {command.name}.",))


class Glow(nn.Module):
    """A network that says how bright a picture is."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images.mean((1, 2, 3))[:, None]


def test_a_published_attribute_takes_its_file_and_two_rows(here, monkeypatch, capsys):
    glow = PublishedNetwork(
        entry="glowing",
        files=("glow.pth",),
        make=lambda file: Glow(),
        outputs=lambda network, views: network(views.square),
        values=lambda outputs, reference, network: outputs,
        columns=(Attribute("glow", 0, 3),),
        needs_face=False,
    )
    weights = Path("weights/glow.pth")
    weights.parent.mkdir()
    torch.save({"scale": torch.full((1,), 3.0)}, weights)
    row = zoo.Entry("glowing", "attribute network", "how bright", weights.absolute().as_uri(), None, "CC0", "nobody")
    monkeypatch.setitem(MEASURES, "glows", glow)
    monkeypatch.setitem(cast(dict, zoo.table()), "glowing", row)
    run("zoo", "list")
    assert re.search(r"how bright.*\n +glowing +attribute network", capsys.readouterr().out)
    _, info = info_for(sm.load_generator("analytic"), "z", None, method="swings", cite=())
    monkeypatch.setitem(files.KINDS, "swing", SwingPaths)
    files.save_paths(SwingPaths(2, 32, info), "swings.safetensors")
    run("traverse", "swings.safetensors", "--generator", "analytic", "--seeds", 0, "--steps", 4, "--no-films", "--out", "walk")
    measure = ["measure", "walk", "--mask", "box:0.3,0.6,0.7,0.9", "--attributes"]
    assert cli.main([*measure, "glow"]) == 2
    assert "get it with 'semanifold zoo fetch glowing'" in capsys.readouterr().err
    run(*measure, "glows,faces:smile", "--weights", "weights")
    run("rank", "walk", "--group", "bright=glow,smile")
    assert cli.main([*measure, "glo"]) == 2
    assert "did you mean 'glow' or 'glows'?" in capsys.readouterr().err
    assert published_reader("glow", "weights").read(torch.ones(1, 3, 8, 8), torch.ones(1, 3, 8, 8)).item() == 3


def test_a_command_takes_its_file_and_one_row(monkeypatch, capsys):
    theirs = ModuleType("semanifold_greetings")
    theirs.Greet, theirs.greet = Greet, greet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "semanifold_greetings", theirs)
    monkeypatch.setitem(table.COMMANDS, "greet", ("semanifold_greetings:Greet", "say hello"))
    run("greet", "--name", "Ada")
    assert capsys.readouterr().out == "Hello, Ada.\n"
    run("--help")
    assert "greet       say hello" in capsys.readouterr().out
    run("greet", "--help")
    assert "of whom" in capsys.readouterr().out
    run("completion", "bash")
    assert 'greet) words="--help --json --name --quiet' in capsys.readouterr().out
    assert cli.main(["greet", "--nam", "Ada"]) == 2


@dataclass(frozen=True, kw_only=True)
class WarmSettings(TrainingSettings):
    """Settings with one more.

    Attributes:
        warm: first share of the iterations, in which both rates rise.
    """

    warm: Annotated[float, Setting("SHARE", 0, 1, published="warm_up")] = 0.0

    def rate(self, iteration: int) -> float:
        """Use it."""
        return super().rate(iteration) * min(1.0, (iteration + 1) / (1 + self.warm * self.iterations))


def test_an_option_of_training_takes_one_field(here, monkeypatch, capsys):
    """A field with its default, help and range: options, help, checks, presets and records follow."""
    request = request_of("Training", WarmSettings, ReconstructorSettings, ReportSettings)

    @dataclass(frozen=True, kw_only=True)
    class WarmTrain(Train):
        __doc__ = Train.__doc__
        training: Annotated[request, flat(TRAINING)] = field(default_factory=request)  # type: ignore[valid-type]
        __annotations__ = {"training": Annotated[request, flat(TRAINING)]}

    theirs = ModuleType("semanifold_warm")
    theirs.WarmTrain = WarmTrain  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "semanifold_warm", theirs)
    monkeypatch.setitem(table.COMMANDS, "train", ("semanifold_warm:WarmTrain", "learn paths"))
    warm = replace(train.ANY, training=WarmSettings())
    monkeypatch.setattr(train_arguments, "ANY", warm)
    monkeypatch.setattr(train, "ANY", warm)

    run("train", "--help")
    assert re.search(r"--warm SHARE +first share of the iterations", capsys.readouterr().out)
    words = ["train", "--generator", "analytic", "--k", 2, "--iterations", 2, "--batch", 4, "--test-draws", 4, "--out", "warm"]
    assert cli.main([str(word) for word in [*words, "--warm", 2]]) == 2
    assert "warm must be at least 0 and at most 1 (first share of the iterations" in capsys.readouterr().err
    run(*words, "--warm", 0.5)
    record = json.loads(Path("warm/run.json").read_text())
    assert record["arguments"]["training"]["warm"] == record["facts"]["settings"]["warm"] == 0.5
    assert published_values(WarmSettings(warm=0.25))["warm_up"] == 0.25
    assert with_published(WarmSettings(), {"warm_up": 0.75}).warm == 0.75
    run(*words, "--warm", 0.5)
    assert "finished already" in capsys.readouterr().out
    assert cli.main([str(word) for word in [*words, "--warm", 0.25]]) == 2
    assert "warm 0.5 instead of 0.25" in capsys.readouterr().err


def test_every_option_of_training_reaches_the_trainer():
    generator = sm.load_generator("analytic")
    usual = settings_of(Training(), generator, train.ANY, "z")
    others = {"z_truncation": 2.0, "precision": "bf16"}
    names = {found.option for found in options_in(TrainingSettings)} - {"truncation", "classes"}  # which this generator refuses
    assert len(names) >= 15
    for name in names:
        before = option_values(usual)[name]
        other = others.get(name)
        if other is None:
            other = (before * 2 or 1) if isinstance(before, int) else before / 2 + 0.01
        given = settings_of(Training(**{name: other}), generator, train.ANY, "z")
        assert option_values(given)[name] == other != before, name
