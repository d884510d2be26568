"""The tokenize stage: every row once, the same bytes each time, and a warning and a fallback when engines differ."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import reviews
from made_runs import splits, task_record

from refit.download import pretrained
from refit.errors import DataError, ParamsError
from refit.params import DownloadModel, LongTexts
from refit.storage import arrow, files, manifest
from refit.tokenization import tokenization
from refit.tokenization.engines import FastEngine
from refit.tokenization.hf_tokenizer import Reference
from refit.tokenization.token_batch import Encoded


@pytest.fixture(scope="module")
def base_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as download_model writes it."""
    target = tmp_path_factory.mktemp("models") / "base"
    pretrained.write(DownloadModel(model=str(tiny_model), model_revision="pinned"), target)
    return target


def raw_folder(folder: Path, rows: int = 50, *, pair: bool = False) -> Path:
    """A data/raw with one split."""
    folder.mkdir()
    texts = [text for text, _ in reviews(rows)]
    columns: dict[str, Any] = {"text": texts, "label": pa.array([i % 2 for i in range(rows)], pa.int64())}
    if pair:
        columns["text_pair"] = texts[::-1]
    pq.write_table(pa.table(columns), folder / "train.parquet")
    task = task_record(is_pair=pair, splits=splits({"train": rows}, files.sha256(folder / "train.parquet")))
    task.write(folder / "task.json")
    return folder


@pytest.mark.parametrize("pair", [False, True])
def test_rows_have_the_ids_of_the_models_tokenizer(tmp_path: Path, base_model: Path, pair: bool) -> None:
    """Prevents rows from being lost, repeated or mixed up between batches."""
    raw = raw_folder(tmp_path / "raw", arrow.BATCH_ROWS + 100, pair=pair)
    figures = tokenization.write(raw, base_model, 24, tmp_path / "tokenized")
    assert figures["engine"] == "nanotoken"
    rows = arrow.Rows.read(tmp_path / "tokenized/train.arrow")
    table = pq.read_table(raw / "train.parquet")
    own = Reference((base_model / "tokenizer.json").read_bytes(), 24)
    expected = own.encode(table["text"].to_pylist(), table["text_pair"].to_pylist() if pair else None)
    assert len(rows) == len(table) == figures["rows"]
    for row in (0, 1, arrow.BATCH_ROWS - 1, arrow.BATCH_ROWS, len(rows) - 1):
        assert rows.ids(row).tolist() == expected.take([row]).ids.tolist()
        assert rows.row[row] == row
    assert rows.length.tolist() == expected.lengths.tolist()
    assert rows.label.tolist() == table["label"].to_pylist()
    if pair:
        assert rows.first_length is not None
        assert rows.first_length.tolist() == expected.first_lengths.tolist()  # type: ignore[union-attr]


def test_the_same_input_gives_the_same_bytes_and_datasets_opens_them(tmp_path: Path, base_model: Path) -> None:
    """Prevents a needless retraining, and a format that only refit can read."""
    from datasets import Dataset

    raw = raw_folder(tmp_path / "raw")
    for name in ("one", "two"):
        tokenization.write(raw, base_model, 24, tmp_path / name)
    for file in ("train.arrow", "manifest.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    dataset = Dataset.from_file(str(tmp_path / "one/train.arrow"))
    assert dataset.column_names == ["input_ids", "label", "length", "row"]
    assert len(dataset[0]["input_ids"]) == dataset[0]["length"]


def test_engines_that_differ_fall_back_with_a_warning(
    tmp_path: Path, base_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents a bug of the fast engine from training a model on wrong tokens without a warning."""
    right = FastEngine.encode

    def wrong(self: FastEngine, texts: list[str], pairs: list[str] | None) -> Encoded:
        encoded = right(self, texts, pairs)
        encoded.ids[encoded.offsets[0]] += 1
        return encoded

    monkeypatch.setattr(FastEngine, "encode", wrong)
    figures = tokenization.write(raw_folder(tmp_path / "raw"), base_model, 24, tmp_path / "tokenized")
    assert figures["engine"] == "tokenizers"
    assert "disagree" in capsys.readouterr().err
    assert arrow.Rows.read(tmp_path / "tokenized/train.arrow").ids(0)[0] == 2  # [CLS]


def test_damaged_raw_data_is_refused(tmp_path: Path, base_model: Path) -> None:
    """Prevents training on a damaged file."""
    raw = raw_folder(tmp_path / "raw")
    content = bytearray((raw / "train.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (raw / "train.parquet").write_bytes(content)
    with pytest.raises(DataError, match="differs from what was written"):
        tokenization.write(raw, base_model, 24, tmp_path / "tokenized")
    assert not (tmp_path / "tokenized").exists()


def test_heavy_truncation_has_a_warning() -> None:
    """Prevents a model that reads only the first words of each page without the user knowing."""
    figures = {"train.arrow": {"rows": 1000, "at_max_length": 312}, "test.arrow": {"rows": 1000, "at_max_length": 90}}
    start = "312 of 1,000 rows of train (31%) reach max_length 128; "
    assert list(tokenization.truncation_warnings(figures, 128, "head", is_pair=True)) == [
        f"{start}longer text is dropped, raise max_length to keep it"
    ]
    assert list(tokenization.truncation_warnings(figures, 128, "head_tail", is_pair=False)) == [
        f"{start}the middle of longer text is dropped, raise max_length to keep it, or set long_texts: windows"
    ]


def test_windows_are_adjacent_rows_with_the_row_and_the_label_of_their_text(
    tmp_path: Path, base_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents windows that are trained with the label of another text, also in the second batch of a file."""
    raw = raw_folder(tmp_path / "raw", arrow.BATCH_ROWS + 30)
    tokenization.write(raw, base_model, 8, tmp_path / "windows", "windows")
    rows = arrow.Rows.read(tmp_path / "windows/train.arrow")
    assert np.unique(np.diff(rows.row)).tolist() == [0, 1]
    assert rows.label.tolist() == (rows.row % 2).tolist()
    texts, recorded = rows.texts(), manifest.read(tmp_path / "windows")["train.arrow"]
    assert len(texts) == recorded["rows"] == arrow.BATCH_ROWS + 30
    assert recorded["windows"] == len(rows) > len(texts)
    assert texts.row.tolist() == list(range(len(texts)))
    assert texts.length.sum() == rows.length.sum() == recorded["tokens"]
    assert f"8,222 texts in {len(rows):,} windows of at most 8 tokens" in capsys.readouterr().err
    tokenization.write(raw, base_model, 8, tmp_path / "head", "head")
    head = arrow.Rows.read(tmp_path / "head/train.arrow")
    assert all(rows.ids(start).tolist() == head.ids(row).tolist() for row, start in enumerate(rows.text_starts()))


@pytest.mark.parametrize("how", ["head_tail", "windows"])
def test_pairs_have_no_windows(tmp_path: Path, base_model: Path, how: LongTexts) -> None:
    """Prevents pairs of which one text is lost."""
    wanted = f"long_texts: got {how}, but the task own/tiny has pairs of texts; need head"
    with pytest.raises(ParamsError, match=wanted):
        tokenization.write(raw_folder(tmp_path / "raw", pair=True), base_model, 24, tmp_path / "tokenized", how)
