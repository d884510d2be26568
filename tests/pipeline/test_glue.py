"""refit.glue and submissions with real runs of hub tasks; tests/unit/test_glue.py has the table."""

import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fake_hub
import pytest
from conftest import ROOT, change_params, clone, environment, experiments, kill_tree, run, start, wait_until

from refit.storage import files

FEW = ("train_rows=64", "eval_rows=32", "test_rows=8", "epochs=1", "max_length=64", "threads=1")


@pytest.fixture(scope="module")
def online(hub_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a user who can reach the hub: the fake one."""
    with fake_hub.running(hub_root) as server:
        cache = tmp_path_factory.mktemp("hub-cache")
        yield environment(HF_ENDPOINT=server.url, HF_HOME=str(cache), OMP_NUM_THREADS="1")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_tasks_run_one_by_one_and_go_on_after_a_kill(tmp_path: Path, online: dict[str, str]) -> None:
    """Prevents a night of runs from being lost to a restart, and a task that cannot run from missing in the table."""
    folder = clone(tmp_path / "project")
    (folder / "few").mkdir()
    for task in ("rte", "cola", "wnli"):
        (folder / f"few/{task}.yaml").write_bytes((ROOT / f"recipes/glue/{task}.yaml").read_bytes())
    change_params(folder / "few/wnli.yaml", model="nobody/nothing", model_revision="a" * 40)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", "recipes", cwd=folder)
    tasks = ("--recipes", "few", "--tasks", "rte", "wnli", "cola", "--seeds", "1", "2")
    command = ("python", "-m", "refit.glue", *tasks, "--set", *FEW)
    begun = start(*command, cwd=folder, env=online)
    wait_until(lambda: list(folder.glob(".refit/glue/glue-rte-seed-2-*.log")), "the second run", seconds=900)
    time.sleep(5)
    kill_tree(begun)
    ((name, commit),) = experiments(folder, "glue-").items()
    assert run("git", "status", "--porcelain", cwd=folder).stdout == ""  # whenever the kill came
    done = run(*command, cwd=folder, env=online, check=False)
    assert run("git", "status", "--porcelain", cwd=folder).stdout == ""
    assert done.returncode == 70, done.stdout + done.stderr
    assert f"rte seed 1: finished before, as {name}" in done.stdout
    finished = experiments(folder, "glue-")
    assert finished[name] == commit
    runs = ["glue-cola-seed-1", "glue-cola-seed-2", "glue-rte-seed-1", "glue-rte-seed-2"]
    assert sorted(name.rpartition("-")[0] for name in finished) == runs
    table = done.stdout.rpartition("\n\n")[2]
    scores = [
        json.loads(run("git", "show", f"{commit}:metrics/scores.json", cwd=folder).stdout)["rte"]
        for commit in experiments(folder, "glue-rte-").values()
    ]
    mean = 50 * sum(score["validation"]["accuracy"] for score in scores)
    assert re.search(rf"^rte +validation accuracy +2 +{mean:.1f} ± [0-9.]+$", table, re.MULTILINE), table
    assert re.search(r"^cola +validation matthews_correlation +2 ", table, re.MULTILINE), table
    for seed in (1, 2):
        assert re.search(rf"^wnli +seed {seed} .*nobody/nothing: not found", table, re.MULTILINE), table
    assert "2 of 6 failed: wnli seed 1, wnli seed 2" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_submission_of_a_real_run(tmp_path: Path, online: dict[str, str]) -> None:
    """Prevents a missing row or another order, which voids an upload; test_leaderboard.py has the other formats."""
    folder = clone(tmp_path / "project")
    (folder / "params.yaml").write_bytes((ROOT / "recipes/glue/mnli.yaml").read_bytes())
    run("dvc", "exp", "run", *(part for change in FEW for part in ("-S", change)), cwd=folder, env=online)
    run("python", "-m", "refit.predict", "--split", "test", cwd=folder)
    task = files.read_json(folder / "data/raw/task.json")
    names = {"test_ax": "AX.tsv", "test": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"}
    for split, name in names.items():
        lines = (folder / "submissions/glue" / name).read_text().splitlines()
        assert lines[0] == "index\tprediction"
        indices, labels = zip(*(line.split("\t") for line in lines[1:]), strict=True)
        assert indices == tuple(map(str, range(task["splits"][split]["rows"])))
        assert set(labels) <= set(task["labels"])
    assert sorted(zipfile.ZipFile(folder / "submissions/glue.zip").namelist()) == list(names.values())
