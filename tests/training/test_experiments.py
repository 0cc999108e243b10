"""Folders of earlier trainings, and the presets."""

import json
import pickle
import shlex
from pathlib import Path

import pytest
import torch
from support.reference import REFERENCE, settings

from semanifold.core.errors import SemanifoldError
from semanifold.generators.loading import load_generator
from semanifold.training.draws import prior_codes, usual_distance
from semanifold.training.experiments import open_experiment, preset_of
from semanifold.training.presets import PRESETS, Preset, find_preset
from semanifold.training.reconstructor import KINDS, make_reconstructor, save_reconstructor
from semanifold.training.records import read_stats, stats_text, write_command
from semanifold.training.settings import Prior, TrainingSettings
from semanifold.training.step import STATS

VARIANTS = settings("reconstructor")["variants"]


def sets(k: int, vectors: int, size: int) -> dict[str, torch.Tensor]:
    support = torch.randn(k, vectors * size, generator=torch.Generator().manual_seed(k))
    return {"SUPPORT_SETS": support, "ALPHAS": torch.ones(k, vectors), "LOGGAMMA": torch.zeros(k, 1)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished experiment with an older snapshot beside it."""
    (tmp_path / "models").mkdir()
    (tmp_path / "args.json").write_text(json.dumps({"shift_in_w_space": True, "gan_type": "StyleGAN2", "learn_gammas": True}))
    (tmp_path / "stats.json").write_text(json.dumps({"10": {"accuracy": 0.5}, "20": {"accuracy": 0.6}}))
    torch.save(sets(4, 6, 5), tmp_path / "models" / "support_sets.pt")
    save_reconstructor(make_reconstructor("resnet", 4, 3, seed=2), tmp_path / "models" / "reconstructor.pt")
    return tmp_path


def test_a_finished_experiment(folder: Path) -> None:
    found = open_experiment(folder)
    assert (len(found.paths), found.paths.info.space, found.iteration) == (4, "w", 20)
    assert found.reconstructor is not None
    assert (found.reconstructor.kind, found.reconstructor.channels) == ("resnet", 3)
    assert found.arguments["gan_type"] == "StyleGAN2"
    assert found.remarks == ()


def test_a_snapshot_of_checkpoint2model(folder: Path) -> None:
    models = folder / "models"
    for part in ("support_sets", "reconstructor"):
        (models / f"{part}.pt").unlink()
    for number, k in ((9000, 2), (10000, 3)):
        torch.save(sets(k, 6, 5), models / f"support_sets-{number}.pt")
        save_reconstructor(make_reconstructor("lenet", k, 3), models / f"reconstructor-{number}.pt")
    found = open_experiment(folder)
    assert len(found.paths) == 3, "100000 does not stand before 20000"
    assert found.reconstructor is not None
    assert found.reconstructor.paths == 3


def test_damage_is_named(folder: Path) -> None:
    (folder / "stats.json").write_text("{")
    assert "stats.json is damaged" in open_experiment(folder).remarks[0]
    (folder / "args.json").write_text("{")
    with pytest.raises(SemanifoldError, match=r"args\.json"):
        open_experiment(folder)
    with pytest.raises(SemanifoldError, match="no experiment"):
        open_experiment(folder / "nowhere")
    (folder / "args.json").unlink()
    with pytest.raises(SemanifoldError, match="space"):
        open_experiment(folder)
    assert open_experiment(folder, space="w").paths.info.space == "w"


def test_a_checkpoint_that_runs_code_is_not_run(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "run",))

    (tmp_path / "checkpoint.pt").write_bytes(pickle.dumps({"iter": 1, "support_sets": Bad()}))
    with pytest.raises(SemanifoldError):
        open_experiment(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("variant", [key for key, facts in VARIANTS.items() if facts["weights"] == "file"])
def test_the_published_reconstructor_is_found_in_its_folder(variant: str, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    published = REFERENCE / "reconstructor" / variant / "models" / "reconstructor.pt"
    (tmp_path / "models" / "reconstructor.pt").write_bytes(published.read_bytes())
    torch.save(sets(7, 2, 3), tmp_path / "models" / "support_sets.pt")
    found = open_experiment(tmp_path, space="z").reconstructor
    assert found is not None
    state = torch.load(published, weights_only=True)
    assert all(torch.equal(value, state[key]) for key, value in found.state_dict().items())


# ------------------------------------------------------------------------------------------------- settings


def test_args_json_becomes_settings() -> None:
    said = {"min_shift_magnitude": 0.1, "max_shift_magnitude": 0.2, "reconstructor_type": "ResNet", "batch_size": 12}
    said |= {"max_iter": 150000, "z_truncation": 0.7, "biggan_target_classes": [3, 9], "ckp_freq": None, "cuda": True}
    made = preset_of(said, Preset("anything", training=TrainingSettings(batch=5, save_every=77)))
    how = made.training
    assert (how.min_magnitude, how.max_magnitude, how.batch, how.iterations, how.save_every) == (0.1, 0.2, 12, 150000, 77)
    assert (made.network.reconstructor, how.prior.z_truncation, how.prior.classes) == ("ResNet", 0.7, (3, 9))
    assert preset_of({"z_truncation": 1.0}, Preset("anything")).training.prior.z_truncation is None
    for wrong in ({"batch_size": "many"}, {"reconstructor_type": 3}, {"max_iter": True}, {"biggan_target_classes": 239}):
        with pytest.raises(SemanifoldError, match="makes no sense"):
            preset_of(wrong, Preset("anything"))


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_makes_sense(name: str) -> None:
    preset = find_preset(name)
    assert preset.network.reconstructor in KINDS
    assert preset.training.share(1) == preset.training.batch


def test_the_published_presets_have_the_published_numbers() -> None:
    table = {
        "mnist": (64, 128, 0.15, 0.25, "lenet", 128, 120_000),
        "animefaces": (64, 128, 0.25, 0.35, "lenet", 128, 120_000),
        "biggan": (120, 256, 0.1, 0.2, "resnet", 32, 150_000),
        "proggan": (200, 512, 0.1, 0.2, "resnet", 8, 150_000),
        "stylegan2": (200, 512, 0.1, 0.2, "resnet", 12, 150_000),
    }
    for name, expected in table.items():
        p = PRESETS[name]
        how, judge = p.training, p.network.reconstructor
        assert (p.k, p.dipoles, how.min_magnitude, how.max_magnitude, judge, how.batch, how.iterations) == expected
        assert (p.init, how.paths_lr, how.reconstructor_lr, how.decay) == ("reference", 1e-4, 1e-4, 0.0)
    assert PRESETS["biggan"].training.prior.classes == (239,)
    assert (PRESETS["stylegan2"].space, PRESETS["stylegan2"].training.prior.z_truncation) == ("w", 0.7)
    for name, expected in {"navigan-svd": (300.0, 3500.0, 0.0025), "navigan-hessian": (15.0, 60.0, 0.25)}.items():
        p, how, network = PRESETS[name], PRESETS[name].training, PRESETS[name].network
        assert (how.min_magnitude, how.max_magnitude, how.lambda_reg) == expected
        assert (p.k, p.layer, p.norms, network.reconstructor, network.reconstructor_size) == (64, "convs.4", True, "resnet", 256)
        assert (how.batch, how.iterations, how.paths_lr, how.reconstructor_lr, how.decay) == (32, 100_000, 1e-4, 1e-4, 0.0)


def test_steps_of_the_faces_preset_can_be_seen() -> None:
    """A step is a tenth or more of the usual distance of two codes, and the pictures differ by more than a grey level."""
    faces, preset = load_generator("faces"), PRESETS["faces"].training
    assert preset.min_magnitude > 0.1 * usual_distance(faces, Prior("w"))
    codes = prior_codes(Prior("w"), faces, 8, torch.Generator().manual_seed(1))
    ways = torch.randn(8, 128, generator=torch.Generator().manual_seed(2))
    moved = codes.with_values(codes.values + preset.min_magnitude * ways / ways.norm(dim=1, keepdim=True))
    with torch.no_grad():
        change = (faces.images(moved) - faces.images(codes)).square().mean().sqrt()
    assert float(change) > 2 / 255


# ------------------------------------------------------------------------------------------------- records


def test_stats_are_written_and_read(tmp_path: Path) -> None:
    history = torch.tensor([[10.0, 0.5, 1.0, 0.3, 0.2, 1.1], [20.0, 0.6, 0.9, 0.2, 0.1, 1.0]], dtype=torch.float64)
    file = tmp_path / "stats.json"
    file.write_text(stats_text(history, masked=True))
    assert read_stats(file)[20] == dict(zip(STATS, history[1, 1:].tolist()))
    file.write_text(stats_text(history, masked=False))
    assert set(read_stats(file)[10]) == set(STATS) - {"mask_loss"}
    assert read_stats(file)[10]["total_loss"] == 1.1
    hostile = (
        "[" * 100_000,
        '{"-1": {}}',
        '{"1e400": {}}',
        '{"10": {"accuracy": "x"}}',
        '{"10": {"accuracy": 1' + "0" * 400 + "}}",
    )
    for damage in ("{", "[1]", '{"10": 3}', '{"ten": {}}', *hostile):
        file.write_text(damage)
        with pytest.raises(SemanifoldError, match=r"stats\.json is (damaged|nested)"):
            read_stats(file)


def test_words_are_quoted_for_the_shell(tmp_path: Path) -> None:
    words = ["semanifold", "train", "--out", "a folder; rm -rf $HOME", "--mask", "mouth|nose"]
    write_command(tmp_path / "command.sh", words)
    first, second = (tmp_path / "command.sh").read_text().splitlines()
    assert first.startswith("#!")
    assert shlex.split(second) == words
