"""The user's own files: every format gives the same rows, and what is wrong is named with file and line."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, write_csv
from hypothesis import given
from hypothesis import strategies as st

from refit.errors import DataError
from refit.sources import own

ROWS = [("good, very\nmuch", "yes"), ('"quoted"', "no"), ("NA", "yes"), ("null", "no"), ("7", "yes")]


def in_format(folder: Path, form: str, rows: list[tuple[str, str]] = ROWS) -> Path:
    """A folder with train.<form>."""
    folder.mkdir(exist_ok=True)
    path = folder / f"train.{form}"
    if form == "csv":
        write_csv(path, ["text", "label"], list(rows))
    elif form == "tsv":
        import csv

        with path.open("w", newline="") as file:
            csv.writer(file, delimiter="\t").writerows([("text", "label"), *rows])
    elif form == "jsonl":
        path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    else:
        pq.write_table(pa.table({"text": [t for t, _ in rows], "label": [label for _, label in rows]}), path)
    return folder


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, form: str) -> None:
    """Prevents `NA` from becoming nothing, and quotes, commas and line breaks from shifting columns."""
    loaded = own.load(in_format(tmp_path / "data", form))
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
    assert own.load(folder).splits["train"]["text"].to_pylist() == [text for text, _ in rows]


@pytest.mark.parametrize(
    ("labels", "problem_type", "names"),
    [
        (["b", "a"], "classification", ["a", "b"]),
        (["10", "9"], "classification", ["9", "10"]),
        (["1.5", "2"], "regression", []),
        (["3.0", "4.0"], "regression", []),
        (["1", "one"], "classification", ["1", "one"]),
        (["-1", "1"], "classification", ["-1", "1"]),
    ],
)
def test_labels_are_recognised(tmp_path: Path, labels: list[str], problem_type: str, names: list[str]) -> None:
    """Prevents stars from being sorted as words, and ratings from becoming classes."""
    loaded = own.load(in_format(tmp_path / "data", "csv", [(f"text {label}", label) for label in labels]))
    assert (loaded.problem_type, loaded.labels) == (problem_type, names)


def test_numbers_in_jsonl_are_whole_or_not(tmp_path: Path) -> None:
    """Prevents JSON's 1 and 1.5 from being read differently from CSV's."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n')
    assert own.load(folder).labels == ["0", "1"]
    (folder / "train.jsonl").write_text('{"text": "a", "label": 0.5}\n{"text": "b", "label": 1}\n')
    assert own.load(folder).problem_type == "regression"
    (folder / "train.jsonl").write_text('{"text": "a", "label": true}\n{"text": "b", "label": false}\n')
    assert own.load(folder).labels == ["false", "true"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,label\na,1\nb,c,2\n", "train.csv line 3: 3 fields, the header has 2; quote texts that hold a comma"),
        (b"text,label\na,1\nb\xff,2\n", "train.csv line 3: invalid UTF-8 byte 0xff at column 2"),
        (b"text,label\na,1\n,2\n", "train.csv line 3: text is empty"),
        (b"text,label\na,1\nb,\n", "train.csv line 3: label is empty"),
        (b"sentence,y\na,1\n", "column 'text' not found; columns are: sentence, y"),
        (b"text,label,text\na,1,b\n", "column 'text' appears twice"),
        (b"text,label\n", "has no rows"),
        (b"", "has no rows"),
        (b"text,label\na,1\nb,1\n", "only one class '1'; need at least two"),
        (b'text,label\n"a,1\n', "unexpected end of data"),
    ],
)
def test_a_row_that_cannot_be_right_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """Prevents shifted columns, and rows that vanish."""
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(DataError) as error:
        own.load(tmp_path)
    assert message in str(error.value)


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    """Prevents `column 'text' not found` for a file saved by a spreadsheet."""
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbftext,label\na,1\nb,2\n")
    assert own.load(tmp_path).splits["train"].num_rows == 2


def test_a_label_that_train_has_not_is_an_error(tmp_path: Path) -> None:
    """Prevents an index error while evaluating."""
    in_format(tmp_path, "csv")
    write_csv(tmp_path / "test.csv", ["text", "label"], [("a", "yes"), ("b", "maybe")])
    with pytest.raises(DataError, match=r"1 rows have label 'maybe', which train has not \(first at row 2\)"):
        own.load(tmp_path)


def test_a_test_file_may_lack_labels(tmp_path: Path) -> None:
    """Prevents rows that are only to be predicted from being refused."""
    in_format(tmp_path, "csv")
    write_csv(tmp_path / "test.csv", ["text"], [("a",), ("b",)])
    assert own.load(tmp_path).splits["test"]["label"].to_pylist() == [-1, -1]


def test_the_example_of_the_readme_runs(project: Path) -> None:
    """Prevents the first thing that a user of own data does from failing: the block is run as it stands."""
    from conftest import change_params, run

    change_params(project / "params.yaml", epochs=1)
    block = (ROOT / "data/own/README.md").read_text().split("```bash\n")[1].split("```")[0]
    assert len(block.strip().splitlines()) == 5
    run("bash", "-euc", block, cwd=project)
    scores = json.loads((project / "metrics/scores.json").read_text())
    assert scores["own/weather"]["validation"]["rows"] > 0
