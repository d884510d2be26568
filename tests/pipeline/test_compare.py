"""Tests of python -m refit.compare as a user starts it, in a real git and DVC repository.

Its stages write what the pipeline's write, by drawing predictions instead of training, so that a dozen runs take
seconds; tests/pipeline/test_compare_example.py compares runs that were trained.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, change_params, environment, run

STAGES = """
import json, sys
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from ruamel.yaml import YAML
sys.path.insert(0, {root!r})
from refit.evaluation.metrics import score
from refit.storage import files
params = YAML(typ="safe").load(Path("params.yaml"))
HOSTILE = "<script>alert(1)</script> \\x1b[31mred | @team ![x](y)"

def data():
    generator = np.random.default_rng(params["data_seed"])
    splits = {{}}
    Path("data/raw").mkdir(parents=True)
    for split in ("validation", "test"):
        path = Path("data/raw", split + ".parquet")
        texts = [HOSTILE if row == 0 else f"text {{row}} of {{split}}" for row in range(200)]
        pq.write_table(pa.table({{"text": texts, "label": generator.integers(0, 3, 200)}}), path)
        splits[split] = {{"rows": 200, "is_labelled": True, "sha256": files.sha256(path)}}
    kind = "regression" if params["task"] == "numbers" else "classification"
    task = {{"task": params["task"], "labels": ["bad", "so | so", "good"], "problem_type": kind, "splits": splits,
            "scores": ["accuracy", "macro_f1"], "best_score": "accuracy", "source": "own", "source_name": "made",
            "revision": "none", "files": {{}}, "note": "", "is_pair": False}}
    if kind == "regression":
        task |= {{"labels": [], "scores": ["pearson"], "best_score": "pearson"}}
    files.write_json(Path("data/raw/task.json"), task)

def train():
    generator = np.random.default_rng(params["seed"])
    skill = min(0.45 + params["lr"] * 100 + generator.normal(0, 0.01), 1.0)
    Path("models").mkdir(exist_ok=True)
    files.write_json(Path("models/skill.json"), {{"skill": skill, "seed": params["seed"]}})
    rows = [f"{{epoch * 10}},{{epoch}}.0,{{1 / epoch}},{{skill / epoch}}" for epoch in (1, 2, 3)]
    Path("metrics/history.csv").write_text("step,epoch,train_loss,validation_accuracy\\n" + "\\n".join(rows) + "\\n")

def evaluate():
    task, model = (files.read_json(Path(path)) for path in ("data/raw/task.json", "models/skill.json"))
    found, tables = {{}}, []
    for split in task["splits"]:
        labels = pq.read_table(f"data/raw/{{split}}.parquet")["label"].to_numpy()[: params["rows"]]
        # Which rows are hard is the same for every model: what makes a paired test worth having.
        hardness = np.random.default_rng(0).random(len(labels))
        luck = np.random.default_rng(model["seed"]).normal(0, 0.03, len(labels))
        predictions = np.where(hardness + luck < model["skill"], labels, (labels + 1) % 3)
        if task["problem_type"] == "regression":
            labels, predictions = labels.astype(float), (predictions + hardness).astype(np.float32)
        found[split] = {{name: round(score(name, labels, predictions), 6) for name in task["scores"]}}
        found[split] |= {{"rows": len(labels), "loss": 1.0}}
        tables.append(pa.table({{"split": [split] * len(labels), "row": np.arange(len(labels)), "label": labels,
                                "prediction": predictions}}))
    files.write_json(Path("metrics/scores.json"), {{task["task"]: found}})
    pq.write_table(pa.concat_tables(tables), "metrics/predictions.parquet")

globals()[sys.argv[1]]()
"""
PIPELINE = """
stages:
  data: {cmd: python stages.py data, params: [task, data_seed], outs: [data/raw]}
  train:
    cmd: python stages.py train
    params: [lr, seed]
    deps: [code.txt]
    outs: [models/skill.json, metrics/history.csv]
  evaluate:
    cmd: python stages.py evaluate
    params: [rows]
    deps: [data/raw, data/raw/task.json, models/skill.json]
    outs: [metrics/predictions.parquet, {metrics/scores.json: {cache: false}}]
"""


def compare(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`, with this tree's refit."""
    return run("python", "-m", "refit.compare", *arguments, cwd=folder, check=check,
               env=environment(PYTHONPATH=str(ROOT), COLUMNS="100"))  # fmt: skip


def committed(folder: Path, tag: str, **params: object) -> None:
    """Change params, run the pipeline, commit what it made and tag the commit."""
    change_params(folder / "params.yaml", **params)
    run("dvc", "repro", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", f"{tag} with {params}", cwd=folder)
    run("git", "tag", tag, cwd=folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tagged runs weak, strong, strong2, seed2, fewer, other, numbers; the experiment best-try."""
    folder = tmp_path_factory.mktemp("compare") / "project"
    folder.mkdir()
    run("git", "init", "--quiet", "--initial-branch", "main", cwd=folder)
    run("dvc", "init", "--quiet", cwd=folder)
    (folder / "stages.py").write_text(STAGES.format(root=str(ROOT)))
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "code.txt").write_text("first\n")
    (folder / "metrics").mkdir()
    (folder / "params.yaml").write_text("task: stars\ndata_seed: 1\nrows: 200\nlr: 0.001\nseed: 1\n")
    run("dvc", "remote", "add", "--quiet", "--default", "store", folder.parent / "remote", cwd=folder)
    committed(folder, "weak")
    committed(folder, "strong", lr=0.003)
    committed(folder, "strong2", lr=0.0032)
    committed(folder, "seed2", lr=0.003, seed=2)
    committed(folder, "fewer", lr=0.001, seed=1, rows=150)
    committed(folder, "other", rows=200, data_seed=2)
    committed(folder, "numbers", task="numbers", data_seed=1)
    run("git", "checkout", "--quiet", "strong", cwd=folder)
    run("dvc", "checkout", "--quiet", cwd=folder)
    run("dvc", "exp", "run", "--quiet", "--name", "best-try", "--set-param", "lr=4e-3", cwd=folder)
    run("git", "checkout", "--quiet", "--force", "main", cwd=folder)
    run("dvc", "checkout", "--quiet", cwd=folder)
    run("dvc", "push", "--quiet", "--all-commits", cwd=folder)
    return folder


def scores_of(done: subprocess.CompletedProcess[str]) -> dict[tuple[str, str, str], dict[str, object]]:
    """The lines of --json by group, split and score."""
    return {(line["group"], line["split"], line["score"]): line for line in json.loads(done.stdout)["scores"]}


def test_a_real_and_a_chance_difference_are_told_apart(project: Path) -> None:
    """Prevents chance from being called real, and the reverse."""
    lines = scores_of(compare(project, "weak", "strong", "strong2", "--json"))
    assert lines["strong", "test", "accuracy"]["verdict"] == "real"
    assert lines["strong", "test", "accuracy"]["test"] == "McNemar's exact test"
    assert lines["strong", "test", "macro_f1"]["test"] == "paired bootstrap"
    committed_scores = json.loads(run("git", "show", "weak:metrics/scores.json", cwd=project).stdout)
    assert lines["weak", "test", "accuracy"]["value"] == committed_scores["stars"]["test"]["accuracy"]
    chance = scores_of(compare(project, "strong", "strong2", "--json"))
    assert chance["strong2", "test", "accuracy"]["verdict"] in ("may be chance", "same predictions")


def test_p_values_are_corrected_for_all_comparisons_printed(project: Path) -> None:
    """Prevents false alarms when many scores are compared."""
    lines = scores_of(compare(project, "weak", "strong", "--json")).values()
    tested = sorted(line["p"] for line in lines if line["p"] is not None)
    assert len(tested) == 4
    assert min(line["p_corrected"] for line in lines if line["p"] is not None) == pytest.approx(4 * tested[0])


def test_the_workspace_is_set_against_the_last_commit_and_left_alone(project: Path) -> None:
    """Prevents compare from changing a file of the user."""
    before = {
        path: path.stat().st_mtime_ns
        for path in project.rglob("*")
        if ".git/" not in f"{path}" and ".dvc/tmp" not in f"{path}"
    }
    said = compare(project)
    assert "workspace" in said.stdout
    assert "same predictions" in said.stdout
    compare(project, "weak..other", "--json")
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.is_file())


def test_a_range_is_a_table_of_its_runs(project: Path) -> None:
    """Prevents a range from showing commits in another order."""
    runs = json.loads(compare(project, "weak", "weak..strong2", "--json").stdout)["revisions"]
    assert [run["title"].split()[0] for run in runs] == ["weak", "strong", "strong2"]


def test_an_experiment_is_compared_by_its_name_with_the_params_that_differ(project: Path) -> None:
    """Prevents an experiment from needing a commit."""
    said = json.loads(compare(project, "strong", "best-try", "--json").stdout)
    assert said["params_that_differ"] == {"lr": ["0.003", "0.004"]}
    shown = compare(project, "strong", "best-try").stdout
    assert re.search(r"^ +strong +best-try\n +lr +0\.003 +0\.004$", shown, re.MULTILINE)


def test_runs_of_other_seeds_are_pooled_and_compared_as_groups(project: Path) -> None:
    lines = scores_of(compare(project, "weak", "strong", "seed2", "--json"))
    pooled = lines["strong and 1 other seed", "test", "accuracy"]
    files = [run("git", "show", f"{tag}:metrics/scores.json", cwd=project).stdout for tag in ("strong", "seed2")]
    values = [json.loads(file)["stars"]["test"]["accuracy"] for file in files]
    assert pooled["value"] == pytest.approx(sum(values) / 2)
    assert pooled["standard_deviation"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert pooled["test"] == "Welch's t test over seeds and rows"
    assert "differ only in their seed" in compare(project, "strong", "seed2").stdout
    assert "±" in compare(project, "weak", "strong", "seed2").stdout


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("fewer", "other rows: 200 and 150, of which 150 are the same"),
        ("other", "other data: the test rows have the sha256"),
        ("numbers", "weak is of stars, numbers of numbers"),
    ],
)
def test_scores_of_other_rows_or_data_are_refused_with_the_reason(project: Path, tag: str, reason: str) -> None:
    """Prevents a difference between scores on different examples."""
    done = compare(project, "weak", tag, check=False)
    assert done.returncode == 65
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not re.search(r"[+-]0\.\d{4}", done.stdout)  # no difference is shown


def test_of_many_runs_only_what_may_be_compared_is(project: Path) -> None:
    """Prevents one incomparable run from hiding the others."""
    said = compare(project, "weak", "strong", "fewer", "numbers")
    assert "fewer against weak, test: other rows" in said.stdout.replace("\n", " ")
    assert "not compared" in said.stdout
    assert "real" in said.stdout
    assert re.search(r"^numbers +test +pearson", said.stdout, re.MULTILINE)


def test_a_fresh_clone_reads_from_the_remote(project: Path, tmp_path: Path) -> None:
    """Prevents compare from needing dvc pull, or leaving files behind."""
    folder = tmp_path / "fresh"
    run("git", "clone", "--quiet", project, folder, cwd=tmp_path)
    assert compare(folder, "weak", "strong", "--json").stdout == compare(project, "weak", "strong", "--json").stdout
    assert not (folder / ".dvc/cache").exists()
    assert not (folder / "metrics/predictions.parquet").exists()
    assert run("git", "status", "--porcelain", cwd=folder).stdout == ""


def test_without_cache_and_remote_the_scores_are_shown_and_what_is_missing_is_named(
    project: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "lonely"
    run("git", "clone", "--quiet", project, folder, cwd=tmp_path)
    run("dvc", "remote", "modify", "--local", "store", "url", tmp_path / "nothing", cwd=folder)
    done = compare(folder, "weak", "strong")
    shown = " ".join(done.stdout.split())
    assert "weak: data/raw/task.json is neither in DVC's cache nor in its remote; run dvc push" in shown
    assert "need the predictions" in shown
    assert re.search(r"lr +0\.001 +0\.003", done.stdout)
    assert "unknown" in done.stdout
    assert re.search(r"strong +0\.\d{4} +\+0\.\d{4} +unknown", done.stdout)
    judged = compare(folder, "weak", "strong", "--fail-if-worse", check=False)
    assert judged.returncode == 69
    assert "cannot be judged" in judged.stderr


def test_fail_under_holds_the_last_score_to_a_bar(project: Path) -> None:
    """Prevents a check in CI that passes any score."""
    assert compare(project, "weak", "strong", "--fail-under", "0.6").returncode == 0
    done = compare(project, "strong", "weak", "--fail-under", "0.6", check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"refit compare: weak: accuracy on test is 0\.\d{4}, under 0\.6\n", done.stderr)


def test_fail_if_worse_fails_on_a_real_loss_and_on_nothing_else(project: Path) -> None:
    """Prevents a check in CI that fails by chance, or passes what it cannot judge."""
    worse = compare(project, "strong", "weak", "--fail-if-worse", check=False)
    assert worse.returncode == 1
    assert "weak is really worse than strong: accuracy on test -0." in worse.stderr
    for better_or_chance in (("weak", "strong"), ("strong2", "strong"), ("strong", "seed2")):
        assert compare(project, *better_or_chance, "--fail-if-worse").returncode == 0
    refused = compare(project, "weak", "strong", "fewer", "--fail-if-worse", check=False)
    assert refused.returncode == 65
    assert "cannot be judged: fewer against weak" in refused.stderr


def test_flipped_rows_are_listed_as_text_that_does_nothing(project: Path) -> None:
    """Prevents flips with another label or text than the example's."""
    said = compare(project, "weak", "best-try", "--flips")
    became_right = int(re.search(r"(\d+) became right", said.stdout)[1])  # type: ignore[index]
    listed = json.loads(compare(project, "weak", "best-try", "--flips", "--json").stdout)["flips"]
    assert sum(flip["is_right_now"] for flip in listed) == became_right > 20
    assert all((flip["after"] == flip["label"]) == flip["is_right_now"] for flip in listed)
    flip = listed[-1]
    assert f"{flip['split']} row {flip['row']}: {flip['before']} → {flip['after']}" in said.stdout
    assert f"text {flip['row']} of {flip['split']}" in said.stdout


def test_a_hostile_text_is_inert_in_every_format(project: Path, tmp_path: Path) -> None:
    """Row 0 of both splits holds markup, an escape code and a mention; make it flip and look at each format."""
    folder = tmp_path / "hostile"
    shutil.copytree(project, folder)
    run("git", "checkout", "--quiet", "strong", cwd=folder)
    run("dvc", "checkout", "--quiet", cwd=folder)
    stages = (folder / "stages.py").read_text()
    assert "hardness + luck" in stages
    (folder / "stages.py").write_text(stages.replace("hardness + luck", "(np.arange(len(labels)) == 0) + 0.0 * luck"))
    run("dvc", "repro", "--quiet", "--force", "--single-item", "evaluate", cwd=folder)
    shown = compare(folder, "strong", "workspace", "--flips").stdout
    assert "test row 0:" in shown
    assert "\x1b" not in shown
    assert "<script>alert(1)</script> \ufffd[31mred | @team" in shown
    markdown = compare(folder, "strong", "workspace", "--flips", "--md").stdout
    assert "<script" not in markdown
    assert "@team" not in markdown
    assert "![x]" not in markdown
    assert "\x1b" not in markdown


def test_flips_need_two_runs_and_classes(project: Path) -> None:
    """Prevents a traceback where nothing can flip."""
    three = compare(project, "weak", "strong", "strong2", "--flips", check=False)
    assert three.returncode == 64
    assert three.stderr.startswith("refit compare: --flips: got 3 revisions")
    numbers = compare(project, "numbers", "--flips", check=False)
    assert numbers.returncode == 65
    assert "predicts numbers" in numbers.stderr


def test_markdown_is_tables_that_github_reads(project: Path) -> None:
    """Prevents a comment whose tables GitHub shows as text."""
    said = compare(project, "weak", "strong", "--md").stdout
    table = [line for line in said.splitlines() if line.startswith("|")]
    score_rows = [line for line in table if "accuracy" in line]
    assert len(score_rows) == 4
    assert all(line.count("|") == 10 for line in score_rows)
    assert "**real**" in said
    assert "strong against weak&#58; accuracy on test +0." in said


def test_scores_that_the_predictions_do_not_give_are_not_trusted(project: Path, tmp_path: Path) -> None:
    """Prevents a test of predictions that belong to another run."""
    folder = tmp_path / "edited-scores"
    shutil.copytree(project, folder)
    scores = folder / "metrics/scores.json"
    values = json.loads(scores.read_text())
    values["numbers"]["test"]["pearson"] += 0.1
    scores.write_text(json.dumps(values))
    said = " ".join(compare(folder).stdout.split())
    assert "workspace: metrics/predictions.parquet does not give the scores in metrics/scores.json" in said
    assert "unknown" in said


def test_params_that_were_changed_since_the_run_are_pointed_out(project: Path, tmp_path: Path) -> None:
    """Prevents scores from being credited to params edited afterwards."""
    folder = tmp_path / "changed"
    shutil.copytree(project, folder)
    change_params(folder / "params.yaml", lr=0.5)
    said = " ".join(compare(folder).stdout.split())
    assert re.search(r"workspace: [^.]*another lr than params\.yaml", said)


def test_a_commit_without_scores_says_what_to_do(project: Path, tmp_path: Path) -> None:
    """Prevents a traceback for a commit from before the first run."""
    folder = tmp_path / "empty"
    shutil.copytree(project, folder)
    run("git", "rm", "--quiet", "metrics/scores.json", cwd=folder)
    run("git", "commit", "--quiet", "--message", "no scores", cwd=folder)
    done = compare(folder, "weak", "HEAD", check=False)
    assert done.returncode == 65
    assert done.stderr.startswith("refit compare: HEAD: metrics/scores.json ")


def test_it_starts_without_the_libraries_of_training() -> None:
    """They take seconds to import."""
    loaded = "import sys, refit.compare.__main__; from refit.compare import text; "
    listed = f"{loaded} print(*sys.modules)"
    modules = run("python", "-c", listed, cwd=ROOT).stdout.split()
    assert not {"torch", "transformers", "datasets", "sklearn", "dvc", "scipy.stats"} & set(modules)


def test_a_reader_that_leaves_early_is_no_fault_and_skips_no_check(project: Path) -> None:
    """Prevents `compare ... | head` from passing a check in CI, or from complaining."""
    for arguments, code in (("strong weak --fail-if-worse", 1), ("--help", 0)):
        command = f"{{ python -m refit.compare {arguments}; echo left with $? >&2; }} | true"
        done = subprocess.run(["bash", "-c", command], cwd=project, capture_output=True, text=True,
                              env=environment(PYTHONPATH=str(ROOT)), timeout=60)  # fmt: skip
        assert f"left with {code}" in done.stderr
        assert "Broken" not in done.stderr
