"""The recipes: each a complete params.yaml that can be copied and run."""

import sys
from pathlib import Path

import pytest
import torch
from conftest import HUB, ROOT, change_params, clone, environment, run
from ruamel.yaml import YAML

from refit import params
from refit.data.task_record import TaskRecord
from refit.download import task_registry
from refit.storage import files

RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
# All examples are downloaded and tokenized, few are trained on: all recipes take less than 15 minutes on two cores.
REDUCED = {"train_rows": 64, "eval_rows": 32, "test_rows": 32, "epochs": 1, "max_length": 64}
GLUE_TASKS = {"cola", "mnli", "mnli-mm", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli"}


def name_of(path: Path) -> str:
    """A recipe's path under recipes/."""
    return str(path.relative_to(ROOT / "recipes"))


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_a_recipe_is_a_complete_valid_params_file(recipe: Path) -> None:
    """Prevents a recipe that fails when it is used, and one that does not say what to expect."""
    for stage in params.STAGES.values():
        params.load(stage, recipe)
    assert set(YAML(typ="safe").load(recipe)) - {"search"} == params.names()
    task_registry.find(params.load(params.Download, recipe).task)
    head = recipe.read_text(encoding="utf-8").split("\n\n")[0]
    assert f"cp recipes/{name_of(recipe)} params.yaml && dvc repro" in head
    assert any(word in head for word in ("Expect ", "Published ", "The score "))


def test_the_default_is_a_recipe_too() -> None:
    """Prevents the way back to the default from leading elsewhere."""
    assert YAML(typ="safe").load(ROOT / "recipes/movie_stars.yaml") == YAML(typ="safe").load(ROOT / "params.yaml")


GLUE_SETTINGS = {"model": "distilbert/distilbert-base-uncased", "lr": 2e-5, "batch_size": 16, "epochs": 5,
                 "weight_decay": 0.01}  # fmt: skip
SETTINGS: dict[str, dict[str, object]] = {
    "yelp.yaml": {"train_rows": 1000, "eval_rows": 1000, "epochs": 3, "batch_size": 16, "test_rows": 100,
                  "test_sample_seed": 64, "model": "google-bert/bert-base-cased"},
    "yelp_full.yaml": {"train_rows": "all", "batch_size": 12, "grad_accum": 2, "epochs": 8, "precision": "fp16",
                       "lr": 2e-5, "weight_decay": 0.05, "scheduler": "cosine", "warmup": 0.1, "save_every": "epoch"},
    "yelp_full_sharded.yaml": {
        "processes": 2, "batch_size": 12, "lr": 2e-5,
        "trainer": {"fsdp": True, "fsdp_config": {"transformer_layer_cls_to_wrap": ["BertLayer"]}}},
    "afqmc.yaml": {"model": "google-bert/bert-base-chinese", "lr": 1e-5, "batch_size": 4, "epochs": 3},
    **{f"glue/{task}.yaml": {"task": task, **GLUE_SETTINGS} for task in sorted(GLUE_TASKS)},
}  # fmt: skip


@pytest.mark.parametrize(("recipe", "settings"), SETTINGS.items())
def test_a_recipe_has_its_tutorials_settings(recipe: str, settings: dict[str, object]) -> None:
    """Prevents losing a tutorial's recipe, and other settings than those with which its score was measured."""
    values = YAML(typ="safe").load(ROOT / "recipes" / recipe)
    assert {name: values[name] for name in settings} == settings


@pytest.fixture(scope="module")
def hub_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clone for all recipes, so that they share what DVC has downloaded."""
    return clone(tmp_path_factory.mktemp("hub") / "project")


@pytest.mark.hub
@pytest.mark.skipif(not HUB.is_dir(), reason="needs ../shared/hub; tests/fake_hub serves generated data instead")
@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_a_recipe_runs_from_download_to_report(recipe: Path, hub_project: Path) -> None:
    """Prevents a recipe that is valid and does not run. Scores mean nothing: the hub's models are stand-ins."""
    if "fsdp" in params.load(params.Train, recipe).trainer and not torch.cuda.is_available():
        pytest.skip("FSDP needs GPUs; tests/pipeline/test_processes.py runs it on CPUs")
    sys.path.insert(0, str(HUB))
    import hub

    (hub_project / "params.yaml").write_bytes(recipe.read_bytes())
    change_params(hub_project / "params.yaml", **REDUCED)
    with hub.running() as server:
        cache = {"HF_ENDPOINT": server.url, "HF_HOME": str(hub_project.parent / "hf")}
        run("dvc", "repro", cwd=hub_project, env=environment(**cache))
    task = TaskRecord.read(hub_project / "data/raw/task.json")
    scores = files.read_json(hub_project / "metrics/scores.json")[task.name]
    assert set(scores) == set(task.scored_splits)
    assert all(set(task.scores) <= set(values) for values in scores.values())
    assert (hub_project / "metrics/report.html").stat().st_size > 1000
