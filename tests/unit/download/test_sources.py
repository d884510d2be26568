"""The other sources: rated sentences of a package, splits that are held out, and the hub at one commit."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import HUB, ROOT, environment, run
from hypothesis import given
from hypothesis import strategies as st

from refit.download import vader
from refit.download.splits import hold_out

needs_hub = pytest.mark.skipif(not HUB.is_dir(), reason="../shared/hub is not there: no hub to load from")


@pytest.mark.parametrize(
    ("rating", "label"), [(-4, 0), (-2.41, 0), (-2.4, 1), (-0.81, 1), (0, 2), (0.81, 3), (2.41, 4), (4, 4)]
)
def test_stars_are_five_bins_of_equal_width(rating: float, label: int) -> None:
    """Prevents ratings at the ends or on a border from getting a wrong star."""
    assert vader.stars(rating) == label


@given(st.text())
def test_a_text_is_in_one_split_whatever_its_row(text: str) -> None:
    """Prevents the same sentence from being in train and test."""
    assert vader.split_of(text) == vader.split_of(text) in ("train", "validation", "test")


def rows_of(texts: list[int], labels: list[int]) -> pa.Table:
    """A table of the given texts and labels, each row with its number."""
    return pa.table(
        {"text": [str(text) for text in texts], "label": pa.array(labels, pa.int64()), "row": np.arange(len(texts))}
    )


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=200), st.data())
def test_rows_are_held_out_without_leaks_or_losses(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    """Prevents lost rows, a text that is in both splits, and a label that cannot be learnt."""
    wanted, seed = data.draw(st.integers(1, len(rows))), data.draw(st.integers(0, 99))
    stratified = data.draw(st.booleans())
    table = rows_of([text for text, _ in rows], [label for _, label in rows])
    rest, held = hold_out(table, wanted, seed, stratified=stratified)
    kept, out = rest["row"].to_pylist(), held["row"].to_pylist()
    assert sorted(kept + out) == list(range(len(rows)))
    assert (kept, out) == (sorted(kept), sorted(out))
    assert not set(rest["text"].to_pylist()) & set(held["text"].to_pylist())
    assert rest.num_rows >= 1
    if stratified:
        assert set(rest["label"].to_pylist()) == {label for _, label in rows}
    assert hold_out(table, wanted, seed, stratified=stratified)[1].equals(held)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=200), st.data())
def test_as_many_rows_are_held_out_as_asked_for(labels: list[int], data: st.DataObject) -> None:
    """Prevents a held-out split that is too small, or has another share of a label than train."""
    wanted, seed = data.draw(st.integers(1, len(labels))), data.draw(st.integers(0, 99))
    spare = len(labels) - len(set(labels))
    _, held = hold_out(rows_of(list(range(len(labels))), labels), wanted, seed, stratified=True)
    assert held.num_rows == min(wanted, spare)
    for label in set(labels) if spare else ():
        exact = (labels.count(label) - 1) * min(wanted, spare) / spare
        assert abs(held["label"].to_pylist().count(label) - exact) <= 1


@pytest.mark.parametrize(
    ("text_of", "label_of"),
    [
        (lambda row: row, lambda row: row // 4),
        (lambda row: row // 2, lambda row: row // 4),
        (lambda row: max(row, 800), lambda row: row % 2),
    ],
    ids=["labels of four rows", "and each text twice", "a text in 801 of 2,000 rows"],
)
def test_rare_labels_and_repeated_texts_do_not_change_the_size(
    text_of: Callable[[int], int], label_of: Callable[[int], int]
) -> None:
    """Prevents one validation row out of 2,000, and a split that is mostly one text."""
    table = rows_of([text_of(row) for row in range(2_000)], [label_of(row) for row in range(2_000)])
    held = hold_out(table, 200, 1, stratified=True)[1]
    assert held.num_rows == 200
    assert len(set(held["text"].to_pylist())) >= 100


def test_many_rows_are_held_out_in_seconds() -> None:
    """Prevents a download of 650,000 reviews that ends with minutes of splitting."""
    table = rows_of([i % 640_000 for i in range(650_000)], [i % 5 for i in range(650_000)])
    start = time.perf_counter()
    assert hold_out(table, 65_000, 1, stratified=True)[1].num_rows == 65_000
    assert time.perf_counter() - start < 3


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleNamespace]:
    """The stand-in hub on a port of its own."""
    sys.path.insert(0, str(HUB))
    import hub

    with hub.running() as running:
        yield running


PROGRAM = """
import json, sys
from pathlib import Path
from refit import params
from refit.download import dataset, task_registry
chosen = params.Download(task=sys.argv[1], validation_share=0.1, test_share=0.1, split_seed=1)
dataset.write(chosen, task_registry.find(chosen.task), Path(sys.argv[2]))
"""


def download(task: str, target: Path, server: SimpleNamespace, cache: Path, **env: str) -> dict:
    """Run download for a task in a process of its own, since the hub's libraries read their settings once."""
    settings = environment(HF_ENDPOINT=server.url, HF_HOME=str(cache), PYTHONPATH=str(ROOT), **env)
    run(sys.executable, "-c", PROGRAM, task, target, cwd=ROOT, env=settings)
    return json.loads((target / "task.json").read_text())


@needs_hub
def test_a_hub_task_is_loaded_at_its_commit_also_offline(server: SimpleNamespace, tmp_path: Path) -> None:
    """Prevents another commit's rows under a pinned task, online or from the cache."""
    online = download("rte", tmp_path / "one", server, tmp_path / "cache")
    assert online["revision"] == "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
    assert {split: figures["rows"] for split, figures in online["splits"].items()} == {
        "train": 2490,
        "validation": 277,
        "test": 3000,
    }
    assert online["labels"] == ["entailment", "not_entailment"]
    assert not online["splits"]["test"]["is_labelled"]
    assert len(online["files"]) == 3
    offline = download("rte", tmp_path / "two", server, tmp_path / "cache", HF_HUB_OFFLINE="1")
    assert offline == online


@needs_hub
def test_an_unpinned_data_set_is_resolved_and_recorded(server: SimpleNamespace, tmp_path: Path) -> None:
    """Prevents a run whose data nobody can name afterwards."""
    task = download("afqmc", tmp_path / "raw", server, tmp_path / "cache")
    assert len(task["revision"]) == 40
    table = pq.read_table(tmp_path / "raw/validation.parquet")
    assert table.column_names == ["text", "text_pair", "label"]
    assert table.num_rows == 4316


@needs_hub
def test_mnli_has_both_validation_sets(server: SimpleNamespace, tmp_path: Path) -> None:
    """Prevents the mismatched half of MNLI from being forgotten."""
    task = download("mnli", tmp_path / "raw", server, tmp_path / "cache")
    assert list(task["splits"]) == sorted(task["splits"])
    assert {"validation", "validation_mismatched", "test", "test_mismatched"} <= set(task["splits"])
    ax = download("ax", tmp_path / "ax", server, tmp_path / "cache")
    assert ax["splits"]["test"] == {**ax["splits"]["test"], "rows": 1104, "is_labelled": False}


@needs_hub
def test_yelp_holds_validation_out_of_train(server: SimpleNamespace, tmp_path: Path) -> None:
    """Prevents the epoch from being picked on the rows that are reported."""
    task = download("yelp", tmp_path / "raw", server, tmp_path / "cache")
    rows = {split: figures["rows"] for split, figures in task["splits"].items()}
    assert rows["train"] + rows["validation"] == 8001
    labels = pq.read_table(tmp_path / "raw/validation.parquet")["label"].to_numpy()
    whole = np.concatenate([labels, pq.read_table(tmp_path / "raw/train.parquet")["label"].to_numpy()])
    for label in range(5):
        assert (labels == label).mean() == pytest.approx((whole == label).mean(), abs=0.01)
    assert len(task["labels"]) == 5
