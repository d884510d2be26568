"""Killed at any file-system event, every stage comes to the same outs when it is run again, and leaves nothing behind.

`make test` tries every fourth event of each stage, `make crash` every one.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import change_params, environment
from ruamel.yaml import YAML
from stage_runner import Runner

STAGES = ("download", "download_model", "tokenize", "sample", "train", "evaluate", "report")
# train: checkpoints out of step with evaluations and epochs, and more of them than are kept.
PARAMS = {"epochs": 1, "batch_size": 8, "save_every": 2, "eval_every": 3, "attention_dropout": 0.1}
SPEED = "metrics/speed.json"  # timings differ from run to run


def outs_of(project: Path, stage: str) -> list[Path]:
    """The paths that dvc.yaml names as a stage's outs."""
    listed = YAML(typ="safe").load(project / "dvc.yaml")["stages"][stage]["outs"]
    return [project / (out if isinstance(out, str) else next(iter(out))) for out in listed]


def content(project: Path, stage: str) -> dict[str, bytes]:
    """The bytes of every file of a stage's outs."""
    found = {}
    for out in outs_of(project, stage):
        for path in [out, *out.rglob("*")]:
            if path.is_file() and str(path.relative_to(project)) != SPEED:
                found[str(path.relative_to(project))] = path.read_bytes()
    return found


def forget(project: Path, stage: str) -> None:
    """Remove a stage's outs, as DVC does before it runs the stage."""
    for out in outs_of(project, stage):
        if out.is_dir():
            shutil.rmtree(out)
        else:
            out.unlink(missing_ok=True)


def leftovers(project: Path) -> list[str]:
    """Files and folders that only a run under way may have."""
    return [
        str(path.relative_to(project))
        for path in project.rglob(".*")
        if path.name.endswith(".tmp") or path.name.startswith(".trash-")
    ]


class Enumeration:
    """A project whose stages have all run once, to kill them in one after the other."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.runner = Runner(project, *STAGES, env=environment())
        self.events: dict[str, int] = {}
        self.outs: dict[str, dict[str, bytes]] = {}
        for stage in STAGES:
            forget(project, stage)
            shutil.rmtree(project / ".refit/runs", ignore_errors=True)
            done = self.runner.run(stage)
            assert done["status"] == 0, done["stderr"]
            self.events[stage] = done["events"]
            self.outs[stage] = content(project, stage)

    def check(self, stage: str, kill_at: int) -> None:
        """Kill a stage at an event, run it again, compare every byte."""
        forget(self.project, stage)
        shutil.rmtree(self.project / ".refit/runs", ignore_errors=True)
        killed = self.runner.run(stage, kill_at)
        assert killed["status"] == -9, f"{stage} was to be killed at {kill_at}: {killed}"
        forget(self.project, stage)
        again = self.runner.run(stage)
        where = f"{stage}, killed at event {kill_at} of {self.events[stage]}"
        assert again["status"] == 0, f"{where}: {again['stderr']}"
        got = content(self.project, stage)
        differing = [
            name for name in got.keys() | self.outs[stage].keys() if got.get(name) != self.outs[stage].get(name)
        ]
        assert not differing, f"{where}: {differing} differ from an uninterrupted run's"
        assert not leftovers(self.project), f"{where}: {leftovers(self.project)} are left behind"


@pytest.fixture(scope="module")
def enumeration(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[Enumeration]:
    project = tmp_path_factory.mktemp("crash") / "project"
    shutil.copytree(prepared, project, ignore=shutil.ignore_patterns(".git"))
    change_params(project / "params.yaml", **PARAMS)
    made = Enumeration(project)
    yield made
    made.runner.close()


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_some_events(stage: str, enumeration: Enumeration) -> None:
    # Half a file under its own name, or a half-removed checkpoint, would be taken for a whole one.
    events = enumeration.events[stage]
    for kill_at in range(1, events + 1, 4):
        enumeration.check(stage, kill_at)


@pytest.mark.crash
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_every_event(stage: str, enumeration: Enumeration) -> None:
    # The same, with no gap for a fault to hide in.
    for kill_at in range(1, enumeration.events[stage] + 1):
        enumeration.check(stage, kill_at)
    print(f"{stage}: killed at each of {enumeration.events[stage]} events; every out identical")
