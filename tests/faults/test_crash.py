"""A stage that was killed or had no disk space at any event, and is run again, writes the same outputs.

`make test` tries some events of each stage, `make crash` all that differ. Damaged inputs end in one line.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import change_params, environment, run
from ruamel.yaml import YAML
from stage_runner import Runner

STAGES = ("download", "download_model", "tokenize", "sample", "baseline", "train", "evaluate", "report")
# train: checkpoints out of step with evaluations and epochs, and more of them than are kept.
PARAMS = {"epochs": 1, "batch_size": 8, "save_every": 2, "eval_every": 3, "attention_dropout": 0.1}


def outs_of(project: Path, stage: str) -> list[Path]:
    """The paths that dvc.yaml names as a stage's outs."""
    listed = YAML(typ="safe").load(project / "dvc.yaml")["stages"][stage]["outs"]
    return [project / (out if isinstance(out, str) else next(iter(out))) for out in listed]


def content(project: Path, stage: str) -> dict[str, bytes]:
    """The bytes of every file of a stage's outs."""
    paths = [path for out in outs_of(project, stage) for path in (out, *out.rglob("*")) if path.is_file()]
    return {str(path.relative_to(project)): path.read_bytes() for path in paths}


def remove_outs(project: Path, stage: str) -> None:
    """Remove a stage's outs, as DVC does before it runs the stage."""
    for out in outs_of(project, stage):
        if out.is_dir():
            shutil.rmtree(out)
        else:
            out.unlink(missing_ok=True)


def leftovers(project: Path) -> list[str]:
    """Temporary files and folders, which only a running stage may have."""
    return [str(path.relative_to(project)) for path in project.rglob(".*.tmp")]


class Enumeration:
    """A project whose stages have all run once; each can then be run with a fault, and again without."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.runner = Runner(project, *STAGES, env=environment())
        self.recorded: dict[str, dict[str, Any]] = {}
        self.outs: dict[str, dict[str, bytes]] = {}
        for stage in STAGES:
            done = self.from_nothing(stage, record=True)
            assert done["status"] == 0, done["stderr"]
            self.recorded[stage] = done
            self.outs[stage] = content(project, stage)

    def from_nothing(self, stage: str, **options: int) -> dict[str, Any]:
        """Run a stage that has no outputs and no checkpoints."""
        remove_outs(self.project, stage)
        shutil.rmtree(self.project / ".refit/runs", ignore_errors=True)
        return self.runner.run(stage, **options)

    def kill(self, stage: str, kill_at: int) -> None:
        """Kill a stage at an event, run it again, compare every byte."""
        killed = self.from_nothing(stage, kill_at=kill_at)
        assert killed["status"] == -9, f"{stage} should be killed at event {kill_at}: {killed}"
        self.check_rerun(stage, f"{stage}, killed at event {kill_at}")

    def fill_disk(self, stage: str, **fault: int) -> None:
        """Run a stage on a disk that becomes full, then again with space, and compare every byte."""
        failed = self.from_nothing(stage, **fault)
        where = f"{stage}, {fault}"
        assert failed["status"] == 74, f"{where}: {failed}"
        last = failed["stderr"].splitlines()[-1]
        assert last.startswith(f"refit {stage}: "), f"{where}: {failed['stderr']}"
        assert last.endswith("free some space and run the same command again"), f"{where}: {last}"
        assert "Traceback" not in failed["stderr"], f"{where}: {failed['stderr']}"
        assert not leftovers(self.project), f"{where}: {leftovers(self.project)} take up space"
        self.check_rerun(stage, where)

    def check_rerun(self, stage: str, where: str) -> None:
        """Run a stage again after a fault, and compare every byte with the run without faults."""
        remove_outs(self.project, stage)
        again = self.runner.run(stage)
        assert again["status"] == 0, f"{where}: {again['stderr']}"
        got = content(self.project, stage)
        differing = [
            name for name in got.keys() | self.outs[stage].keys() if got.get(name) != self.outs[stage].get(name)
        ]
        assert not differing, f"{where}: {differing} differ from the run without faults"
        assert not leftovers(self.project), f"{where}: {leftovers(self.project)} are left behind"


@pytest.fixture(scope="module")
def enumeration(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[Enumeration]:
    project = tmp_path_factory.mktemp("crash") / "project"
    shutil.copytree(prepared, project, ignore=shutil.ignore_patterns(".git"))
    change_params(project / "params.yaml", **PARAMS)
    made = Enumeration(project)
    yield made
    made.runner.close()


EVERY = pytest.param(1, marks=[pytest.mark.crash, pytest.mark.timeout(7200)], id="every")


@pytest.mark.parametrize("step", [pytest.param(4, id="some"), EVERY])
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_an_event(stage: str, step: int, enumeration: Enumeration) -> None:
    """Prevents half a file under its final name, or a half-removed checkpoint, from being used as if complete."""
    points = enumeration.recorded[stage]["kill_points"][::step]
    for kill_at in points:
        enumeration.kill(stage, kill_at)
    print(f"{stage}: killed at {len(points)} events, every output identical")


@pytest.mark.parametrize("step", [pytest.param(8, id="some"), EVERY])
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_is_full_from_an_event_on(stage: str, step: int, enumeration: Enumeration) -> None:
    """Prevents half an output, a lost checkpoint or a traceback on a full disk."""
    points = enumeration.recorded[stage]["full_points"][::step]
    for full_at in points:
        enumeration.fill_disk(stage, full_at=full_at)
    print(f"{stage}: disk full from {len(points)} events on, exit code 74 and then every output identical")


@pytest.mark.parametrize(
    ("stage", "largest"),
    [("download", 600), ("download_model", 60_000), ("tokenize", 2_000), ("sample", 2_000), ("baseline", 300),
     ("train", 60_000), ("train", 200_000), ("evaluate", 300), ("report", 500)],
)  # fmt: skip
def test_a_file_that_may_not_grow(stage: str, largest: int, enumeration: Enumeration) -> None:
    """Prevents half a file or a traceback where Rust or C++ (safetensors, Arrow, parquet) writes and has no space."""
    enumeration.fill_disk(stage, largest=largest)


def with_small_disk(
    project: Path, folder: str, size: str, command: str, *, check: bool, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a shell command in a project, with one of its folders on a disk of the given size."""
    probe = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("user namespaces are off here")
    (project / folder).mkdir(parents=True, exist_ok=True)
    mounted = f"mount -t tmpfs -o size={size} tmpfs {folder} && exec {command}"
    return run("unshare", "-Urm", "sh", "-c", mounted, cwd=project, check=check, env=environment(**env))


def test_training_says_beforehand_that_the_disk_is_too_small(enumeration: Enumeration) -> None:
    """Prevents an epoch that is lost because its checkpoint has no space."""
    done = with_small_disk(enumeration.project, ".refit/runs", "300k", "python -m stages.train", check=False)
    assert done.returncode == 74, done.stderr
    assert re.search(
        r"^refit train: training needs about \d MB in .*/.refit/runs/\w+, 0 MB are free; free some space and run the "
        "same command again$", done.stderr.splitlines()[-1],
    ), done.stderr  # fmt: skip


SMALL = """
from pathlib import Path
from refit import params, paths
from refit.data import sampling
from refit.errors import DiskError
from refit.tokenization import tokenization
for write, given in ((tokenization.write, (paths.RAW, paths.BASE_MODEL, 32)),
                     (sampling.write, (params.load(params.Sample), paths.TOKENIZED))):
    try:
        write(*given, Path("small/target"))
    except DiskError as error:
        print(error)
assert not list(Path("small").iterdir())
"""


def test_tokenize_and_sample_say_beforehand_that_the_disk_is_too_small(enumeration: Enumeration) -> None:
    """Prevents a failure at the end of a long stage that could be seen at its start."""
    done = with_small_disk(enumeration.project, "small", "4k", 'python -c "$SMALL"', check=True, SMALL=SMALL)
    fix = "needs about 0 MB in small, 0 MB are free; free some space and run the same command again"
    assert done.stdout.splitlines() == [f"tokenizing {fix}", f"sampling {fix}"]


# (stage, a file that it reads and has to check)
INPUTS = [
    *(("tokenize", name) for name in ("data/raw/train.parquet", "data/raw/test.parquet", "data/raw/task.json",
                                      "models/base/tokenizer.json", "models/base/config.json")),
    *(("sample", f"data/tokenized/{name}") for name in ("train.arrow", "validation.arrow", "manifest.json")),
    *(("baseline", name) for name in ("data/raw/train.parquet", "data/raw/test.parquet", "data/raw/task.json",
                                      "data/sampled/train.arrow", "data/sampled/manifest.json")),
    *(("train", name) for name in ("data/sampled/train.arrow", "data/sampled/validation.arrow", "data/raw/task.json",
                                   "data/sampled/manifest.json", "models/base/model.safetensors",
                                   "models/base/config.json", "models/base/tokenizer.json", "models/base/model.json")),
    *(("evaluate", name) for name in ("data/sampled/test.arrow", "data/sampled/manifest.json", "data/raw/task.json",
                                      "models/finetuned/model.safetensors", "models/finetuned/config.json",
                                      "models/finetuned/tokenizer.json", "models/finetuned/manifest.json",
                                      "metrics/baseline/predictions.parquet", "metrics/baseline/manifest.json")),
    *(("report", name) for name in ("metrics/scores.json", "metrics/details.json", "metrics/predictions.parquet",
                                    "metrics/manifest.json", "data/raw/task.json")),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "name"), INPUTS)
def test_damaged_inputs_are_found(stage: str, name: str, enumeration: Enumeration) -> None:
    """Prevents results of damaged files: in each format there are bits that can flip without an error."""
    path = enumeration.project / name
    original = path.read_bytes()
    middle = len(original) // 2
    flipped = bytearray(original)
    flipped[middle] ^= 1
    for how, damaged in {"cut": original[:middle], "bit": bytes(flipped), "empty": b"", "missing": None}.items():
        try:
            path.unlink() if damaged is None else path.write_bytes(damaged)
            done = enumeration.runner.run(stage)
        finally:
            path.write_bytes(original)
        assert done["status"] == 65, f"{name} {how}: {done}"
        last = done["stderr"].splitlines()[-1]
        assert name in last, f"{name} {how}: {last}"
        assert "Traceback" not in done["stderr"]


def test_a_stream_cut_between_two_batches_is_found(enumeration: Enumeration) -> None:
    """Prevents training on part of the data: Arrow reads such a file as a shorter one, without an error."""
    path = enumeration.project / "data/sampled/train.arrow"
    original = path.read_bytes()
    with pa.ipc.open_stream(original) as stream:
        table = stream.read_all()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table.slice(0, table.num_rows // 2))
    try:
        path.write_bytes(sink.getvalue().to_pybytes())
        done = enumeration.runner.run("train")
    finally:
        path.write_bytes(original)
    assert done["status"] == 65
    assert "data/sampled/train.arrow has" in done["stderr"].splitlines()[-1]
