"""The README and the other documents: every command of the README runs, and what they list exists."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, change_params, environment, reviews, run, tiny_project, wait_for_queue, write_csv
from ruamel.yaml import YAML

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "data/own/README.md"]
# test_default.py runs `make repro`; .venv is the environment that runs this test.
ELSEWHERE = {"make repro", "source .venv/bin/activate"}


def commands() -> list[str]:
    """Every line of the README's bash blocks that is run here; the five folds are two."""
    text = README.replace("folds=5", "folds=2").replace("range(1,6)", "range(1,3)").replace("cv-{1..5}", "cv-{1..2}")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and line not in ELSEWHERE]


@pytest.mark.timeout(900)
def test_every_command_of_the_readme_runs(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a first hour that ends in an error: the commands run as printed, in their order."""
    default = YAML(typ="safe").load(ROOT / "params.yaml")
    rows = {key: default[key] for key in ("train_rows", "eval_rows", "test_rows")}
    project = tiny_project(tmp_path / "project", tiny_model, epochs=1, **rows)
    run("dvc", "repro", cwd=project)
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "first run", cwd=project)
    assert "dvc exp run -S lr=2e-5" in commands()
    write_csv(project / "data/own/NAME/train.csv", ["text", "label"], list(reviews(60, seed=3)))
    write_csv(project / "data/own/NAME/test.csv", ["text"], [("a good film",), ("a dull plot",)])
    queued = 0
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
            wait_for_queue(project)
            queued += 2 if queued else 4
            assert run("dvc", "queue", "status", cwd=project).stdout.count("Success") == queued
    untracked = run("git", "ls-files", "--others", "--exclude-standard", "--directory", cwd=project).stdout.split()
    assert set(untracked) <= {"predictions.parquet", "data/own/NAME/"}


def test_the_example_of_own_data_runs(project: Path) -> None:
    """Prevents an error in the first minutes with one's own data: the commands run as printed."""
    change_params(project / "params.yaml", epochs=1)
    block = (ROOT / "data/own/README.md").read_text(encoding="utf-8").split("```bash\n")[1].split("```")[0]
    assert len(block.strip().splitlines()) == 5
    run("bash", "-euc", block, cwd=project)
    scores = json.loads((project / "metrics/scores.json").read_text())
    assert scores["own/weather"]["validation"]["rows"] > 0


@pytest.mark.parametrize("command", ["compare", "doctor", "glue", "label_errors", "predict", "search", "summary"])
def test_the_options_of_a_command_are_documented(command: str) -> None:
    """Prevents options that no document mentions, and documented ones that are gone."""
    text = run("python", "-m", f"refit.{command}", "--help", cwd=ROOT).stdout
    options = set(re.findall(r"--[a-z][a-z-]+", text)) - {"--help"}
    documents = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    assert [option for option in options if option not in documents] == []
    uses = re.findall(rf"refit\.{command}\b[^`|;>\n]*", documents)
    assert {option for use in uses for option in re.findall(r"--[a-z][a-z-]+", use)} <= options


def test_the_readme_is_short() -> None:
    """Prevents a README that nobody reads to its end."""
    assert len(README.split()) <= 1100


def test_the_code_tree_is_complete() -> None:
    """Prevents a package or module that CONTRIBUTING.md's tree lacks, or one that is gone."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (tree,) = re.findall(r"```\n(params\.yaml .*?)```", text, flags=re.DOTALL)
    shown = {line.split()[0] for line in tree.splitlines() if line.startswith("  ")}
    folders = {f"{path.parent.name}/" for path in (ROOT / "refit").glob("*/__init__.py")}
    assert shown == folders | {path.name for path in (ROOT / "refit").glob("*.py")} - {"__init__.py"}


def test_the_stage_table_is_dvc_yamls() -> None:
    """Prevents docs/design.md from describing another pipeline."""
    design = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    for name, stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items():
        assert f"| {name} | {stage['desc']} |" in design


def test_every_recipe_is_listed() -> None:
    """Prevents recipes that nobody finds."""
    recipes = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    for recipe in (ROOT / "recipes").rglob("*.yaml"):
        assert f"](../{recipe.relative_to(ROOT)})" in recipes


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    """Prevents dead links between the documents, also to a heading that was renamed."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_tests_that_the_documents_name_exist() -> None:
    """Prevents promises in docs/reliability.md that no test checks any more."""
    defined = {
        name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    files = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    for document in DOCUMENTS:
        named = set(re.findall(r"\btest_\w+", document.read_text(encoding="utf-8")))
        assert named - {"test_share", "test_rows", "test_sample_seed"} <= defined | files, document
