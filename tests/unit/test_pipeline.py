"""dvc.yaml against the code: params, deps and paths are exactly those that the stages use; no circular imports."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, run
from ruamel.yaml import YAML

from refit import params

PIPELINE: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")
STAGES: dict[str, Any] = PIPELINE["stages"]
# They decide what a user sees, where files are and what is refused, but no byte of an output.
WITHOUT_EFFECT = {
    ROOT / f"refit/{name}.py"
    for name in ("errors", "locking", "params", "paths", "stage", "training/callbacks",
                 "training/trackers")
}  # fmt: skip
ENTRY = {"download": ("download", "download"), "download_model": ("download", "download_model")}


def imported(path: Path, function: str | None = None) -> set[Path]:
    """The files of refit that a file imports; with `function`, only at its top level and in that function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    roots: list[ast.AST] = [tree]
    if function:
        roots = [node for node in tree.body if not isinstance(node, ast.FunctionDef) or node.name == function]
    found = set()
    for node in (inner for root in roots for inner in ast.walk(root)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "", alias.name) for alias in node.names}
    files = set()
    for module, name in found:
        if module.partition(".")[0] in ("refit", "stages"):
            inside = ROOT.joinpath(*module.split("."))
            files |= {p for p in (inside / f"{name}.py", inside.with_suffix(".py")) if p.is_file()}
    return files


def reached(path: Path, function: str | None = None) -> set[Path]:
    """The files of refit that a file needs for its outputs, without itself."""
    seen: set[Path] = set()
    waiting = imported(path, function)
    while waiting:
        file = waiting.pop()
        if file not in WITHOUT_EFFECT:
            seen.add(file)
            waiting |= imported(file) - seen
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_exactly_what_can_change_the_outs(stage: str) -> None:
    """Prevents stale outputs after an edit, and retraining after an edit that cannot matter."""
    file, function = ENTRY.get(stage, (stage, None))
    entry = ROOT / "stages" / f"{file}.py"
    needed = {entry} | reached(entry, function)
    code = [dep for dep in STAGES[stage]["deps"] if dep.startswith(("refit/", "stages/"))]
    assert {file for dep in code for file in modules(dep)} == needed
    assert sum(len(modules(dep)) for dep in code) == len(needed), "a file is listed twice"


def modules(dep: str) -> list[Path]:
    """The files of a code dep: itself, or the modules of a package."""
    path = ROOT / dep
    return (
        [path]
        if path.is_file()
        else [file for file in path.rglob("*.py") if file.name != "__init__.py" and file not in WITHOUT_EFFECT]
    )


def test_packages_hold_nothing_but_a_docstring() -> None:
    """Prevents code in an __init__.py, which the test of the deps does not read; refit's own only checks Python."""
    for path in ROOT.glob("refit/*/**/__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert all(isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) for part in body), path


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_exactly_the_fields_of_the_stage(stage: str) -> None:
    """Prevents a value that a stage reads and DVC does not see, and the reverse."""
    listed = STAGES[stage].get("params", [])
    if stage == "report":
        assert listed == [{"params.yaml": None}]  # all of it
    else:
        assert set(listed) == set(params.STAGES[stage].model_fields)


@pytest.mark.parametrize("stage", STAGES)
def test_every_data_dep_is_an_out_of_an_earlier_stage(stage: str) -> None:
    """Prevents a path that is spelled differently in two places."""
    earlier = [out for name in list(STAGES)[: list(STAGES).index(stage)] for out in outs(name)]
    for dep in STAGES[stage]["deps"]:
        if not dep.startswith(("refit/", "stages/")):
            assert any(dep == out or dep.startswith(f"{out}/") for out in earlier), dep


def outs(stage: str) -> list[str]:
    """The paths that a stage writes."""
    return [out if isinstance(out, str) else next(iter(out)) for out in STAGES[stage]["outs"]]


def test_every_path_of_the_pipeline_is_in_paths() -> None:
    """Prevents dvc.yaml and refit/paths.py from naming different files."""
    text = (ROOT / "refit/paths.py").read_text(encoding="utf-8")
    for stage in STAGES:
        for out in outs(stage):
            assert f'"{out}"' in text, out


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_described_and_runs_as_a_module(stage: str) -> None:
    """Prevents script mode, in which stages/tokenize.py would hide the standard library's tokenize.

    `exec` prevents a shell between DVC and the stage, which would not notice that DVC was killed.
    """
    assert re.fullmatch(r"exec python3 -m stages\.\w+( data| model)?", STAGES[stage]["cmd"])
    assert STAGES[stage]["desc"]
    if stage != "hash_sources":  # it keeps its record of a model folder that is missing on this machine
        assert not any("persist" in out for out in STAGES[stage]["outs"] if isinstance(out, dict))


def test_train_keeps_its_run_cache() -> None:
    """Prevents `cache: false` on train, which would make DVC train again what it has trained before."""
    assert all(isinstance(out, str) for out in STAGES["train"]["outs"])


def test_every_key_of_params_yaml_is_read() -> None:
    """Prevents a param without effect."""
    assert set(YAML(typ="safe").load(ROOT / "params.yaml")) == params.names() | {"search"}


def test_no_stage_imports_a_stage_and_refit_imports_none() -> None:
    """Prevents imports against the order of the layers."""
    for path in [*ROOT.glob("stages/*.py"), *ROOT.glob("refit/**/*.py")]:
        assert not [file for file in imported(path) if file.parent.name == "stages"], path


def test_no_module_imports_itself_in_a_circle() -> None:
    """Prevents circular imports, and modules that cannot be read one at a time."""
    for path in ROOT.glob("refit/**/*.py"):
        assert path not in reached(path), path


def test_light_stages_do_not_load_torch() -> None:
    """Prevents seconds of start-up in stages that only move rows."""
    program = (
        "import sys; from refit import params, summary; from refit.data import sampling; "
        "from refit.download import dataset; from refit.tokenization import tokenization; "
        "from refit.report import build; "
        "print([m for m in ('torch', 'transformers', 'datasets', 'sklearn', 'evaluate', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unit_tests_do_not_start_dvc() -> None:
    """Prevents `make unit` from becoming slow: such a test belongs in tests/pipeline."""
    unit_tests = {path.name: path.read_text() for path in (ROOT / "tests/unit").rglob("*.py")}
    assert [name for name, text in unit_tests.items() if re.search(r'run\(\s*\[?"dvc"', text)] == []


@pytest.mark.parametrize("command", ["search", "glue"])
def test_search_and_glue_do_not_load_torch(command: str) -> None:
    """Prevents seconds of start-up in commands that only start experiments."""
    done = run(sys.executable, "-X", "importtime", "-m", f"refit.{command}", "--help", cwd=ROOT)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "refit.experiments.runner" in loaded
    assert not loaded & {"torch", "transformers"}
