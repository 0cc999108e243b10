"""What ``semanifold train`` does: from a generator to K paths that were learned without a label."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from semanifold.app.actions import train_arguments as making
from semanifold.app.actions.base import existing, facts_of, load, read_mask, worked
from semanifold.app.actions.directions import SHEET, draw
from semanifold.app.answers import Answer, Caller, already, typed
from semanifold.app.commands.arguments import to_arguments
from semanifold.app.commands.train import GROWING, Train, chosen_preset, kind_of
from semanifold.core.errors import SemanifoldError, counted
from semanifold.core.plain import JsonObject
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.images.masks import Mask
from semanifold.paths.base import PathSet
from semanifold.paths.bending import bending_of
from semanifold.paths.closed_form import directions_before
from semanifold.paths.files import PATHS, save_paths
from semanifold.paths.foreign import save_support_sets
from semanifold.paths.kinds import kind_named
from semanifold.storage.digests import digest
from semanifold.storage.readings import silent
from semanifold.storage.records import write_json
from semanifold.storage.runs import Run, earlier_run
from semanifold.training import records
from semanifold.training.experiments import RECONSTRUCTOR, open_experiment, preset_of
from semanifold.training.presets import Preset
from semanifold.training.purity import Purity, check_purity, purity_of
from semanifold.training.reconstructor import Reconstructor, check_fits, make_reconstructor, save_reconstructor
from semanifold.training.settings import ReportSettings, TrainingSettings, published_values, with_options
from semanifold.training.trainer import check_learnable, end_together, held_out_scores, make_accelerator, train_paths

if TYPE_CHECKING:
    from accelerate import Accelerator

METRICS = "metrics.json"
BENT, BEND_CODES = 4_000_000, 16
"""Codes that the bending of paths is measured at: the first seed, how many."""
SUPPORT_SETS, FIRST_SETS = "support_sets.pt", "support_sets_init.pt"
DIRECTIONS = "directions_init.safetensors"


def train(command: Train, caller: Caller) -> Answer:
    """Train, test, write everything."""
    preset = chosen_preset(command)
    accelerator = make_accelerator(command.model.device)
    alone, main = accelerator.num_processes == 1, accelerator.is_main_process
    caller = caller if main else replace(caller, remark=silent)
    if alone:
        generator = load(command.model, caller)
    else:
        device, model = accelerator.device, command.model
        generator = load_generator(model.generator, device=device, inputs=model.inputs, say=caller.remark)
    folder = command.folder
    resumed = (
        main
        and earlier_run(folder, "train", to_arguments(command), overwrite=command.output.overwrite, growing=GROWING) is not None
    )
    work = prepare(command, generator, preset, folder if resumed else None, caller)
    work.settings.share(accelerator.num_processes)

    def do(run: Run | None) -> Answer:
        shared(accelerator, finished=False)
        return work.do(folder, run, accelerator, caller)

    if main:
        answer = worked(command, caller, "train", folder, work.facts, do, inputs=command.inputs, growing=GROWING)
        if not answer.fresh:
            shared(accelerator, finished=True)
            words = "overwrite=True does it again, and more iterations= make it longer."
            answer = already(folder, answer.said[1:], words)
        if not answer.interrupted:
            files = existing(folder, SHEET, PATHS, METRICS, records.BOARD)  # what to open first
            answer = replace(answer, files=files, next=typed(*command.then))
    else:
        answer = Answer() if shared(accelerator) else work.do(folder, None, accelerator, caller)
    end_together(accelerator)
    return answer


def shared(accelerator: Accelerator, *, finished: bool = False) -> bool:
    """Return whether there is nothing to do, as the main process says it to the others."""
    if accelerator.num_processes == 1:
        return finished
    from accelerate.utils import broadcast_object_list  # noqa: PLC0415  (slow to import)

    return bool(broadcast_object_list([finished])[0])


def prepare(command: Train, generator: Generator, preset: Preset, resumed: Path | None, caller: Caller) -> Work:
    """Make everything that takes part, and check that it fits together; ``resumed`` is the folder of the same run."""
    arguments = vars(command.training)
    begin, history = 0, None
    paths: PathSet | None = None
    reconstructor: Reconstructor | None = None
    size = with_options(preset.network, arguments).reconstructor_size
    reports = with_options(ReportSettings(), arguments)
    facts = facts_of(generator)
    if command.start_from is None:
        space, k = making.place_of(command.kind, generator, preset)
    else:
        earlier = open_experiment(command.start_from, space=command.kind.space, reconstructor_size=size)
        paths, reconstructor, begin, history = earlier.paths, earlier.reconstructor, earlier.iteration, earlier.history
        wanted = command.training.reconstructor
        if reconstructor is not None and wanted not in (None, reconstructor.kind):
            raise SemanifoldError(
                f"The reconstructor of {command.start_from} is a {reconstructor.kind}; leave reconstructor={wanted} out."
            )
        if command.preset is None:
            preset = preset_of(earlier.arguments, preset)
        paths.check_generator(generator)
        paths = paths.with_info(generator=generator.name, fingerprint=generator.fingerprint).requires_grad_()
        space, k = paths.space(generator), len(paths)
        facts |= {"start": digest_of(paths), "begin": begin}
        for sentence in earlier.remarks:
            caller.remark(sentence)
    if reconstructor is None:
        network = with_options(preset.network, arguments)
        reconstructor = make_reconstructor(
            network.reconstructor,
            k,
            generator.picture_shape[0],
            size=network.reconstructor_size,
            seed=command.training.draw_seed,
            differences=network.differences,
        )
    check_fits(reconstructor, k, generator.picture_shape)
    mask, weight = mask_for(command, generator)
    along = paths is None and making.form_of(command.kind, preset) is not None
    in_weights = (paths or kind_named(kind_of(command.kind, preset))).moves_weights
    settings = making.settings_of(command.training, generator, preset, space, weight, along=along, in_weights=in_weights)
    if settings.lambda_pure:
        check_purity(generator, None if in_weights else space)
    if begin >= settings.iterations:
        raise SemanifoldError(f"{command.start_from} has done {begin} iterations already; give iterations= above that.")
    directions = None
    if paths is None:  # last, since directions may take a minute
        known = None if resumed is None else directions_before(resumed / records.MODELS / DIRECTIONS, generator)
        directions = known or making.directions_of(command.kind, generator, preset, caller)
        paths = making.make_paths(command.kind, generator, preset, settings.seed, directions, caller)
    check_learnable(generator, paths)
    purity = purity_for(settings, generator, paths, preset, caller)
    described = {"kind": paths.kind, **paths.options()}
    facts |= {"settings": asdict(settings), "set": described, "network": [reconstructor.kind, reconstructor.size]}
    start = command.start_from
    return Work(generator, paths, reconstructor, settings, reports, mask, begin, history, facts, start, directions, purity)


def mask_for(command: Train, generator: Generator) -> tuple[Mask | None, float]:
    """Return the mask that the paths shall keep to, and how much that counts."""
    if command.mask is None:
        return None, 0.0
    weight = 1.0 if command.lambda_mask is None else command.lambda_mask
    mask = read_mask(command.mask, generator, generator.sample([0], labels=first_label(generator)))
    return mask if weight else None, weight


def purity_for(settings: TrainingSettings, generator: Generator, paths: PathSet, preset: Preset, caller: Caller) -> Purity | None:
    """Return what the paths' purity is measured by, if it counts; this may take a minute."""
    if not settings.lambda_pure:
        return None
    with caller.watching(f"looking at how pictures of {generator.name} change") as line:
        return purity_of(generator, paths, samples=preset.init_codes, progress=line)


@dataclass(frozen=True, eq=False)
class Work:
    """Everything that takes part in one training, made and checked."""

    generator: Generator
    paths: PathSet
    reconstructor: Reconstructor
    settings: TrainingSettings
    reports: ReportSettings
    mask: Mask | None
    begin: int
    history: Tensor | None
    facts: JsonObject
    start_from: Path | None
    directions: PathSet | None
    purity: Purity | None

    def do(self, folder: Path, run: Run | None, accelerator: Accelerator, caller: Caller) -> Answer:
        """Train, test, write; ``run`` is None in all processes but the main one."""
        models = folder / records.MODELS
        bends = {"start": self.bends()} if run is not None else {}
        mixing = {} if self.purity is None else {"start": self.purity.of(self.paths)}
        keeper = self.begin_records(run, caller) if run is not None else None
        if self.purity is not None and not self.begin:
            caller.remark("Unmixing the paths before the training, so that each changes pictures in a way of its own ...")
            with caller.watching("unmixing the paths") as line:
                self.purity.unmix(self.paths, progress=line if run is not None else False)
        accelerator.wait_for_everyone()
        bar = caller.watching(f"training {counted(len(self.paths), 'path')} on {self.generator.name}")
        records_open, shown = (closing(keeper), bar) if keeper is not None else (nullcontext(), nullcontext())
        with records_open, shown as line, caller.stopping() as stop:
            done = train_paths(
                self.generator,
                self.paths,
                self.reconstructor,
                self.settings,
                mask=self.mask,
                purity=self.purity,
                folder=models,
                watch=keeper,
                progress=line or False,
                remark=caller.remark,
                stop=stop,
                begin=self.begin,
                history=self.history,
                accelerator=accelerator,
            )
        if run is None or keeper is None:
            return Answer(interrupted=done.interrupted)
        keeper.keep(done.history)
        self.write_weights(run)
        if done.interrupted:
            run.note(iteration=done.iteration)
            caller.remark(f"semanifold: interrupted after {done.iteration} iterations; the same command goes on from {folder}.")
            return Answer(interrupted=True)
        with caller.watching("testing on unseen draws") as test:
            parts = (self.generator, self.paths, self.reconstructor, self.settings)
            scores = held_out_scores(*parts, draws=self.reports.test_draws, progress=test)
        bends["end"] = self.bends()
        metrics = {"held_out": asdict(scores), "iterations": done.iteration, "bending": bends}
        if self.purity is not None:
            metrics["mixing"] = mixing | {"end": self.purity.of(self.paths)}
        write_json(run.path(METRICS), metrics, 2)
        said = [
            f"{counted(len(self.paths), 'path').capitalize()} on {self.generator.name}: of {scores.draws} unseen steps the "
            f"reconstructor names the path of {scores.accuracy:.1%} (by chance {scores.chance:.1%}); "
            f"mean error of the magnitude "
            f"{scores.magnitude_error:.3g} of {self.settings.min_magnitude:g} to {self.settings.max_magnitude:g}."
        ]
        start = self.generator.sample([0], labels=first_label(self.generator))
        start = self.generator.convert(start, self.paths.space(self.generator))
        words = draw(self.generator, self.paths, start, run.path(SHEET), caller)
        if named := [change for change in words.values() if change]:
            said.append(f"On the picture of seed 0, {len(named)} of them change something that can be named, as the sheet shows.")
        return Answer(said=tuple(said), facts={"held_out": asdict(scores), "iterations": done.iteration})

    def bends(self) -> dict[str, list[float]]:
        """Return how far each path of codes is from a straight line: all 1 for one that is the same everywhere."""
        bends = bending_of(self.paths, self.generator, range(BENT, BENT + BEND_CODES))
        return {name: [round(value, 4) for value in values.tolist()] for name, values in (asdict(bends) if bends else {}).items()}

    def begin_records(self, run: Run, caller: Caller) -> records.Records:
        """Write what is known before the training."""
        models = run.path(records.MODELS)
        models.mkdir(exist_ok=True)
        write_json(run.path(records.ARGS), records.published_arguments(self.published()), 2)
        records.write_command(run.path(records.COMMAND), run.record.command_line)
        for name in (records.STATISTICS, records.BOARD, PATHS):
            run.path(name)
        try:
            if (run.folder / records.STATISTICS).exists():
                records.read_stats(run.folder / records.STATISTICS)
        except SemanifoldError as error:
            caller.remark(f"{str(error).rstrip('.')}; it is written again from the checkpoint.")
        if not (models / FIRST_SETS).exists() and self.paths.support_sets():
            save_support_sets(self.paths, models / FIRST_SETS)
        if self.directions is not None:
            save_paths(self.directions, models / DIRECTIONS)
        if self.start_from is not None and not run.resumed:
            caller.remark(
                f"Going on from the weights of {self.start_from} at iteration {self.begin}; the optimisers begin afresh."
            )
        masked = self.mask is not None
        every = self.reports.pictures_every
        return records.Records(run.folder, self.generator, self.paths, masked=masked, pictures_every=every)

    def write_weights(self, run: Run) -> None:
        """Write the paths and the reconstructor."""
        models = run.folder / records.MODELS
        save_paths(self.paths, run.path(PATHS))
        save_reconstructor(self.reconstructor, models / RECONSTRUCTOR)
        if self.paths.support_sets():
            save_support_sets(self.paths, models / SUPPORT_SETS)

    def published(self) -> dict[str, object]:
        """Return what WarpedGANSpace's programs call the arguments."""
        values = published_values(self.settings) | self.paths.published_options()
        return values | {
            "gan_type": records.published_name(self.generator),
            "stylegan2_resolution": self.generator.picture_shape[1],
            "shift_in_w_space": self.paths.space(self.generator) != "z",
            "reconstructor_type": {"lenet": "LeNet", "resnet": "ResNet"}[self.reconstructor.kind],
            "tensorboard": True,
            "cuda": self.generator.device.type == "cuda",
        }


def first_label(generator: Generator) -> int | None:
    """Return a class for a picture that only shows where things are."""
    return 0 if generator.classes else None


def digest_of(paths: PathSet) -> str:
    """Return sixteen hexadecimal digits that name the weights of a set."""
    return digest(*chain.from_iterable(sorted(paths.state_dict().items())))
