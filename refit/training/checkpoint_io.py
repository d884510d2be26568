"""The Trainer's resumable state without pickle: tensors as safetensors, everything else as JSON.

The Trainer writes optimizer.pt, scheduler.pt, rng_state.pth and training_args.bin with torch.save. Reading such a
file can run code, and the last one holds the hub token in clear; so none of them is ever written. A model that FSDP has
cut into pieces is put together for it: its files are those of a whole model.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer
from transformers.utils import SAFE_WEIGHTS_NAME

from refit.storage import files

OPTIMIZER = "optimizer.json"
MOMENTS = "optimizer.safetensors"
SCHEDULER = "scheduler.json"
SCALER = "scaler.json"


class StateFiles(Trainer):  # type: ignore[misc]
    """Saves and loads what a resumed run needs next to the weights.

    DeepSpeed reads and writes its optimizer as pickles alone; with it there are the weights, and no resuming.
    """

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        if not self.args.should_save:
            return
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        model.save_pretrained(output_dir or self.args.output_dir, state_dict=state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_deepspeed_enabled:
            return
        if self.is_fsdp_enabled:  # every process has a piece, and all put them together for the main one
            from refit.training import fsdp_state

            state = fsdp_state.optimizer_state(self.model, self.optimizer)
        else:
            state = self.optimizer.state_dict()
        if self.args.should_save:
            save_optimizer(state, Path(output_dir))
            files.write_json(Path(output_dir) / SCHEDULER, self.lr_scheduler.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        state = load_optimizer(Path(checkpoint))
        if self.is_fsdp_enabled:
            from refit.training import fsdp_state

            fsdp_state.load_optimizer_state(self.model, self.optimizer, state)
        else:
            self.optimizer.load_state_dict(state)
        self.lr_scheduler.load_state_dict(files.read_json(Path(checkpoint) / SCHEDULER))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        if self.is_fsdp_enabled:
            from refit.training import fsdp_state

            fsdp_state.load_weights(self.model, Path(resume_from_checkpoint) / SAFE_WEIGHTS_NAME)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save_scaler(self, output_dir: str) -> None:
        if self.accelerator.scaler is not None and self.args.should_save:
            files.write_json(Path(output_dir) / SCALER, self.accelerator.scaler.state_dict())

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(files.read_json(Path(checkpoint) / SCALER))

    def _save_rng_state(self, output_dir: str) -> None:
        files.write_json(Path(output_dir) / self._rng_file(), generators())

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            restore_generators(files.read_json(Path(checkpoint) / self._rng_file()))

    def _rng_file(self) -> str:
        return f"rng_state_{self.args.process_index}.json"


def save_optimizer(state: dict[str, Any], folder: Path) -> None:
    """Write an optimizer's state_dict: its tensors by `parameter.name`, the groups and plain values as JSON.

    Parameters are numbered, or named where a model was put together from pieces.
    """
    tensors: dict[str, torch.Tensor] = {}
    values: dict[str, Any] = {}
    for parameter, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{parameter}.{name}"] = value.contiguous()
            else:
                values[f"{parameter}.{name}"] = value
    save_file(tensors, folder / MOMENTS)
    files.write_json(folder / OPTIMIZER, {"param_groups": state["param_groups"], "values": values})


def load_optimizer(folder: Path) -> dict[str, Any]:
    """The state_dict that `save_optimizer` wrote, equal bit for bit."""
    plain = files.read_json(folder / OPTIMIZER)
    state: dict[int | str, dict[str, Any]] = {}
    for key, value in {**load_file(folder / MOMENTS), **plain["values"]}.items():
        parameter, _, name = key.rpartition(".")
        state.setdefault(int(parameter) if parameter.isdigit() else parameter, {})[name] = value
    groups = [
        {name: tuple(value) if name == "betas" else value for name, value in group.items()}
        for group in plain["param_groups"]
    ]
    return {"state": state, "param_groups": groups}


def generators() -> dict[str, Any]:
    """The states of the random generators of Python, NumPy, torch and every GPU."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "cuda": [state.numpy().tobytes().hex() for state in gpus],
    }


def restore_generators(states: dict[str, Any]) -> None:
    """Set every random generator to what `generators` returned."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(_bytes(states["torch"]))
    if states["cuda"]:
        torch.cuda.set_rng_state_all([_bytes(state) for state in states["cuda"]])


def _bytes(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
