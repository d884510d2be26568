"""The train stage with FSDP on CPUs, for a test: torchrun --nproc-per-node 2 tests/fsdp_on_cpu.py.

accelerate shards a model on GPUs only, though torch can on CPUs too; this takes accelerate's GPU branch without a GPU.
"""

from typing import Any

from accelerate.state import AcceleratorState, DistributedType, PartialState

from refit.stage import run
from stages.train import train

plain = AcceleratorState.__init__


def on_cpus_too(self: AcceleratorState, *arguments: Any, fsdp_plugin: Any = None, **more: Any) -> None:
    """What AcceleratorState does with a plugin where there are GPUs."""
    plain(self, *arguments, fsdp_plugin=fsdp_plugin, **more)
    if fsdp_plugin is not None:
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.fsdp_plugin = fsdp_plugin


if __name__ == "__main__":
    AcceleratorState.__init__ = on_cpus_too
    run("train", train, record=False)
