"""The worked example of docs/compare.md: what the document shows must be what is printed, on runs trained here."""

import random
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import ROOT, change_params, reviews, run, tiny_project, write_csv

DOCUMENT = ROOT / "docs/compare.md"
README = ROOT / "README.md"
# Training does not round alike on every processor, so scores may be a few rows away from those shown.
TOLERANCE = 0.08
NUMBER = re.compile(r"[<+-]?\d+\.\d+")


def noisy_reviews(rows: int) -> list[tuple[str, str]]:
    """Reviews of which one in eight has the wrong label."""
    generator = random.Random(1)
    other = {"positive": "negative", "negative": "positive"}
    return [(text, other[label] if generator.random() < 1 / 8 else label) for text, label in reviews(rows)]


def correct_labels(project: Path) -> None:
    """Give each split a file of its own, with the right labels."""
    right = dict(reviews(600))
    for split in ("train", "validation", "test"):
        texts = pq.read_table(project / f"data/raw/{split}.parquet")["text"].to_pylist()
        write_csv(project / f"data/own/tiny/{split}.csv", ["text", "label"], [(text, right[text]) for text in texts])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The example's project: four commits with the tags v1 to v4; the last one corrects the labels."""
    project = tiny_project(tmp_path_factory.mktemp("example") / "project", tiny_model)
    write_csv(project / "data/own/tiny/train.csv", ["text", "label"], list(noisy_reviews(600)))
    change_params(project / "params.yaml", validation_share=0.25, test_share=0.25, epochs=1)
    for tag, lr, message in (
        ("v1", 5e-4, "A first try"), ("v2", 5e-3, "Learn faster"), ("v3", 1e-2, "Faster still"),
        ("v4", 1e-2, "Correct labels"),
    ):  # fmt: skip
        change_params(project / "params.yaml", lr=lr)
        if tag == "v4":
            correct_labels(project)
        run("dvc", "repro", "--quiet", cwd=project)
        run("git", "add", "--all", cwd=project)
        run("git", "commit", "--quiet", "--message", message, cwd=project)
        run("git", "tag", tag, cwd=project)
    return project


def examples() -> list[tuple[str, list[str]]]:
    """Each command of the document, with the lines that it is said to print."""
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n\$ (.+?)\n(.*?)```", text, re.DOTALL)
    return [(command, printed.splitlines()) for command, printed in blocks]


def assert_alike(shown: list[str], printed: list[str]) -> None:
    """The same words, and scores that are near; a p-value may be any that leads to the same verdict."""
    words, found = (" ".join(lines).split() for lines in (shown, printed))
    assert [NUMBER.sub("0.0", word) for word in found] == [NUMBER.sub("0.0", word) for word in words]
    for one, other, after in zip(words, found, [*words[1:], ""], strict=True):
        if NUMBER.fullmatch(one) and after not in ("real", "may"):
            assert float(other) == pytest.approx(float(one), abs=TOLERANCE)


@pytest.mark.parametrize(("command", "shown"), examples(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_command_of_the_document_prints_what_is_shown(project: Path, command: str, shown: list[str]) -> None:
    done = run("bash", "-c", f"({command}) 2>&1", cwd=project, check=False)
    assert_alike(shown, done.stdout.splitlines())


def test_the_readme_shows_lines_of_the_same_example() -> None:
    """Prevents the README's part of the example from differing from what is checked here."""
    assert len(examples()) == 6
    (block,) = re.findall(r"```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert set(block.splitlines()) <= set(DOCUMENT.read_text(encoding="utf-8").splitlines())
