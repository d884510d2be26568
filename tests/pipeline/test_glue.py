"""Many tasks: the table counts as the leaderboard does and hides no failure; runs and submissions, for real."""

import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HUB, ROOT, change_params, clone, environment, kill_tree, run, start, wait_until

from refit import glue
from refit.errors import ParamsError
from refit.storage import files

FEW = ("train_rows=64", "eval_rows=32", "test_rows=8", "epochs=1", "max_length=64", "threads=1")
needs_hub = pytest.mark.skipif(not HUB.is_dir(), reason="../shared/hub is not there: no GLUE to load")


def scores(**splits: dict[str, float]) -> dict[str, dict[str, float]]:
    return splits


def bert_large() -> dict[str, dict[str, dict[str, float]]]:
    """The row of BERT large on the leaderboard (Devlin et al. 2019, its table 1 and the leaderboard's WNLI)."""
    return {
        "cola": scores(validation={"matthews_correlation": 0.605}),
        "sst2": scores(validation={"accuracy": 0.949}),
        "mrpc": scores(validation={"f1": 0.893, "accuracy": 0.854}),
        "stsb": scores(validation={"pearson": 0.876, "spearmanr": 0.865}),
        "qqp": scores(validation={"f1": 0.721, "accuracy": 0.893}),
        "mnli": scores(validation={"accuracy": 0.867}, validation_mismatched={"accuracy": 0.859}),
        "qnli": scores(validation={"accuracy": 0.927}),
        "rte": scores(validation={"accuracy": 0.701}),
        "wnli": scores(validation={"accuracy": 0.651}),
    }


def test_average_is_the_leaderboards() -> None:
    """A weighted or incomplete mean would not give the 80.5 that the leaderboard shows for this row."""
    average = glue.average(bert_large())
    assert average is not None
    assert round(average, 1) == 80.5


def test_average_needs_all_nine_tasks() -> None:
    """An average of some of the tasks would look like GLUE's and be another number."""
    assert glue.average({name: found for name, found in bert_large().items() if name != "wnli"}) is None


def test_table_has_every_error_and_the_spread_of_seeds() -> None:
    """A failed run that is left out of the table would make the rest look complete."""
    found = bert_large()
    results = {
        ("cola", 1): found["cola"],
        ("cola", 2): scores(validation={"matthews_correlation": 0.505}),
        ("rte", 1): "no network",
    }
    shown = glue.table(results)  # type: ignore[arg-type]
    assert "55.5 ± 7.1" in shown
    assert "rte" in shown
    assert "no network" in shown
    assert "needs all nine tasks" in shown


@pytest.mark.parametrize(
    ("task", "change", "said"),
    [
        ("nope", "lr=1", "--tasks nope: .* choose from: cola, mnli"),
        ("cola", "lrr=1", "--set lrr=1: .* did you mean lr?"),
        ("cola", "lr", "--set lr: need PARAM=VALUE; PARAM is one of task, "),
        ("cola", "lr=[", r"--set lr=\[: the value is not YAML"),
    ],
)
def test_a_wrong_command_line_is_answered_with_what_is_meant(task: str, change: str, said: str) -> None:
    """A typo must not cost a look into the files, nor end in a traceback."""
    with pytest.raises(ParamsError, match=said):
        glue._recipe(ROOT / "recipes/glue", task, [change])


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of somebody who can reach the hub, the stand-in that is."""
    sys.path.insert(0, str(HUB))
    import hub

    with hub.running() as server:
        cache = tmp_path_factory.mktemp("hub-cache")
        yield environment(HF_ENDPOINT=server.url, HF_HOME=str(cache), OMP_NUM_THREADS="1")


def glue_project(folder: Path) -> Path:
    """A fresh clone in which two recipes can be run and one cannot: its model is nowhere."""
    clone(folder)
    for task in ("rte", "cola"):
        (folder / f"few/{task}.yaml").parent.mkdir(exist_ok=True)
        (folder / f"few/{task}.yaml").write_bytes((ROOT / f"recipes/glue/{task}.yaml").read_bytes())
    (folder / "few/wnli.yaml").write_bytes((ROOT / "recipes/glue/wnli.yaml").read_bytes())
    change_params(folder / "few/wnli.yaml", model="nobody/nothing", model_revision="a" * 40)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", "recipes", cwd=folder)
    return folder


def experiments(folder: Path) -> dict[str, str]:
    """{name: commit} of all experiments."""
    shown = run("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps", cwd=folder).stdout
    found = (line.split() for line in shown.splitlines())
    return {name.rpartition("/")[2]: commit for name, commit in found if "/glue-" in name}


def check_table(folder: Path, done: "subprocess.CompletedProcess[str]") -> None:
    """Four results, two errors, and the numbers of the experiments in the table."""
    assert done.returncode == 70, done.stdout + done.stderr
    names = sorted(experiments(folder))
    assert [name.rpartition("-")[0] for name in names] == [
        "glue-cola-seed-1", "glue-cola-seed-2", "glue-rte-seed-1", "glue-rte-seed-2",
    ]  # fmt: skip
    table = done.stdout.rpartition("\n\n")[2]
    scores = [
        json.loads(run("git", "show", f"{experiments(folder)[name]}:metrics/scores.json", cwd=folder).stdout)["rte"]
        for name in names[2:]
    ]
    mean = 50 * sum(score["validation"]["accuracy"] for score in scores)
    assert re.search(rf"^rte +validation accuracy +{mean:.1f} ± [0-9.]+ +2$", table, re.MULTILINE), table
    assert re.search(r"^cola +validation matthews_correlation .* 2$", table, re.MULTILINE), table
    for seed in (1, 2):
        assert re.search(rf"^wnli +seed {seed} .*nobody/nothing: not found", table, re.MULTILINE), table
    assert "wnli" in table.splitlines()[-1]
    assert "2 of 6 failed: wnli seed 1, wnli seed 2" in done.stderr
    assert run("git", "status", "--porcelain", cwd=folder).stdout == ""


COMMAND = (
    *("python", "-m", "refit.glue", "--recipes", "few", "--tasks", "rte", "wnli", "cola", "--seeds", "1", "2"),
    *("--set", *FEW),
)


@needs_hub
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_tasks_run_one_by_one_and_go_on_after_a_kill(tmp_path: Path, online: dict[str, str]) -> None:
    """A night of runs must not be lost to a restart, nor a task that cannot run be missing from the table."""
    folder = glue_project(tmp_path / "project")
    begun = start(*COMMAND, cwd=folder, env=online)
    wait_until(lambda: list(folder.glob(".refit/glue/glue-rte-seed-2-*.log")), "the second run", seconds=900)
    time.sleep(5)
    kill_tree(begun)
    (finished,) = experiments(folder).items()
    assert run("git", "status", "--porcelain", cwd=folder).stdout == ""  # whenever the kill came
    done = run(*COMMAND, cwd=folder, env=online, check=False)
    assert f"rte seed 1: finished before, as {finished[0]}" in done.stdout
    assert experiments(folder)[finished[0]] == finished[1]
    check_table(folder, done)


@needs_hub
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_submissions_of_real_runs(tmp_path: Path, online: dict[str, str]) -> None:
    """A leaderboard takes every test row in its order, in its own words; one that is missing voids the upload."""
    folder = clone(tmp_path / "project")
    for recipe, names in (
        ("glue/mnli", ("MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv")),
        ("glue/rte", ("RTE.tsv",)),
        ("afqmc", ("afqmc_predict.json",)),
    ):
        (folder / "params.yaml").write_bytes((ROOT / f"recipes/{recipe}.yaml").read_bytes())
        changes = [part for change in FEW for part in ("-S", change)]
        run("dvc", "exp", "run", *changes, cwd=folder, env=online)
        run("python", "-m", "refit.predict", "--split", "test", cwd=folder)
        described = files.read_json(folder / "data/raw/task.json")
        splits = ("test", "test_mismatched", "test_ax")
        for split, name in zip(splits, names, strict=False):
            rows = described["splits"][split]["rows"]
            written = (folder / f"submissions/{'clue' if recipe == 'afqmc' else 'glue'}/{name}").read_text()
            lines = written.splitlines()
            if recipe == "afqmc":
                found = [json.loads(line) for line in lines]
                assert [answer["id"] for answer in found] == list(range(rows))
                assert {answer["label"] for answer in found} <= {"0", "1"}
            else:
                assert lines[0] == "index\tprediction"
                answers = [line.split("\t") for line in lines[1:]]
                assert [index for index, _ in answers] == [str(row) for row in range(rows)]
                assert {label for _, label in answers} <= set(described["labels"])
    assert described["splits"]["test"]["rows"] == 3861
    assert zipfile.ZipFile(folder / "submissions/clue.zip").namelist() == ["afqmc_predict.json"]
    assert zipfile.ZipFile(folder / "submissions/glue.zip").namelist() == [
        "MNLI-m.tsv", "MNLI-mm.tsv", "RTE.tsv", "AX.tsv",
    ]  # fmt: skip
