"""Every mistake in params.yaml and in data gets one line: where, what was given, what is wanted, how to mend it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, change_params, environment

from refit import params, paths
from refit.download import dataset, task_registry
from refit.errors import DataError, ParamsError
from refit.storage import files

DOWNLOAD = params.Download(task="own/t", validation_share=0.1, test_share=0.1, split_seed=1)

# (key, the YAML that is given for it, the message after `params.yaml:LINE KEY: `)
VALUES = [
    ("lr", "'2e-5'", "got '2e-5' (text), need a number, 0 < lr <= 1 (remove the quotes)"),
    ("lr", "abc", "got 'abc' (text), need a number, 0 < lr <= 1"),
    ("lr", "-1", "got -1 (whole number), need a number, 0 < lr <= 1"),
    ("lr", "0", "got 0 (whole number), need a number, 0 < lr <= 1"),
    ("lr", ".nan", "got nan (number), need a number, 0 < lr <= 1"),
    ("lr", ".inf", "got inf (number), need a number, 0 < lr <= 1"),
    ("lr", "1e6", "got 1000000.0 (number), need a number, 0 < lr <= 1"),
    ("lr", "[1]", "got [1] (list), need a number, 0 < lr <= 1"),
    ("lr", "", "got nothing, need a number, 0 < lr <= 1"),
    ("lr", "true", "got true (true/false), need a number, 0 < lr <= 1"),
    ("epochs", "0", "got 0 (whole number), need a whole number from 1 to 10000"),
    ("epochs", "-2", "got -2 (whole number), need a whole number from 1 to 10000"),
    ("epochs", "3.0", "got 3.0 (number), need a whole number from 1 to 10000"),
    ("epochs", "'3'", "got '3' (text), need a whole number from 1 to 10000 (remove the quotes)"),
    ("epochs", "1e5", "got 100000.0 (number), need a whole number from 1 to 10000"),
    ("batch_size", "4.0", "got 4.0 (number), need a whole number >= 1"),
    ("batch_size", "0", "got 0 (whole number), need a whole number >= 1"),
    ("batch_size", "'4'", "got '4' (text), need a whole number >= 1 (remove the quotes)"),
    ("batch_size", "true", "got true (true/false), need a whole number >= 1"),
    ("eval_batch_size", "-8", "got -8 (whole number), need a whole number >= 1"),
    ("grad_accum", "0", "got 0 (whole number), need a whole number >= 1"),
    ("seed", "-1", "got -1 (whole number), need a whole number from 0 to 4294967295"),
    ("seed", "4294967296", "got 4294967296 (whole number), need a whole number from 0 to 4294967295"),
    ("weight_decay", "-0.1", "got -0.1 (number), need a number from 0 to 1"),
    ("weight_decay", "2", "got 2 (whole number), need a number from 0 to 1"),
    ("warmup", "1.0", "got 1.0 (number), need the share of all steps to warm up in, 0 <= warmup < 1"),
    ("warmup", "500", "got 500 (whole number), need the share of all steps to warm up in, 0 <= warmup < 1"),
    (
        "scheduler",
        "lineer",
        "got 'lineer' (text), need one of linear, cosine, constant, constant_with_warmup, polynomial, inverse_sqrt",
    ),
    ("max_grad_norm", "-1", "got -1 (whole number), need a number >= 0 (0: do not clip)"),
    ("label_smoothing", "1", "got 1 (whole number), need a number, 0 <= label_smoothing < 1"),
    ("class_weights", "true", "got true (true/false), need none or balanced"),
    (
        "early_stopping",
        "-1",
        "got -1 (whole number), need how many evaluations without a better score to wait for, >= 0 (0: never stop)",
    ),
    (
        "early_stopping",
        "yes",
        "got 'yes' (text), need how many evaluations without a better score to wait for, >= 0 (0: never stop)",
    ),
    ("eval_every", "0", "got 0 (whole number), need epoch, or a whole number of steps >= 1"),
    ("eval_every", "epochs", "got 'epochs' (text), need epoch, or a whole number of steps >= 1"),
    ("save_every", "1.5", "got 1.5 (number), need epoch, or a whole number of steps >= 1"),
    ("precision", "fp8", "got 'fp8' (text), need one of auto, fp32, bf16, fp16"),
    ("padding", "max", "got 'max' (text), need longest or max_length"),
    ("sampling", "sorted", "got 'sorted' (text), need length or random"),
    ("attention_dropout", "1.5", "got 1.5 (number), need model, or a number, 0 <= attention_dropout < 1"),
    ("compile", "1", "got 1 (whole number), need true or false"),
    ("threads", "0", "got 0 (whole number), need auto, or a whole number from 1 to 1024"),
    ("threads", "100000", "got 100000 (whole number), need auto, or a whole number from 1 to 1024"),
    ("threads", "all", "got 'all' (text), need auto, or a whole number from 1 to 1024"),
    ("report_to", "[wandb]", "got ['wandb'] (list), need one of none, tensorboard, dvclive, wandb"),
    ("train_rows", "0", "got 0 (whole number), need a whole number >= 1, or all"),
    ("train_rows", "none", "got 'none' (text), need a whole number >= 1, or all"),
    ("stratify", "maybe", "got 'maybe' (text), need true or false"),
    ("max_length", "2", "got 2 (whole number), need a whole number from 4 to 1000000"),
    ("max_length", "128.5", "got 128.5 (number), need a whole number from 4 to 1000000"),
    ("validation_share", "1", "got 1 (whole number), need a number, 0 <= share < 1"),
    ("test_share", "-0.1", "got -0.1 (number), need a number, 0 <= share < 1"),
    ("model_revision", "main", "got 'main' (text), need pinned, or a 40-hex commit of the model"),
    ("model_revision", "abc123", "got 'abc123' (text), need pinned, or a 40-hex commit of the model"),
    ("model", "''", "got '' (text), need text"),
    ("task", "12", "got 12 (whole number), need text"),
    ("task", "", "got nothing, need text"),
]

# (lines added to a good params.yaml, the message after `params.yaml:`); N is the first added line.
ADDED = [
    ("lerning_rate: 1", "N unknown key lerning_rate; did you mean lr?"),
    ("learning_rate: 1", "N unknown key learning_rate; did you mean lr?"),
    ("num_train_epochs: 1", "N unknown key num_train_epochs; did you mean epochs?"),
    ("banana: 1", "N unknown key banana; remove it"),
    ("lr: 1", "N key lr appears twice; keep one of them"),
    ("\tlr: 1", "N:1 a tab is used for indentation; use spaces"),
    ("a: b: c", "N:5 not YAML (mapping values are not allowed here)"),
]

# (the whole of params.yaml, the message)
WHOLE = [
    (b"", "params.yaml: need `key: value` lines, got nothing; see recipes/ for whole files"),
    (b"- a\n", "params.yaml: need `key: value` lines, got ['a'] (list); see recipes/ for whole files"),
    (b"lr: \xff\n", "params.yaml:1 is not UTF-8 text; save the file as UTF-8"),
]

FORTY = b"text,label\n" + b"".join(b"t%d,%c\n" % (i, b"xy"[i % 2]) for i in range(40))

# (name, files of data/own/t, the message)
DATA = [
    (
        "missing_label",
        {"train.csv": b"text,y\na,1\n"},
        "data/own/t/train.csv: column 'label' not found; columns are: text, y; need text and label",
    ),
    (
        "missing_text",
        {"train.csv": b"sentence,label\na,1\n"},
        "data/own/t/train.csv: column 'text' not found; columns are: sentence, label; need text and label",
    ),
    (
        "dup_column",
        {"train.csv": b"text,label,text\na,1,b\n"},
        "data/own/t/train.csv: column 'text' appears twice; rename one",
    ),
    (
        "long_row",
        {"train.csv": b"text,label\na,b,1\nc,0\n"},
        "data/own/t/train.csv line 2: 3 fields, the header names 2; quote texts that hold a comma",
    ),
    (
        "short_row",
        {"train.csv": b"text,label\na\n"},
        "data/own/t/train.csv line 2: 1 fields, the header names 2; quote texts that hold a comma",
    ),
    (
        "bad_utf8",
        {"train.csv": b"text,label\nok,1\nb\xffd,0\n"},
        "data/own/t/train.csv line 3: invalid UTF-8 byte 0xff at column 2; save it as UTF-8 (in Excel: CSV UTF-8)",
    ),
    (
        "utf16",
        {"train.csv": b"\xff\xfet\x00e\x00x\x00t\x00,\x00l\x00a\x00b\x00e\x00l\x00\n\x00a\x00,\x001\x00\n\x00"},
        "data/own/t/train.csv: is in UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)",
    ),
    (
        "empty_text",
        {"train.csv": b"text,label\n,1\nb,0\n"},
        "data/own/t/train.csv line 2: text is empty; fill it in or remove the row",
    ),
    (
        "blank_text",
        {"train.csv": b"text,label\n  ,1\nb,0\n"},
        "data/own/t/train.csv line 2: text is blank; fill it in or remove the row",
    ),
    (
        "empty_label",
        {"train.csv": b"text,label\na,\nb,0\n"},
        "data/own/t/train.csv line 2: label is empty; fill it in or remove the row",
    ),
    (
        "nul",
        {"train.csv": b"text,label\na\x00b,1\nc,0\n"},
        "data/own/t/train.csv line 2: has a NUL character; remove it, or save it as UTF-8 (in Excel: CSV UTF-8)",
    ),
    (
        "one_class",
        {"train.csv": b"text,label\na,x\nb,x\n"},
        "data/own/t/train.csv: only one class 'x'; need at least two",
    ),
    (
        "header_only",
        {"train.csv": b"text,label\n"},
        "data/own/t/train.csv: has no rows; need a header and at least one row",
    ),
    ("empty_file", {"train.csv": b""}, "data/own/t/train.csv: has no rows; need a header and at least one row"),
    (
        "open_quote",
        {"train.csv": b'text,label\n"a,1\nb,0\n'},
        "data/own/t/train.csv line 2: a quoted field has no end; close it",
    ),
    (
        "test_label",
        {"train.csv": b"text,label\na,x\nb,y\n", "test.csv": b"text,label\nc,z\n"},
        "data/own/t/test.csv line 2: label is 'z', which train lacks (rows with such a label: 1); add training rows or remove these",
    ),
    (
        "both_formats",
        {"train.csv": b"text,label\na,x\nb,y\n", "train.jsonl": b"{}"},
        "data/own/t: train.csv and train.jsonl are both there; keep one",
    ),
    (
        "no_train",
        {"test.csv": b"text,label\na,x\n"},
        "data/own/t: no train file; need train with one of .csv, .tsv, .jsonl, .parquet; found test.csv",
    ),
    ("nothing", {}, "data/own/t: no train file; need train with one of .csv, .tsv, .jsonl, .parquet; found nothing"),
    (
        "xlsx",
        {"train.xlsx": b"PK"},
        "data/own/t: no train file; need train with one of .csv, .tsv, .jsonl, .parquet; found train.xlsx",
    ),
    (
        "json_bad",
        {"train.jsonl": b"{text: 1}\n"},
        "data/own/t/train.jsonl line 1: not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))",
    ),
    (
        "json_list",
        {"train.jsonl": b"[1]\n"},
        'data/own/t/train.jsonl line 1: need an object like {"text": ..., "label": ...}',
    ),
    (
        "json_nan",
        {"train.jsonl": b'{"text":"a","label":NaN}\n'},
        "data/own/t/train.jsonl line 1: label is nan; need a finite number",
    ),
    (
        "json_null",
        {"train.jsonl": b'{"text":"a","label":null}\n'},
        "data/own/t/train.jsonl line 1: label is empty; fill it in or remove the row",
    ),
    (
        "json_num_text",
        {"train.jsonl": b'{"text":5,"label":"x"}\n'},
        "data/own/t/train.jsonl line 1: text is 5 (int); need text",
    ),
    (
        "json_label_list",
        {"train.jsonl": b'{"text":"a","label":["x"]}\n'},
        "data/own/t/train.jsonl line 1: label is a list; need a word or a number",
    ),
    (
        "json_missing_key",
        {"train.jsonl": b'{"text":"a","label":"x"}\n{"text":"b"}\n'},
        "data/own/t/train.jsonl line 2: label is missing; every row needs the same columns",
    ),
    (
        "json_late_pair",
        {"train.jsonl": b'{"text":"a","label":"x"}\n{"text":"b","label":"y","text_pair":"c"}\n'},
        "data/own/t/train.jsonl line 2: text_pair is not in the rows before; every row needs the same columns",
    ),
    (
        "parquet_bad",
        {"train.parquet": b"PAR1 not"},
        "data/own/t/train.parquet: not a readable parquet file (Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file.); write it again",
    ),
    (
        "pair_only_in_train",
        {"train.csv": b"text,text_pair,label\na,b,x\nc,d,y\n", "test.csv": b"text,label\na,x\n"},
        "data/own/t/train.csv: has a column text_pair, the other files lack it; all must have it or none",
    ),
    (
        "mixed",
        {"train.jsonl": b'{"text":"a","label":0.5}\n{"text":"b","label":"good"}\n'},
        "data/own/t/train.jsonl line 2: label is good, but others are numbers with a decimal point; correct it, or use words for classes",
    ),
    (
        "too_few",
        {"train.csv": b"text,label\na,x\nb,y\n"},
        "test has 0 rows; train has none to spare because it keeps a text of every label: give more rows",
    ),
    (
        "inf",
        {"train.csv": b"text,label\na,inf\nb,0.5\n"},
        "data/own/t/train.csv line 2: label is inf; need a finite number below 1e+15: correct or scale the labels",
    ),
    (
        "nan_csv",
        {"train.csv": b"text,label\na,nan\nb,0.5\n"},
        "data/own/t/train.csv line 2: label is nan; need a finite number below 1e+15: correct or scale the labels",
    ),
    (
        "tsv_comma",
        {"train.tsv": b"text,label\na,x\n"},
        "data/own/t/train.tsv: column 'text' not found; columns are: text,label; fields are separated by commas; name the file train.csv",
    ),
    (
        "semicolon",
        {"train.csv": b"text;label\na;x\n"},
        "data/own/t/train.csv: column 'text' not found; columns are: text;label; fields are separated by semicolons; save the file with commas",
    ),
    (
        "zero_test",
        {
            "train.csv": b"text,label\nt0,x\nt1,y\nt2,x\nt3,y\nt4,x\nt5,y\nt6,x\nt7,y\nt8,x\nt9,y\nt10,x\nt11,y\nt12,x\nt13,y\nt14,x\nt15,y\nt16,x\nt17,y\nt18,x\nt19,y\nt20,x\nt21,y\nt22,x\nt23,y\nt24,x\nt25,y\nt26,x\nt27,y\nt28,x\nt29,y\nt30,x\nt31,y\nt32,x\nt33,y\nt34,x\nt35,y\nt36,x\nt37,y\nt38,x\nt39,y\n",
            "test.csv": b"text,label\n",
        },
        "data/own/t/test.csv: has no rows; need a header and at least one row",
    ),
    (
        "dir",
        {"train.csv": None},
        "data/own/t/train.csv: is a folder; need a file",
    ),
]

TASKS = ["own/../x", "own/", "own/a/b", "own/a b", "own/x\\y", "own//etc"]


@pytest.fixture
def params_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    paths.PARAMS.write_bytes((ROOT / "params.yaml").read_bytes())
    return paths.PARAMS


def said(path: Path) -> str:
    with pytest.raises(ParamsError) as raised:
        params.load(params.Train, path)
    assert raised.value.exit_code == 64
    return str(raised.value)


@pytest.mark.parametrize(("key", "given", "message"), VALUES, ids=lambda value: value if len(value) < 25 else "")
def test_wrong_values(key: str, given: str, message: str, params_file: Path) -> None:
    # Each of these would otherwise fail an hour later, or train something else than was meant.
    lines = params_file.read_text().splitlines()
    number = next(number for number, line in enumerate(lines, start=1) if line.startswith(f"{key}:"))
    lines[number - 1] = f"{key}: {given}"
    params_file.write_text("\n".join(lines) + "\n")
    assert said(params_file) == f"params.yaml:{number} {key}: {message}"


@pytest.mark.parametrize(("added", "message"), ADDED)
def test_wrong_lines(added: str, message: str, params_file: Path) -> None:
    # An unknown key that is ignored is an experiment that never happened.
    text = params_file.read_text()
    params_file.write_text(f"{text}{added}\n")
    assert said(params_file) == f"params.yaml:{message.replace('N', str(len(text.splitlines()) + 1), 1)}"


@pytest.mark.parametrize(("content", "message"), WHOLE)
def test_wrong_files(content: bytes, message: str, params_file: Path) -> None:
    # What an editor, a merge or a full disk makes of a file.
    params_file.write_bytes(content)
    assert said(params_file) == message


def test_no_file_and_a_folder(params_file: Path) -> None:
    # A newcomer in the wrong folder.
    params_file.unlink()
    assert said(params_file) == "params.yaml: not found; take one with: cp recipes/movie_stars.yaml params.yaml"
    params_file.mkdir()
    assert said(params_file) == "params.yaml: is a folder; need a file of `key: value` lines, see recipes/"


def test_all_problems_at_once(params_file: Path) -> None:
    # One a run would be a tedious way to learn of three.
    change_params(params_file, lr=-1, epochs=0, batch_size="4")
    assert said(params_file).startswith("3 problems: ")


@pytest.mark.parametrize("name", TASKS)
def test_task_names_are_no_paths(name: str) -> None:
    # own/../x would read, and report, files outside of data/own.
    with pytest.raises(ParamsError) as raised:
        task_registry.find(name)
    wanted = "need own/NAME, NAME a folder in data/own of letters, digits, _ and -"
    assert str(raised.value) == f"params.yaml task: got {name!r}; {wanted}"


@pytest.mark.parametrize(("name", "files", "message"), DATA, ids=[name for name, _, _ in DATA])
def test_wrong_data(
    name: str, files: dict[str, bytes | None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pandas and datasets guess here: shifted columns, labels that turn into floats, rows that vanish.
    monkeypatch.chdir(tmp_path)
    folder = Path("data/own/t")
    folder.mkdir(parents=True)
    for file, content in files.items():
        if content is None:
            (folder / file).mkdir()
        else:
            (folder / file).write_bytes(content)
    with pytest.raises(DataError) as raised:
        dataset.write(DOWNLOAD, task_registry.find("own/t"), paths.RAW)
    assert str(raised.value) == message
    assert raised.value.exit_code == 65
    assert not paths.RAW.exists()


def write_rows(rows: list[tuple[str, str]], split: str = "train") -> None:
    folder = Path("data/own/t")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))


def test_leaks_and_contradictions_are_told_with_counts_and_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # A leaked test split gives a score that no one gets again.
    monkeypatch.chdir(tmp_path)
    rows = [(f"text {number}", "xy"[number % 2]) for number in range(40)]
    write_rows([*rows, ("twice", "x"), ("twice", "y")])
    write_rows([*rows[:3], ("new", "x")], "test")
    write_rows([*rows[5:7], ("other", "y")], "validation")
    dataset.write(DOWNLOAD, task_registry.find("own/t"), paths.RAW)
    said = capfd.readouterr().err.splitlines()
    assert said == [
        "download: rows of validation: 3; scores on so few are mostly chance, use 30 or more",
        "download: rows of validation that repeat a text of train: 2 of 3, such as 'text 5'; "
        "scores on them are inflated; remove them from one of the two files",
        "download: rows of test: 4; scores on so few are mostly chance, use 30 or more",
        "download: rows of test that repeat a text of train: 3 of 4, such as 'text 0'; "
        "scores on them are inflated; remove them from one of the two files",
        "download: 1 text in train with different labels, such as 'twice'",
    ]


def test_clean_data_raises_no_doubts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # A warning that is always there is read by nobody.
    monkeypatch.chdir(tmp_path)
    write_rows([(f"text {number % 200}", "xy"[number % 2]) for number in range(400)])
    dataset.write(DOWNLOAD, task_registry.find("own/t"), paths.RAW)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("test", "validation"), [(0.999, 0.999), (0.6, 0.6), (0.5, 0.5)])
def test_shares_that_leave_nothing_to_train_on_are_refused(
    test: float, validation: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents an IndexError, and a second share that is silently of what the first one left."""
    monkeypatch.chdir(tmp_path)
    write_rows([(f"text {number}", "xy"[number % 2]) for number in range(60)])
    chosen = DOWNLOAD.model_copy(update={"test_share": test, "validation_share": validation})
    with pytest.raises(ParamsError, match=f"validation_share, test_share: got {validation} and {test}.*sum below 1"):
        dataset.write(chosen, task_registry.find("own/t"), paths.RAW)
    write_rows([("a", "x"), ("b", "y")], "test")
    dataset.write(chosen, task_registry.find("own/t"), paths.RAW)  # the share of a split that has a file is not used


def test_both_shares_are_of_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a validation split that is smaller than its share says."""
    monkeypatch.chdir(tmp_path)
    write_rows([(f"text {number}", "xy"[number % 2]) for number in range(100)])
    chosen = DOWNLOAD.model_copy(update={"test_share": 0.5, "validation_share": 0.2})
    dataset.write(chosen, task_registry.find("own/t"), paths.RAW)
    splits = files.read_json(paths.TASK)["splits"]
    assert {name: split["rows"] for name, split in splits.items()} == {"train": 30, "validation": 20, "test": 50}


def test_the_last_line_of_a_stage_is_the_whole_message(tmp_path: Path) -> None:
    # DVC shows a stage's stderr and flattens its exit code to 255: the last line is all that a user has.
    params_file = tmp_path / "params.yaml"
    params_file.write_bytes((ROOT / "params.yaml").read_bytes())
    change_params(params_file, lr=-1)
    done = subprocess.run(
        [sys.executable, "-m", "stages.sample"], cwd=tmp_path, capture_output=True, text=True,
        env=environment(PYTHONPATH=str(ROOT)),
    )  # fmt: skip
    assert done.returncode == 64
    assert re.fullmatch(
        r"refit sample: params.yaml:\d+ lr: got -1 \(whole number\), need a number, 0 < lr <= 1\n", done.stderr
    )
