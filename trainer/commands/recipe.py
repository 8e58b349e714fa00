"""`soundclr-train recipe`"""

from __future__ import annotations

import argparse
import json

from trainer.commands.options import Commands
from trainer.recipe import recipe_to_mapping
from trainer.recipes import DEFAULT_RECIPE, RECIPES, find_recipe, list_differences


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    recipe = commands.add_parser(
        "recipe", help="print a named recipe with every field that --set changes, or how it differs from another"
    )
    recipe.add_argument(
        "name", nargs="?", default=DEFAULT_RECIPE, help="%s (default: %%(default)s)" % ", ".join(RECIPES)
    )
    recipe.add_argument("--against", default="", metavar="NAME", help="print the fields that differ, alone")
    recipe.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    recipe = find_recipe(arguments.name)
    if arguments.against:
        print(json.dumps(list_differences(recipe, find_recipe(arguments.against)), indent=1))
    else:
        print(json.dumps(recipe_to_mapping(recipe), indent=1))
    return 0
