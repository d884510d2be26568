"""A run that was killed comes to the same bytes; a damaged checkpoint is never used; other params never resume."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from conftest import ROOT, change_params
from transformers import TrainerControl, TrainerState

from refit import params, paths
from refit.errors import DataError, InterruptedRunError, TrainingDivergedError
from refit.storage import files
from refit.training import arguments, checkpoint, distributed, fine_tuning
from refit.training.checkpoint import Checkpoints


class KilledError(BaseException):
    """What stands for SIGKILL in one process: nothing of ours catches it."""


@pytest.fixture
def project(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "project"
    shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(".git"))
    shutil.rmtree(folder / ".refit", ignore_errors=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield folder
    for number, handler in before.items():
        signal.signal(number, handler)


def train(**changes: Any) -> dict[str, bytes]:
    """Train with changed params; the bytes of every out."""
    if changes:
        change_params(Path("params.yaml"), **changes)
    for out in (paths.FINETUNED_MODEL, paths.HISTORY, paths.STEPS):  # as DVC does before a stage
        shutil.rmtree(out, ignore_errors=True) if out.is_dir() else out.unlink(missing_ok=True)
    fine_tuning.train(params.load(params.Train))
    outs = [*sorted(paths.FINETUNED_MODEL.iterdir()), paths.HISTORY, paths.STEPS]
    return {str(path): path.read_bytes() for path in outs}


def at_step(step: int, action: Callable[[Checkpoints], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something at the end of a step, before it is logged or saved; once."""
    original = Checkpoints.on_step_end
    done: list[int] = []

    def on_step_end(self: Checkpoints, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == step and step not in done:
            done.append(step)
            action(self)
        original(self, args, state, control, **kwargs)

    monkeypatch.setattr(Checkpoints, "on_step_end", on_step_end)


def kill(self: Checkpoints) -> None:
    raise KilledError


def run_folder() -> Path:
    return next(path.parent for path in Path(".refit/runs").glob("*/FINGERPRINT.json"))


SETTINGS = [
    {"sampling": sampling, "grad_accum": accum, "workers": workers}
    for sampling, accum, workers in product(("length", "random"), (1, 3), (0, 2))
]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(str(value) for value in setting.values()))
def test_killed_three_times_gives_the_same_bytes(
    project: Path, setting: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Without exact data order, generators and loss sums, a resumed run ends in other weights or another curve.
    changes = {key: value for key, value in setting.items() if key != "workers"}
    # Logging is out of step with saving.
    changes["trainer"] = {"dataloader_num_workers": setting["workers"], "logging_steps": 3}
    # Dropout draws from the generators in every step.
    steps = 4 if setting["grad_accum"] == 3 else 10  # of an epoch: 38 rows, 4 a batch
    changes |= {"attention_dropout": 0.1, "save_every": 2, "eval_every": "epoch"}
    whole = train(**changes)
    shutil.rmtree(".refit")
    for step in (3, steps + 1, 3 * steps):  # in mid-epoch, after a boundary, at the last step
        at_step(step, kill, monkeypatch)
        with pytest.raises(KilledError):
            train()
    capfd.readouterr()
    assert train() == whole
    assert f"resuming from step {3 * steps - 2} of" in capfd.readouterr().err


def test_saving_rarely_resumes_at_the_epoch_boundary(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # At a boundary the Trainer takes another path: nothing is skipped, and the generators are set before the epoch.
    whole = train(attention_dropout=0.1)
    shutil.rmtree(".refit")
    at_step(11, kill, monkeypatch)
    with pytest.raises(KilledError):
        train()
    assert train() == whole


@pytest.mark.parametrize("where", ["after the deciding checkpoint", "before it"])
def test_early_stopping_stops_at_the_same_step(project: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The Trainer forgets how long it has waited, and trains on after a kill at the very end.
    changes = {"early_stopping": 2, "eval_every": 2, "save_every": 3, "lr": 1e-5, "epochs": 8}
    whole = train(**changes)
    done = json.loads((run_folder() / "DONE.json").read_text())
    last = done["last_step"]
    assert last < 80, "the run has to stop early for this test to say anything"
    assert done["figures"]["rows"] == round(38 * 8 * last / 80), "rows that were not trained on count for nothing"
    shutil.rmtree(".refit")
    if where == "before it":
        at_step(last, kill, monkeypatch)
        with pytest.raises(KilledError):
            train()
    else:
        with monkeypatch.context() as patched:
            patched.setattr(checkpoint.Run, "finish", lambda self, result: kill(None))  # type: ignore[arg-type]
            with pytest.raises(KilledError):
                train()
    assert train() == whole


def test_the_end_of_a_run_is_explained(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prevents a run that stops early without a word, and doubt about which step's model was kept."""
    train(early_stopping=2, eval_every=2, lr=1e-5)
    said = capfd.readouterr().err.splitlines()
    assert said[-2:] == [
        "train: stopped early at step 6 of 30: accuracy did not improve in 2 evaluations after step 2",
        "train: kept the model of step 2 (epoch 0.2), the best: accuracy 0.5000",
    ]
    train(early_stopping=2, eval_every=10)
    assert "train: early_stopping: 2 has no effect: the run has only 3 evaluations\n" in capfd.readouterr().err


def listening() -> Checkpoints:
    """Checkpoints of a run that is not training."""
    return Checkpoints(checkpoint.Run(paths.state_folder(), {}), cast(Any, None), "accuracy", 0, None)


def test_torchrun_may_pass_a_ctrl_c_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a Ctrl-C from ending several processes in mid-step, because each of them gets it twice."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    checkpoints = listening()
    with checkpoints.listening():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert checkpoints.stop_asked


def test_a_stop_that_is_asked_for_while_processes_agree_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents training from going on after SIGTERM: most of a step of several processes may be spent in agreeing."""
    checkpoints = listening()

    def any_of(flag: bool) -> bool:
        checkpoints.stop_asked = True
        return flag

    monkeypatch.setattr(distributed, "any_of", any_of)
    state, control = TrainerState(global_step=1, max_steps=3), TrainerControl()
    for stops in (False, True):
        checkpoints.on_step_end(SimpleNamespace(), state, control)  # type: ignore[arg-type]
        assert control.should_training_stop == control.should_save == stops


def test_evaluating_more_often_does_not_change_the_last_weights(project: Path) -> None:
    # Every evaluation draws from torch's generator; unguarded, watching a run would change it.
    def last_loss(outs: dict[str, bytes]) -> str:
        return outs["metrics/steps.csv"].decode().splitlines()[-1].split(",")[2]

    assert last_loss(train(attention_dropout=0.1, eval_every="epoch")) == last_loss(train(eval_every=3))


def test_an_asked_stop_is_committed_and_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # A stop that returned normally would pass a half-trained model on; one without a save would lose the work.
    whole = train()
    shutil.rmtree(".refit")
    for step, number in ((4, signal.SIGTERM), (15, signal.SIGINT)):
        at_step(step, lambda self, number=number: signal.raise_signal(number), monkeypatch)
        with pytest.raises(InterruptedRunError, match=f"at step {step} of 30, progress saved; run the same command"):
            train()
        assert not paths.FINETUNED_MODEL.exists()
    assert InterruptedRunError.exit_code == 75
    capfd.readouterr()
    assert train() == whole
    assert "resuming from step 15 of 30" in capfd.readouterr().err


def test_a_finished_run_is_not_trained_again(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # DVC killed after training but before it wrote dvc.lock must not cost the training.
    whole = train()
    assert {path.name for path in run_folder().rglob("*")} >= {"DONE.json", "model.safetensors"}
    assert not list(run_folder().rglob("optimizer*")), "a finished run keeps no optimizer state"
    capfd.readouterr()
    assert train() == whole
    assert "an identical run exists" in capfd.readouterr().err


def pickles(folder: Path) -> list[Path]:
    """Files that begin as a pickle or a torch archive do, or are named like one."""
    suffixes = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and (path.suffix in suffixes or path.read_bytes()[:2] in (b"\x80\x02", b"\x80\x04", b"PK"))
    ]


def test_no_pickle_is_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A pickle runs code when it is read, and training_args.bin holds the hub token in clear.
    import torch

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("torch.save and torch.load are not to be used")

    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    at_step(25, kill, monkeypatch)
    with pytest.raises(KilledError):
        train()
    assert (run_folder() / "checkpoint-20/optimizer.safetensors").is_file()
    train()
    assert pickles(project) == []


def damage(path: Path, how: str, other: Path) -> None:
    """Spoil a file in one of the ways in which disks and copies do."""
    content = bytearray(path.read_bytes())
    match how:
        case "remove":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(content[: len(content) * 6 // 10])
        case "bit":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        case "swap":
            shutil.copyfile(other / path.name, path)


FILES = [
    "config.json", "model.safetensors", "optimizer.json", "optimizer.safetensors", "scheduler.json",
    "rng_state_0.json", "trainer_state.json", "loop_state.json", "MANIFEST.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> tuple[Path, dict[str, bytes]]:
    """A project whose run was killed with checkpoints of steps 20 and 10, and the outs of a run that was not."""
    folder = tmp_path_factory.mktemp("half") / "project"
    shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(".git"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.delenv("DVC_ROOT", raising=False)
        whole = train(attention_dropout=0.1)
        shutil.rmtree(".refit")
        at_step(25, kill, monkeypatch)
        with pytest.raises(KilledError):
            train()
    return folder, whole


@pytest.fixture
def whole(
    half_trained: tuple[Path, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """The outs of the run that was not killed; the working directory is a copy of the project of the one that was."""
    folder, outs = half_trained
    shutil.copytree(folder, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return outs


@pytest.mark.parametrize(("name", "how"), list(product(FILES, ("remove", "empty", "cut", "bit", "swap"))))
def test_a_damaged_checkpoint_is_never_used(
    name: str,
    how: str,
    half_trained: tuple[Path, dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # The Trainer reads most of these without a word and goes on with wrong weights, or dies.
    folder, _ = half_trained
    shutil.copytree(folder / ".refit", tmp_path / ".refit")
    home = tmp_path / ".refit"
    marker = next(home.glob("runs/*/FINGERPRINT.json"))
    run = checkpoint.Run(home, files.read_json(marker))
    newest, older = run.checkpoint(20), run.checkpoint(10)
    assert newest.is_dir()
    assert older.is_dir()
    if how == "swap" and (newest / name).read_bytes() == (older / name).read_bytes():
        assert run.newest() == newest, "the same bytes are no damage"
        return
    damage(newest / name, how, older)
    assert run.newest() == older
    assert "checkpoint-20 is not used: " in capfd.readouterr().err
    assert not newest.exists(), "what is not used must not be there for the Trainer to write into"


@pytest.mark.parametrize("spoiled", ["newest", "all"])
def test_after_damage_the_end_is_the_same(
    spoiled: str, whole: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Falling back must not only be said, but end in the right weights.
    for step in (20, 10) if spoiled == "all" else (20,):
        damage(run_folder() / f"checkpoint-{step}" / "model.safetensors", "bit", tmp_path)
    assert train() == whole
    said = capfd.readouterr().err
    assert "checkpoint-20 is not used: model.safetensors differs" in said
    assert ("resuming from step 10" in said) == (spoiled == "newest")


def test_a_damaged_finished_run_is_trained_again(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Weights kept of a finished run can rot too; taking them unchecked would export them.
    whole = train()
    damage(next(run_folder().glob("checkpoint-*")) / "model.safetensors", "bit", project)
    assert train() == whole
    assert "the finished run's weights are not used: model.safetensors differs" in capfd.readouterr().err
    damage(run_folder() / "DONE.json", "bit", project)
    assert train() == whole
    assert "not used: DONE.json is damaged" in capfd.readouterr().err


CHANGES = {"lr": 1e-3, "seed": 7, "batch_size": 8, "weight_decay": 0.5, "epochs": 4, "scheduler": "cosine"}


@pytest.mark.parametrize("key", CHANGES)
def test_changed_params_do_not_resume_and_old_ones_do(
    key: str, whole: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    # The Trainer resumes with the old learning rate and says nothing.
    old = params.load(params.Train).model_dump()[key]
    train(**{key: CHANGES[key]})
    said = capfd.readouterr().err
    assert f"starting from scratch: params.{key} differs from the last run\n" in said
    assert "resuming from" not in said
    assert train(**{key: old}) == whole
    assert "resuming from step 20 of 30" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("threads", "threads"),
        ("versions", "versions.torch"),
        ("code", "code.refit/training/fine_tuning.py"),
        ("data", "data.train.arrow"),
        ("environment", "environment.MKL_CBWR"),
    ],
)
def test_other_machines_code_and_data_do_not_resume(
    what: str,
    named: str,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # All of these change the bits of the weights.
    from refit.storage import manifest
    from refit.training import fingerprint

    described = fingerprint.describe
    match what:
        case "threads":
            change_params(Path("params.yaml"), threads=2)
        case "versions":
            monkeypatch.setattr(fingerprint, "version", lambda name: "0.0" if name == "torch" else "same")
        case "code":
            sources = fingerprint._sources()
            monkeypatch.setattr(fingerprint, "_sources", lambda: sources | {"refit/training/fine_tuning.py": "edited"})
        case "data":
            recorded = manifest.read(paths.SAMPLED)
            recorded["train.arrow"]["sha256"] = "other rows"
            monkeypatch.setattr(fingerprint.manifest, "read", lambda folder: recorded)
        case "environment":
            monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    chosen = params.load(params.Train)
    run = checkpoint.Run(paths.state_folder(), described(chosen, "fp32", 2 if what == "threads" else 1))
    with run.locked():
        assert run.newest() is None
    assert named in capfd.readouterr().err


def test_report_to_does_not_matter_to_the_weights(
    half_trained: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Turning a tracker on in mid-run must not cost the run.
    from refit.training import fingerprint

    folder, _ = half_trained
    monkeypatch.chdir(folder)
    chosen = params.load(params.Train)
    tracked = chosen.model_copy(update={"report_to": "tensorboard"})
    assert fingerprint.describe(chosen, "fp32", 1) == fingerprint.describe(tracked, "fp32", 1)


def test_old_runs_are_forgotten(project: Path) -> None:
    # Sixty experiments would otherwise fill the disk with optimizer states.
    for seed in range(checkpoint.KEEP_RUNS + 2):
        train(epochs=1, seed=seed)
    assert len(list(Path(".refit/runs").iterdir())) == checkpoint.KEEP_RUNS


def explode(what: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a loss, or one gradient, infinite at a step."""
    import torch

    from refit.training.trainer import ClassifierTrainer

    original = ClassifierTrainer.training_step if what == "gradient" else ClassifierTrainer.compute_loss

    def spoiled(self: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, model, *args, **kwargs)
        if self.state.global_step + 1 == step and model.training:
            if what == "gradient":
                next(model.parameters()).grad[0, 0] = torch.nan
            else:
                result = result * torch.inf
        return result

    name = "training_step" if what == "gradient" else "compute_loss"
    monkeypatch.setattr(ClassifierTrainer, name, spoiled)


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
@pytest.mark.parametrize(("what", "step"), [("loss", 25), ("gradient", 25), ("gradient", 30)])
def test_a_number_that_is_not_finite_ends_training_at_once(
    project: Path, what: str, step: int, max_grad_norm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The Trainer logs 0.0 for such a loss and saves weights that are all NaN, with exit code 0.
    explode(what, step, monkeypatch)
    with pytest.raises(TrainingDivergedError) as raised:
        train(max_grad_norm=max_grad_norm, scheduler="constant", warmup=0.0)
    number = "inf" if what == "loss" else "nan"
    name = "the loss" if what == "loss" else "the gradient's norm"
    assert str(raised.value) == (
        f"training diverged at step {step}: {name} is {number} (lr 0.005); the last checkpoint is of step 20; "
        "lower lr in params.yaml, or use precision: fp32"
    )
    assert raised.value.exit_code == 70
    assert not paths.FINETUNED_MODEL.exists()
    assert not (run_folder() / "DONE.json").exists()


def test_a_learning_rate_far_too_high_ends_in_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real thing, without injection: what a typo in lr does to a model, past the bounds of params.yaml.
    chosen = arguments.values
    monkeypatch.setattr(arguments, "values", lambda *given: chosen(*given) | {"learning_rate": 1e30})
    with pytest.raises(TrainingDivergedError, match=r"training diverged at step \d+: .* \(lr .*; lower lr in params"):
        train(max_grad_norm=0.0, warmup=0.0)
    assert not paths.FINETUNED_MODEL.exists()


def test_a_damaged_base_model_is_not_trained_on(project: Path) -> None:
    # A flipped bit in safetensors loads silently and costs accuracy that nobody can explain.
    damage(paths.BASE_MODEL / "model.safetensors", "bit", project)
    with pytest.raises(DataError, match=r"models/base/model.safetensors differs from what was written .*doctor"):
        train()


def test_the_state_folder_is_outside_of_git_and_dvc() -> None:
    # Checkpoints in an out would be deleted by DVC before the run that needs them.
    assert "/.refit/" in (ROOT / ".gitignore").read_text().split()
    assert ".refit/" in (ROOT / ".dvcignore").read_text().split()
