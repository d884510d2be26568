"""The state of a model that FSDP has cut into pieces, put together as if it were whole, and cut again.

A module of its own because torch takes a second to import what it needs; every process has to call each function.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def optimizer_state(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's whole state_dict, its parameters by name; empty but in the main process."""
    return get_optimizer_state_dict(model, optimizer, options=WHOLE)


def load_optimizer_state(model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Give every process its piece of what `optimizer_state` returned."""
    set_optimizer_state_dict(model, optimizer, state, options=WHOLE)


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Give every process its piece of the weights in a safetensors file."""
    weights: dict[str, Any] = load_file(path)
    set_model_state_dict(model, weights, options=WHOLE)
