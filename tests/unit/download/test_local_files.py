"""The user's own files: every format gives the same examples (common mistakes: tests/faults/test_bad_input.py)."""

import contextlib
import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import write_csv
from hypothesis import given, settings
from hypothesis import strategies as st

from refit.download import local_files
from refit.download.splits import is_hidden
from refit.errors import DataError

ROWS = [("good, very\nmuch", "yes"), ('"quoted"', "no"), ("NA", "yes"), ("null", "no"), ("7", "yes")]


def in_format(folder: Path, form: str, rows: list[tuple[str, str]] = ROWS) -> Path:
    """A folder with train.<form>."""
    folder.mkdir(exist_ok=True)
    path = folder / f"train.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    elif form == "parquet":
        pq.write_table(pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}), path)
    else:
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter="\t" if form == "tsv" else ",").writerows([("text", "label"), *rows])
    return folder


def error_of(folder: Path) -> str:
    """The message with which a folder is refused."""
    with pytest.raises(DataError) as raised:
        local_files.load(folder)
    return str(raised.value)


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, form: str) -> None:
    """Prevents `NA` from becoming nothing, and quotes, commas and line breaks from shifting columns."""
    loaded = local_files.load(in_format(tmp_path / "data", form))
    table = loaded.splits["train"]
    assert table["text"].to_pylist() == [text for text, _ in ROWS]
    assert [loaded.labels[index] for index in table["label"].to_pylist()] == [label for _, label in ROWS]
    assert loaded.labels == ["no", "yes"]
    assert loaded.problem_type == "classification"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=2))
def test_any_text_survives_a_csv_file(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Prevents unusual characters from being lost or splitting a row."""
    rows = [(text, str(i % 2)) for i, text in enumerate(texts) if text.strip()]
    if len({label for _, label in rows}) < 2:
        return
    folder = in_format(tmp_path_factory.mktemp("own") / "data", "csv", rows)
    assert local_files.load(folder).splits["train"]["text"].to_pylist() == [text for text, _ in rows]


@pytest.mark.parametrize(
    ("labels", "problem_type", "names"),
    [
        (["b", "a"], "classification", ["a", "b"]),
        (["10", "9"], "classification", ["9", "10"]),
        (["1.5", "2"], "regression", []),
        (["3.0", "4.0"], "classification", ["3", "4"]),  # what pandas writes for 3 and 4 in a column with gaps
        (["2.0", "1", "10."], "classification", ["1", "2", "10"]),
        (["1e3", "0.5"], "regression", []),
        (["007", "7"], "classification", ["007", "7"]),
        (["1", "one"], "classification", ["1", "one"]),
        (["-1", "1"], "classification", ["-1", "1"]),
        ([" x", "x ", "y"], "classification", ["x", "y"]),
        (["9" * 30, "8" * 30], "classification", ["8" * 30, "9" * 30]),
        ([0, 1], "classification", ["0", "1"]),
        ([0.5, 1], "regression", []),
        ([True, False], "classification", ["false", "true"]),
    ],
)
def test_labels_are_recognised(tmp_path: Path, labels: list[object], problem_type: str, names: list[str]) -> None:
    """Prevents stars from being sorted as words, and ratings from becoming classes."""
    rows = [(f"text {label}", label) for label in labels]
    loaded = local_files.load(in_format(tmp_path / "data", "jsonl", rows))  # type: ignore[arg-type]
    assert (loaded.problem_type, loaded.labels) == (problem_type, names)


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b'text,label,,\r\n" ""a"", b",x,,\r\nc,y,,\r\n', [' "a", b', "c"]),
        (b"\xef\xbb\xbftext,label\na,1\nb,2\n", ["a", "b"]),
    ],
    ids=["unnamed columns at the end", "byte order mark"],
)
def test_what_spreadsheets_add_is_ignored(tmp_path: Path, content: bytes, texts: list[str]) -> None:
    """Prevents refusing a file for its empty columns or its mark, or a text for a quote after a space."""
    (tmp_path / "train.csv").write_bytes(content)
    assert local_files.load(tmp_path).splits["train"]["text"].to_pylist() == texts


def test_whole_numbers_are_the_same_classes_in_every_file(tmp_path: Path) -> None:
    """Prevents a regression because pandas wrote 1 as 1.0, and 1 from being another class in the next file."""
    pq.write_table(pa.table({"text": ["a", "b"], "label": [0.0, 1.0]}), tmp_path / "train.parquet")
    write_csv(tmp_path / "dev.csv", ["text", "label"], [("a", "0"), ("b", "1.0")])
    (tmp_path / "test.jsonl").write_text('{"text": "a", "label": 0.0}\n{"text": "b", "label": 1}\n')
    loaded = local_files.load(tmp_path)
    assert loaded.labels == ["0", "1"]
    assert all(table["label"].to_pylist() == [0, 1] for table in loaded.splits.values())


def test_parquet_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """Prevents a list of columns that lacks the one to rename, and a traceback for damage behind an intact footer."""
    path = in_format(tmp_path, "parquet", [(f"a text {i} " * 20, str(i % 2)) for i in range(99)]) / "train.parquet"
    content = bytearray(path.read_bytes())
    content[40:200] = bytes(160)
    path.write_bytes(content)
    assert "train.parquet: not a readable parquet file" in error_of(tmp_path)
    pq.write_table(pa.table({"sentence": ["a"], "label": ["x"]}), path)
    assert "columns are: sentence, label" in error_of(tmp_path)


@settings(max_examples=60)
@given(st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]), st.binary(max_size=300))
def test_any_bytes_give_rows_or_one_line(tmp_path_factory: pytest.TempPathFactory, suffix: str, junk: bytes) -> None:
    """Prevents a traceback for a file whose content is not what its name says."""
    folder = tmp_path_factory.mktemp("own")
    for content in (junk, b"text,label\n" + junk, b'{"text": "a", "label": "b"}\n' + junk):
        (folder / f"train{suffix}").write_bytes(content)
        with contextlib.suppress(DataError):
            local_files.load(folder)


@pytest.mark.parametrize("name", ["val", "dev", "valid", "validation"])
def test_validation_has_four_names(tmp_path: Path, name: str) -> None:
    """Prevents validation examples from being ignored, and others from being held out instead."""
    in_format(tmp_path, "csv")
    write_csv(tmp_path / f"{name}.csv", ["text", "label"], [("a", "yes"), ("b", "no")])
    assert local_files.load(tmp_path).splits["validation"].num_rows == 2
    write_csv(tmp_path / "validation.tsv", ["text", "label"], [])
    assert "are both there; keep one" in error_of(tmp_path)


def test_unread_files_and_labels_that_look_alike_give_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents a split under another name from being left out, and a typo from becoming a class, without a word."""
    in_format(tmp_path, "csv", [("a", "spam"), ("b", "Spam"), ("c", "ham")])
    for name in ("eval.csv", "Test.CSV", "test.csv.gz", "README.md", "train.csv.dvc"):
        (tmp_path / name).write_text("text,label\na,spam\n")
    local_files.load(tmp_path)
    said = capsys.readouterr().err
    assert "Test.CSV, eval.csv, test.csv.gz not read" in said
    assert "labels 'Spam' and 'spam' are two classes" in said


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_test_file_may_lack_labels(tmp_path: Path, form: str) -> None:
    """Prevents examples without labels from being refused, also with an empty column as Kaggle's test files have."""
    in_format(tmp_path, "csv")
    unlabelled = {"text": ["a", "b"], "label": ["", " "] if form == "csv" else [None, None]}
    for columns in (["text"], ["text", "label"]):
        rows = [{name: unlabelled[name][row] for name in columns} for row in range(2)]
        path = tmp_path / f"test.{form}"
        if form == "csv":
            write_csv(path, columns, [tuple(row.values()) for row in rows])  # type: ignore[arg-type]
        elif form == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            pq.write_table(pa.table({name: unlabelled[name] for name in columns}), path)
        assert local_files.load(tmp_path).splits["test"]["label"].to_pylist() == [-1, -1]


def test_a_test_file_with_some_labels_is_refused(tmp_path: Path) -> None:
    """Prevents a score on part of the test examples."""
    in_format(tmp_path, "csv")
    write_csv(tmp_path / "test.csv", ["text", "label"], [("a", "yes"), ("b", "")])
    assert "test.csv line 3: label is empty" in error_of(tmp_path)


# Films of the task movie_genres, written as people write them.
MESSY = """text,labels,year
"Blonde and Groom, 16 min", Comedy | Short ,1943
"100 Years at the Movies, 9 min",,1994
The "Human" Factor 95 min,Drama|Drama,
$pent 91 min,7|Drama,2000
"""
SETS = [["Comedy", "Short"], [], ["Drama"], ["7", "Drama"]]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_several_labels_are_the_same_in_every_format(tmp_path: Path, form: str) -> None:
    """Prevents a label with spaces around it, a repeated one, or none from becoming a label of its own."""
    texts = [row[0] for row in list(csv.reader(MESSY.splitlines()))[1:]]
    path = tmp_path / f"train.{form}"
    if form == "csv":
        path.write_text(MESSY)
    elif form == "tsv":
        cells = [("text", "labels"), *((text, "|".join(of)) for text, of in zip(texts, SETS, strict=True))]
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter="\t").writerows(cells)
    elif form == "jsonl":
        sets = [[7 if of == "7" else of for of in labels] for labels in SETS]
        lines = [{"text": text, "labels": labels} for text, labels in zip(texts, sets, strict=True)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        pq.write_table(pa.table({"text": texts, "labels": SETS}), path)
    loaded = local_files.load(tmp_path)
    assert loaded.problem_type == "multi_label"
    assert loaded.labels == ["7", "Comedy", "Drama", "Short"]
    named = [[loaded.labels[index] for index in ids] for ids in loaded.splits["train"]["label"].to_pylist()]
    assert named == [sorted(of) for of in SETS]


def test_a_test_file_without_labels_is_hidden(tmp_path: Path) -> None:
    """Prevents scores on a test file whose labels are all empty because they are not known."""
    (tmp_path / "train.csv").write_text(MESSY)
    (tmp_path / "test.csv").write_text("text,labels\na,\nb,\n")
    loaded = local_files.load(tmp_path)
    assert is_hidden(loaded.splits["test"])
    assert not is_hidden(loaded.splits["train"])
