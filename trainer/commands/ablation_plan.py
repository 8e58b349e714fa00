"""Which runs `soundclr-train ablate` has, each with its recipe and its configuration's hash."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, NamedTuple

from trainer.ablation.results import Cell
from trainer.ablation.rows import HEADLINE, HEADLINE_SEEDS, REFERENCE, ROWS, row_recipe
from trainer.ablation.runs import plan_cells
from trainer.commands.run_options import build_recipe, build_record, override_recipe
from trainer.crossval import describe_settings, digest_settings
from trainer.data.datasets import Dataset, read_dataset
from trainer.errors import TrainerError
from trainer.recipe import Recipe, recipe_to_mapping
from trainer.recipes import RECIPES, list_differences
from trainer.weights import digest_weights


class Plan(NamedTuple):
    """One run, ready to be done."""

    data: Dataset
    foreign: Dataset | None
    recipe: Recipe  # with the run's seed
    settings: dict[str, Any]

    @property
    def configuration(self) -> str:
        """Its hash."""
        return digest_settings(self.settings)


def plan_runs(arguments: argparse.Namespace) -> dict[Cell, Plan]:
    """All runs that the options ask for, in their order.

    Raises:
        TrainerError: no such row, fold or data, or options that no recipe comes of. A row of its own whose fields do
            not go together is refused when its turn comes: the others are made.
    """
    plans: dict[Cell, Plan] = {}
    foreign = read_dataset(arguments.foreign) if arguments.foreign else None
    for seed in arguments.seeds:
        build_recipe(arguments, seed=seed)  # refused now, not after the runs before it
    base = build_recipe(arguments, seed=0)
    for path in arguments.data:
        data = read_dataset(path)
        if data.name in {cell.data for cell in plans}:
            raise TrainerError(
                "--data %s is a second data set of the name %s, by which results are kept: rename its folder, or "
                "ablate it by itself with another --results" % (path, data.name)
            )
        other = None if foreign is None or foreign.name == data.name else foreign
        folds = [fold for fold in data.folds if not arguments.folds or fold in arguments.folds]
        if not folds:
            raise TrainerError("%s has no fold of %s; it has %s" % (data.name, arguments.folds, data.folds))
        roles = build_record(arguments, data, other, []).roles
        recipes = _row_recipes(arguments, base, data.name)
        seeds = {row: arguments.seeds or (HEADLINE_SEEDS if row in HEADLINE else (0,)) for row in recipes}
        for cell in plan_cells(data.name, seeds, folds):
            recipe = recipes[cell.row]
            taught = {"teachers": list(roles["teachers"]) if recipe.distil_weight else []}
            settings = describe_settings(data, other, recipe_to_mapping(recipe), {**roles, **taught})
            settings["weights"] = digest_weights(arguments.weights) if recipe.pretrained else None
            plans[cell] = Plan(data, other, recipe._replace(seed=cell.seed), json.loads(json.dumps(settings)))
    absent = sorted(set(arguments.folds) - {cell.fold for cell in plans})
    if absent and plans:  # some of several data sets may have fewer folds, but not all of them
        raise TrainerError("no data set has fold %s; leave it out of --folds" % ", ".join(map(str, absent)))
    return plans


def _row_recipes(arguments: argparse.Namespace, base: Recipe, data: str) -> dict[str, Recipe]:
    """A recipe for each row asked for; by default all that change something."""
    reference = base if arguments.teacher == [] else base._replace(distil_weight=0.0)
    every = [row.name for row in ROWS if arguments.teacher or not row.needs_teachers] + ["trial"]
    names = [arguments.reference or REFERENCE, *(arguments.rows or every)]
    recipes = {}
    for name in dict.fromkeys(names):
        recipe = row_recipe(name, reference)
        if name in RECIPES:
            recipe = override_recipe(recipe, arguments)._replace(distil_weight=recipe.distil_weight)
        elif name != REFERENCE and not list_differences(recipe, reference) and not arguments.rows:
            print("%s: row %s is the reference itself, left out" % (data, name), file=sys.stderr)
            continue
        recipes[name] = recipe
    return recipes
