"""Tests of comparing/runs.py on this repository's own dvc.lock: what follows from the seed must not keep runs apart."""

from conftest import ROOT
from ruamel.yaml import YAML

from refit.compare import runs

STAGES = YAML(typ="safe").load(ROOT / "dvc.lock")["stages"]


def test_what_follows_from_the_seed_is_not_an_input_and_all_else_is() -> None:
    found = runs.inputs(STAGES)
    assert not any(name.startswith(("models/finetuned", "metrics/")) for name in found)
    assert {
        "data/raw",
        "data/sampled",
        "models/base",
        "refit/training",
        "stages/evaluate.py",
    } <= found.keys()
    assert all(found.values())


def test_an_edit_of_code_is_seen() -> None:
    edited = YAML(typ="safe").load(ROOT / "dvc.lock")["stages"]
    (dependency,) = (dep for dep in edited["train"]["deps"] if dep["path"] == "refit/training")
    dependency["md5"] = "0" * 32
    before, after = runs.inputs(STAGES), runs.inputs(edited)
    assert {name for name in before if before[name] != after[name]} == {"refit/training"}
