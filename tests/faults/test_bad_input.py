"""Mistakes in params.yaml and in data: one line that says where and what was given, and the exit code of its kind.

Only EXACT_DATA is compared word for word. tests/unit/training/test_arguments.py has the mistakes under `trainer:`.
"""

import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT, change_params, environment, run

from refit import params, paths
from refit.download import dataset, task_registry
from refit.errors import DataError, ParamsError
from refit.storage import files

DOWNLOAD = params.Download(
    task="own/t", validation_share=0.1, test_share=0.1, split_seed=1, split_by="random", folds=0, fold=1
)

# For each key: wrong values as YAML.
VALUES = {
    "lr": ["'2e-5'", "abc", "-1", "0", ".nan", ".inf", "2.0", "[1]", "", "true"],
    "epochs": ["0", "-2", "3.0", "'3'", "100000"], "batch_size": ["4.0", "0", "'4'", "true"], "eval_batch_size": ["-8"],
    "grad_accum": ["0"], "seed": ["-1", "4294967296"], "weight_decay": ["-0.1", "2"], "warmup": ["1.0", "500"],
    "scheduler": ["lineer"], "max_grad_norm": ["-1"], "label_smoothing": ["1"],
    "class_weights": ["true", "{a: 0}", "{a: b}", "{}"],
    "threshold": ["0.5", "tuned"],
    "early_stopping": ["-1", "yes"], "eval_every": ["0", "epochs"], "save_every": ["1.5"], "precision": ["fp8"],
    "padding": ["max"], "sampling": ["sorted"], "attention_dropout": ["1.5"], "threads": ["0", "100000", "all"],
    "processes": ["0", "two"], "report_to": ["[wandb]"], "trainer": ["", "adam_beta2", "[1]"],
    "train_rows": ["0", "none"], "stratify": ["maybe"], "max_length": ["2", "128.5"],
    "long_texts": ["tail", "true"], "validation_share": ["1"],
    "test_share": ["-0.1"], "split_by": ["author"], "folds": ["1", "-5", "2.5", "false"], "fold": ["0", "all"],
    "model_revision": ["main", "abc123"], "model": ["''"], "task": ["12", ""],
}  # fmt: skip
# Lines added to a good params.yaml, and the message after `params.yaml:`; N is the line that was added.
ADDED = [
    ("lerning_rate: 1", "N unknown key lerning_rate; did you mean lr?"),
    ("learning_rate: 1", "N unknown key learning_rate; did you mean lr?"),
    ("num_train_epochs: 1", "N unknown key num_train_epochs; did you mean epochs?"),
    ("banana: 1", "N unknown key banana; remove it"),
    ("lr: 1", 'N:1 is not YAML in UTF-8 (found duplicate key "lr" '),
    ("\tlr: 1", "N:1 is not YAML in UTF-8 (found character '\\t'"),
    ("a: b: c", "N:5 is not YAML in UTF-8 ("),
]

FIRST = b'{"text": "first", "label": "y"}\n'
# The file in data/own/t and its content, then where the message says the mistake is and what it names.
DATA = {
    "missing_label": ("train.csv", b"text,y\na,1\n", ": ", "'label' not found; columns are: text, y"),
    "missing_text": ("train.csv", b"sentence,label\na,1\n", ": ", "'text' not found; columns are: sentence, label"),
    "duplicate_column": ("train.csv", b"text,label,text\na,1,b\n", ": ", "'text' appears twice"),
    "long_row": ("train.csv", b"text,label\na,b,1\nc,0\n", " line 2: ", "3 fields"),
    "short_row": ("train.csv", b"text,label\na\n", " line 2: ", "1 fields"),
    "bad_utf8": ("train.csv", b"text,label\nok,1\nb\xffd,0\n", " line 3: ", "byte 0xff at column 2"),
    "utf16": ("train.csv", "text,label\na,1\n".encode("utf-16"), ": ", "UTF-16"),
    "empty_text": ("train.csv", b"text,label\n,1\nb,0\n", " line 2: ", "text is empty"),
    "blank_text": ("train.csv", b"text,label\n  ,1\nb,0\n", " line 2: ", "text is blank"),
    "empty_label": ("train.csv", b"text,label\na,\nb,0\n", " line 2: ", "label is empty"),
    "nul": ("train.csv", b"text,label\na\x00b,1\nc,0\n", " line 2: ", "NUL"),
    "one_class": ("train.csv", b"text,label\na,x\nb,x\n", ": ", "only one class 'x'"),
    "header_only": ("train.csv", b"text,label\n", ": ", "no rows"),
    "empty_file": ("train.csv", b"", ": ", "no rows"),
    "open_quote": ("train.csv", b'text,label\n"a,1\nb,0\n', " line 2: ", "quoted field"),
    "infinite": ("train.csv", b"text,label\na,inf\nb,0.5\n", " line 2: ", "label is inf"),
    "nan": ("train.csv", b"text,label\na,nan\nb,0.5\n", " line 2: ", "label is nan"),
    "tsv_with_commas": ("train.tsv", b"text,label\na,x\n", ": ", "columns are: text,label"),
    "semicolons": ("train.csv", b"text;label\na;x\n", ": ", "columns are: text;label"),
    "a_folder": ("train.csv", None, ": ", "is a folder"),
    "json_bad": ("train.jsonl", b"{text: 1}\n", " line 1: ", "not JSON"),
    "json_list": ("train.jsonl", b"[1]\n", " line 1: ", "need an object"),
    "json_nan": ("train.jsonl", b'{"text":"a","label":NaN}\n', " line 1: ", "label is nan"),
    "json_null": ("train.jsonl", b'{"text":"a","label":null}\n', " line 1: ", "label is empty"),
    "json_number": ("train.jsonl", b'{"text":5,"label":"x"}\n', " line 1: ", "text is 5"),
    "json_label_list": ("train.jsonl", b'{"text":"a","label":["x"]}\n', " line 1: ", "label is a list"),
    "json_missing_key": ("train.jsonl", b'{"text":"a","label":"x"}\n{"text":"b"}\n', " line 2: ", "label is missing"),
    "json_late_pair": (
        "train.jsonl", b'{"text":"a","label":1}\n{"text":"b","label":2,"text_pair":"c"}\n', " line 2: ", "text_pair"),
    "mixed_labels": (
        "train.jsonl", b'{"text":"a","label":0.5}\n{"text":"b","label":"good"}\n', " line 2: ", "label is good"),
    "both_labels": ("train.csv", b"text,label,labels\na,x,x\nb,y,y\n", ": ", "has the columns label and labels"),
    "labels_empty_part": ("train.csv", b"text,labels\na,x||y\nb,y\n", " line 2: ", "labels has an empty label"),
    "labels_one": ("train.csv", b"text,labels\na,x\nb,\n", ": ", "only one class 'x'"),
    "labels_none": ("train.csv", b"text,labels\na,\nb,\n", ": ", "no row has a label"),
    "labels_text": ("train.jsonl", b'{"text":"a","labels":"x|y"}\n', " line 1: ", "labels is 'x|y'; need a list"),
    "labels_null": ("train.jsonl", b'{"text":"a","labels":["x",null]}\n', " line 1: ", "labels has an empty label"),
    "labels_nested": ("train.jsonl", b'{"text":"a","labels":[["x"]]}\n', " line 1: ", "labels is a list"),
    "parquet_bad": ("train.parquet", b"PAR1 not", ": ", "not a readable parquet file"),
    "space_before_quote": ("train.csv", b'text, label\n"a", "x"\n', " line 2: ", "a space before a quote"),
    "later_quote": ("train.csv", b'label,text\nx,"a\nb"\ny, "c d"\n', " line 4: ", "a space before a quote"),
    "cr_alone": ("train.csv", b"text,label\na,x\rb,y\n", " line 2: ", "a CR alone ends a line"),
    "mac_line_ends": ("train.csv", b"text,label\ra,x\rb,y\r", ": ", "old Mac line endings"),
    "extra_fields": ("train.csv", b"text,label,,\na,x,,\nb,y,,z\n", " line 3: ", "4 fields, the header names 2"),
    "unnamed_column": ("train.csv", b"text,,label\na,,x\n", ": ", "column 2 has no name"),
    "capitals": ("train.csv", b"Text,Label\na,x\n", ": ", "column names must be lower case: text, label"),
    "tabs": ("train.csv", b"text\tlabel\na\tx\n", ": ", "fields are separated by tabs; name the file train.tsv"),
    "excel": ("train.csv", b"PK\x03\x04..", ": ", "an Excel workbook"),
    "gzip": ("train.csv", b"\x1f\x8b..", ": ", "compressed by gzip"),
    "decimal_comma": ("train.csv", b'text,label\na,"3,5"\nb,"4,5"\n', " line 2: ", "label is '3,5'"),
    "not_a_number": ("train.csv", b"text,label\na,3.5\nb,n/a\n", " line 3: ", "label is n/a, but others are numbers"),
    "too_large": ("train.csv", b"text,label\na,1e32\nb,2e32\n", " line 2: ", "label is 1e32"),
    "long_label": ("train.csv", b"text,label\na," + b"9" * 5000 + b"\nb,1\n", " line 2: ", "5,000 characters"),
    "surrogate": ("train.jsonl", FIRST + rb'{"text": "a \ud83d", "label": "x"}', " line 2: ", "half of a surrogate"),
    "json_nul": ("train.jsonl", FIRST + rb'{"text": "a", "label": "x\u0000"}', " line 2: ", "NUL"),
    "json_deep": ("train.jsonl", FIRST + b'{"text": ' + b"[" * 9**6, " line 2: ", "recursion"),
    "json_long": ("train.jsonl", FIRST + b'{"text": "a", "label": ' + b"9" * 5000 + b"}", " line 2: ", "4300 digits"),
    "json_label_dict": ("train.jsonl", FIRST + b'{"text": "a", "label": {"x": 1}}', " line 2: ", "label is a dict"),
    "json_array": ("train.jsonl", FIRST + b"[", " line 2: ", "this looks like a JSON array"),
}  # fmt: skip

TWO = b"text,label\na,x\nb,y\n"
FORTY = b"text,label\n" + b"".join(b"t%d,%c\n" % (row, b"xy"[row % 2]) for row in range(40))
NO_TRAIN = "data/own/t: no train file; need train with one of .csv, .tsv, .jsonl, .parquet; found "
# All files of data/own/t, and the complete message.
EXACT_DATA = [
    ({"train.csv": TWO, "test.csv": b"text,label\nc,z\n"},
     "data/own/t/test.csv line 2: label is 'z', which train lacks (rows with such a label: 1); "
     "add training rows or remove these"),
    ({"train.csv": TWO, "train.jsonl": b"{}"}, "data/own/t: train.csv and train.jsonl are both there; keep one"),
    ({"test.csv": TWO}, f"{NO_TRAIN}test.csv"),
    ({"train.xlsx": b"PK"}, f"{NO_TRAIN}train.xlsx"),
    ({}, f"{NO_TRAIN}nothing"),
    ({"train.csv": b"text,text_pair,label\na,b,x\nc,d,y\n", "test.csv": b"text,label\na,x\n"},
     "data/own/t/train.csv: has a column text_pair, the other files lack it; all must have it or none"),
    ({"train.csv": FORTY, "test.csv": b"text,label\n"},
     "data/own/t/test.csv: has no rows; need a header and at least one row"),
    ({"train.csv": TWO},
     "test has 0 rows; train has none to spare because it keeps a text of every label: give more rows"),
]  # fmt: skip

GROUPED = b"text,label,group\n" + b"".join(b"t%d,%c,g%d\n" % (row, b"xy"[row % 2], row // 4) for row in range(40))
TIMED = b"text,label,time\n" + b"".join(
    b"t%d,%c,2024-05-%02d\n" % (row, b"xy"[row % 2], row // 4 + 1) for row in range(40)
)
LATER = b"text,label,time\na,x,%b\nb,y,%b\n"
# Params of the splits, all files of data/own/t, and the complete message.
SPLIT_ERRORS = [
    ({"fold": 2}, {"train.csv": FORTY}, "params.yaml fold: got 2 with folds: 0; need 1, or folds: 2 or more"),
    ({"folds": 5, "fold": 6}, {"train.csv": FORTY}, "params.yaml fold: got 6 with folds: 5; need from 1 to 5"),
    ({"folds": 50}, {"train.csv": FORTY},
     "36 rows cannot be divided into 50 splits or folds: equal texts and groups stay together, which leaves 36; "
     "give more rows, or set fewer folds"),
    ({"folds": 12, "split_by": "group", "test_share": 0.0}, {"train.csv": GROUPED},
     "40 rows cannot be divided into 12 splits or folds: equal texts and groups stay together, which leaves "
     "10; give more rows, or set fewer folds"),
    ({"folds": 5, "split_by": "time"}, {"train.csv": TIMED},
     "params.yaml split_by, folds: got time and 5, but folds mix old and new rows; need folds: 0"),
    ({"task": "movie_stars", "split_by": "group"}, {},
     "params.yaml split_by: got group, but only own data (task: own/NAME) has a column group; need random"),
    ({"split_by": "time"}, {"train.csv": TIMED, "validation.csv": LATER % (b"2024-06-01", b"2024-06-02")},
     "params.yaml split_by: got time with a file for validation and none for test, which must be later; add a test "
     "file, or set test_share: 0"),
    ({"split_by": "group"}, {"train.csv": FORTY},
     "data/own/t/train.csv: column 'group' not found; columns are: text, label; params.yaml split_by: group needs it; "
     "add it, or use split_by: random"),
    ({"split_by": "group"}, {"train.csv": GROUPED + b"t,x,\n"},
     "data/own/t/train.csv line 42: group is empty; fill it in or remove the row"),
    ({"split_by": "group"},
     {"train.jsonl": b'{"text": "a", "label": "x", "group": [1]}\n{"text": "b", "label": "y", "group": 2}'},
     "data/own/t/train.jsonl line 1: group is [1]; need a text or a number"),
    ({"split_by": "group"}, {"train.csv": GROUPED, "test.csv": b"text,label,group\nz,x,g10\na,x,g9\n"},
     "data/own/t/test.csv: group 'g9' is in train.csv, too; put its rows into one file"),
    ({"split_by": "time"}, {"train.csv": TIMED, "test.csv": LATER % (b"2024-05-10", b"2024-05-09 23:59")},
     "data/own/t/test.csv: has the time 2024-05-09 23:59:00, which is before 2024-05-10 00:00:00 in train.csv; with "
     "split_by: time need the rows of train before those of validation, and those of test last"),
    ({"split_by": "time"}, {"train.csv": LATER % (b"2024-05-10", b"yesterday")},
     "data/own/t/train.csv line 3: time is 'yesterday'; need 2024-05-31, 2024-05-31T12:30:00, or a number"),
    ({"split_by": "time"}, {"train.csv": TIMED, "test.csv": LATER % (b"2024-06-01", b"2024")},
     "data/own/t/test.csv line 3: time is 2024 (a number), but data/own/t/train.csv line 2: time is 2024-05-01 (a date "
     "without a zone); write all times alike"),
    ({"split_by": "time"}, {"train.csv": LATER % (b"2024-05-10", b"2024-05-10T00:00Z")},
     "data/own/t/train.csv line 3: time is 2024-05-10T00:00Z (a date with a zone), but data/own/t/train.csv line "
     "2: time is 2024-05-10 (a date without a zone); write all times alike"),
    ({"split_by": "time"}, {"train.csv": LATER % (b"nan", b"5")},
     "data/own/t/train.csv line 2: time is 'nan'; need 2024-05-31, 2024-05-31T12:30:00, or a number"),
    ({"split_by": "time"}, {"train.csv": LATER % (b"5", b"5")},
     "split_by: time: train has one time only, so no rows are the latest; use split_by: random"),
]  # fmt: skip


@pytest.fixture
def params_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of params.yaml in the current folder."""
    monkeypatch.chdir(tmp_path)
    paths.PARAMS.write_bytes((ROOT / "params.yaml").read_bytes())
    return paths.PARAMS


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder data/own/t in the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = Path("data/own/t")
    folder.mkdir(parents=True)
    return folder


def params_error(path: Path) -> str:
    """The message that params.yaml gives."""
    with pytest.raises(ParamsError) as raised:
        params.load(params.Train, path)
    assert raised.value.exit_code == 64
    assert "\n" not in str(raised.value)
    return str(raised.value)


def download_error() -> str:
    """The message that the data gives; nothing may have been written."""
    with pytest.raises(DataError) as raised:
        dataset.write(DOWNLOAD, task_registry.find("own/t"), paths.RAW)
    assert raised.value.exit_code == 65
    assert "\n" not in str(raised.value)
    assert not paths.RAW.exists()
    return str(raised.value)


def set_value(path: Path, key: str, given: str) -> int:
    """Write a value into params.yaml as it is; returns its line."""
    lines = path.read_text().splitlines()
    number = next(number for number, line in enumerate(lines, start=1) if line.startswith(f"{key}:"))
    lines[number - 1] = f"{key}: {given}"
    path.write_text("\n".join(lines) + "\n")
    return number


def write_rows(rows: list[tuple[str, str]], split: str = "train") -> None:
    """Write a CSV file of data/own/t."""
    content = "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows)
    Path(f"data/own/t/{split}.csv").write_text(content)


@pytest.mark.parametrize(("key", "given"), [(key, given) for key, values in VALUES.items() for given in values])
def test_a_wrong_value_is_located_and_shown(key: str, given: str, params_file: Path) -> None:
    """Prevents a value that fails an hour later, or that trains something else than was meant."""
    number = set_value(params_file, key, given)
    message = params_error(params_file)
    assert message.startswith(f"params.yaml:{number} {key}: got ")
    assert given.strip("'.") in message.partition(", need ")[0]


@pytest.mark.parametrize(("added", "message"), ADDED)
def test_a_wrong_line_is_located(added: str, message: str, params_file: Path) -> None:
    """Prevents an unknown key from being ignored: an experiment that never happened."""
    text = params_file.read_text()
    params_file.write_text(f"{text}{added}\n")
    number = len(text.splitlines()) + 1
    assert params_error(params_file).startswith(f"params.yaml:{message.replace('N', str(number), 1)}")


@pytest.mark.parametrize(
    ("content", "start"),
    [(b"", "need"), (b"- a\n", "need"), (b"lr: \xff\n", "is not YAML in UTF-8"), (None, "not found")],
)
def test_a_file_that_is_not_params_is_located(content: bytes | None, start: str, params_file: Path) -> None:
    """Prevents a traceback for what an editor, a merge or a full disk makes of the file, and in the wrong folder."""
    params_file.unlink()
    if content is not None:
        params_file.write_bytes(content)
    assert params_error(params_file).startswith(f"params.yaml: {start}")


def test_all_problems_are_in_one_message(params_file: Path) -> None:
    """Prevents a user from running again and again to learn of one mistake after the other, or of a default."""
    change_params(params_file, lr=-1, epochs=True, batch_size="4", class_weights="rare", search={"trials": 0})
    params_file.write_text(params_file.read_text().replace("task: movie_stars ", "", 1))
    message = params_error(params_file)
    assert message.startswith("6 problems: ")
    for problem in (
        "lr: got -1 (whole number), need a number, 0 < lr <= 1",
        "epochs: got true (true/false), need a whole number from 1 to 10000",
        "class_weights: got 'rare' (text), need none, balanced, sqrt, or weights > 0 of labels, such as {spam: 5}",
        "key task is missing; need text",
    ):
        assert re.search(rf"params\.yaml:\d* {re.escape(problem)}(;|$)", message), message


@pytest.mark.parametrize("name", ["own/../x", "own/", "own/a/b", "own/a b", "own/x\\y", "own//etc"])
def test_a_task_name_is_no_path(name: str) -> None:
    """Prevents own/../x from reading, and reporting, files outside of data/own."""
    with pytest.raises(ParamsError) as raised:
        task_registry.find(name)
    assert raised.value.exit_code == 64
    assert str(raised.value).startswith(f"params.yaml task: got {name!r}; ")


@pytest.mark.parametrize(("file", "content", "place", "names"), DATA.values(), ids=DATA)
def test_a_mistake_in_a_file_is_located(file: str, content: bytes | None, place: str, names: str, own: Path) -> None:
    """Prevents what pandas and datasets would guess: shifted columns, labels that become floats, lost rows."""
    if content is None:
        (own / file).mkdir()
    else:
        (own / file).write_bytes(content)
    message = download_error()
    assert message.startswith(f"data/own/t/{file}{place}")
    assert names in message


@pytest.mark.parametrize(("content", "message"), EXACT_DATA)
def test_a_mistake_between_files_is_explained(content: dict[str, bytes], message: str, own: Path) -> None:
    """Prevents files that contradict one another from being used, and a message without a fix."""
    for file, given in content.items():
        (own / file).write_bytes(given)
    assert download_error() == message


@pytest.mark.parametrize(("changes", "content", "message"), SPLIT_ERRORS)
def test_splits_that_cannot_be_made_are_refused(
    changes: dict[str, object], content: dict[str, bytes], message: str, own: Path
) -> None:
    """Prevents splits that leak although `split_by` promises that they do not, and params without effect."""
    for file, given in content.items():
        (own / file).write_bytes(given)
    chosen = DOWNLOAD.model_copy(update=changes)
    with pytest.raises((ParamsError, DataError)) as raised:
        dataset.write(chosen, task_registry.find(chosen.task), paths.RAW)
    assert str(raised.value) == message
    assert not paths.RAW.exists()


def test_leaks_and_contradictions_are_reported(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prevents a score on a test split with training texts, and a warning that is always there."""
    write_rows([(f"text {number % 200}", "xy"[number % 2]) for number in range(400)])
    dataset.write(DOWNLOAD, task_registry.find("own/t"), paths.RAW)
    assert capfd.readouterr().err == ""
    rows = [(f"text {number}", "xy"[number % 2]) for number in range(40)]
    write_rows([*rows, ("twice", "x"), ("twice", "y")])
    write_rows([*rows[:3], ("new", "x")], "test")
    write_rows([*rows[5:7], ("other", "y")], "validation")
    dataset.write(DOWNLOAD, task_registry.find("own/t"), paths.RAW)
    said = capfd.readouterr().err
    for leak in ("2 of 3, such as 'text 5'", "3 of 4, such as 'text 0'", "such as 'twice'"):
        assert leak in said
    assert len(said.splitlines()) == 5


@pytest.mark.parametrize(("test", "validation"), [(0.999, 0.999), (0.6, 0.6), (0.5, 0.5)])
def test_shares_that_leave_nothing_to_train_on_are_refused(test: float, validation: float, own: Path) -> None:
    """Prevents an IndexError, and a second share that is silently taken of what the first one left."""
    write_rows([(f"text {number}", "xy"[number % 2]) for number in range(60)])
    chosen = DOWNLOAD.model_copy(update={"test_share": test, "validation_share": validation})
    with pytest.raises(ParamsError, match=f"validation_share, test_share: got {validation} and {test}"):
        dataset.write(chosen, task_registry.find("own/t"), paths.RAW)
    write_rows([("a", "x"), ("b", "y")], "test")
    dataset.write(chosen, task_registry.find("own/t"), paths.RAW)  # the share of a split that has a file is not used


def test_both_shares_are_of_all_rows(own: Path) -> None:
    """Prevents a validation split that is smaller than its share says."""
    write_rows([(f"text {number}", "xy"[number % 2]) for number in range(100)])
    chosen = DOWNLOAD.model_copy(update={"test_share": 0.5, "validation_share": 0.2})
    dataset.write(chosen, task_registry.find("own/t"), paths.RAW)
    splits = files.read_json(paths.TASK)["splits"]
    assert {name: split["rows"] for name, split in splits.items()} == {"train": 30, "validation": 20, "test": 50}


def test_the_last_line_of_a_stage_is_the_complete_message(tmp_path: Path) -> None:
    """Prevents a cut message: DVC replaces the exit code by 255, so the last line is all that a user has."""
    params_file = tmp_path / "params.yaml"
    params_file.write_bytes((ROOT / "params.yaml").read_bytes())
    change_params(params_file, lr=-1)
    in_root = environment(PYTHONPATH=str(ROOT))
    done = run(sys.executable, "-m", "stages.sample", cwd=tmp_path, check=False, env=in_root)
    assert done.returncode == 64
    assert re.fullmatch(
        r"refit sample: params.yaml:\d+ lr: got -1 \(whole number\), need a number, 0 < lr <= 1\n", done.stderr
    )
