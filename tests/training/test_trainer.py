"""The trainer: it learns, it resumes bit for bit, it keeps the previous good checkpoint, it tests on what it has not seen."""

import json
import os
import pkgutil
import signal
import socket
import threading
from pathlib import Path

import pytest
import torch
from support import forks
from support.small_training import curves, quick, straight, warped, world
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.images.masks import box
from semanifold.paths.base import PathSet, PathSetInfo
from semanifold.paths.linear import LinearPaths
from semanifold.storage.tensors import read_tensors, write_tensors
from semanifold.training.checkpoints import NEWEST, PREVIOUS, SavedTraining, load_checkpoint, save_checkpoint
from semanifold.training.reconstructor import Reconstructor, make_reconstructor
from semanifold.training.settings import TrainingSettings
from semanifold.training.state import TrainingReport
from semanifold.training.step import STATS
from semanifold.training.trainer import Trained, held_out_scores, train_paths, train_steps


def run(
    folder: Path | None = None, settings: TrainingSettings | None = None, paths: PathSet | None = None, **options: object
) -> tuple[Trained, dict[str, Tensor]]:
    """Train afresh, or go on in a folder; the end and all weights."""
    paths, network = paths or warped(), make_reconstructor("lenet", 4, 1, seed=1)
    done = train_paths(world(), paths, network, settings or quick(), folder=folder, **options)  # type: ignore[arg-type]
    return done, weights(paths, network)


def weights(paths: PathSet, network: Reconstructor) -> dict[str, Tensor]:
    return {f"{i}.{k}": v.clone() for i, part in enumerate((paths, network)) for k, v in part.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def whole() -> tuple[Trained, dict[str, Tensor]]:
    """Twelve iterations without a break."""
    return run()


# ------------------------------------------------------------------------------------------------- it learns


def test_paths_can_be_told_apart_after_training_and_not_before() -> None:
    generator, paths, network = world(), straight(), make_reconstructor("lenet", 4, 1, seed=1)
    far = {"min_magnitude": 1.0, "max_magnitude": 2.0}
    settings = quick(iterations=150, batch=32, paths_lr=1e-2, reconstructor_lr=1e-2, log_every=50, decay=0.3, **far)
    before = held_out_scores(generator, paths, network, settings, draws=256)
    reports: list[TrainingReport] = []
    done = train_paths(generator, paths, network, settings, watch=reports.append)
    after = held_out_scores(generator, paths, network, settings, draws=256)
    assert before.chance == 0.25
    assert before.accuracy < 0.5
    assert after.accuracy > 0.8
    assert after.magnitude_error < before.magnitude_error
    assert after.sign_accuracy > 0.8
    assert len(after.accuracy_of_path) == 4
    assert network.training, "the mode of the reconstructor is put back"
    assert [report.iteration for report in reports] == [50, 100, 150]
    assert reports[-1].stats["accuracy"] > reports[0].stats["accuracy"]
    assert done.history[:, 0].tolist() == [50, 100, 150]
    assert done.history[-1, 1:].tolist() == pytest.approx([reports[-1].stats[name] for name in STATS])


def test_held_out_draws_do_not_depend_on_what_went_before() -> None:
    generator, paths, network = world(), warped(), make_reconstructor("lenet", 4, 1, seed=1)
    one = held_out_scores(generator, paths, network, quick(), draws=40)
    torch.randn(3)
    assert held_out_scores(generator, paths, network, quick(), draws=40) == one
    assert one.draws == 40
    assert held_out_scores(generator, paths, network, quick(seed=1), draws=40) != one


def test_a_set_without_parameters_is_measured_only() -> None:
    paths = LinearPaths("id", 4, (4,), PathSetInfo())
    before = {k: v.clone() for k, v in paths.state_dict().items()}
    done, _ = run(paths=paths)
    assert done.iteration == 12
    assert same(before, paths.state_dict())


def test_the_generator_and_the_global_random_state_are_left_alone() -> None:
    generator, paths, network = world(), warped(), make_reconstructor("lenet", 4, 1, seed=1)
    before = torch.get_rng_state()
    fingerprint = generator.fingerprint
    train_paths(generator, paths, network, quick(iterations=2))
    assert torch.equal(torch.get_rng_state(), before)
    assert generator.fingerprint == fingerprint


def test_a_batch_may_be_worked_through_in_parts() -> None:
    """Batch normalisation looks at each part by itself, so the curves agree roughly; the draws are the same."""
    one, two = (run(settings=quick(iterations=4, batch=64, accumulate=parts))[0].history for parts in (1, 2))
    assert one.shape == two.shape == (2, 6)
    assert (one[:, 2] - two[:, 2]).abs().max() < 0.1
    assert not torch.equal(one, two)


def test_bf16_stays_close(whole) -> None:
    done, held = run(settings=quick(precision="bf16"))
    assert all(value.dtype == torch.float32 for value in held.values() if value.is_floating_point())
    assert (done.history[:, 1:] - whole[0].history[:, 1:]).abs().max() < 0.3
    assert not torch.equal(done.history, whole[0].history)


def test_the_mask_term_is_reported() -> None:
    done, _ = run(settings=quick(lambda_mask=0.5), mask=box(0, 0, 1, 0.5))
    assert (done.history[:, 4] > 0).all()
    parts = done.history[:, 2] + 0.25 * done.history[:, 3] + 0.5 * done.history[:, 4]
    assert torch.allclose(parts, done.history[:, 5], atol=1e-5)


# ------------------------------------------------------------------------------------------------- checkpoints


class CutError(Exception):
    pass


def cut(at: int):
    """Break a training off in the middle of things, as a crash does."""

    def watch(report: TrainingReport) -> None:
        if report.iteration == at:
            raise CutError

    return watch


@pytest.mark.parametrize("at", [2, 6, 8, 12])
def test_a_training_that_broke_off_goes_on_bit_for_bit(whole, at: int, tmp_path: Path) -> None:
    with pytest.raises(CutError):
        run(tmp_path, watch=cut(at))
    done, held = run(tmp_path)
    assert same(held, whole[1])
    assert torch.equal(done.history, whole[0].history)
    assert [p.name for p in tmp_path.iterdir()] == [NEWEST]


def test_a_finished_training_can_be_made_longer(tmp_path: Path) -> None:
    longer = run(settings=quick(iterations=17))
    run(tmp_path)
    done, held = run(tmp_path, settings=quick(iterations=17, save_every=3))
    assert done.iteration == 17
    assert same(held, longer[1])


def test_ctrl_c_ends_after_the_iteration_with_a_checkpoint(whole, tmp_path: Path) -> None:
    def watch(report: TrainingReport) -> None:
        if report.iteration == 8:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    done, _ = run(tmp_path, watch=watch)
    assert done.interrupted
    assert done.iteration == 8
    assert signal.getsignal(signal.SIGINT) is before
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.iteration == 8
    done, held = run(tmp_path)
    assert not done.interrupted
    assert same(held, whole[1])


STATE = "semanifold.training.state."


@pytest.mark.parametrize(
    ("name", "call", "left"),
    [
        (STATE + "run_step", 7, 6),
        ("accelerate.Accelerator.backward", 7, 6),
        (STATE + "TrainingState._mean_sums", 4, 6),  # in a report
        (STATE + "TrainingState._mean_sums", 8, 12),  # in the last one
    ],
)
def test_ctrl_c_loses_the_running_iteration_only(whole, name: str, call: int, left: int, tmp_path: Path, monkeypatch) -> None:
    """It is as if the iteration had not begun, or its report had not; going on gives the bits of a training without a break."""
    calls = []
    owner, _, attribute = name.rpartition(".")
    before = getattr(pkgutil.resolve_name(owner), attribute)

    def interrupting(*args, **options):
        calls.append(1)
        if len(calls) == call:
            before(*args, **options)
            raise KeyboardInterrupt
        return before(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(name, interrupting)
        done, _ = run(tmp_path)
    assert done.interrupted
    assert done.iteration == left
    held = load_checkpoint(tmp_path)
    assert held is not None
    assert held.iteration == done.iteration
    done, now = run(tmp_path)
    assert same(now, whole[1])
    assert torch.equal(done.history, whole[0].history)


def test_ctrl_c_in_the_update_keeps_the_checkpoint_before(whole, tmp_path: Path, monkeypatch) -> None:
    """The weights are between two states then, which must not be saved."""
    before, calls = torch.optim.Adam.step, []

    def interrupting(self, *args, **options):
        calls.append(1)
        if len(calls) == 14:  # the second one of the seventh iteration
            raise KeyboardInterrupt
        return before(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", interrupting)
        assert run(tmp_path)[0].interrupted
    held = load_checkpoint(tmp_path)
    assert held is not None
    assert held.iteration == 5
    assert same(run(tmp_path)[1], whole[1])


def test_a_training_can_be_asked_to_stop_and_takes_no_signals(whole, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: pytest.fail("the handlers of signals are the program's"))
    said: list[dict] = []
    done, _ = run(tmp_path, progress=said.append, stop=lambda: said[-1]["step"] == 7)
    assert (done.iteration, done.interrupted) == (7, True)
    assert [now["step"] for now in said] == list(range(8))
    assert same(run(tmp_path)[1], whole[1])


def test_a_training_can_be_stepped_and_left(whole, tmp_path: Path) -> None:
    paths, network = warped(), make_reconstructor("lenet", 4, 1, seed=1)
    steps = train_steps(world(), paths, network, quick(), folder=tmp_path)
    passed = [next(steps) for _ in range(7)]
    assert [now.step for now in passed if now.log is not None] == [2, 4, 6]
    now = passed[-1]
    now.save()
    assert (now.ended().iteration, now.ended().interrupted, now.steps) == (6, True, 12)
    done, held = run(tmp_path)
    assert same(held, whole[1])
    assert torch.equal(done.history, whole[0].history)
    every = list(train_steps(world(), warped(), make_reconstructor("lenet", 4, 1, seed=1), quick()))
    assert [now.step for now in every] == list(range(13))
    assert not every[-1].ended().interrupted


def test_training_in_a_thread_gives_the_same_bits() -> None:
    """On one core: how torch splits a sum among several decides its last bits, and a thread of its own may get others."""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    results: list[tuple[Trained, dict[str, Tensor]]] = []
    try:
        results.append(run())
        thread = threading.Thread(target=lambda: results.append(run()))
        thread.start()
        thread.join()
    finally:
        torch.set_num_threads(cores)
    (expected, there), (trained, here) = results
    assert (trained.iteration, trained.interrupted) == (expected.iteration, False)
    assert same(here, there)


@pytest.mark.parametrize("harm", ["cut short", "changed", "empty", "text"])
def test_a_damaged_checkpoint_is_named_and_the_previous_one_used(whole, harm: str, tmp_path: Path) -> None:
    with pytest.raises(CutError):
        run(tmp_path, watch=cut(12))
    file = tmp_path / NEWEST
    assert (tmp_path / PREVIOUS).exists()
    data = bytearray(file.read_bytes())
    data[-50] ^= 1
    file.write_bytes({"cut short": data[:5000], "changed": data, "empty": b"", "text": b"hello"}[harm])
    remarks: list[str] = []
    _, held = run(tmp_path, remark=remarks.append)
    assert len(remarks) == 1
    assert f"{file} is damaged" in remarks[0]
    assert "iteration 5" in remarks[0]
    assert same(held, whole[1])


def test_two_damaged_checkpoints_are_an_error(tmp_path: Path) -> None:
    for name in (NEWEST, PREVIOUS):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(SemanifoldError, match=rf"{NEWEST} is damaged .* and .*{PREVIOUS} is damaged .*begin anew"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iteration": "12"}, "iteration"),
        ({"iteration": 10**400}, "iteration"),
        ({"crc32": None}, "crc32"),
        ({"crc32": 0}, "its bytes have changed"),
        ({"key": 3}, "key"),
        ({"format": []}, "no checkpoint of a training"),
    ],
)
def test_a_damaged_header_of_a_checkpoint_gives_one_sentence(tmp_path: Path, changes: dict, words: str) -> None:
    save_checkpoint(tmp_path, SavedTraining(12, {"a": torch.zeros(3)}), "key")
    found = load_checkpoint(tmp_path, "key")
    assert found is not None
    assert found.iteration == 12
    file = read_tensors(tmp_path / NEWEST)
    write_tensors(tmp_path / NEWEST, file.tensors, file.header | changes)
    with pytest.raises(SemanifoldError, match=words) as caught:
        load_checkpoint(tmp_path, "key")
    assert len(str(caught.value)) < 400
    (tmp_path / NEWEST).unlink()
    os.mkfifo(tmp_path / NEWEST)
    with pytest.raises(SemanifoldError, match="pipe"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "forge",
    [
        lambda tensors: tensors.clear(),
        lambda tensors: tensors.pop("sums"),
        lambda tensors: tensors.update(draw=torch.zeros(3, dtype=torch.uint8)),
        lambda tensors: tensors.update(draw=torch.full_like(tensors["draw"], 255)),
        lambda tensors: tensors.update(history=torch.zeros(3)),
        lambda tensors: tensors.update(history=torch.zeros(3, 5, dtype=torch.float64)),
        lambda tensors: tensors.update({key: torch.zeros(2, 2) for key in tensors if key.startswith("paths.")}),
        lambda tensors: tensors.update({key: torch.zeros(2, 2) for key in tensors if key.endswith("exp_avg")}),
        lambda tensors: tensors.update({key: tensors[key].double() for key in tensors if key.startswith("reconstructor.")}),
    ],
)
def test_a_forged_checkpoint_of_the_right_key_gives_one_sentence(tmp_path: Path, forge) -> None:
    run(tmp_path)
    file = read_tensors(tmp_path / NEWEST)
    forge(file.tensors)
    save_checkpoint(tmp_path, SavedTraining(5, file.tensors), file.header["key"])
    with pytest.raises(SemanifoldError, match=r"does not fit this training|damaged in its draws") as caught:
        run(tmp_path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("changes", [{"seed": 1}, {"batch": 8}, {"paths_lr": 1e-4}])
def test_a_checkpoint_of_another_training_is_refused(changes: dict, tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(SemanifoldError, match="another generator, paths or settings"):
        run(tmp_path, settings=quick(**changes))


# ------------------------------------------------------------------------------------------------- several processes

RANKS = """
import json, os, sys
from pathlib import Path
import accelerate, torch, torch._dynamo
from support.small_training import curves
from semanifold.training.trainer import end_together, make_accelerator
torch.set_num_threads(1)
other = os.fork()  # imports take longer than the training
os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if other else "1"
accelerator = make_accelerator("cpu")
found = curves(Path(sys.argv[1]), accelerator=accelerator)
if accelerator.is_main_process:
    print(json.dumps({"processes": accelerator.num_processes, "found": found}), flush=True)
end_together(accelerator)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) if other else 0)
"""


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    # what accelerate launch and torchrun tell each process
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    process = forks.start(RANKS, str(tmp_path / "two"), out=out, err=err, **common)
    one = curves(tmp_path / "one")
    assert forks.finish(process, seconds=300) == 0, err.read_text()[-2000:]
    answer = json.loads(out.read_text().strip().splitlines()[-1])
    assert answer["processes"] == 2
    for name, value in one.items():
        ours, theirs = torch.tensor(value), torch.tensor(answer["found"][name])
        if "curve" in name:
            assert ours.shape == (12, 6)
            assert (ours[0] - theirs[0]).abs().max() < 1e-6, "the first iteration differs by rounding only"
            assert (ours[:, 1] - theirs[:, 1]).abs().max() <= 1 / 16, "at most one answer flips"
            assert (ours[:, 2:] - theirs[:, 2:]).abs().max() < 1e-3
        else:
            assert (ours - theirs).abs().max() < 1e-3, name


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"paths": warped(5)}, "4 paths apart .* 5 paths"),
        ({"paths": LinearPaths("id", 4, (4,), PathSetInfo(space="w"))}, "space w"),
        ({"paths": LinearPaths("id", 4, (6,), PathSetInfo())}, r"\(6,\)"),
        ({"mask": box(0, 0, 1, 0.5)}, "belong together"),
        ({"settings": quick(lambda_mask=0.1)}, "belong together"),
        ({"settings": quick(batch=7, accumulate=2)}, "cannot be divided"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options: dict, says: str) -> None:
    with pytest.raises(SemanifoldError, match=says):
        run(**options)


def test_a_loss_that_explodes_is_an_error() -> None:
    paths = warped()
    with torch.no_grad():
        paths.support[0, 0, 0] = float("nan")
    with pytest.raises(SemanifoldError, match="NaN or infinite before iteration 2"):
        run(paths=paths)
