"""The Trainer's resumable state without pickle: tensors as safetensors, everything else as JSON.

The Trainer writes optimizer.pt, scheduler.pt, rng_state.pth and training_args.bin with torch.save. Reading such a
file can run code, and the last one holds the hub token in clear text, so none of them is ever written.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from refit.storage import files

OPTIMIZER = "optimizer.json"
MOMENTS = "optimizer.safetensors"
SCHEDULER = "scheduler.json"
SCALER = "scaler.json"


def save_optimizer(state: dict[str, Any], folder: Path) -> None:
    """Write an optimizer's state_dict: its tensors as `parameter.name`, its groups of parameters as JSON."""
    tensors = {
        f"{parameter}.{name}": value.contiguous()
        for parameter, values in state["state"].items()
        for name, value in values.items()
        if value is not None  # the momentum of SGD without momentum
    }
    save_file(tensors, folder / MOMENTS)
    files.write_json(folder / OPTIMIZER, state["param_groups"])


def load_optimizer(folder: Path) -> dict[str, Any]:
    """The state_dict that `save_optimizer` wrote, with every number equal bit for bit."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in load_file(folder / MOMENTS).items():
        parameter, _, name = key.rpartition(".")
        state.setdefault(int(parameter), {})[name] = value
    return {"state": state, "param_groups": files.read_json(folder / OPTIMIZER)}


def generators() -> dict[str, Any]:
    """The states of the random generators of Python, NumPy, torch and every GPU."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in gpus],
    }


def restore_generators(states: dict[str, Any]) -> None:
    """Set every random generator to what `generators` returned."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
    if states["cuda"]:
        torch.cuda.set_rng_state_all([torch.tensor(state, dtype=torch.uint8) for state in states["cuda"]])
