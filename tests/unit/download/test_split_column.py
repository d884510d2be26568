"""The columns `group` and `time` of own files, and the splits they give (mistakes: tests/faults/test_bad_input.py)."""

import datetime as dt
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit import paths
from refit.download import dataset, local_files, task_registry
from refit.params import Download

CHOSEN = Download(task="own/t", validation_share=0.2, test_share=0.2, split_seed=1, split_by="random", folds=0, fold=1)
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=row // 2) for row in range(40)]


@given(st.lists(st.datetimes(), min_size=2), st.timezones())
def test_times_are_in_order_however_they_are_written(times: list[dt.datetime], zone: dt.tzinfo) -> None:
    """Prevents validation rows that are older than training rows, because of text order or time zones."""
    times = [time.replace(year=max(time.year, 2) if time.year < 9000 else 9000) for time in times if time.month != 2]
    zoned = [time.replace(tzinfo=dt.UTC).astimezone(zone) for time in times if zone is not None]
    for written in (times, [str(time) for time in times], [time.isoformat() for time in zoned]):
        (column,) = local_files.times({Path("train.csv"): [("line", time) for time in written]})
        assert column.to_numpy(zero_copy_only=False).tolist() == pa.array(times, pa.timestamp("us")).to_numpy().tolist()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder data/own/t with 40 rows in train.parquet, in the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = Path("data/own/t")
    folder.mkdir(parents=True)
    columns = {
        "text": [f"text {row}" for row in range(40)], "label": ["xy"[row % 2] for row in range(40)],
        "time": DAYS[::-1], "group": [row // 4 for row in range(40)],
    }  # fmt: skip
    pq.write_table(pa.table(columns), folder / "train.parquet")
    return folder


def texts_of(**changes: object) -> dict[str, list[str]]:
    """The texts of each split that the stage writes."""
    dataset.write(CHOSEN.model_copy(update=changes), task_registry.find("own/t"), paths.RAW)
    tables = {path.stem: pq.read_table(path) for path in paths.RAW.glob("*.parquet")}
    assert {name for table in tables.values() for name in table.column_names} == {"text", "label"}
    return {split: table["text"].to_pylist() for split, table in tables.items()}


def test_test_has_the_latest_rows_and_validation_those_before(own: Path) -> None:
    """Prevents a score on the past of what was trained on."""
    in_order = [f"text {row}" for row in range(40)]  # the latest first
    splits = {"test": in_order[:8], "validation": in_order[8:16], "train": in_order[16:]}
    assert texts_of(split_by="time") == splits


def test_groups_are_not_divided_and_folds_have_each_row_once(own: Path) -> None:
    """Prevents an author in train and test, a row without a prediction, and test rows that change with the fold."""
    groups = lambda texts: {int(text.split()[1]) // 4 for text in texts}  # noqa: E731
    folds = [texts_of(split_by="group", folds=4, fold=fold) for fold in (1, 2, 3, 4)]
    tests, validations = ([fold[split] for fold in folds] for split in ("test", "validation"))
    assert tests == tests[:1] * 4
    assert sorted(tests[0] + list(chain(*validations))) == sorted(f"text {row}" for row in range(40))
    for fold in folds:
        assert sum(len(groups(texts)) for texts in fold.values()) == 10
        assert sorted(fold["train"] + fold["validation"] + fold["test"]) == sorted(tests[0] + list(chain(*validations)))


def test_folds_divide_train_and_validation_files_together(own: Path) -> None:
    """Prevents validation rows of the source that are in no fold, and a change of their order."""
    pq.write_table(
        pa.table({"text": [f"new {row}" for row in range(9)], "label": list("xyxyxyxyx")}), own / "val.parquet"
    )
    folds = [texts_of(folds=3, fold=fold, test_share=0.0) for fold in (1, 2, 3)]
    source = [f"text {row}" for row in range(40)] + [f"new {row}" for row in range(9)]
    assert sorted(chain(*(fold["validation"] for fold in folds))) == sorted(source)
    for fold in folds:
        for texts in fold.values():
            assert texts == sorted(texts, key=source.index)
        assert len(fold["validation"]) in (16, 17)
