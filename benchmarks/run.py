"""Measure refit against the notebook that most people start from, and write benchmarks/RESULTS.md.

python -m benchmarks.run                # everything; the same as make bench
python -m benchmarks.run pipeline       # only one part, printed and not written

Both sides of a ratio are measured in turns. Every figure is a median of three, except 21 idle `dvc repro` and five of
refit's tokenizing per one of the notebook's. The notebook pads every document to the maximum length, so that each of
its training steps takes the same time: its rate is measured on 96 documents, refit's on 320.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nanotoken
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from benchmarks import data, matrix_rate
from refit.storage import files

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/RESULTS.md"
RUNS = 3
IDLE_RUNS = 21  # about a second each, of which a tenth differs
TOKENIZE_RUNS = 5  # a third of a second each
MAX_LENGTH = 512
THEIR_ROWS, OUR_ROWS = 96, 320


def main() -> None:
    """Run every measurement and write the table, or print those that were named."""
    parts = {part.__name__: part for part in (newsgroups, tokenize_process, byte_pair, scale, pipeline)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(parts)}; default: all")
    chosen = parser.parse_args().parts
    if unknown := set(chosen) - parts.keys():
        parser.error(f"unknown part {sorted(unknown)[0]!r}; need one of {', '.join(parts)}")
    os.chdir(ROOT)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        rows = [line for name in chosen or parts for line in parts[name](Path(scratch))]
    if chosen:
        print("\n".join(rows))
        return
    minutes = (time.perf_counter() - started) / 60
    text = HEAD.format(
        date=datetime.now(UTC).date(),
        machine=machine(),
        minutes=minutes,
        runs=RUNS,
        idle_runs=IDLE_RUNS,
        tokenize_runs=RUNS * TOKENIZE_RUNS,
    ) + "\n".join(rows)
    files.write_text(RESULTS, text + "\n")
    print(text)


def newsgroups(folder: Path) -> list[str]:
    """Tokenizing, training and evaluating 20 Newsgroups with MiniLM, against the notebook."""
    train, test = data.newsgroups()
    model = data.minilm()
    raw = data.raw_folder(folder / "news/data/raw", {"train": pq.read_table(train), "test": pq.read_table(test)}, 20)
    tables = {
        "train": pq.read_table(train),
        "validation": pq.read_table(test).slice(0, 16),
        "test": pq.read_table(test),
    }
    small = project(folder / "small", tables, 20)
    theirs: list[dict[str, Any]] = []
    ours: list[dict[str, float]] = []
    tokenizing: list[float] = []
    encoding: list[float] = []
    for number in range(RUNS):
        say(f"newsgroups, run {number + 1} of {RUNS}")
        os.sync()  # so that one side's pending writes do not slow down the other
        few = ["--rows", THEIR_ROWS, "--eval-rows", THEIR_ROWS, "--epochs", 1, "--seed", number]
        theirs.append(notebook(train, test, model, *few))
        os.sync()
        for _ in range(TOKENIZE_RUNS):
            tokenizing.append(tokenized(raw, model, folder / "news"))
            encoding.append(encoded(raw, model, folder / "news"))
        ours.append(trained(small, seed=number))
    documents = sum(pq.read_metadata(path).num_rows for path in (train, test))
    their_rate = median(documents / run["seconds"]["tokenize"] for run in theirs)
    their_train = median(THEIR_ROWS / run["seconds"]["train"] for run in theirs)
    their_eval = median(THEIR_ROWS / run["seconds"]["evaluate"] for run in theirs)
    our_rate, best_rate = (documents / median(runs) for runs in (tokenizing, encoding))
    our_train, our_eval = (median(run[name] for run in ours) for name in ("train", "evaluate"))
    share = median(run["share"] for run in ours)
    size = sum(path.stat().st_size for path in (folder / "news/data/tokenized").glob("*.arrow"))
    their_bytes, our_bytes = theirs[0]["cache_bytes"] / documents, size / documents
    return [
        row("tokenize, documents/s", our_rate, their_rate, f"{best_rate:,.0f} (encoder and bytes alone)"),
        row("bytes on disk a document", our_bytes, their_bytes, "", less=True),
        row("train, documents/s", our_train, their_train, f"{our_train / share:,.1f} (matrix products alone)"),
        row("evaluate, documents/s", our_eval, their_eval, ""),
    ]


def tokenize_process(folder: Path) -> list[str]:
    """Tokenizing as a user waits for it: as a process, with its start and imports on both sides."""
    train, test = data.newsgroups()
    tables = {
        "train": pq.read_table(train),
        "validation": pq.read_table(test).slice(0, 16),
        "test": pq.read_table(test),
    }
    place = project(folder / "process", tables, 20)
    ours, theirs = in_turns(
        "tokenizing as a process",
        lambda: timed(lambda: stage(place, "tokenize")),
        lambda: timed(lambda: notebook(train, test, data.minilm(), "--tokenize-only")),
    )
    return [row("tokenize as a process, start and imports too, s", ours, theirs, "", less=True)]


def byte_pair(folder: Path) -> list[str]:
    """Tokenizing the same documents with byte-level BPE, as RoBERTa does, against the notebook."""
    train, test = data.newsgroups()
    model = data.byte_pair()
    raw = data.raw_folder(folder / "bpe/data/raw", {"train": pq.read_table(train), "test": pq.read_table(test)}, 20)
    ours, theirs = in_turns(
        "byte-level BPE",
        lambda: tokenized(raw, model, folder / "bpe"),
        lambda: float(notebook(train, test, model, "--tokenize-only")["seconds"]["tokenize"]),
    )
    documents = sum(pq.read_metadata(path).num_rows for path in (train, test))
    return [row("tokenize, byte-level BPE (RoBERTa's kind)", documents / ours, documents / theirs, "")]


def in_turns(what: str, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float]:
    """The median seconds of refit and of the notebook: TOKENIZE_RUNS of refit after each of the notebook."""
    of_ours: list[float] = []
    of_theirs: list[float] = []
    for number in range(RUNS):
        say(f"{what}, run {number + 1} of {RUNS}")
        os.sync()
        of_theirs.append(theirs())
        os.sync()
        of_ours += [ours() for _ in range(TOKENIZE_RUNS)]
    return median(of_ours), median(of_theirs)


def scale(folder: Path) -> list[str]:
    """Tokenizing and sampling many rows: time must grow with the rows, memory must not."""
    documents = pq.read_table(data.newsgroups()[0])
    model = data.minilm()
    figures = []
    for rows in (10_000, 100_000, 700_000):
        say(f"{rows:,} rows")
        place = folder / f"rows-{rows}"
        repeated = pa.concat_tables([documents] * (rows // len(documents) + 1)).slice(0, rows)
        few = documents.slice(0, 100)
        data.raw_folder(place / "data/raw", {"train": repeated, "validation": few}, 20)
        shutil.copytree(model, place / "models/base")
        shutil.copy(ROOT / "params.yaml", place)
        set_params(place, max_length=MAX_LENGTH, train_rows="all", eval_rows="all", test_rows="all")
        del repeated
        figures.append((rows, stage(place, "tokenize"), stage(place, "sample")))
    set_params(place, train_rows=1000)
    few_rows = stage(place, "sample")
    lines = [
        f"| {rows:,} rows: tokenize, sample all | {tokenize['seconds']:.1f} s, {sample['seconds']:.1f} s; "
        f"{1e6 * (tokenize['seconds'] + sample['seconds']) / rows:,.0f} µs a row; "
        f"peak {max(tokenize['peak_memory_mb'], sample['peak_memory_mb']):,} MB | | | |"
        for rows, tokenize, sample in figures
    ]
    last = (
        f"| sample 1,000 of 700,000 rows | {few_rows['seconds']:.1f} s, peak {few_rows['peak_memory_mb']:,} MB | | | |"
    )
    shutil.rmtree(place)
    return [*lines, last]


def pipeline(folder: Path) -> list[str]:
    """Time spent outside the training loop, by DVC and start-up."""
    clone = folder / "clone"
    # --no-local gives one pack, as from a server, instead of a thousand loose objects that DVC counts.
    subprocess.run(["git", "clone", "--quiet", "--no-local", ROOT, clone], check=True)
    set_params(clone, epochs=1)
    shell(clone, "dvc", "repro")
    empty = five_empty_stages(folder / "empty")
    idle = [(seconds(clone, "dvc", "repro"), seconds(empty, "dvc", "repro")) for _ in range(IDLE_RUNS)]
    outside = []
    for number in range(RUNS):
        say(f"dvc exp run, run {number + 1} of {RUNS}")
        total = seconds(clone, "dvc", "exp", "run", "-S", f"lr={1e-4 * (number + 1)}")
        outside.append(total - files.read_json(clone / ".refit/speed/train.json")["loop_seconds"])
    ours, theirs = (median(pair[side] for pair in idle) for side in (0, 1))
    return [
        row("`dvc repro` with nothing to do, s (theirs: five empty stages)", ours, theirs, "", less=True),
        f"| `dvc exp run -S lr=…` on movie_stars: seconds outside the training loop | {median(outside):.1f} | | | |",
    ]


def notebook(train: Path, test: Path, model: Path, *options: object) -> dict[str, Any]:
    """Run the notebook and return the figures that it prints."""
    command = [sys.executable, "-m", "benchmarks.notebook", train, test, model, "--max-length", MAX_LENGTH, *options]
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def tokenized(raw: Path, model: Path, place: Path) -> float:
    """Seconds of the tokenize stage's work, with its earlier output removed, as DVC does before it runs a stage."""
    from refit.tokenization import tokenization

    target = place / "data/tokenized"
    shutil.rmtree(target, ignore_errors=True)
    return timed(lambda: tokenization.write(raw, model, MAX_LENGTH, target))


def encoded(raw: Path, model: Path, place: Path) -> float:
    """Seconds that only encoding the texts and writing the ids takes."""
    texts = [text for path in sorted(raw.glob("*.parquet")) for text in pq.read_table(path)["text"].to_pylist()]
    engine = nanotoken.WordPieceTokenizer.from_json((model / "tokenizer.json").read_text())
    start = time.perf_counter()
    ids, _ = engine.encode_batch(texts, max_length=MAX_LENGTH)
    (place / "ids").write_bytes(ids.tobytes())
    return time.perf_counter() - start


def trained(place: Path, seed: int) -> dict[str, float]:
    """Documents per second of training and evaluating, as the stages record them, and the share of the matrix rate."""
    set_params(place, seed=seed)
    train, evaluate = stage(place, "train"), stage(place, "evaluate")
    return {
        "train": train["rows"] / train["loop_seconds"],
        "share": matrix_rate.share(place, train),
        "evaluate": evaluate["rows"] / evaluate["loop_seconds"],
    }


def project(place: Path, tables: dict[str, pa.Table], labels: int) -> Path:
    """A folder in which train and evaluate can run, with the inputs that earlier stages make."""
    data.raw_folder(place / "data/raw", tables, labels)
    shutil.copytree(data.minilm(), place / "models/base")
    shutil.copy(ROOT / "params.yaml", place)
    set_params(
        place, max_length=MAX_LENGTH, train_rows=OUR_ROWS, eval_rows="all", test_rows=OUR_ROWS, epochs=1, batch_size=16,
        lr=5e-5,
    )  # fmt: skip
    stage(place, "tokenize")
    stage(place, "sample")
    return place


def stage(place: Path, name: str) -> dict[str, Any]:
    """Run a stage in a folder and return the figures that it records."""
    env = {**environment(), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", f"stages.{name}"], cwd=place, env=env, check=True, capture_output=True)
    figures: dict[str, Any] = files.read_json(place / f".refit/speed/{name}.json")
    return figures


def five_empty_stages(place: Path) -> Path:
    """A DVC repository of five stages that do nothing."""
    place.mkdir()
    shell(place, "git", "init", "--quiet")
    shell(place, "dvc", "init", "--quiet")
    shell(place, "dvc", "config", "core.analytics", "false")
    stages = {f"stage{n}": {"cmd": f"touch out{n}", "outs": [f"out{n}"]} for n in range(5)}
    YAML().dump({"stages": stages}, place / "dvc.yaml")
    shell(place, "dvc", "repro")
    return place


def set_params(place: Path, **changes: object) -> None:
    """Write other values into a folder's params.yaml."""
    yaml = YAML()
    values = yaml.load(place / "params.yaml")
    values.update(changes)
    yaml.dump(values, place / "params.yaml")


def seconds(place: Path, *command: str) -> float:
    """Seconds that a command takes."""
    return timed(lambda: shell(place, *command))


def timed(work: Callable[[], object]) -> float:
    """Seconds that a function takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def environment() -> dict[str, str]:
    """The environment of this process, but with compiled modules kept, which is Python's default."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def shell(place: Path, *command: str) -> None:
    """Run a command in a folder and exit with its output if it fails."""
    done = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed\n{done.stdout}\n{done.stderr}")


def row(what: str, ours: float, theirs: float, ceiling: str, *, less: bool = False) -> str:
    """A line of the table; for `less`, smaller is better and the ratio is theirs to ours."""
    ratio = theirs / ours if less else ours / theirs
    return f"| {what} | {number(ours)} | {number(theirs)} | {ratio:.2g}× | {ceiling} |"


def number(value: float) -> str:
    """A figure with two decimals, or none from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def machine() -> str:
    """The processor, its cores, and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "transformers", "datasets", "dvc", "nanotoken", "gigatoken")
    )
    cpu = models[0] if models else platform.processor()
    return f"{os.cpu_count()} cores of {cpu}, Python {platform.python_version()}, {packages}"


def median(values: Any) -> float:
    """The median of an iterable of numbers."""
    return statistics.median(list(values))


def say(text: str) -> None:
    """Print what is being measured."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


HEAD = """# Benchmarks

Written by `make bench` on {date}, in {minutes:.0f} minutes: {machine}.
Medians of {runs} runs ({tokenize_runs} of refit's tokenizing, {idle_runs} of the idle one), both sides of a ratio in
turns in the same run. A rate counts the work without the start of a process, on both sides. The other side is
[the notebook](notebook.py) that most people start from; the documents are 20 Newsgroups (226 tokens on average, at most
512), the model is MiniLM (22 M parameters).

| | refit | the notebook | ratio | ceiling |
|---|---|---|---|---|
"""


if __name__ == "__main__":
    main()
