"""`soundclr-train ablate`"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import timm
import torch

from engines.whole_file import write_whole
from trainer.ablation.results import Cell, Result, Store, compact_answers, digest_code
from trainer.ablation.rows import HEADLINE, HEADLINE_SEEDS, REFERENCE, describe_row, list_rows
from trainer.ablation.runs import work_through
from trainer.ablation.table import build_table, write_markdown
from trainer.allocator import keep_freed_memory
from trainer.checkpoint import load_checkpoint
from trainer.commands.ablation_plan import Plan, plan_runs
from trainer.commands.evaluate import judge
from trainer.commands.fit import describe_progress, train
from trainer.commands.options import Commands, read_numbers
from trainer.commands.run_options import RUNS_LEFT, add_recipe, add_roles, build_record, narrow_teachers
from trainer.errors import TrainerError
from trainer.fit import CHECKPOINT_NAME
from trainer.hardware import check_workers
from trainer.places import check_folder
from trainer.recipe import Recipe
from trainer.recipes import ABLATED_RECIPE

TABLE_NAME = "table"
_MOST_JOBS = 256


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    ablate = commands.add_parser(
        "ablate",
        help="one table of what each ingredient gives: runs of many rows, folds and seeds, spread over time and "
        "machines",
        description="Trains and judges what --results does not hold yet, then writes table.md and table.json there (or "
        "table-against-ROW for another --reference). Killed at any time, or started several times at once, the same "
        "command goes on with what is left.",
        epilog="rows: %s" % ", ".join(list_rows()),
    )
    ablate.add_argument("--data", type=Path, action="append", default=[], help="data set; may be repeated")
    ablate.add_argument("--foreign", type=Path, default=None, help="sound that is none of a data set's classes")
    ablate.add_argument(
        "--rows", type=lambda text: text.split(","), default=[], metavar="ROW,ROW", help="(default: all ingredients)"
    )
    ablate.add_argument("--folds", type=read_numbers, default=[], metavar="1,2,3", help="(default: all)")
    ablate.add_argument(
        "--seeds",
        type=read_numbers,
        default=[],
        metavar="0,1,2",
        help="of every row (default: %s of %s, 0 of the others)"
        % (",".join(map(str, HEADLINE_SEEDS)), ", ".join(HEADLINE)),
    )
    ablate.add_argument(
        "--reference", default="", metavar="ROW", help="what is compared with (default: %s)" % REFERENCE
    )
    ablate.add_argument(
        "--results", type=Path, default=Path("trainer/results/ablation"), help="small files (default: %(default)s)"
    )
    ablate.add_argument("--out", type=Path, default=Path("runs/ablation"), help="checkpoints (default: %(default)s)")
    ablate.add_argument("--discard", action="store_true", help="remove a run's checkpoint once its result is written")
    ablate.add_argument("--jobs", type=int, default=1, help="processes, a run each at a time (default: %(default)s)")
    ablate.add_argument("--any-code", action="store_true", help="keep results of other code; the table says so")
    ablate.add_argument("--table-only", action="store_true", help="train nothing")
    ablate.add_argument("--json", action="store_true", help="print JSON instead of the table")
    add_roles(ablate)
    add_recipe(ablate)
    ablate.set_defaults(execute=execute, describe_left=describe_left, recipe=ABLATED_RECIPE)


def describe_left(_: argparse.Namespace) -> str:
    """What an interrupted ablation leaves behind.  A function by name: the other processes of --jobs get it too."""
    return RUNS_LEFT


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainerError("ablate trains each run in one process; give --jobs, or start it several times")
    if not 1 <= arguments.jobs <= _MOST_JOBS:
        raise TrainerError("--jobs %d; expected 1 to %d" % (arguments.jobs, _MOST_JOBS))
    if not arguments.data and not arguments.table_only:
        raise TrainerError("no data set; name one with --data, or make the table of what is there with --table-only")
    check_workers(arguments.workers)
    check_folder("--results", arguments.results)
    if not arguments.table_only:
        check_folder("--out", arguments.out)
    store = Store(arguments.results)
    reference = arguments.reference or REFERENCE
    describe_row(reference)
    failed: list[str] = []
    if not arguments.table_only:
        with _helpers(arguments) as helpers:
            failed = _work(arguments)
        failed += [helper.name for helper in helpers if helper.exitcode]
    table = build_table(store, reference)
    if not table["data"]:
        raise TrainerError(
            "%s holds no result yet; %s"
            % (arguments.results, "every run failed: the lines above say why" if failed else "leave out --table-only")
        )
    text = write_markdown(table)
    name = TABLE_NAME if reference == REFERENCE else "%s-against-%s" % (TABLE_NAME, reference)
    write_whole(arguments.results / (name + ".md"), text.encode())
    write_whole(arguments.results / (name + ".json"), (json.dumps(table, indent=1) + "\n").encode())
    print(json.dumps(table, indent=1) if arguments.json else text, end="")
    if failed:
        _tell("not in the table, for the reasons above: %s" % ", ".join(failed))
    return 1 if failed else 0


def _work(arguments: argparse.Namespace) -> list[str]:
    """What each process does: whatever run is free and not done.  Returns the runs that failed, told on stderr.

    One run whose loss is no number must not keep the others from being made.
    """
    plans, store = plan_runs(arguments), Store(arguments.results)
    for data in {id(plan.data): plan.data for plan in plans.values()}.values():
        store.write_clips(data, build_record(arguments, data, None, []).labels)
    parent, cells = os.getppid(), list(plans)
    digests = {teaching: digest_code(teaching=teaching) for teaching in (False, True)}
    code = {cell: digests[plan.recipe.distil_weight > 0] for cell, plan in plans.items()}

    failed: dict[Cell, str] = {}

    def is_done(cell: Cell) -> bool:
        return cell in failed or store.has(cell, plans[cell].configuration, code[cell], any_code=arguments.any_code)

    def do(cell: Cell, folder: Path) -> None:
        name = "%d/%d %s %s fold %d seed %d" % (cells.index(cell) + 1, len(cells), *cell)
        progress = _progress(name, plans[cell].recipe, parent)
        try:
            store.write(_run(cell, plans[cell], folder, arguments, store, code[cell], progress))
        except TrainerError as error:
            _tell("%s failed: %s" % (name, error))
            failed[cell] = name
            return
        if arguments.discard:
            (folder / CHECKPOINT_NAME).unlink()

    def folder_of(cell: Cell) -> Path:
        # its code too: a run that another version began would not be this one's
        place = "fold-%d-seed-%d-%s-%s" % (cell.fold, cell.seed, plans[cell].configuration[:8], code[cell][:8])
        return Path(arguments.out) / cell.data / cell.row / place

    elsewhere = work_through(cells, is_done, folder_of, do)
    if elsewhere and multiprocessing.parent_process() is None:
        _tell("%d runs are being made by other processes; the table lacks them" % elsewhere)
    return list(failed.values())


def _run(
    cell: Cell,
    plan: Plan,
    folder: Path,
    arguments: argparse.Namespace,
    store: Store,
    code: str,
    progress: Callable[[int, int, dict[str, float]], None],
) -> Result:
    own = argparse.Namespace(**{**vars(arguments), "teacher": arguments.teacher if plan.recipe.distil_weight else []})
    own.weights = arguments.weights if plan.recipe.pretrained else None
    if plan.foreign is None:  # a data set is not foreign to itself
        own.foreign_skip, own.foreign_hold_out, own.foreign_reserve = [], [], []
    own = narrow_teachers(own, plan.data, plan.foreign, [cell.fold])
    record = build_record(own, plan.data, plan.foreign, [cell.fold])
    train(record, plan.recipe, plan.data, plan.foreign, folder, own, progress=progress)
    predictions = judge(folder, plan.data, plan.foreign, device=own.device, progress=lambda done: None)
    predicted, probability = compact_answers(predictions, store.read_clips(cell.data), cell.fold)
    state = load_checkpoint(folder / CHECKPOINT_NAME)
    heard = [entry["test_accuracy"] for entry in state["history"] if "test_accuracy" in entry]
    return Result(
        cell,
        describe_row(cell.row),
        plan.configuration,
        code,
        plan.settings,
        {
            "torch": "torch %s" % torch.__version__,
            "timm": timm.__version__,
            "python": platform.python_version(),
            "device": _name_device(own.device),
            "backbone_from": str(state["origin"]),
        },
        predicted,
        probability,
        max(heard) if len(heard) == plan.recipe.total_epochs else None,
        plan.recipe.total_epochs,
        round(sum(entry["seconds"] for entry in state["log"]), 1),
    )


def _progress(name: str, recipe: Recipe, parent: int) -> Callable[[int, int, dict[str, float]], None]:
    """A line an epoch; and an end where the process that asked for this one is gone."""
    last: dict[str, float] = {}

    def show(epoch: int, step: int, means: dict[str, float]) -> None:
        if multiprocessing.parent_process() is not None and os.getppid() != parent:
            raise KeyboardInterrupt
        if step == 1:
            before = "; %s before" % describe_progress(epoch - 1, recipe, last) if last else ""
            _tell("%s: epoch %d/%d%s" % (name, epoch + 1, recipe.total_epochs, before))
        last.clear()
        last.update(means)

    return show


@contextmanager
def _helpers(arguments: argparse.Namespace) -> Iterator[list[BaseProcess]]:
    """The other processes of --jobs, ended with this one."""
    context = multiprocessing.get_context("spawn")  # never forked: torch has threads
    if arguments.jobs > 1 and not arguments.threads:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // arguments.jobs))
    helpers: list[BaseProcess] = [
        context.Process(target=_help, args=(arguments, torch.get_num_threads()), name="ablate-%d" % number)
        for number in range(1, arguments.jobs)
    ]
    for helper in helpers:
        helper.start()
    try:
        yield helpers
        for helper in helpers:
            helper.join()
    finally:
        for helper in helpers:
            helper.terminate()
            helper.join()


def _help(arguments: argparse.Namespace, threads: int) -> None:
    keep_freed_memory()
    torch.set_num_threads(threads)
    try:
        failed = _work(arguments)
    except TrainerError as error:
        _tell("soundclr-train: %s" % error)
        failed = [str(error)]
    except KeyboardInterrupt:
        failed = ["interrupted"]
    sys.exit(1 if failed else 0)


def _name_device(device: str) -> str:
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "cpu"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
