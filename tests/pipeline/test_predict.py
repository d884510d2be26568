"""refit.predict: the numbers of evaluate, for files of any size, and files that the leaderboards take."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, environment, reviews, run, write_csv

from refit.errors import DataError, NetworkError, ParamsError, UsageError
from refit.predict import __main__ as predict
from refit.predict import batch, leaderboard, model_source
from refit.predict.model_source import Finished, Settings
from refit.predict.predictor import Predictor

SETTINGS = Settings(max_length=32, batch_size=8, precision="fp32", threads=1)
TEXTS = [text for text, _ in reviews(90)]


@pytest.fixture(scope="module")
def classifier_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved classifier of three labels with random weights."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(1)
    names = {0: "bad", 1: "fair", 2: "good"}
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_model, id2label=names, label2id={name: index for index, name in names.items()}
    )
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    torch.nn.init.normal_(model.classifier.weight, std=30.0)
    with torch.no_grad():  # every label is the answer to some of the texts
        given = tokenizer(TEXTS, padding=True, return_tensors="pt")
        model.classifier.bias -= model.eval()(**given).logits.median(dim=0).values
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def predictor(classifier_folder: Path) -> Predictor:
    return Predictor(Finished("a test", classifier_folder, SETTINGS, None, None))


def texts_file(path: Path, rows: int = len(TEXTS)) -> Path:
    write_csv(path, ["text"], [(text,) for text in TEXTS[:rows]])
    return path


def probabilities(path: Path) -> np.ndarray:
    return np.array(pq.read_table(path)["probabilities"].to_pylist(), np.float32)


def test_probabilities_are_transformers_own(predictor: Predictor, classifier_folder: Path, tmp_path: Path) -> None:
    """Sorting, windows or token ids that are not the model's own would give another model's numbers."""
    from transformers import pipeline

    batch.write(predictor, classifier_folder, texts_file(tmp_path / "in.csv"), tmp_path / "out.parquet", is_pair=None)
    reference = pipeline("text-classification", model=str(classifier_folder), device="cpu")(TEXTS, top_k=None)
    expected = [{one["label"]: one["score"] for one in row} for row in reference]
    table = pq.read_table(tmp_path / "out.parquet")
    np.testing.assert_allclose(
        probabilities(tmp_path / "out.parquet"), [[row[name] for name in ("bad", "fair", "good")] for row in expected],
        atol=1e-5,
    )  # fmt: skip
    assert table["label"].to_pylist() == [max(row, key=lambda name: row[name]) for row in expected]
    assert len(set(table["label"].to_pylist())) > 1
    assert table["row"].to_pylist() == list(range(len(TEXTS)))
    assert json.loads(table.schema.metadata[b"labels"]) == ["bad", "fair", "good"]


def test_windows_do_not_change_the_answers(
    predictor: Predictor, classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The company that a row has in its window must not decide its label."""
    source = texts_file(tmp_path / "in.csv")
    batch.write(predictor, classifier_folder, source, tmp_path / "whole.parquet", is_pair=None)
    monkeypatch.setattr(batch, "WINDOW_ROWS", 7)
    batch.write(predictor, classifier_folder, source, tmp_path / "windows.parquet", is_pair=None)
    whole, windows = pq.read_table(tmp_path / "whole.parquet"), pq.read_table(tmp_path / "windows.parquet")
    assert whole["label"].to_pylist() == windows["label"].to_pylist()
    np.testing.assert_allclose(
        probabilities(tmp_path / "whole.parquet"), probabilities(tmp_path / "windows.parquet"), atol=1e-5
    )


KILLED = """
import sys, time
from pathlib import Path
from refit.predict import batch
from refit.predict.model_source import Finished, Settings
from refit.predict.predictor import Predictor
model, source, target, pause = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
batch.WINDOW_ROWS = 10
predictor = Predictor(Finished("a test", model, Settings(32, 8, "fp32", 1), None, None))
answer = predictor.logits
def slow(*given):
    time.sleep(pause)
    print("window", flush=True)
    return answer(*given)
predictor.logits = slow
batch.write(predictor, model, source, target, is_pair=None)
"""


def test_goes_on_after_a_kill(classifier_folder: Path, tmp_path: Path) -> None:
    """A night's work must not be lost to a restart, and the answers must be those of a run that was not killed."""
    source = texts_file(tmp_path / "in.csv")

    def start(target: str, pause: float) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", KILLED, classifier_folder, source, tmp_path / target, str(pause)]
        return subprocess.Popen(
            list(map(str, command)),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    killed = start("out.parquet", 0.5)
    parts = tmp_path / "out.parquet.parts"
    deadline = time.monotonic() + 300
    while len(list(parts.glob("*.parquet"))) < 3:
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    there = len(list(parts.glob("*.parquet")))
    assert not (tmp_path / "out.parquet").exists()
    output, _ = start("out.parquet", 0).communicate()
    assert output.count("window") == 9 - there
    start("other.parquet", 0).communicate()
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    assert not parts.exists()


def test_parts_of_another_file_are_not_used(
    predictor: Predictor, classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going on with the answers to another file would mix the two without a word."""
    monkeypatch.setattr(batch, "WINDOW_ROWS", 10)
    target = tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(batch, "_join", lambda parts, target: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            batch.write(predictor, classifier_folder, texts_file(tmp_path / "in.csv", 40), target, is_pair=None)
    source = texts_file(tmp_path / "in.csv", 20)
    assert batch.write(predictor, classifier_folder, source, target, is_pair=None) == 20
    assert pq.read_metadata(target).num_rows == 20


def test_only_files_that_predict_wrote_are_replaced(
    predictor: Predictor, classifier_folder: Path, tmp_path: Path
) -> None:
    """Prevents the loss of the texts themselves, of a file with columns added, and of a folder that was there."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"text": ["a good film", "a dull one"], "x": [1, 2]}), source)
    given = source.read_bytes()

    def write(out: Path) -> int:
        return batch.write(predictor, classifier_folder, source, out, is_pair=None)

    with pytest.raises(UsageError, match="refit did not write it"):
        write(source)
    assert source.read_bytes() == given
    assert write(target) == write(target) == 2
    predictions = pq.read_table(target)
    pq.write_table(predictions.append_column("mine", [["a", "b"]]), target)
    with pytest.raises(UsageError, match="refit did not write it"):
        write(target)
    pq.write_table(predictions, target)
    parts = tmp_path / "out.parquet.parts"
    parts.mkdir()
    for name in ("000000.parquet", "notes.txt", "state.json"):
        (parts / name).write_text("[]")
        with pytest.raises(UsageError, match="refit did not make it"):
            write(target)
        assert (parts / name).read_text() == "[]"
        (parts / name).unlink()
    (parts / ".lock").touch()  # all that a run which was killed early leaves
    assert write(target) == 2


def test_no_more_than_a_window_is_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the whole file first would need memory for all of it."""
    read = 0

    def endless() -> Iterator[tuple[str, str | None]]:
        nonlocal read
        while True:
            read += 1
            yield "x" * 100, None

    monkeypatch.setattr(batch, "WINDOW_ROWS", 50)
    windows = batch.windows(endless())
    assert len(next(windows)[0]) == 50
    assert read == 50
    monkeypatch.setattr(batch, "WINDOW_CHARACTERS", 1000)
    assert len(next(windows)[0]) == 10


def test_one_text_is_answered_with_ten_lines_and_the_number_of_other_labels(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Prevents 2,000 lines for one text."""
    logits = np.arange(2_000, dtype=np.float32)[None]
    many = SimpleNamespace(labels=[f"label {i}" for i in range(2_000)], is_regression=False, logits=lambda *_: logits)
    predict._predict_text(many, Finished("a test", Path(), SETTINGS, None, None), ["a text"])  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:10]] == [str(i) for i in range(1_999, 1_989, -1)]
    assert len(lines) == 11
    assert "1,990" in lines[10]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text\ngood\n\"\"\n", "line 3: text is empty"),
        ("words\ngood\n", "column 'text' not found"),
        ("text\n", "has no rows"),
        ("text,text_pair\na,b\n", "labels single texts"),
    ],
)  # fmt: skip
def test_bad_files_are_named(predictor: Predictor, tmp_path: Path, content: str, said: str) -> None:
    """A bad row must stop the run before the first hour, and say where it is."""
    (tmp_path / "in.csv").write_text(content)
    with pytest.raises(DataError, match=said):
        batch.write(predictor, tmp_path, tmp_path / "in.csv", tmp_path / "out.parquet", is_pair=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "need one of"),
        (["a", "b", "c"], "got 3 texts"),
        (["a", "--split", "test"], "need one of"),
        (["--file", "in.csv"], "--file needs --out"),
        (["a", "--out", "out.parquet"], "--out needs --file or --split"),
    ],
)
def test_bad_command_lines_are_named(given: list[str], said: str) -> None:
    """A command that is half understood would do something else than was asked."""
    with pytest.raises(ParamsError, match=said):
        predict.arguments(given)


def test_a_model_without_a_head_is_refused(tiny_model: Path) -> None:
    """Transformers loads it with a random head and answers nonsense."""
    with pytest.raises(DataError, match="without a classification head"), model_source.find(str(tiny_model)) as found:
        Predictor(found)


def test_a_model_that_was_not_fetched_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents DVC's traceback, and advice that does not help: a plain dvc push uploads one commit's files only."""
    monkeypatch.chdir(tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path)
    run("dvc", "init", "--quiet", cwd=tmp_path)
    Path("params.yaml").write_text("lr: 1\n")
    Path("dvc.yaml").write_text("stages: {train: {cmd: 'true', outs: [models/finetuned]}}\n")
    out = f"{{path: models/finetuned, hash: md5, md5: {'a' * 32}.dir, size: 9, nfiles: 1}}"
    Path("dvc.lock").write_text(f"schema: '2.0'\nstages: {{train: {{cmd: 'true', outs: [{out}]}}}}\n")
    run("git", "add", "--all", cwd=tmp_path)
    run("git", "commit", "--quiet", "--message", "a run", cwd=tmp_path)
    commit = run("git", "rev-parse", "HEAD", cwd=tmp_path).stdout.strip()
    experiment = run("git", "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "a try", cwd=tmp_path).stdout.strip()
    run("git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/an-experiment", experiment, cwd=tmp_path)
    for name, cure in (("HEAD", "dvc push --all-commits"), ("an-experiment", "dvc exp push origin an-experiment")):
        said = f"{name}: models/finetuned is neither in DVC's cache nor in its remote; run {cure}"
        with pytest.raises(NetworkError, match=said), model_source.find(name):
            pass
    with pytest.raises(UsageError, match="--model nope: no such folder"), model_source.find("nope"):
        pass


HEAD = "index\tprediction\n"
NLI = ["entailment", "neutral", "contradiction"]


@pytest.mark.parametrize(
    ("task", "split", "predictions", "labels", "name", "content"),
    [
        ("cola", "test", [1, 0], ["unacceptable", "acceptable"], "CoLA.tsv", HEAD + "0\t1\n1\t0\n"),
        ("qnli", "test", [1], ["entailment", "not_entailment"], "QNLI.tsv", HEAD + "0\tnot_entailment\n"),
        ("wnli", "test", [1], ["not_entailment", "entailment"], "WNLI.tsv", HEAD + "0\t1\n"),
        ("mnli", "test", [2], NLI, "MNLI-m.tsv", HEAD + "0\tcontradiction\n"),
        ("mnli", "test_mismatched", [1], NLI, "MNLI-mm.tsv", HEAD + "0\tneutral\n"),
        ("mnli", "test_ax", [0], NLI, "AX.tsv", HEAD + "0\tentailment\n"),
        ("stsb", "test", [5.3, -0.1, 2.34567], [], "STS-B.tsv", HEAD + "0\t5.000\n1\t0.000\n2\t2.346\n"),
        (
            "afqmc", "test", [0, 1], ["0", "1"], "afqmc_predict.json",
            '{"id": 0, "label": "0"}\n{"id": 1, "label": "1"}\n'
        ),
    ],
)  # fmt: skip
def test_submission_files(
    tmp_path: Path, task: str, split: str, predictions: list[float], labels: list[str], name: str, content: str
) -> None:
    """A leaderboard refuses a file with another name, header or label word."""
    written = leaderboard.write(leaderboard.PARTS[task][split], predictions, labels, tmp_path)
    assert written.name == name
    assert written.read_text() == content


def test_zip_holds_the_files_alone_and_lacks_are_told(tmp_path: Path) -> None:
    """A zip with folders, or one that silently lacks a task, is refused or scored as nothing."""
    for part in (leaderboard.PARTS["cola"]["test"], leaderboard.PARTS["sst2"]["test"]):
        leaderboard.write(part, [1], ["a", "b"], tmp_path / "glue")
    packed, missing = leaderboard.pack(tmp_path / "glue", leaderboard.GLUE_FILES)
    assert zipfile.ZipFile(packed).namelist() == ["CoLA.tsv", "SST-2.tsv"]
    assert len(missing) == 9
    assert "AX.tsv" in missing


def test_only_submissions_that_refit_wrote_are_replaced(tmp_path: Path) -> None:
    """Prevents the loss of a leaderboard file that another tool made."""
    names, cola = leaderboard.GLUE_FILES, leaderboard.PARTS["cola"]["test"]

    def written(label: int) -> str:
        folder = leaderboard.checked_folder(tmp_path, names, ["CoLA.tsv"])
        leaderboard.write(cola, [label], ["a", "b"], folder)
        leaderboard.pack(folder, names)
        return (folder / "CoLA.tsv").read_text()

    assert written(0) != written(1)
    for name in ("glue/CoLA.tsv", "glue.zip"):
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_text("another tool's")
        with pytest.raises(UsageError, match=name):
            written(0)
        assert (tmp_path / name).read_text() == "another tool's"
        (tmp_path / name).write_bytes(before)


def test_raw_rows_keep_what_a_users_file_may_not_have(tmp_path: Path) -> None:
    """QQP's test rows have empty questions; a submission needs an answer to each."""
    pq.write_table(pa.table({"text": ["a", ""], "text_pair": ["", "b"], "label": [-1, -1]}), tmp_path / "test.parquet")
    assert list(batch.raw_rows(tmp_path / "test.parquet")) == [("a", ""), ("", "b")]
