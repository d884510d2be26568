"""Sampling: the rows that a notebook would pick, or the same fraction of each class."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from refit.data import sampling
from refit.params import Sample
from refit.storage import arrow, manifest


@given(st.integers(1, 500), st.data(), st.integers(0, 2**32 - 1))
def test_the_rows_of_shuffle_and_select(rows: int, data: st.DataObject, seed: int) -> None:
    """Prevents a sample that cannot be compared with a notebook's."""
    count = data.draw(st.integers(1, rows))
    theirs = Dataset.from_dict({"row": range(rows)}).shuffle(seed=seed).select(range(count))["row"]
    assert sampling.choose(rows, count, seed).tolist() == list(theirs)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=300), st.data(), st.integers(0, 1000))
def test_a_stratified_sample_keeps_the_class_fractions(labels: list[int], data: st.DataObject, seed: int) -> None:
    """Prevents a class from being lost or over-represented in a small sample."""
    count = data.draw(st.integers(1, len(labels)))
    chosen = sampling.choose(len(labels), count, seed, np.array(labels))
    assert len(set(chosen.tolist())) == count
    found, expected = Counter(np.array(labels)[chosen].tolist()), Counter(labels)
    for label, size in expected.items():
        assert abs(found[label] - size * count / len(labels)) < 1


def tokenized_folder(folder: Path, rows: int, *, batch: int = 7) -> Path:
    """A data/tokenized with train, validation and test files of `rows` rows each, in small batches."""
    folder.mkdir()
    figures = {}
    for split in ("train", "validation", "test"):
        schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("label", pa.int64()), ("row", pa.int32())])
        with pa.ipc.new_stream(str(folder / f"{split}.arrow"), schema) as stream:
            for start in range(0, rows, batch):
                index = list(range(start, min(rows, start + batch)))
                ids = [list(range(i % 5)) for i in index]
                stream.write_batch(pa.record_batch([ids, [i % 3 for i in index], index], schema=schema))
        figures[f"{split}.arrow"] = {"rows": rows}
    manifest.write(folder, figures)
    return folder


def params(**changes: object) -> Sample:
    """Sample params of a small run."""
    values = {"train_rows": 20, "eval_rows": 10, "test_rows": "all", "sample_seed": 42, "test_sample_seed": 64}
    return Sample.model_validate({**values, "stratify": False, **changes})


def test_rows_are_written_in_the_chosen_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a row's tokens from being stored with another row's label, within and between batches."""
    monkeypatch.setattr(arrow, "BATCH_ROWS", 8)
    source = tokenized_folder(tmp_path / "tokenized", 50)
    sampling.write(params(), source, tmp_path / "sampled")
    table = pa.Table.from_batches(arrow.open_batches(tmp_path / "sampled/train.arrow"))
    order = np.random.default_rng(42).permutation(50)[:20]
    assert table["row"].to_pylist() == order.tolist()
    assert table["label"].to_pylist() == [i % 3 for i in order]
    assert table["input_ids"].to_pylist() == [list(range(i % 5)) for i in order]
    recorded = manifest.read(tmp_path / "sampled")
    assert [recorded[f"{split}.arrow"]["rows"] for split in ("train", "validation", "test")] == [20, 10, 50]


def test_windows_are_sampled_with_their_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents texts that lose windows, or whose windows are not adjacent, and windows that count as texts."""
    monkeypatch.setattr(arrow, "BATCH_ROWS", 8)
    source = tmp_path / "tokenized"
    source.mkdir()
    schema = arrow.schema(pa.int64(), is_pair=False)
    texts = np.repeat(np.arange(50), np.arange(50) % 4 + 1)
    columns = [[[i] for i in range(len(texts))], texts % 3, np.ones(len(texts)), texts]
    table = pa.table([pa.array(c).cast(f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
    with pa.ipc.new_stream(str(source / "train.arrow"), schema) as stream:
        stream.write_table(table, max_chunksize=7)
    manifest.write(source, {"train.arrow": {"rows": 50}})
    assert sampling.write(params(), source, tmp_path / "sampled") == {"rows": 20}
    rows = arrow.Rows.read(tmp_path / "sampled/train.arrow")
    order = np.random.default_rng(42).permutation(50)[:20]
    assert [int(rows.ids(i)[0]) for i in range(len(rows))] == [
        i for text in order for i in np.flatnonzero(texts == text)
    ]
    assert rows.row.tolist() == [text for text in order for _ in range(text % 4 + 1)]
    assert rows.texts().label.tolist() == (order % 3).tolist()
    assert manifest.read(tmp_path / "sampled")["train.arrow"]["rows"] == 20


def test_the_test_split_has_its_own_seed(tmp_path: Path) -> None:
    """Prevents another test sample than the Yelp tutorial's (seed 64)."""
    source = tokenized_folder(tmp_path / "tokenized", 50)
    sampling.write(params(test_rows=10), source, tmp_path / "sampled")
    table = pa.Table.from_batches(arrow.open_batches(tmp_path / "sampled/test.arrow"))
    assert table["row"].to_pylist() == np.random.default_rng(64).permutation(50)[:10].tolist()


def test_more_rows_than_there_are_means_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents a small data set from failing with the default row counts."""
    source = tokenized_folder(tmp_path / "tokenized", 50)
    sampling.write(params(train_rows=51, eval_rows=1000), source, tmp_path / "sampled")
    table = pa.Table.from_batches(arrow.open_batches(tmp_path / "sampled/train.arrow"))
    assert table["row"].to_pylist() == list(range(50))
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "sample: params.yaml train_rows is 51, more than train has: using all its rows (50)",
        "sample: params.yaml eval_rows is 1000, more than validation has: using all its rows (50)",
    ]


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"train_rows": 2}, "train_rows is 2: these rows have 2 of the 3 labels"),
        ({"train_rows": 2, "stratify": True}, "train_rows is 2: these rows have 2 of the 3 labels"),
        ({}, ""),
    ],
)
def test_too_few_rows_have_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], warned: str
) -> None:
    """Prevents a class that was never trained on, without a warning."""
    source = tokenized_folder(tmp_path / "tokenized", 50)
    sampling.write(params(**{"eval_rows": 30, **changes}), source, tmp_path / "sampled")
    said = capsys.readouterr().err
    assert warned in said
    assert said.count("\n") == bool(warned)
