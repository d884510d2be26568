"""Shared by the tests: a tiny real model, tiny data, clones of this repository to run DVC in, processes to kill."""

import contextlib
import csv
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import settings
from ruamel.yaml import YAML

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

settings.register_profile("refit", deadline=None)  # any machine can be slow for a moment
settings.load_profile("refit")

ROOT = Path(__file__).resolve().parent.parent
HUB = ROOT.parent / "shared" / "hub"
# They take minutes each: started last, they would leave the other worker idle.
LONGEST_FIRST = ("test_readme", "test_killed_dvc", "test_repro", "test_compare_example", "test_default", "test_search")
GOOD = ("good", "great", "lovely", "fine", "bright", "warm")
BAD = ("bad", "awful", "poor", "dull", "cold", "dreary")
OTHER = ("the", "a", "film", "plot", "cast", "and", "was", "is", "very", "so", "scene", "music", "it", "story")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest modules first; the two workers take module after module in this order."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def sentence(generator: random.Random, words: tuple[str, ...]) -> str:
    """Three to fourteen words, 40% of them from `words`."""
    return " ".join(
        generator.choice(words if generator.random() < 0.4 else OTHER) for _ in range(generator.randint(3, 14))
    )


def reviews(rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """(text, label) pairs that a model can learn."""
    generator = random.Random(seed)
    return [
        (f"{sentence(generator, GOOD if row % 2 else BAD)} {row}", "positive" if row % 2 else "negative")
        for row in range(rows)
    ]


def write_csv(path: Path, header: list[str], rows: list[tuple[str, ...]]) -> None:
    """Write a CSV file; create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def make_model(folder: Path, *, words: tuple[str, ...] = GOOD + BAD + OTHER, positions: int = 64) -> Path:
    """A BERT of two layers and width 32 with random weights and a WordPiece tokenizer, saved as on the hub."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [chr(code) for code in range(33, 127)]
    tokens = dict.fromkeys([*special, *words, *characters, *(f"##{c}" for c in characters if c.isalnum())])
    ids = {token: index for index, token in enumerate(tokens)}
    BertTokenizer(vocab=ids, model_max_length=positions).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(ids), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=positions,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model."""
    return make_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def hub_root(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The repositories of the fake hub: generated data sets and the tiny model, to serve with fake_hub.running."""
    from fake_hub import repositories

    return repositories.write(tmp_path_factory.mktemp("hub"), tiny_model)


def change_params(path: Path, **changes: object) -> None:
    """Change values in a params.yaml."""
    yaml = YAML()
    values = yaml.load(path)
    values.update(changes)
    yaml.dump(values, path)


def environment(**more: str) -> dict[str, str]:
    """The environment of a user who has activated .venv: this interpreter first on the path, no telemetry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "HF_", "PYTHONPATH"))}
    identity = {"GIT_AUTHOR_NAME": "tester", "GIT_AUTHOR_EMAIL": "tester@example.com"}
    committer = {"GIT_COMMITTER_NAME": "tester", "GIT_COMMITTER_EMAIL": "tester@example.com"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, **identity, **committer, "PATH": path, "DVC_NO_ANALYTICS": "1", **more}


def run(
    *command: str | Path, cwd: Path, check: bool = True, env: dict[str, str] | None = None, seconds: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run a command in `cwd` as a user would; with `check`, the test fails with its output if the command fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env or environment(), capture_output=True, text=True,
        timeout=seconds,
    )  # fmt: skip
    if check and done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def ran(output: str) -> list[str]:
    """The stages that a DVC command has run, without hash_sources, which runs in every `dvc repro`."""
    stages = [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
    return [stage for stage in stages if stage != "hash_sources"]


def start(*command: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a command in `cwd` in its own process group, to be killed.

    Its output is appended to output.txt in the parent folder of `cwd`.
    """
    with (cwd.parent / "output.txt").open("a") as output:
        return subprocess.Popen(
            command, cwd=cwd, env=env or environment(), stdout=output, stderr=output, start_new_session=True
        )


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a command and all processes that it has started, as when a machine loses power."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
    psutil.wait_procs(family, timeout=60)


def wait_until(condition: Callable[[], object], what: str, seconds: float = 240) -> None:
    """Wait until a condition is true; fail when it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for: {what}"
        time.sleep(0.002)


def wait_for_queue(folder: Path) -> None:
    """Wait until DVC's queue has run all its experiments; fail when one has failed."""

    def has(*states: str) -> bool:
        status = run("dvc", "queue", "status", cwd=folder).stdout
        return any(state in status for state in states)

    wait_until(lambda: not has("Queued", "Running"), "the queue to end")
    assert not has("Failed")


def experiments(folder: Path, start: str) -> dict[str, str]:
    """{name: commit} of the experiments in a clone whose names have this start."""
    listed = run("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps", cwd=folder).stdout
    found = (line.split() for line in listed.splitlines() if f"/{start}" in line)
    return {name.rpartition("/")[2]: commit for name, commit in found}


def clone(target: Path) -> Path:
    """A clone of this repository with the content of the working tree, committed."""
    run("git", "clone", "--quiet", ROOT, target, cwd=ROOT)
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
        else:
            (target / name).unlink(missing_ok=True)
    run("git", "add", "--all", cwd=target)
    run("git", "commit", "--quiet", "--allow-empty", "--message", "content of the working tree", cwd=target)
    return target


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Path:
    """A clone whose params.yaml trains the tiny model on 60 examples: `dvc repro` takes about 20 seconds."""
    return tiny_project(tmp_path / "project", tiny_model)


def tiny_project(folder: Path, model: Path, **changes: object) -> Path:
    """As the fixture `project`, in a given folder and with other params."""
    clone(folder)
    write_csv(folder / "data/own/tiny/train.csv", ["text", "label"], list(reviews(60)))
    shutil.copytree(model, folder / "models/tiny")
    settings: dict[str, object] = {
        "task": "own/tiny", "model": "models/tiny", "max_length": 32, "train_rows": "all", "eval_rows": "all",
        "epochs": 2, "batch_size": 8, "lr": 5e-3, "precision": "fp32", "threads": 1, "validation_share": 0.17,
        "test_share": 0.2, **changes,
    }  # fmt: skip
    change_params(folder / "params.yaml", **settings)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", "a tiny task", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A tiny project whose stages before train have been run, without DVC; copy it before changing it."""
    from stage_runner import Runner

    folder = tiny_project(tmp_path_factory.mktemp("prepared") / "project", tiny_model, batch_size=4, epochs=3)
    Runner.run_all(folder, "download", "download_model", "tokenize", "sample", env=environment())
    return folder
