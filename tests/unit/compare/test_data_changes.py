"""Changes between two versions of the data: kinds and counts, labels by name, damaged files."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from made_runs import task_record

from refit import paths
from refit.compare import data_changes
from refit.compare.data_changes import ADDED, MOVED, RELABELLED, REMOVED, UNCHANGED
from refit.compare.output import machine, pull_request, terminal
from refit.data.task_record import SplitRecord
from refit.errors import DataError
from refit.repo import Revision
from refit.storage import files

Row = tuple[str, str, str]  # text, label, split


class Folder(Revision):
    """A revision whose files are in the folder of its name."""

    def from_dvc(self, path: Path) -> bytes:
        """As of a revision."""
        return Path(self.name, path).read_bytes()


def write(folder: Path, splits: dict[str, dict[str, list[Any]]], **task: Any) -> Folder:
    """A revision with these columns in each split's file, and this task."""
    (folder / paths.RAW).mkdir(parents=True)
    records = {}
    for split, columns in splits.items():
        path = folder / paths.RAW / f"{split}.parquet"
        pq.write_table(pa.table(columns), path)
        rows = len(columns["label"])
        records[split] = SplitRecord(rows=rows, is_labelled=True, sha256=files.sha256(path))
    task_record(splits=records, **task).write(folder / paths.TASK)
    return Folder(str(folder), None)


def table(rows: list[Row]) -> pa.Table:
    texts = pa.array([xxhash.xxh3_64_intdigest(text.encode()) for text, _, _ in rows], pa.uint64())
    labels, splits = (pa.array([row[column] for row in rows], pa.string()) for column in (1, 2))
    numbers = pa.array(range(len(rows)), pa.int64())
    return pa.table({"text": texts, "label": labels, "split": splits, "row": numbers})


def rows_of(tables: dict[str, Any]) -> dict[tuple[str, ...], int]:
    return {(of["change"], of["from"] or "-", of["to"] or "-"): of["rows"] for of in tables["rows"]}


rows = st.lists(st.tuples(*map(st.sampled_from, ("abc", "xy", ["train", "test"]))), max_size=12)


@given(before=rows, after=rows)
def test_counts_are_those_of_multisets(before: list[Row], after: list[Row]) -> None:
    """Prevents a repeated text from being matched twice, and vectorized counts that differ from counting by hand."""
    found = data_changes.pairs(table(before), table(after)).to_pylist()

    def both(columns: int) -> int:
        return sum((Counter(row[:columns] for row in before) & Counter(row[:columns] for row in after)).values())

    counts = Counter(pair["change"] for pair in found)
    assert counts == Counter({
        UNCHANGED: both(3), MOVED: both(2) - both(3), RELABELLED: both(1) - both(2),
        REMOVED: len(before) - both(1), ADDED: len(after) - both(1),
    })  # fmt: skip
    for version, side in ((before, "row_before"), (after, "row_after")):  # every row is in one pair
        assert sorted(pair[side] for pair in found if pair[side] is not None) == list(range(len(version)))
    for kind, columns in ((UNCHANGED, 3), (MOVED, 2), (RELABELLED, 1)):
        for pair in (pair for pair in found if pair["change"] == kind):
            one, other = before[pair["row_before"]], after[pair["row_after"]]
            assert one[:columns] == other[:columns]
            assert columns == 3 or one[columns] != other[columns]


def test_every_kind_of_change_is_counted_where_it_is_and_labels_have_their_names(tmp_path: Path) -> None:
    """Prevents every row from looking relabelled when a new class renumbers the others."""
    before = write(tmp_path / "before", {
        "train": {"text": ["same", "twice", "twice", "new label", "moves"], "label": [0, 1, 1, 1, 0]},
        "validation": {"text": ["other"], "label": [1]},
        "test": {"text": ["hidden"], "label": [-1]},
    }, labels=["no", "yes"])  # fmt: skip
    after = write(tmp_path / "after", {
        "train": {"text": ["twice", "new label", "same", "added"], "label": [2, 0, 1, 2]},
        "validation": {"text": ["other", "moves"], "label": [2, 1]},
        "test": {"text": ["hidden"], "label": [-1]},
    }, labels=["maybe", "no", "yes"])  # fmt: skip
    shown = data_changes.compared(before, after)
    found = shown.value
    assert rows_of(found) == {
        (UNCHANGED, "train", "train"): 2, (UNCHANGED, "validation", "validation"): 1, (UNCHANGED, "test", "test"): 1,
        (ADDED, "-", "train"): 1, (REMOVED, "train", "-"): 1, (RELABELLED, "train", "train"): 1,
        (MOVED, "train", "validation"): 1,
    }  # fmt: skip
    assert [tuple(row.values()) for row in found["labels"]] == [
        ("maybe", 0, 1), ("yes", 4, 3), ("(hidden)", 1, 1), ("no", 2, 2)
    ]  # fmt: skip
    assert [tuple(row.values()) for row in found["examples"]] == [
        (ADDED, None, "train", None, 3, None, "yes", "added"),
        (REMOVED, "train", None, 2, None, "yes", None, "twice"),
        (RELABELLED, "train", "train", 3, 1, "yes", "maybe", "new label"),
        (MOVED, "train", "validation", 4, 1, "no", "no", "moves"),
    ]
    said = (
        f"{after.name} against {before.name}: 1 row added, 1 row removed, 1 row relabelled, 1 row moved; 4 unchanged."
    )
    assert shown.paragraphs == [said]
    assert json.loads(machine(shown)) == found


def test_pairs_and_numbers_are_compared(tmp_path: Path) -> None:
    """Prevents a pair from being matched by its first text, and numbers from being read as class ids."""
    columns = {"text": ["a", "a"], "text_pair": ["b", "c"]}
    task: dict[str, Any] = {"labels": [], "problem_type": "regression", "is_pair": True}
    before = write(tmp_path / "before", {"train": {**columns, "label": pa.array([0.5, 1.5], pa.float32())}}, **task)
    after = write(tmp_path / "after", {"train": {**columns, "label": pa.array([0.5, 0.1], pa.float32())}}, **task)
    shown = data_changes.compared(before, after)
    found = shown.value
    assert rows_of(found) == {(UNCHANGED, "train", "train"): 1, (RELABELLED, "train", "train"): 1}
    assert found["labels"] == []
    (example,) = found["examples"]
    assert list(example.values()) == [RELABELLED, "train", "train", 1, 1, "1.5", "0.1", "a", "c"]


def test_label_sets_are_compared_by_their_names() -> None:
    """Prevents a row with several labels from looking relabelled when a new class renumbers them."""
    before = data_changes.label_texts(pa.array([[0, 1], [], [-1]], pa.list_(pa.int64())), ["angry", "sad"])
    after = data_changes.label_texts(pa.array([[0, 2], [1], [2]], pa.list_(pa.int64())), ["angry", "glad", "sad"])
    assert before.to_pylist() == ["angry | sad", "(none)", "(hidden)"]
    assert after.to_pylist() == ["angry | sad", "glad", "sad"]


def test_rows_with_several_labels_count_for_each(tmp_path: Path) -> None:
    """Prevents counts of combinations of labels."""
    labels = pa.array([[0, 1], [1], []], pa.list_(pa.int64()))
    train = {"train": {"text": ["a", "b", "c"], "label": labels}}
    task: dict[str, Any] = {"labels": ["angry", "sad"], "problem_type": "multi_label"}
    first, second = (write(tmp_path / name, train, **task) for name in "12")
    shown = data_changes.compared(first, second)
    found = shown.value
    assert [tuple(row.values()) for row in found["labels"]] == [("(none)", 1, 1), ("angry", 1, 1), ("sad", 2, 2)]
    assert shown.paragraphs[0].endswith(": the same rows, perhaps in another order; 3 unchanged.")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (paths.TASK, b"{", "data/raw/task.json is not what this version of refit writes; run dvc repro"),
        (paths.TASK, b"[]", "data/raw/task.json is not what this version of refit writes; run dvc repro"),
        (paths.TASK, b"{}", "data/raw/task.json: task is not what this version of refit writes; run: dvc repro"),
        (paths.RAW / "train.parquet", b"PAR1", "train.parquet is not the file that data/raw/task.json describes; run"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, file: Path, content: bytes, says: str) -> None:
    """Prevents a traceback, and changes counted in a file that nobody wrote."""
    first = write(tmp_path / "1", {"train": {"text": ["a", "b"], "label": [0, 1]}})
    second = write(tmp_path / "2", {"train": {"text": ["a", "c"], "label": [0, 1]}})
    (tmp_path / "2" / file).write_bytes(content)
    with pytest.raises(DataError, match=f"^{second.name}: .*{says}"):
        data_changes.compared(first, second)


def test_hostile_texts_and_labels_are_inert(tmp_path: Path) -> None:
    """Prevents a text of the data that controls the terminal or mentions somebody in a pull request."""
    hostile = "\x1b[31mred | @team ![x](y) <script>"
    first = write(tmp_path / "1", {"train": {"text": ["a"], "label": [0]}}, labels=[hostile, "b"])
    second = write(tmp_path / "2", {"train": {"text": [hostile], "label": [0]}}, labels=[hostile, "b"])
    shown = data_changes.compared(first, second)
    assert "\x1b" not in terminal(shown)
    assert not any(part in pull_request(shown) for part in ("<script", "@team", "![x]", "\x1b"))
