"""Tests of python -m refit.compare as a user starts it, in a real git and DVC repository.

Its stages write what the pipeline's write, by drawing predictions instead of training, so that a dozen runs take
seconds; tests/pipeline/test_compare_example.py compares runs that were trained.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import ROOT, change_params, environment, run

STAGES = """
import sys
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from ruamel.yaml import YAML
from refit.evaluation.metrics import score
from refit.storage import files
params = YAML(typ="safe").load(Path("params.yaml"))

def data():
    generator = np.random.default_rng(params["data_seed"])
    splits = {}
    Path("data/raw").mkdir(parents=True)
    for split in ("validation", "test"):
        path = Path("data/raw", split + ".parquet")
        texts = [f"{params['prefix']} {row} of {split}" for row in range(200)]
        pq.write_table(pa.table({"text": texts, "label": generator.integers(0, 3, 200)}), path)
        splits[split] = {"rows": 200, "is_labelled": True, "sha256": files.sha256(path)}
    files.write_json(Path("data/raw/task.json"), {
        "task": params["task"], "labels": ["bad", params["neutral"], "good"], "problem_type": "classification",
        "splits": splits, "scores": ["accuracy", "macro_f1"], "best_score": "accuracy", "source": "own",
        "source_name": "made", "revision": "none", "files": {}, "note": "", "is_pair": False})

def train():
    skill = 0.45 + params["lr"] * 100 + np.random.default_rng(params["seed"]).normal(0, 0.01)
    files.write_json(Path("models/skill.json"), {"skill": skill, "seed": params["seed"]})

def evaluate():
    model, found, tables = files.read_json(Path("models/skill.json")), {}, []
    for split in ("validation", "test"):
        labels = pq.read_table(f"data/raw/{split}.parquet")["label"].to_numpy()[: params["rows"]]
        # Which rows are hard is the same for every model: what makes a paired test worth having.
        hardness = np.random.default_rng(0).random(len(labels))
        luck = np.random.default_rng(model["seed"]).normal(0, 0.03, len(labels))
        predictions = np.where(hardness + luck < model["skill"], labels, (labels + 1) % 3)
        found[split] = {name: round(score(name, labels, predictions), 6) for name in ("accuracy", "macro_f1")}
        found[split] |= {"rows": len(labels), "loss": 1.0}
        tables.append(pa.table({"split": [split] * len(labels), "row": np.arange(len(labels)), "label": labels,
                                "prediction": predictions}))
    files.write_json(Path("metrics/scores.json"), {params["task"]: found})
    pq.write_table(pa.concat_tables(tables), "metrics/predictions.parquet")

globals()[sys.argv[1]]()
"""
PIPELINE = """
stages:
  data: {cmd: python stages.py data, params: [task, data_seed, prefix, neutral], outs: [data/raw]}
  train: {cmd: python stages.py train, params: [lr, seed], outs: [models/skill.json]}
  evaluate:
    cmd: python stages.py evaluate
    params: [rows]
    deps: [data/raw, data/raw/task.json, models/skill.json]
    outs: [metrics/predictions.parquet, {metrics/scores.json: {cache: false}}]
"""
USER = environment(PYTHONPATH=str(ROOT), COLUMNS="100")


def compare(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`, with this tree's refit."""
    return run("python", "-m", "refit.compare", *arguments, cwd=folder, check=check, env=USER)


def committed(folder: Path, tag: str, **params: object) -> None:
    """Change params, run the pipeline, commit what it made and tag the commit."""
    change_params(folder / "params.yaml", **params)
    run("dvc", "repro", "--quiet", cwd=folder, env=USER)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", f"{tag} with {params}", cwd=folder)
    run("git", "tag", tag, cwd=folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tags weak, strong, strong2, seed2, fewer, other, renamed, emptied, foreign; the experiment best-try."""
    folder = tmp_path_factory.mktemp("compare") / "project"
    folder.mkdir()
    run("git", "init", "--quiet", "--initial-branch", "main", cwd=folder)
    run("dvc", "init", "--quiet", cwd=folder)
    (folder / "stages.py").write_text(STAGES)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text(
        "task: stars\nprefix: text\nneutral: so | so\ndata_seed: 1\nrows: 200\nlr: 0.001\nseed: 1\n"
    )
    run("dvc", "remote", "add", "--quiet", "--default", "store", folder.parent / "remote", cwd=folder)
    committed(folder, "weak")
    committed(folder, "strong", lr=0.003)
    committed(folder, "strong2", lr=0.0032)
    run("dvc", "exp", "run", "--quiet", "--name", "best-try", "--set-param", "lr=4e-3", cwd=folder, env=USER)
    run("git", "checkout", "--quiet", "--force", "main", cwd=folder)
    committed(folder, "seed2", lr=0.003, seed=2)
    committed(folder, "fewer", lr=0.001, seed=1, rows=150)
    committed(folder, "other", rows=200, data_seed=2)
    committed(folder, "renamed", neutral="fair")
    committed(folder, "emptied", neutral="so | so", prefix="words")
    committed(folder, "foreign", task="foreign", data_seed=1, prefix="text")
    run("dvc", "push", "--quiet", "--all-commits", cwd=folder)
    return folder


def test_committed_scores_and_pooled_seeds_are_compared(project: Path) -> None:
    """Prevents scores other than those in git, and seeds that are not pooled because dvc.lock differs."""
    found = json.loads(compare(project, "weak", "strong", "seed2", "--json").stdout)["scores"]
    weak, pooled = (line for line in found if (line["split"], line["score"]) == ("test", "accuracy"))
    values = {}
    for tag in ("weak", "strong", "seed2"):
        scores = run("git", "show", f"{tag}:metrics/scores.json", cwd=project).stdout
        values[tag] = json.loads(scores)["stars"]["test"]["accuracy"]
    assert weak["value"] == values["weak"]
    assert pooled["group"] == "strong and 1 other seed"
    assert pooled["value"] == pytest.approx((values["strong"] + values["seed2"]) / 2)
    assert pooled["deviation"] == pytest.approx(abs(values["strong"] - values["seed2"]) / 2**0.5)
    assert pooled["verdict"] == "real"
    assert "differ only in their seed" in compare(project, "strong", "seed2").stdout


def test_the_workspace_is_set_against_the_last_commit_and_left_alone(project: Path) -> None:
    """Prevents compare from changing a file of the user."""
    files = [path for path in project.rglob("*") if ".git/" not in f"{path}" and ".dvc/tmp" not in f"{path}"]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert re.search("workspace .* same predictions", compare(project).stdout)
    compare(project, "weak..other", "--json")
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.is_file())


def test_ranges_and_experiments_are_revisions_and_the_params_that_differ_are_shown(project: Path) -> None:
    """Prevents a range in another order, and an experiment that needs a commit."""
    found = json.loads(compare(project, "weak..strong2", "best-try", "--json").stdout)
    assert [run["title"].split()[0] for run in found["revisions"][:2]] == ["strong", "strong2"]
    assert found["params_that_differ"] == {"lr": ["0.003", "0.0032", "0.004"]}
    shown = compare(project, "strong", "best-try").stdout
    assert re.search(r"^param +strong +best-try\nlr +0\.003 +0\.004$", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("weak fewer", 65, "other rows: 200 and 150, of which 150 are the same"),
        (
            "weak other",
            65,
            r"other data: \d+ rows relabelled; \d+ unchanged \(python -m refit.compare --data weak other",
        ),
        ("weak foreign --common-rows", 65, "weak is of stars, foreign is of foreign"),
        ("weak other --common-rows", 0, ""),
        (
            "weak renamed --common-rows",
            65,
            r"weak and renamed have other labels \(bad, so \| so, good; bad, fair, good",
        ),
        ("weak emptied --common-rows", 65, "weak and emptied have no row in common"),
        ("--data weak strong strong2", 64, "--data: got 3 revisions, need two"),
        ("--data weak other --flips", 64, "got 2 revisions and options about scores, need two"),
        ("--data weak", 0, ""),
        ("weak foreign", 65, "weak is of stars, foreign is of foreign"),
        ("weak strong strong2 --flips", 64, "--flips: got 3 revisions, need two"),
        ("weak strong --fail-under 0.6", 0, ""),
        ("strong weak --fail-under 0.6", 1, r"weak: accuracy on test is 0\.\d{4}, under 0\.6"),
        ("strong strong2 --fail-if-worse", 0, ""),
        ("strong2 strong --fail-if-worse", 0, ""),
        ("weak strong --fail-if-worse", 0, ""),
        ("strong weak --fail-if-worse", 1, r"weak is really worse than strong: accuracy on test -0\."),
        ("weak strong fewer --fail-if-worse", 65, "cannot be judged: fewer against weak"),
    ],
)
def test_the_exit_code_and_the_last_line_say_what_was_found(
    project: Path, arguments: str, code: int, said: str
) -> None:
    """Prevents a check in CI that passes any score, fails by chance, or passes what it cannot judge."""
    done = compare(project, *arguments.split(), check=False)
    assert done.returncode == code
    assert re.search(said, done.stderr)
    if code == 65:
        assert len(done.stderr.splitlines()) == 1


def test_scores_on_common_rows_are_those_of_the_rows_with_the_same_text_and_label(
    project: Path, tmp_path: Path
) -> None:
    """Prevents rows from being matched by number, and scores of other rows."""
    tables = {}
    for tag in ("weak", "other", "fewer"):
        run("dvc", "get", ".", "metrics/predictions.parquet", "--rev", tag, "--out", tmp_path / tag, cwd=project)
        table = pq.read_table(tmp_path / tag).to_pylist()
        tables[tag] = {row["row"]: row for row in table if row["split"] == "test"}
    common = [
        row for row in tables["fewer"] if len({tables[tag][row]["label"] for tag in ("weak", "other", "fewer")}) == 1
    ]
    assert 20 < len(common) < 140
    found = json.loads(compare(project, "weak", "other", "fewer", "--common-rows", "--json").stdout)
    lines = [line for line in found["scores"] if (line["split"], line["score"]) == ("test", "accuracy")]
    assert [line["group"] for line in lines] == ["weak", "other", "fewer"]
    for line in lines:
        rows = [tables[line["group"]][row] for row in common]
        assert line["rows"] == len(common)
        assert line["value"] == pytest.approx(sum(row["prediction"] == row["label"] for row in rows) / len(common))
        assert line["verdict"] or line["against"] is None
    shown = compare(project, "weak", "other", "fewer", "--common-rows").stdout
    assert f"Only rows that all of these revisions have: {len(common)} of test" in " ".join(shown.split())
    assert "became right" in compare(project, "weak", "other", "--common-rows", "--flips").stdout


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
    assert re.search(r"strong +0\.\d{4} +unknown", done.stdout)
    judged = compare(folder, "weak", "strong", "--fail-if-worse", check=False)
    assert judged.returncode == 69
    assert "cannot be judged" in judged.stderr


def test_flips_have_the_labels_and_texts_of_their_examples(project: Path) -> None:
    """Prevents flips with another label or text than the example's."""
    said = compare(project, "weak", "best-try", "--flips").stdout
    listed = json.loads(compare(project, "weak", "best-try", "--flips", "--json").stdout)["flips"]
    assert len(listed) > 20
    assert f"{sum(flip['after'] == flip['label'] for flip in listed)} became right" in said
    flip = listed[-1]
    assert flip["text"] == f"text {flip['row']} of {flip['split']}"
    cells = (flip["split"], str(flip["row"]), flip["label"], flip["before"], flip["after"], flip["text"])
    assert re.search("^" + " +".join(map(re.escape, cells)), said, re.MULTILINE)


def test_scores_that_the_predictions_do_not_give_are_not_trusted_and_edited_params_are_pointed_out(
    project: Path, tmp_path: Path
) -> None:
    """Prevents a test of predictions that belong to another run, and scores credited to params edited afterwards."""
    folder = tmp_path / "edited"
    shutil.copytree(project, folder)
    scores = folder / "metrics/scores.json"
    values = json.loads(scores.read_text())
    values["foreign"]["test"]["accuracy"] += 0.1
    scores.write_text(json.dumps(values))
    change_params(folder / "params.yaml", lr=0.5)
    said = " ".join(compare(folder).stdout.split())
    assert "workspace: metrics/predictions.parquet does not give the scores in metrics/scores.json" in said
    assert "unknown" in said
    assert re.search(r"workspace: [^.]*another lr than params\.yaml", said)
