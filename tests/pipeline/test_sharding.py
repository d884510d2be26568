"""Models cut into pieces by FSDP and DeepSpeed: what the Trainer is told, what is refused, and runs on CPUs."""

import importlib.util
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import change_params, environment, run
from test_fine_tuning import chosen
from test_params import changed
from test_processes import curve, sampled, second_process, without_dropout
from transformers import AutoModelForSequenceClassification, TrainingArguments

from refit import params
from refit.errors import ParamsError
from refit.model import device
from refit.training import fine_tuning, sharding

ZERO = {"zero_optimization": {"stage": 2}}
GATHERED = {"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}}


def values(**changes: Any) -> dict[str, Any]:
    return fine_tuning.argument_values(chosen(**changes), 100, "fp32", torch.device("cpu"))


def test_whole_models_say_nothing_of_pieces() -> None:
    """Prevents a run without FSDP or DeepSpeed from getting arguments of either."""
    assert not {"fsdp", "fsdp_config", "deepspeed"} & values().keys()


def test_the_trainer_gets_fsdps_arguments(tmp_path: Path) -> None:
    """Prevents a setting that stops halfway: what is looked at is what accelerate's plugin is made of."""
    given = {"reshard_after_forward": False, "transformer_layer_cls_to_wrap": ["BertLayer"]}
    resolved = TrainingArguments(output_dir=str(tmp_path), **values(fsdp=given))
    expected = {"fsdp_version": 2, "reshard_after_forward": False, "transformer_cls_names_to_wrap": "BertLayer"}
    assert expected.items() <= resolved.fsdp_plugin_args.items()
    plain = TrainingArguments(output_dir=str(tmp_path), **values(fsdp=True))
    expected = {"fsdp_version": 2, "reshard_after_forward": True, "state_dict_type": "FULL_STATE_DICT"}
    assert expected.items() <= plain.fsdp_plugin_args.items()
    assert given == {"reshard_after_forward": False, "transformer_layer_cls_to_wrap": ["BertLayer"]}


def test_the_trainer_gets_deepspeeds_configuration() -> None:
    """Prevents batches and clipping that DeepSpeed decides for itself: it clips nothing unless it is told."""
    passed = values(deepspeed=ZERO)["deepspeed"]
    assert passed == ZERO | dict.fromkeys(sharding.FILLED_IN, "auto")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "fsdp: {cpu_ofload: true}",
            "fsdp: got {'cpu_ofload': True} (mapping), need false, true, or a mapping with some",
        ),
        (
            "fsdp: full_shard",
            "fsdp: got 'full_shard' (text), need false, true, or a mapping with some of reshard_after",
        ),
        ("fsdp: {version: 1}", "fsdp: got {'version': 1} (mapping), need false, true, or a mapping"),
    ],
)
def test_a_mistake_in_fsdp_is_one_problem(tmp_path: Path, written: str, message: str) -> None:
    """Prevents a misspelt setting, which the Trainer drops in silence, and a message for each way to be wrong."""
    with pytest.raises(ParamsError) as error:
        params.load(params.Train, changed(tmp_path, "fsdp: false", written))
    assert message in str(error.value)
    assert "problems" not in str(error.value)


def test_deepspeed_is_false_or_a_mapping(tmp_path: Path) -> None:
    """Prevents a path, whose file DVC would not see change."""
    with pytest.raises(ParamsError, match=r"deepspeed: got 'zero2.json' \(text\), need false, or DeepSpeed's conf"):
        params.load(params.Train, changed(tmp_path, "deepspeed: false", "deepspeed: zero2.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fsdp": True, "deepspeed": ZERO}, "got both, need one of them"),
        ({"fsdp": True}, "fsdp: cuts a model over processes; need processes: 2 or more"),
        ({"deepspeed": ZERO}, "deepspeed: cuts a model over processes"),
        ({"deepspeed": {}}, "need zero_optimization with a stage"),
        ({"deepspeed": {"zero_optimization": {"stage": 3}}}, "stage 3 needs zero_optimization.stage3_gather_16bit"),
        ({"deepspeed": ZERO | {"optimizer": {"type": "AdamW"}}}, "deepspeed.optimizer: the other keys of params.yaml"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a failure in the middle of transformers after minutes, and a checkpoint without a model."""
    monkeypatch.setattr(sharding, "find_spec", lambda name: name)
    monkeypatch.setattr(device, "device", lambda: torch.device("cuda"))
    with pytest.raises(ParamsError, match=message):
        sharding.check(chosen(**changes), is_alone=True)


def test_missing_gpus_and_packages_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents FSDP that does nothing, as accelerate has it on CPUs, and an ImportError with a traceback."""
    monkeypatch.setattr(sharding, "find_spec", lambda name: None)
    monkeypatch.setattr(device, "device", lambda: torch.device("cpu"))
    with pytest.raises(ParamsError, match="fsdp: needs a GPU for each process, and there is none here"):
        sharding.check(chosen(fsdp=True), is_alone=False)
    with pytest.raises(ParamsError, match="deepspeed: the package is not installed; run: pip install deepspeed"):
        sharding.check(chosen(deepspeed=ZERO), is_alone=False)
    sharding.check(chosen(), is_alone=True)


def test_the_layer_of_the_words_is_not_cut_twice(tiny_model: Path) -> None:
    """Prevents `fsdp: true` from failing for BERT, whose embeddings are a layer of their own."""
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model)
    sharding.prepare(model)
    assert model._no_split_modules == ["BertLayer"]


def torchrun(folder: Path, script: str, **variables: str) -> subprocess.Popen[str]:
    command = ["python", "-m", "torch.distributed.run", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0",
               "--nproc-per-node", "2", script]  # fmt: skip
    env = environment(PYTHONPATH=str(folder), **variables)
    return subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, stderr=subprocess.PIPE, text=True)


def as_alone(folder: Path, alone: dict[str, list[dict[str, float]]]) -> None:
    for name, expected in alone.items():
        for ours, theirs in zip(curve(folder, name), expected, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)


def trained_alone(folder: Path) -> dict[str, list[dict[str, float]]]:
    run("python", "-m", "stages.train", cwd=folder)
    return {name: curve(folder, name) for name in ("history.csv", "steps.csv")}


def pickles(folder: Path) -> list[Path]:
    return [
        path for path in (folder / ".refit").rglob("*") if path.suffix in (".pt", ".pth", ".bin", ".pkl", ".distcp")
    ]


def first_checkpoint(folder: Path, known: set[Path], started: subprocess.Popen[str]) -> Path:
    """The first checkpoint that counts of a run that is none of the known ones."""
    deadline = time.monotonic() + 300
    while True:
        for run_folder in set(folder.glob(".refit/runs/*")) - known:
            for record in run_folder.glob("checkpoint-*/MANIFEST.json"):
                return record.parent
        assert time.monotonic() < deadline
        assert started.poll() is None, started.communicate()[1]
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fsdp_trains_as_one_process_does_and_resumes(tmp_path: Path, tiny_model: Path) -> None:
    """A model in two pieces must be the same model, kept without pickle, and go on after a kill with the same bytes."""
    folder = sampled(
        tmp_path / "project", without_dropout(tiny_model, tmp_path / "model"), epochs=30, max_grad_norm=0.1
    )
    alone = trained_alone(folder)
    change_params(folder / "params.yaml", processes=2, fsdp=True)
    runs = set(folder.glob(".refit/runs/*"))
    started = torchrun(folder, "tests/fsdp_on_cpu.py")
    deadline = time.monotonic() + 300
    while not (
        kept := [place for at in set(folder.glob(".refit/runs/*")) - runs for place in at.glob("*/MANIFEST.json")]
    ):
        assert time.monotonic() < deadline
        assert started.poll() is None, started.communicate()[1]
        time.sleep(0.05)
    assert {"model.safetensors", "optimizer.safetensors"} <= {path.name for path in kept[0].parent.iterdir()}
    assert not pickles(folder)
    os.kill(second_process(started.pid), signal.SIGKILL)
    started.communicate(timeout=120)
    assert started.returncode != 0
    again = torchrun(folder, "tests/fsdp_on_cpu.py")
    said = again.communicate(timeout=300)[1]
    assert again.returncode == 0, said
    assert "resuming from step" in said
    as_alone(folder, alone)
    weights = (folder / "models/finetuned/model.safetensors").read_bytes()
    for path in set(folder.glob(".refit/runs/*")) - runs:
        path.rename(path.with_name(".set-aside"))
    whole = torchrun(folder, "tests/fsdp_on_cpu.py")
    assert "resuming from step" not in whole.communicate(timeout=300)[1]
    assert (folder / "models/finetuned/model.safetensors").read_bytes() == weights


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("config", [ZERO, GATHERED], ids=["stage 2", "stage 3"])
def test_deepspeed_trains_as_one_process_does(config: dict[str, Any], tmp_path: Path, tiny_model: Path) -> None:
    """The same for DeepSpeed, which needs no trick on CPUs; after a stop it says that it cannot go on."""
    if importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed; it is no dependency of refit")
    folder = sampled(tmp_path / "project", without_dropout(tiny_model, tmp_path / "model"), max_grad_norm=0.1)
    alone = trained_alone(folder)
    change_params(folder / "params.yaml", processes=2, deepspeed=config)
    run("python", "-m", "stages.train", cwd=folder, env=environment(DS_ACCELERATOR="cpu"))
    as_alone(folder, alone)
    assert not pickles(folder)
    runs = set(folder.glob(".refit/runs/*"))
    change_params(folder / "params.yaml", epochs=1000)
    command, env = ["python", "-m", "stages.train"], environment(DS_ACCELERATOR="cpu")
    started = subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    first_checkpoint(folder, runs, started)
    started.send_signal(signal.SIGTERM)
    assert "DeepSpeed cannot go on from there" in started.communicate(timeout=120)[1]
    assert not pickles(folder)
