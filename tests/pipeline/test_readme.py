"""The README: every command in it runs, in its order, and what it says of stages and files is so."""

import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, environment, reviews, run, tiny_project, write_csv
from ruamel.yaml import YAML

README = (ROOT / "README.md").read_text(encoding="utf-8")
# `make repro` and `make test` are run by test_default.py and by CI themselves; .venv is the one that runs this test.
ELSEWHERE = {"make repro", "source .venv/bin/activate"}


def commands() -> list[str]:
    """Every line of the README's bash blocks that is run here, comments cut."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and line not in ELSEWHERE]


@pytest.mark.timeout(900)
def test_every_command_of_the_readme_runs(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a first hour that ends in an error message: the lines are run as they stand, one after the other."""
    default = YAML(typ="safe").load(ROOT / "params.yaml")
    rows = {key: default[key] for key in ("train_rows", "eval_rows", "test_rows")}
    project = tiny_project(tmp_path / "project", tiny_model, epochs=1, **rows)
    run("dvc", "repro", cwd=project)
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "first run", cwd=project)
    assert "dvc exp run -S lr=2e-5" in commands()
    write_csv(project / "data/own/NAME/train.csv", ["text", "label"], list(reviews(60, seed=3)))
    write_csv(project / "data/own/NAME/test.csv", ["text"], [("a good film",), ("a dull plot",)])
    for command in commands():
        with (tmp_path / "output.txt").open("w+") as output:
            done = subprocess.run(
                ["bash", "-euc", command], cwd=project, env=environment(), stdout=output, stderr=output, timeout=600
            )
            output.seek(0)
            said = output.read()
        assert done.returncode == 0, f"{command}\n{said}"
        if command.startswith("dvc exp show"):
            head = next(line for line in said.splitlines() if "Experiment" in line)
            assert "lr" in head
            assert not re.search(r"data/|models/|metrics/|refit/|stages/", head), head
        if command == "dvc queue start":
            from test_repro import wait_for_queue

            wait_for_queue(project)
            assert run("dvc", "queue", "status", cwd=project).stdout.count("Success") == 4
    untracked = run("git", "ls-files", "--others", "--exclude-standard", "--directory", cwd=project).stdout.split()
    assert set(untracked) <= {"predictions.parquet", "data/own/NAME/"}


def test_the_stage_table_is_dvc_yamls() -> None:
    """Prevents the README from describing another pipeline."""
    for name, stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items():
        assert f"| {name} | {stage['desc']} |" in README


def test_the_benchmarks_are_those_of_the_last_run() -> None:
    """Prevents figures that nobody measured."""
    results = (ROOT / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
    assert results[results.index("| | refit") :].strip() in README


def test_every_recipe_and_every_link_is_there() -> None:
    """Prevents dead links, and recipes that nobody finds."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    for recipe in (ROOT / "recipes").rglob("*.yaml"):
        assert f"]({recipe.relative_to(ROOT)})" in README
