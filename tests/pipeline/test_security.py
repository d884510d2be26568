"""Hostile labels, models, archives and pickles do no harm; tokens reach nothing; only download uses the network."""

import csv
import io
import secrets
import shutil
import subprocess
import sys
import tarfile
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import ROOT, environment, run, tiny_project, write_csv

from refit.download import pretrained
from refit.errors import DataError
from refit.escaping import csv_cell
from refit.params import DownloadModel
from refit.stage import without_secrets
from refit.storage import files

CANARY = f"hf_{secrets.token_hex(16)}"  # made anew, so that this file does not hold what it looks for
HOSTILE = ["</script><img src=x onerror=alert(1)>", '=HYPERLINK("http://x")', "{{7*7}}", "\u202egnp.exe", "../../x"]
# Runs a stage in an interpreter in which every socket but a local one fails.
NO_NETWORK = """
import runpy, socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("the network was used")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
sys.argv = [f"stages/{sys.argv[1]}.py"]
runpy.run_module(f"stages.{sys.argv[0][7:-3]}", run_name="__main__")
"""


class Tags(HTMLParser):
    """Every tag of a page, and every attribute that runs code."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A project with hostile labels whose later stages have all run without a network, and with a token around."""
    project = tiny_project(tmp_path_factory.mktemp("offline") / "project", tiny_model, epochs=1)
    rows = [(f"{HOSTILE[row % 5]} text {row}", HOSTILE[row % 5]) for row in range(80)]
    write_csv(project / "data/own/tiny/train.csv", ["text", "label"], rows)
    env = environment(HF_TOKEN=CANARY, HUGGING_FACE_HUB_TOKEN=CANARY)
    for kind in ("data", "model"):
        run("python", "-m", "stages.download", kind, cwd=project, env=env)
    can_unshare = subprocess.run(["unshare", "-Urn", "true"], capture_output=True).returncode == 0
    cut = ["unshare", "-Urn"] if can_unshare else []
    for stage in ("tokenize", "sample", "train", "evaluate", "report"):
        run(*cut, sys.executable, "-c", NO_NETWORK, stage, cwd=project, env=env)
    return project


def test_the_stages_after_download_need_no_network(offline: Path) -> None:
    # A stage that quietly fetches something cannot be repeated when that is gone, and tells the world of the run.
    assert (offline / "metrics/report.html").is_file()
    assert (offline / "models/finetuned/model.safetensors").is_file()


def test_hostile_labels_stay_text_in_the_page(offline: Path) -> None:
    # A label is what a stranger typed; in a report it must not become a tag.
    tags = Tags()
    tags.feed((offline / "metrics/report.html").read_text())
    assert not [tag for tag, _ in tags.found if tag in ("img", "script")]
    assert not [name for _, attributes in tags.found for name in attributes if name.startswith("on")]


def test_no_cell_of_our_csv_files_is_a_formula(offline: Path) -> None:
    # A spreadsheet runs a cell that begins with = + - or @ when the file is opened.
    for path in (offline / "metrics").glob("*.csv"):
        for row in csv.reader(io.StringIO(path.read_text(), newline="")):
            for value in row:
                is_number = value.lstrip("+-").replace(".", "", 1).replace("e-", "", 1).isdigit()
                assert is_number or not value.startswith(("=", "+", "-", "@", "\t", "\r")), f"{path.name}: {value!r}"
                assert "<" not in value, f"{path.name}: {value!r}"


@pytest.mark.parametrize("label", ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1+1", "\r=1", " =1", "-2+1"])
def test_formulas_are_quoted(label: str) -> None:
    # The list of starts that spreadsheets take for a formula, white space before it included.
    assert not csv_cell(label).strip().startswith(("=", "+", "-", "@"))


def test_a_token_reaches_no_file(offline: Path) -> None:
    # A log, an out or a checkpoint with a token in it is a token published.
    for path in offline.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_a_token_reaches_no_file_of_dvc_or_git(tmp_path: Path, tiny_model: Path) -> None:
    # dvc exp run --queue stashes what it needs in git objects, which are pushed.
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
    # An error of pip or the hub may quote the address that it was given.
    cleaned = without_secrets(text)
    assert "***" in cleaned
    assert not any(secret in cleaned for secret in (CANARY, "abcdefghijkl", "passw0rd"))


def model_folder(tmp_path: Path, tiny_model: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    return folder


def download(folder: Path, target: Path) -> None:
    pretrained.write(DownloadModel(model=str(folder), model_revision="pinned"), target)


def test_a_model_of_pickled_weights_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    # Reading pytorch_model.bin can run any program.
    folder = model_folder(tmp_path, tiny_model)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError) as raised:
        download(folder, tmp_path / "base")
    wanted = f"model {folder}: has no safetensors weights, and pickled weights are not read; choose another"
    assert str(raised.value) == wanted


@pytest.mark.parametrize("kind", ["bert", "unknown"])
def test_code_of_a_models_repository_is_not_run(kind: str, tmp_path: Path, tiny_model: Path) -> None:
    # auto_map names a Python file of the repository that transformers would import; its own class is used or none.
    folder = model_folder(tmp_path, tiny_model)
    config = files.read_json(folder / "config.json")
    more = {"auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}, "model_type": kind}
    files.write_json(folder / "config.json", config | more)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    if kind == "bert":
        download(folder, tmp_path / "base")
        assert files.read_json(tmp_path / "base/config.json") == config
    else:
        with pytest.raises(DataError, match=r"has no class for its model_type 'unknown', and code .* is never run"):
            download(folder, tmp_path / "base")
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.glob("base/*.py"))


def test_a_tokenizer_with_code_of_its_own_is_not_run(tmp_path: Path, tiny_model: Path) -> None:
    # The same trick in the tokenizer's file.
    folder = model_folder(tmp_path, tiny_model)
    config = files.read_json(folder / "tokenizer_config.json")
    files.write_json(folder / "tokenizer_config.json", config | {"auto_map": {"AutoTokenizer": ["evil.T", None]}})
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    download(folder, tmp_path / "base")
    assert "auto_map" not in files.read_json(tmp_path / "base/tokenizer_config.json")
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.glob("base/*.py"))


def test_archives_are_read_member_by_member(tmp_path: Path) -> None:
    # An archive can name ../../.bashrc; only the members that we name are read, and none is unpacked.
    from refit.download import pypi, vader

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
    # The surest way is to have no such call.
    for path in [*(ROOT / "refit").rglob("*.py"), *(ROOT / "stages").glob("*.py")]:
        text = path.read_text()
        for banned in ("import pickle", "torch.load(", "trust_remote_code=True", "evaluate.load(", "joblib.load",
                       "extractall(", "weights_only=False", "allow_pickle=True"):  # fmt: skip
            assert banned not in text.replace('`evaluate.load("accuracy")`', ""), f"{path}: {banned}"


def test_tokens_are_dropped_before_a_stage_without_network_starts() -> None:
    # What has no use for a key should not have it.
    code = "import os\nfrom refit.stage import run\nrun('x', lambda: print(os.environ.get('HF_TOKEN')), record=False)"
    done = run(sys.executable, "-c", code, cwd=ROOT, env=environment(HF_TOKEN=CANARY))
    assert done.stdout.strip() == "None"
