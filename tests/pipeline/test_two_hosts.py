"""Two hosts that train one model: two network namespaces with a cable between them and a shared disk."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import environment, run
from test_processes import curve, sampled, without_dropout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ADDRESSES = ("10.213.7.1", "10.213.7.2")
CABLE = "refit0"


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """The names of two namespaces, whose only connection is a cable."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("two hosts are two network namespaces, which need root and iproute2's `ip`")
    names = [f"refit-{os.getpid()}-{number}" for number in range(2)]
    try:
        made = [subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True) for name in names]
        if any(done.returncode for done in made):
            pytest.skip(f"two hosts are two network namespaces, which cannot be made here: {made[0].stderr.strip()}")
        ends = [part for name in names for part in ("netns", name)]
        ip("link", "add", CABLE, *ends[:2], "type", "veth", "peer", "name", CABLE, *ends[2:])
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", CABLE)
            ip("-n", name, "link", "set", CABLE, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def ip(*arguments: str) -> str:
    """The output of iproute2's `ip`."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def start(hosts: list[str], folder: Path) -> list[subprocess.Popen[str]]:
    """Start the train stage on every host, with torchrun's variables as in docs/cluster.md."""
    started = []
    for number, host in enumerate(hosts):
        variables = {
            "PET_NNODES": "2", "PET_NODE_RANK": str(number), "PET_MASTER_ADDR": ADDRESSES[0],
            "PET_MASTER_PORT": "29500", "GLOO_SOCKET_IFNAME": CABLE,
        }  # fmt: skip
        command = ["ip", "netns", "exec", host, "python", "-m", "stages.train"]
        env = environment(**variables)
        started.append(
            subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, stderr=subprocess.PIPE, text=True)
        )
    return started


def received(host: str) -> int:
    """The bytes that a host has received over the cable."""
    (link,) = json.loads(ip("-n", host, "-json", "-statistics", "link", "show", CABLE))
    return int(link["stats64"]["rx"]["bytes"])


def test_two_hosts_train_as_one_process_does(hosts: list[str], tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a second host that does not take part in training: gradients have to cross the network."""
    folder = sampled(tmp_path / "project", without_dropout(tiny_model, tmp_path / "model"))
    run("python", "-m", "stages.train", cwd=folder)
    alone = {name: curve(folder, name) for name in ("history.csv", "steps.csv")}
    shutil.rmtree(folder / "models/finetuned")
    for process in (started := start(hosts, folder)):
        said = process.communicate(timeout=300)[1]
        assert process.returncode == 0, said
    assert len(started) == 2
    for name, expected in alone.items():
        found = curve(folder, name)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    weights = (folder / "models/finetuned/model.safetensors").stat().st_size
    assert min(received(host) for host in hosts) > weights * len(alone["steps.csv"]) / 2  # a gradient for each step


def test_goes_on_after_a_host_is_gone(hosts: list[str], tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a host that waits for a dead one forever, and a run that cannot be resumed on both."""
    folder = sampled(tmp_path / "project", tiny_model, epochs=30)
    first, second = start(hosts, folder)
    deadline = time.monotonic() + 300
    while not list(folder.glob(".refit/runs/*/checkpoint-*/MANIFEST.json")):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(second.pid, signal.SIGKILL)
    said = first.communicate(timeout=120)[1]
    assert first.returncode not in (0, None)
    assert "Traceback" not in said
    assert "run the same command to resume" in said.splitlines()[-1]
    again = start(hosts, folder)
    outputs = [process.communicate(timeout=300)[1] for process in again]
    assert [process.returncode for process in again] == [0, 0], outputs
    assert "resuming from step" in outputs[0]
    assert (folder / "models/finetuned/model.safetensors").is_file()
