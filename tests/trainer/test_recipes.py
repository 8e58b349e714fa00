"""Named recipes: what they say, how the command line changes them, and that each of them trains."""

import json
import math
from argparse import ArgumentParser

import numpy as np
import pytest
import torch

from engines.frontend import frontend_spec_from_mapping
from tests.trainer.test_fit import BACKBONE, in_silence, tiny_fit
from tests.trainer.test_fit import root as root  # a fixture
from trainer.cli import main
from trainer.commands.run_options import add_recipe, build_recipe
from trainer.errors import TrainerError
from trainer.model import create_network
from trainer.parallel import ALONE
from trainer.recipe import Recipe, recipe_from_json, recipe_to_mapping
from trainer.recipes import RECIPES, change_recipe, find_recipe, fix_reference, list_differences, read_settings
from trainer.stages import compute_losses, create_optimiser, plan_stages


def options(*given):
    parser = ArgumentParser()
    add_recipe(parser)
    return parser.parse_args(given)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_checkpoint_and_its_front_end_is_one_that_a_node_computes(name):
    recipe = find_recipe(name)
    assert recipe.name == name
    assert recipe_from_json(json.dumps(recipe_to_mapping(recipe))) == recipe
    frontend_spec_from_mapping(recipe.frontend._asdict())
    assert not list_differences(recipe, RECIPES[name])


def test_the_papers_recipe_has_its_published_numbers():
    paper = find_recipe("soundclr")
    assert (paper.backbone, paper.in_channels, paper.batch, paper.alpha, paper.temperature) == (
        "resnet50",
        3,
        128,
        0.5,
        0.05,
    )
    assert (paper.learning_rate, find_recipe("soundclr-esc").learning_rate) == (1e-4, 5e-4)
    assert (paper.frontend.n_mels, paper.frontend.sample_rate_hz, paper.frontend.hop_length) == (128, 44100, 512)
    assert paper.frontend.window_s == pytest.approx(4.0, abs=0.02)
    assert find_recipe("soundclr-esc").frontend.window_s == pytest.approx(5.0, abs=0.02)
    augmentation = paper.augmentation
    assert (augmentation.scale_max, augmentation.frequency_masks, augmentation.time_masks) == (1.25, 2, 1)
    assert augmentation.frequency_mask_bands == augmentation.time_mask_frames == 32
    assert augmentation.mask_fill == "loudest" and not augmentation.roll and augmentation.mix_p == 0


def test_without_options_the_recipe_is_the_tables_and_each_option_changes_its_field():
    assert build_recipe(options(), seed=3) == RECIPES["street-2"]._replace(seed=3)
    assert build_recipe(options("--recipe", "trial"), seed=0) == RECIPES["trial"]
    changed = build_recipe(
        options("--recipe", "soundclr", "--epochs", "7", "--backbone", BACKBONE, "--set", "augmentation.mix_p=0.25",
                "--set", "augmentation.gain_db=[-12, 0]", "--set", "schedule=cosine", "--from-chance", "--compile"),
        seed=0,
    )  # fmt: skip
    assert changed.name == "soundclr"
    assert list_differences(changed, RECIPES["soundclr"]) == {
        "epochs": 7, "backbone": BACKBONE, "augmentation.mix_p": 0.25, "augmentation.gain_db": (-12, 0),
        "schedule": "cosine", "pretrained": False, "compile": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "setting, complaint",
    [("epoch=3", "near it: epochs"), ("epochs", "NAME=VALUE"), ("epochs=many", "a value like 20"),
     ("augmentation.place=left", "random or centre"), ("augmentation.gain_db=[1]", "value like"),
     ("augmentation.roll=1", "value like true"), ("seed=1", "no recipe has a field"),
     ("draw=twice", "balanced or pass")],
)  # fmt: skip
def test_a_setting_that_is_none_is_refused(setting, complaint):
    with pytest.raises(TrainerError, match=complaint):
        change_recipe(Recipe(), read_settings([setting]))


def test_a_fixed_reference_lets_levels_count():
    from trainer.frontend import LogMel

    sound = torch.randn(1, Recipe().frontend.window_samples, generator=torch.Generator().manual_seed(0)) * 0.1
    moving, fixed = LogMel(Recipe().frontend), LogMel(fix_reference(Recipe()).frontend)
    torch.testing.assert_close(moving(sound), moving(0.1 * sound), atol=1e-4, rtol=0)
    lower = fixed(sound) - fixed(0.1 * sound)
    torch.testing.assert_close(lower, torch.full_like(lower, 20 * fixed.spec.scale), atol=1e-4, rtol=0)
    full_scale = torch.sin(2 * math.pi * 1000 / 22050 * torch.arange(fixed.spec.window_samples))[None]
    assert fixed(full_scale).max() <= 1.05 and fixed(torch.zeros_like(sound)).max() == -1.0


@pytest.mark.parametrize("name", ["soundclr", "trial"])
def test_the_other_recipes_train_on_a_small_network(root, name):
    recipe = find_recipe(name)
    recipe = recipe._replace(
        backbone=BACKBONE, epochs=2, batch=3, frontend=recipe.frontend._replace(window_frames=40)
    )  # fmt: skip
    fit = tiny_fit(root, recipe, with_foreign=False)
    network = fit.run(in_silence)
    assert fit.source.steps == 2 and all(math.isfinite(means["loss"]) for means in fit.history)
    assert isinstance(network.projection, torch.nn.Linear) and len(network.projection.weight) == 64
    assert network.logit_scale == recipe.logit_scale  # fixed
    for slow, fast in zip(network.state_dict().values(), fit.model.state_dict().values(), strict=True):
        assert torch.equal(slow, fast)  # no average: the last step's weights


def test_the_trials_network_and_loss_are_what_they_are_said_to_be():
    recipe = find_recipe("trial")._replace(backbone=BACKBONE)
    torch.manual_seed(0)
    model = create_network(recipe, 3, foreign=False).eval()
    pictures, labels = torch.randn(6, 1, 64, 64), torch.tensor([0, 0, 1, 1, 2, 0])
    loss, _ = compute_losses(
        model(pictures), torch.eye(3)[labels], labels, plan_stages(recipe)[0], recipe, group=ALONE, length=6
    )
    unit = torch.nn.functional.normalize(model.backbone(pictures), dim=1)
    z = torch.nn.functional.normalize(model.projection(unit), dim=1)
    contrastive = []
    for i in (0, 1, 2, 3, 5):  # the fifth clip has no positive
        others = [j for j in range(6) if j != i]
        log_sum = torch.logsumexp((z[others] @ z[i]) / 0.05, dim=0)
        contrastive += [torch.stack([log_sum - z[i] @ z[j] / 0.05 for j in others if labels[j] == labels[i]]).mean()]
    cross_entropy = torch.nn.functional.cross_entropy(model.classifier(16 * unit), labels)
    torch.testing.assert_close(loss, 0.5 * torch.stack(contrastive).mean() + 0.5 * cross_entropy)
    assert (model.feature_dropout.p, model.dropout.p, model.projection.out_features) == (0.2, 0.0, 64)


def rates(schedule, steps=10, epochs=10, **changes):
    recipe = Recipe(backbone=BACKBONE, schedule=schedule, epochs=epochs, learning_rate=1.0, **changes)
    model = create_network(recipe, 3, foreign=False)
    optimiser, scheduler = create_optimiser(model, plan_stages(recipe)[0], recipe, steps)
    taken = []
    for _ in range(steps * epochs):
        taken.append((scheduler.get_last_lr()[0], optimiser.param_groups[0]["betas"][0]))
        optimiser.step()
        scheduler.step()
    return np.array(taken)


def test_schedules_rise_and_fall_as_named():
    cosine, one_cycle = rates("cosine", warm_up=0.2), rates("one_cycle", warm_up=0.2)
    assert cosine[:, 0].argmax() in (19, 20) and cosine[-1, 0] < 0.001 and set(cosine[:, 1]) == {0.9}
    assert one_cycle[:, 0].argmax() in (19, 20) and one_cycle[0, 0] == pytest.approx(1 / 25)
    assert one_cycle[:, 1].min() == pytest.approx(0.85, abs=0.01) and one_cycle[-1, 1] == pytest.approx(0.95, abs=0.01)
    exponential = rates("exponential", warm_up=0.1, lr_decay=0.5)[:, 0]
    assert exponential[9] == 1.0 and exponential[20] == pytest.approx(0.5) and exponential[40] == pytest.approx(0.125)
    with pytest.raises(TrainerError, match="expected cosine"):
        rates("steps")


def test_decay_reaches_biases_only_where_the_recipe_says_so():
    for decay_all, groups in ((False, 2), (True, 1)):
        recipe = Recipe(backbone=BACKBONE, decay_all=decay_all)
        model = create_network(recipe, 3, foreign=False)
        optimiser, _ = create_optimiser(model, plan_stages(recipe)[0], recipe, 5)
        assert len(optimiser.param_groups) == groups


def test_recipes_are_printed_and_compared(capsys):
    assert main(["recipe", "trial"]) == 0
    assert recipe_from_json(capsys.readouterr().out) == RECIPES["trial"]
    assert main(["recipe", "soundclr-esc", "--against", "soundclr"]) == 0
    assert json.loads(capsys.readouterr().out) == {"learning_rate": 5e-4, "frontend.window_frames": 429}
    assert main(["recipe", "nobodys"]) == 2
