"""``semanifold train`` as a person uses it: the run folder, kill -9, Ctrl-C, earlier experiments, bad input."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from support import forks

from semanifold.app import cli
from semanifold.app.actions import train as acting
from semanifold.app.actions import train_arguments as making
from semanifold.app.commands.train import Kind, Train
from semanifold.generators.loading import save_generator
from semanifold.generators.sngan import SNGAN, SNGANConfig
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.paths.files import load_paths
from semanifold.storage.runs import read_record
from semanifold.training import purity
from semanifold.training import records as training_records
from semanifold.training.experiments import open_experiment
from semanifold.training.presets import ALONG_RATE, PRESETS
from semanifold.training.reconstructor import make_reconstructor
from semanifold.training.records import PUBLISHED_KEYS, published_name, read_stats

if TYPE_CHECKING:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TRAIN = ("semanifold.app.commands.train:Train", "learn paths")
TOY = """
import torch
from semanifold.generators.wrapped import wrap

def blob(z):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32).to(z), torch.linspace(-1, 1, 32).to(z), indexing="ij")
    a = [torch.tanh(column)[:, None, None] for column in z.T]
    size = 0.15 + 0.1 * (a[2] + 1)
    return ((1 + 0.5 * a[3]) * torch.exp(-((x - 0.6 * a[0]) ** 2 + (y - 0.6 * a[1]) ** 2) / size))[:, None] - 1

toy = wrap(blob, (4,), name="toy")
still = wrap(torch.no_grad()(blob), (4,), name="still")
"""
QUICK = ["--generator", "toy.py:toy", "--device", "cpu", "--k", "3", "--dipoles", "2", "--reconstructor", "lenet"]
QUICK += ["--iterations", "12", "--batch", "8", "--log-every", "2", "--save-every", "5", "--test-draws", "32"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(cli.COMMANDS, "train", TRAIN)
    (tmp_path / "toy.py").write_text(TOY)


def train(*words: object, quick: list[str] = QUICK) -> int:
    given = list(map(str, words))
    kept: list[str] = []
    straight = "--kind" in given and given[given.index("--kind") + 1] not in ("warped", "warpd")
    for flag, value in zip(quick[::2], quick[1::2]):
        kept += [] if flag in given or (straight and flag == "--dipoles") else [flag, value]
    return cli.main(["train", *kept, *given])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    paths = load_paths(folder / "paths.safetensors").state_dict()
    return paths | torch.load(folder / "models" / "reconstructor.pt", weights_only=True)


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def board(folder: Path) -> "EventAccumulator":
    """Return what TensorBoard would show of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # slow to import

    return EventAccumulator(str(folder / "tensorboard")).Reload()


def test_purity_counts_if_it_is_asked_for_and_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(purity, "STEPS", 15)
    assert train("--lambda-pure", "1", "--out", "run") == 0
    said = capsys.readouterr().err
    assert "Unmixing the paths before the training, so that each changes pictures in a way of its own" in said
    assert "unmixing the paths: 15 of 15" in said
    mixing = json.loads((tmp_path / "run" / "metrics.json").read_text())["mixing"]
    assert 0 < mixing["end"] < 0.9 * mixing["start"]


# ------------------------------------------------------------------------------------------------- the run folder


def test_the_run_folder_is_that_of_the_published_program_and_ours(tmp_path, capsys):
    assert train("--out", "run") == 0
    folder = tmp_path / "run"
    said = capsys.readouterr().out
    assert "of 32 unseen steps the reconstructor names" in said
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "events" not in p.name}
    models = {"support_sets_init.pt", "support_sets.pt", "reconstructor.pt", "checkpoint.safetensors"}
    plain = {"run.json", "args.json", "stats.json", "command.sh", "metrics.json", "paths.safetensors", "paths.png"}
    assert names == plain | {f"models/{name}" for name in models}
    assert next((folder / "tensorboard").iterdir()).name.startswith("events")
    stats = json.loads((folder / "stats.json").read_text())
    assert list(stats) == ["2", "4", "6", "8", "10", "12"]
    assert set(stats["2"]) == {"accuracy", "classification_loss", "regression_loss", "total_loss"}
    arguments = json.loads((folder / "args.json").read_text())
    assert tuple(arguments) == PUBLISHED_KEYS
    assert (arguments["num_support_sets"], arguments["num_support_dipoles"], arguments["reconstructor_type"]) == (3, 2, "LeNet")
    metrics = json.loads((folder / "metrics.json").read_text())
    bends = [metrics["bending"][moment][name] for moment in ("start", "end") for name in ("field", "ends", "chord")]
    assert [len(each) for each in bends] == [3] * 6
    assert bends[:3] != bends[3:]
    assert all(-1 <= value <= 1 for each in bends for value in each)
    scores = metrics["held_out"]
    assert 0 <= scores["accuracy"] <= 1
    assert scores["draws"] == 32
    paths = load_paths(folder / "paths.safetensors")
    assert len(paths) == 3
    assert paths.info.fingerprint == read_record(folder).facts["fingerprint"]
    before = torch.load(folder / "models" / "support_sets_init.pt", weights_only=True)
    after = torch.load(folder / "models" / "support_sets.pt", weights_only=True)
    assert before.keys() == after.keys() == {"SUPPORT_SETS", "ALPHAS", "LOGGAMMA"}
    assert not torch.equal(before["SUPPORT_SETS"], after["SUPPORT_SETS"])
    assert read_record(folder).status == "finished"
    assert read_record(folder).facts["settings"]["batch"] == 8
    assert train("--out", "run") == 0
    assert "finished already" in capsys.readouterr().out
    assert train("--out", "run", "--k", 4) == 2
    assert "k 3 instead of 4" in capsys.readouterr().err
    assert train("--out", "run", "--k", 4, "--overwrite") == 0
    assert len(load_paths(folder / "paths.safetensors")) == 4


def test_args_json_names_the_generator_as_the_published_programs_do():
    assert published_name(StyleGAN2(StyleGAN2Config(16, 6, 6, (6, 5, 4), mapping_layers=2), name="ours")) == "StyleGAN2"
    assert published_name(SNGAN(SNGANConfig(4, (4, 4, 4, 4), 1))) == "SNGAN_MNIST"
    assert published_name(SNGAN(SNGANConfig(4, (4, 4, 4, 4, 4), 3))) == "SNGAN_AnimeFaces"
    assert published_name(SNGAN(SNGANConfig(4, (4, 4, 4, 4), 3), name="digits")) == "digits"


def test_tensorboard_shows_curves_and_pictures(tmp_path):
    assert train("--out", "run") == 0
    seen = board(tmp_path / "run")
    assert set(seen.Tags()["scalars"]) == {"accuracy", "classification_loss", "regression_loss", "total_loss"}
    assert [event.step for event in seen.Scalars("accuracy")] == [2, 4, 6, 8, 10, 12]
    stats = read_stats(tmp_path / "run" / "stats.json")
    assert seen.Scalars("total_loss")[-1].value == pytest.approx(stats[12]["total_loss"], rel=1e-5)
    assert seen.Tags()["images"] == ["traversals"]
    assert seen.Images("traversals")[0].height == 3 * 32
    assert seen.Images("traversals")[0].width == 7 * 32


@pytest.mark.parametrize("kind", ["ortho", "pca"])
def test_other_kinds_of_paths(kind, tmp_path):
    assert train("--kind", kind, "--out", "run", "--mask", "box:0,0,1,0.5") == 0
    assert load_paths(tmp_path / "run" / "paths.safetensors").kind == "linear"
    assert not (tmp_path / "run" / "models" / "support_sets.pt").exists()
    assert "mask_loss" in json.loads((tmp_path / "run" / "stats.json").read_text())["2"]


# ------------------------------------------------------------------------------------------------- breaking off

LAUNCH = f"""
import sys
from semanifold.app import cli
cli.COMMANDS["train"] = {TRAIN!r}
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_kill_9_and_the_same_command_give_the_same_weights_bit_for_bit(tmp_path):
    long = ["--iterations", "40", "--out"]
    words = ["train", *[w for pair in zip(QUICK[::2], QUICK[1::2]) if pair[0] != "--iterations" for w in pair], *long]
    process = forks.start(LAUNCH, *words, "killed place")
    folder = tmp_path / "killed place"
    until = time.monotonic() + 200
    while not (folder / "models" / "checkpoint.previous.safetensors").exists():
        assert process.is_alive(), "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.join()
    assert read_record(folder).status == "running"
    assert not (folder / "metrics.json").exists()
    said = shlex.split((folder / "command.sh").read_text().splitlines()[1])
    assert said == ["semanifold", *words, "killed place"]
    assert (folder / "command.sh").read_text().splitlines()[1].endswith("'killed place'")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert cli.main([*words, "killed place"]) == 0
        assert cli.main([*words, "whole"]) == 0
    finally:
        torch.set_num_threads(threads)
    assert same(folder, tmp_path / "whole")
    assert (folder / "stats.json").read_text() == (tmp_path / "whole" / "stats.json").read_text()
    assert (folder / "metrics.json").read_text() == (tmp_path / "whole" / "metrics.json").read_text()


def test_ctrl_c_keeps_what_there_is_and_the_same_command_ends_the_work(tmp_path, capsys, monkeypatch):
    assert train("--out", "whole") == 0
    calls = []
    before = training_records.Records.__call__

    def interrupting(self, report):
        before(self, report)
        calls.append(report.iteration)
        if report.iteration == 6:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(training_records.Records, "__call__", interrupting)
    assert train("--out", "run") == 130
    assert "interrupted after 6 iterations" in capsys.readouterr().err
    assert read_record(tmp_path / "run").status == "interrupted"
    assert (tmp_path / "run" / "paths.safetensors").exists()
    (tmp_path / "run" / "stats.json").write_text('{"2": {"accur')
    calls.clear()
    assert train("--out", "run") == 0
    assert calls == [8, 10, 12]
    said = capsys.readouterr().err
    assert "stats.json is damaged" in said
    assert "written again" in said
    assert same(tmp_path / "run", tmp_path / "whole")
    assert (tmp_path / "run" / "stats.json").read_text() == (tmp_path / "whole" / "stats.json").read_text()


def test_damaged_checkpoints(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training_records.Records, "keep", lambda self, history: (_ for _ in ()).throw(OSError(28, "No space")))
    assert train("--out", "run") == 2
    assert "disk is full" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(cli.COMMANDS, "train", TRAIN)
    (tmp_path / "run" / "models" / "checkpoint.safetensors").write_bytes(b"junk")
    assert train("--out", "run") == 2
    assert "checkpoint.safetensors is damaged" in capsys.readouterr().err
    assert train("--out", "run", "--overwrite") == 0


# ------------------------------------------------------------------------------------------------- earlier experiments


@pytest.fixture
def published(tmp_path) -> Path:
    """An unfinished experiment as WarpedGANSpace leaves it."""
    folder = tmp_path / "SNGAN_MNIST-LeNet-K3-D2-eps0.15_0.25"
    (folder / "models").mkdir(parents=True)
    draw = torch.Generator().manual_seed(0)
    half = torch.randn(3, 2, 1, 4, generator=draw)
    sets = {
        "SUPPORT_SETS": torch.cat([half, -half], 2).reshape(3, 16),
        "ALPHAS": torch.tensor([1.0, -1.0]).repeat(3, 2),
        "LOGGAMMA": torch.full((3, 1), 0.25).log(),
    }
    network = make_reconstructor("lenet", 3, 1, seed=5).state_dict()
    torch.save({"iter": 6, "support_sets": sets, "reconstructor": network}, folder / "models" / "checkpoint.pt")
    torch.save(sets, folder / "models" / "support_sets_init.pt")
    arguments = dict.fromkeys(PUBLISHED_KEYS) | {"gan_type": "SNGAN_MNIST", "shift_in_w_space": False, "learn_gammas": True}
    arguments |= {"min_shift_magnitude": 0.15, "max_shift_magnitude": 0.25, "batch_size": 8, "max_iter": 10, "z_truncation": 1.0}
    (folder / "args.json").write_text(json.dumps(arguments))
    (folder / "stats.json").write_text('{"2": {"accuracy": 0.3}, "4": {')
    return folder


def test_a_published_experiment_is_opened_and_resumed(published, tmp_path, capsys):
    for place in (published, published / "models" / "checkpoint.pt"):
        experiment = open_experiment(place)
        assert (len(experiment.paths), experiment.iteration) == (3, 6)
        assert experiment.reconstructor is not None
        assert (experiment.reconstructor.kind, experiment.reconstructor.paths) == ("lenet", 3)
        assert any("stats.json is damaged" in sentence for sentence in experiment.remarks)
    quick = ["--generator", "toy.py:toy", "--device", "cpu", "--log-every", "2", "--test-draws", "16"]
    assert train("--start-from", published, "--out", "on", quick=quick) == 0
    said = capsys.readouterr().err
    assert "at iteration 6" in said
    assert "optimisers begin afresh" in said
    assert list(read_stats(tmp_path / "on" / "stats.json")) == [8, 10]
    assert cli.main(["inspect", str(published), "on"]) == 0
    said = capsys.readouterr().out
    assert "an experiment of training" in said
    assert "SNGAN_MNIST" in said
    assert "3 warped in z" in said
    assert "iterations   6" in said
    assert "a run of semanifold train, finished" in said
    assert "iterations   10" in said
    assert "semanifold traverse on" in said
    arguments = json.loads((tmp_path / "on" / "args.json").read_text())
    assert (arguments["min_shift_magnitude"], arguments["max_shift_magnitude"], arguments["batch_size"]) == (0.15, 0.25, 8)
    assert arguments["z_truncation"] is None
    again = open_experiment(tmp_path / "on")
    assert again.iteration == 10
    assert again.paths.info.generator == "toy"
    assert arguments["gan_type"] == "toy"
    assert train("--start-from", "on", "--out", "further", "--iterations", 12, quick=quick) == 0
    before, after = (read_stats(tmp_path / name / "stats.json") for name in ("on", "further"))
    assert list(after) == [8, 10, 12]
    assert {key: after[key] for key in before} == before
    assert {8, 10, 12} == {event.step for event in board(tmp_path / "further").Scalars("accuracy")}
    assert train("--start-from", "on", "--out", "nothing", quick=quick) == 2
    assert "has done 10 iterations already" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("kind", ["projective", "warped"])
def test_learned_paths_start_along_the_axes_of_a_closed_form(kind, tmp_path):
    assert train("--kind", kind, "--init", "joint", "--out", "learned", "--iterations", "2") == 0
    assert train("--kind", "joint", "--out", "closed", "--iterations", "2") == 0
    assert train("--out", "plain", "--iterations", "2") == 0
    said = {name: read_record(tmp_path / name).facts["settings"] for name in ("learned", "closed", "plain")}
    assert said["learned"]["paths_lr"] == pytest.approx(ALONG_RATE * said["plain"]["paths_lr"])
    for name in ("learned", "closed"):
        assert said[name]["min_magnitude"] == pytest.approx(2 * said["plain"]["min_magnitude"])
        assert said[name]["max_magnitude"] == pytest.approx(2 * said["plain"]["max_magnitude"])
    learned, closed = (load_paths(tmp_path / name / "paths.safetensors") for name in ("learned", "closed"))
    start = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
    for k in range(3):
        step = learned.shift(start, torch.full((16,), k), torch.ones(16)).detach()
        assert torch.allclose(step.norm(dim=1), closed.scale[k].expand(16), rtol=1e-3)
        assert (step @ closed.directions()[k] / closed.scale[k]).mean() > (0.999 if kind == "projective" else 0.95)


def test_gammas_that_differ_survive_in_the_published_files(tmp_path):
    assert train("--init", "spread", "--fixed-gammas", "--out", "run", "--iterations", "2") == 0
    ours = load_paths(tmp_path / "run" / "paths.safetensors")
    published = load_paths(tmp_path / "run" / "models" / "support_sets.pt", "z")
    assert len(set(ours.log_gamma.tolist())) == 3
    assert torch.allclose(published.log_gamma, ours.log_gamma)


def test_bf16_takes_a_stylegan2(tmp_path):
    generator = StyleGAN2(StyleGAN2Config(16, 6, 6, (6, 5, 4), mapping_layers=2))
    save_generator(generator, tmp_path / "g.safetensors")
    words = ("--init", "spread", "--iterations", "2", "--reconstructor-size", "32", "--precision", "bf16")
    assert train("--generator", "g.safetensors", *words, "--out", "run") == 0


RANKS = """
import os, sys
import accelerate, torch, torch._dynamo, torch.utils.tensorboard
from semanifold.app import cli
other = os.fork()  # imports take longer than the training
os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if other else "1"
code = cli.main(sys.argv[1:])
sys.exit(code or (os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) if other else 0))
"""


@pytest.mark.slow
def test_two_processes_know_each_other_without_being_told_the_device(tmp_path):
    quick = [word for flag, value in zip(QUICK[::2], QUICK[1::2]) if flag != "--device" for word in (flag, value)]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    # what accelerate launch and torchrun tell each process
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    words, out, err = ("train", *quick, "--iterations", "2", "--out", "run"), tmp_path / "out.txt", tmp_path / "err.txt"
    code = forks.finish(forks.start(RANKS, *words, out=out, err=err, **common), seconds=300)
    assert code == 0, err.read_text()
    assert out.read_text().count("unseen steps") == 1


def test_a_resumed_training_reads_the_directions_that_it_began_with(tmp_path, monkeypatch):
    words = ("--init", "joint", "--iterations", "6", "--save-every", "2")
    assert train(*words, "--out", "whole") == 0

    def stop(self, report):
        if report.iteration == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_records.Records, "__call__", stop)
        assert train(*words, "--out", "broken") == 130
    monkeypatch.setattr("semanifold.app.actions.train_arguments.closed_paths", lambda *_: pytest.fail("found a second time"))
    assert train(*words, "--out", "broken") == 0
    assert same(tmp_path / "whole", tmp_path / "broken")
    assert (tmp_path / "whole" / "metrics.json").read_text() == (tmp_path / "broken" / "metrics.json").read_text()


@pytest.mark.parametrize(("words", "says"), [(["--reconstructor", "vgg"], "vgg"), (["--out", "toy.py"], "is a file")])
def test_what_cannot_be_is_refused_before_directions_are_found(words, says, monkeypatch, capsys):
    monkeypatch.setattr("semanifold.app.actions.train_arguments.closed_paths", lambda *_: pytest.fail("found in vain"))
    assert train("--init", "joint", *words) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("paths", [["--kind", "weights-svd"], ["--space", "w+"]])
def test_paths_whose_purity_is_not_measured_are_refused_before_they_are_made(paths, monkeypatch, capsys):
    monkeypatch.setattr(making, "directions_of", lambda *_: pytest.fail("found in vain"))
    monkeypatch.setattr(making, "make_paths", lambda *_: pytest.fail("made in vain"))
    assert cli.main(["train", *paths, "--lambda-pure", "1", "--device", "cpu"]) == 2
    assert "for paths of z and w only; leave --lambda-pure out" in capsys.readouterr().err


def test_with_a_mask_paths_do_not_start_along_axes_of_the_whole_picture():
    for words, start in (([], "joint"), (["--mask", "mouth"], "spread")):
        given = Train(mask=words[1] if words else None)
        assert making.start_of(given.kind, acting.chosen_preset(given)) == start


@pytest.mark.parametrize(
    ("kind", "preset"),
    [(None, "faces"), ("warped", "faces"), ("ortho", "faces-linear"), ("weights-svd", "faces"), ("pca", "faces")],
)
def test_the_preset_of_the_faces_is_the_one_of_that_kind_of_paths(kind, preset):
    assert acting.chosen_preset(Train(kind=Kind(paths=kind))) is PRESETS[preset]


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--k", "0"], "at least 1 path, but --k is 0"),
        (
            ["--pairs-per-code", "5"],
            "5 pairs share a code, but 8 of a batch are worked on at a time, not a multiple of it; give "
            "another --pairs-per-code or --batch.",
        ),
        (["--dipoles", "0"], "at least 1 dipole"),
        (["--min-magnitude", "2", "--max-magnitude", "1"], "got 2 to 1"),
        (["--kind", "warpd"], "did you mean 'warped'"),
        (["--preset", "mnst"], "did you mean 'mnist'"),
        (["--reconstructor", "vgg"], "no reconstructor 'vgg'"),
        (["--init", "spred"], "did you mean 'spread'"),
        (["--init", "joit"], "did you mean 'joint'"),
        (["--kind", "ortho", "--init", "joint"], "no start 'joint' of ortho paths"),
        (["--kind", "linear", "--init", "spread"], "no start 'spread' of linear paths"),
        (["--kind", "pca", "--init", "joint"], "--init means nothing to pca paths; leave it out."),
        (
            ["--kind", "ortho", "--gamma", "2", "--learn-alphas"],
            "--gamma and --learn-alphas mean nothing to ortho paths; leave them out.",
        ),
        (["--lambda-mask", "0.5"], "needs a --mask"),
        (["--space", "z", "--shared"], r"but the paths are of z; leave --shared out, or give --space w\+."),
        (["--lambda-pure", "-1"], "lambda-pure must be at least 0"),
        (["--mask", "box:0,0,1"], "box"),
        (["--class", "3"], "not class-conditional"),
        (["--batch", "1"], "cannot be divided"),
        (["--precision", "fp16"], "precision"),
        (["--layers", "0-1"], "w\\+"),
        (["--reconstructor-size", "0"], "size"),
        (["--generator", "toy.py:still"], "cannot be differentiated"),
        (["--kind", "ortho", "--k", "9"], "at most 4"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(words, says, tmp_path, capsys):
    assert train("--out", "run", *words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert re.search(says, said[0]), said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--shared", "--k", "4"], "the paths are of w; leave --shared out, or give --space w+."),
        (["--generator", "analytic", "--shared", "--space", "z"], "the paths are of z"),
        (["--kind", "pca", "--shared", "--init", "joint"], "--init and --shared mean nothing to pca paths; leave them out."),
        (["--kind", "weights-hessian", "--basis", "axes", "--layer", "convs.2"], "leave --layer out"),
        (["--kind", "ortho", "--k", "20000"], "at most 10,000"),
        (["--init", "spred"], "did you mean 'spread'"),
        (["--lambda-mask", "2"], "needs a --mask"),
        (["--quick", "--preset", "faces"], "leave --preset and --generator out"),
        (["--start-from", "nowhere"], "no experiment nowhere"),
        (["--start-from", ".", "--shared"], "only --space goes with --start-from"),
    ],
)
def test_what_options_alone_decide_is_refused_before_a_generator_is_loaded(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(acting, "load", lambda *_: pytest.fail("loaded in vain"))
    assert cli.main(["train", *words, "--out", "run"]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_space_of_the_generators_own_choice_is_known_to_have_no_layers_before_directions_are_found(monkeypatch, capsys):
    monkeypatch.setattr(making, "directions_of", lambda *_: pytest.fail("found in vain"))
    assert train("--init", "joint", "--shared") == 2
    assert "leave --shared out" in capsys.readouterr().err


def test_paths_that_are_there_already_have_their_kind(published, tmp_path, capsys):
    assert train("--start-from", published, "--k", "5", "--out", "on") == 2
    assert "only --space goes with --start-from" in capsys.readouterr().err
    assert not (tmp_path / "on").exists()


def test_a_preset_for_a_file_needs_the_file(capsys):
    assert cli.main(["train", "--preset", "stylegan2"]) == 2
    assert "give its file with --generator" in capsys.readouterr().err


def test_a_reconstructor_of_another_size_is_refused(published, capsys):
    checkpoint = torch.load(published / "models" / "checkpoint.pt", weights_only=True)
    checkpoint["reconstructor"] = make_reconstructor("lenet", 5, 1).state_dict()
    torch.save(checkpoint, published / "models" / "checkpoint.pt")
    assert train("--start-from", published, "--out", "on", quick=QUICK[:2]) == 2
    assert "tells 5 paths apart" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = f"import sys; from semanifold.app import cli; cli.COMMANDS['train'] = {TRAIN!r}; cli.command_class('train')\n"
    code += "print([m for m in ('accelerate', 'tensorboard', 'torchvision', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_finished_training_of_a_file_goes_on_if_more_iterations_are_asked_for(tmp_path, capsys):
    save_generator(StyleGAN2(StyleGAN2Config(32, 4, 4, (4,) * 4, mapping_layers=1)), tmp_path / "g.safetensors")
    quick = [word if word != "toy.py:toy" else "g.safetensors" for word in QUICK]
    assert train("--out", "t", "--iterations", "1", quick=quick) == 0
    assert train("--out", "t", "--iterations", "2", quick=quick) == 0
    assert read_record(tmp_path / "t").arguments["training"]["iterations"] == 2
    capsys.readouterr()
    assert train("--out", "t", "--iterations", "2", quick=quick) == 0
    assert "finished already" in capsys.readouterr().out
    assert train("--out", "t", "--iterations", "1", quick=quick) == 2
    assert "iterations 2 instead of 1" in capsys.readouterr().err
