"""Predictions for files: transformers' own numbers, windows, what is checked, and which files are replaced."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import reviews, write_csv
from made_runs import task_record

from refit import params, paths
from refit.errors import DataError, ParamsError, UsageError
from refit.predict import batch
from refit.predict.model_source import FinetunedModel
from refit.predict.predictor import Predictor

TEXTS = [text for text, _ in reviews(90)]


@pytest.fixture(scope="module")
def predictor(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A classifier of three labels, each of which is predicted for some of the texts of `reviews`."""
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
    with torch.no_grad():
        given = tokenizer(TEXTS, padding=True, return_tensors="pt")
        model.classifier.bias -= model.eval()(**given).logits.median(dim=0).values
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = params.Evaluate(eval_batch_size=8, precision="fp32", threads=1)
    return Predictor(FinetunedModel("a test", folder, settings, max_length=32))


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep .refit in the test's folder."""
    monkeypatch.chdir(tmp_path)


def texts_file(rows: int = len(TEXTS), name: str = "in.csv") -> Path:
    write_csv(Path(name), ["text"], [(text,) for text in TEXTS[:rows]])
    return Path(name)


@pytest.mark.parametrize("window", [7, batch.WINDOW_ROWS])
def test_probabilities_are_transformers_own(window: int, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents numbers of another model through sorting, windows or other token ids."""
    from transformers import pipeline

    monkeypatch.setattr(batch, "WINDOW_ROWS", window)
    batch.write(predictor, texts_file(), Path("out.parquet"))
    reference = pipeline("text-classification", model=str(predictor.model.folder), device="cpu")(TEXTS, top_k=None)
    expected = [{one["label"]: one["score"] for one in row} for row in reference]
    table = pq.read_table("out.parquet")
    np.testing.assert_allclose(
        table["probabilities"].to_pylist(), [[row[name] for name in ("bad", "fair", "good")] for row in expected],
        atol=1e-5,
    )  # fmt: skip
    assert table["label"].to_pylist() == [max(row, key=lambda name: row[name]) for row in expected]
    assert len(set(table["label"].to_pylist())) > 1
    assert table["row"].to_pylist() == list(range(len(TEXTS)))
    assert table.schema.metadata[b"labels"] == b'["bad", "fair", "good"]'


@pytest.mark.parametrize(("rows", "calls_in_all"), [(40, 2 + 1 + 2), (20, 2 + 1 + 2), (50, 2 + 1 + 5)])
def test_a_stopped_run_resumes_after_its_last_window(
    rows: int, calls_in_all: int, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents the loss of a night's work, and predictions for two files (40 rows, and 20 or 50) from being mixed."""
    monkeypatch.setattr(batch, "WINDOW_ROWS", 10)
    logits, calls = predictor.logits, []

    def stopped_after_two(*given: object) -> np.ndarray:
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return logits(*given)  # type: ignore[arg-type]

    batch.write(predictor, texts_file(rows), Path("expected.parquet"))
    monkeypatch.setattr(predictor, "logits", stopped_after_two)
    with pytest.raises(KeyboardInterrupt):
        batch.write(predictor, texts_file(40), Path("out.parquet"))
    assert not Path("out.parquet").exists()
    kept = paths.state_folder() / "predict"
    assert len(list(kept.rglob("*.parquet"))) == 2
    assert batch.write(predictor, texts_file(rows), Path("out.parquet")) == rows
    assert len(calls) == calls_in_all
    assert Path("out.parquet").read_bytes() == Path("expected.parquet").read_bytes()
    assert not list(kept.iterdir())


def test_only_files_that_predict_wrote_are_replaced(predictor: Predictor) -> None:
    """Prevents the loss of the texts themselves, and of a file with columns added."""
    source, target = Path("in.parquet"), Path("out.parquet")
    pq.write_table(pa.table({"text": ["a good film", "a dull one"], "x": [1, 2]}), source)
    given = source.read_bytes()
    with pytest.raises(UsageError, match="refit did not write it"):
        batch.write(predictor, source, source)
    assert source.read_bytes() == given
    for _ in range(2):
        assert batch.write(predictor, source, target) == 2
    pq.write_table(pq.read_table(target).append_column("mine", [["a", "b"]]), target)
    with pytest.raises(UsageError, match="refit did not write it"):
        batch.write(predictor, source, target)


def test_no_more_than_a_window_is_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents reading a complete file into memory first."""
    read = 0

    def endless() -> Iterator[tuple[str, ...]]:
        nonlocal read
        while True:
            read += 1
            yield ("x" * 100,)

    monkeypatch.setattr(batch, "WINDOW_ROWS", 50)
    windows = batch.windows(endless())
    assert len(next(windows)) == read == 50
    monkeypatch.setattr(batch, "WINDOW_CHARACTERS", 1000)
    assert len(next(windows)) == 10


@pytest.mark.parametrize(
    ("content", "said"),
    [('text\ngood\n""\n', "in.csv line 3: text is empty"), ("text,text_pair\na,b\n", "single texts")],
)
def test_bad_files_are_refused_before_a_row_is_predicted(predictor: Predictor, content: str, said: str) -> None:
    """Prevents a bad row from stopping a run after hours, and pairs for a model of single texts."""
    single = Predictor(replace(predictor.model, task=task_record()))
    Path("in.csv").write_text(content)
    with pytest.raises(DataError, match=said):
        batch.write(single, Path("in.csv"), Path("out.parquet"))
    assert not paths.state_folder().exists()


def test_windows_of_long_texts_are_averaged_and_pairs_have_none(predictor: Predictor) -> None:
    """Prevents predictions for the start of a text by a model that was trained on windows."""
    model = replace(predictor.model, max_length=6, long_texts="windows")
    texts = ["good film and plot was bad", "good film", "good film and plot"]
    found = Predictor(model).logits([(text,) for text in texts])
    parts = ["good film and plot", "and plot was bad", "film and plot was"]
    first, last, _ = Predictor(replace(model, long_texts="head")).logits([(part,) for part in parts])
    assert found[0] == pytest.approx((first + last) / 2, abs=1e-3)
    assert found[1] == pytest.approx(predictor.logits([("good film",)])[0], abs=1e-3)
    with pytest.raises(ParamsError, match="the model labels single texts"):
        Predictor(model).logits([("good", "bad")])


def test_split_rows_may_have_what_a_users_file_may_not() -> None:
    """Prevents a submission of QQP from being refused: its test rows have empty questions."""
    pq.write_table(pa.table({"text": ["a", ""], "text_pair": ["", "b"], "label": [-1, -1]}), "test.parquet")
    assert list(batch.read(Path("test.parquet"), is_split=True)) == [("a", ""), ("", "b")]
