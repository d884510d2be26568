"""A hub that drops, resets, hangs, refuses or lies: tried again where that helps, one clear line where it does not."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import HUB, ROOT, environment, run

from refit.storage import files

pytestmark = pytest.mark.skipif(not HUB.is_dir(), reason="needs the Hugging Face hub in ../shared/hub")
MODEL = "distilbert/distilbert-base-uncased"
COMMIT = "12040accade4e8a0f71eabdb258fecc2e7e948be"
# The real client in a process of its own, with short waits.
FETCH = """
import json, sys, time
from refit.download import hub
from refit.errors import RefitError
hub.FIRST_WAIT, hub.DEADLINE = 0.05, float(sys.argv[3])
start = time.perf_counter()
try:
    answer = {"folder": str(hub.snapshot(sys.argv[1], "model", sys.argv[2], ["config.json", "*.safetensors"]))}
except RefitError as error:
    answer = {"code": error.exit_code, "message": str(error)}
print(json.dumps(answer | {"seconds": time.perf_counter() - start}))
"""


@contextmanager
def running(**options: Any) -> Iterator[Any]:
    sys.path.insert(0, str(HUB))
    try:
        import hub
    finally:
        sys.path.pop(0)
    with hub.running(**options) as server:
        yield server


def fetch(
    url: str, home: Path, *, model: str = MODEL, commit: str = COMMIT, deadline: float = 60, **env: str
) -> dict[str, Any]:
    """What `hub.snapshot` returned or raised, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", FETCH, model, commit, str(deadline)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env=environment(
            HF_ENDPOINT=url, HF_HOME=str(home), HF_HUB_DOWNLOAD_TIMEOUT="2", HF_HUB_ETAG_TIMEOUT="2", **env
        ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer | {"stderr": done.stderr}


def weights_of(server: Any) -> Path:
    return Path(server.opt.root) / "models" / MODEL / "model.safetensors"


@pytest.mark.parametrize(
    "faults",
    [
        {"flaky": 3, "flaky_how": "close"},
        {"flaky": 3, "flaky_how": "reset", "flaky_on": "files"},
        {"flaky": 2, "flaky_how": "close", "flaky_on": "api"},
        {"busy": 3},
        {"no_range": True, "flaky": 3},
        {"cdn": True, "flaky": 4},
    ],
    ids=lambda faults: "-".join(f"{name}={value}" for name, value in faults.items()),
)
def test_faults_that_pass_are_tried_again(faults: dict[str, Any], tmp_path: Path) -> None:
    # A download of an hour must not die of one lost connection.
    with running(**faults) as server:
        answer = fetch(server.url, tmp_path)
        assert "folder" in answer, answer
        assert files.sha256(Path(answer["folder"]) / "model.safetensors") == files.sha256(weights_of(server))


@pytest.mark.parametrize("how", ["garble", pytest.param("truncate", marks=pytest.mark.crash), "short"])
def test_wrong_bytes_are_refused_and_do_not_stay_in_the_cache(how: str, tmp_path: Path) -> None:
    # The hub client checks sizes alone: garbage of the right length loads as a model.
    with running(corrupt=[("model.safetensors", how)]) as server:
        answer = fetch(server.url, tmp_path, deadline=20)
        assert answer["code"] in (65, 69), answer
        assert "model.safetensors" in answer["message"] or "connection" in answer["message"], answer
    with running() as server:
        answer = fetch(server.url, tmp_path)
        assert files.sha256(Path(answer["folder"]) / "model.safetensors") == files.sha256(weights_of(server))


DOWNLOAD = """
import re, sys
from pathlib import Path
from refit.download import pretrained
from refit.errors import RefitError
from refit.params import DownloadModel
for name in ("decoder", "bare", "own-code"):
    revision = "pinned"
    for _ in range(2):
        try:
            pretrained.write(DownloadModel(model=f"own/{name}", model_revision=revision), Path(sys.argv[1], name))
            print(name, "is accepted")
        except RefitError as error:
            print(error)
            revision = str(error).rpartition("model_revision=")[2]
            if not re.fullmatch("[0-9a-f]{40}", revision):
                break
"""


def test_a_model_of_the_hub_is_checked_as_a_folder_is(tmp_path: Path, tiny_model: Path) -> None:
    # Code of a repository is not fetched either; a decoder is refused before its weights are.
    repositories = tmp_path / "root/models/own"
    for name in ("own-code", "bare", "decoder"):
        shutil.copytree(tiny_model, repositories / name)
    config = files.read_json(tiny_model / "config.json")
    files.write_json(repositories / "own-code/config.json", config | {"auto_map": {"AutoModel": "evil.Model"}})
    (repositories / "own-code/evil.py").write_text("raise SystemExit('evil code was run')")
    files.write_json(repositories / "decoder/config.json", config | {"model_type": "gpt2"})
    for path in (repositories / "bare").glob("tokenizer*"):
        path.unlink()
    with running(root=str(tmp_path / "root")) as server:
        env = environment(HF_ENDPOINT=server.url, HF_HOME=str(tmp_path / "cache"))
        said = run(sys.executable, "-c", DOWNLOAD, tmp_path, cwd=ROOT, env=env).stdout.splitlines()
    expected = ("own/decoder: is a decoder", "its main is now", "own/bare: has no tokenizer files",
                "its main is now", "own-code is accepted")  # fmt: skip
    assert [part in line for part, line in zip(expected, said, strict=True)] == [True] * 5, said
    assert not list((tmp_path / "cache").rglob("*.py"))


@pytest.mark.parametrize("how", ["garble", "truncate"])
def test_a_damaged_cache_is_fetched_again_or_refused_offline(how: str, tmp_path: Path) -> None:
    # A truncated blob is served from the cache without a word, by branch and by commit.
    with running() as server:
        stored = (Path(fetch(server.url, tmp_path)["folder"]) / "model.safetensors").resolve()
        content = bytearray(stored.read_bytes())
        content[len(content) // 2] ^= 255
        stored.write_bytes(content if how == "garble" else content[: len(content) // 2])
        answer = fetch(server.url, tmp_path)
        assert "model.safetensors is damaged in the cache; fetching it again" in answer["stderr"]
        assert files.sha256(Path(answer["folder"]) / "model.safetensors") == files.sha256(weights_of(server))
        stored.write_bytes(content)
    answer = fetch("http://127.0.0.1:9", tmp_path, deadline=3, HF_HUB_OFFLINE="1")
    assert answer.get("code") in (65, 69), answer
    assert not stored.exists(), "what is damaged must not be served next time"


def test_a_wrong_revision_offline_is_not_served_another(tmp_path: Path) -> None:
    # Offline, a client that serves the newest copy answers with another model than was asked for.
    with running() as server:
        assert "folder" in fetch(server.url, tmp_path)
    answer = fetch("http://127.0.0.1:9", tmp_path, commit="0" * 40, HF_HUB_OFFLINE="1")
    wanted = f"model {MODEL}: commit {'0' * 40} is not in the cache, and HF_HUB_OFFLINE is set; go online and run again"
    assert (answer["code"], answer["message"]) == (69, wanted)
    assert "folder" in fetch("http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1"), "the right one needs no network"


def test_what_trying_again_cannot_help_fails_at_once(tmp_path: Path) -> None:
    # 401 and 404 are answers, not faults; ten tries would only take longer and may lock an account.
    with running() as server:
        unknown = fetch(server.url, tmp_path, model="bert-bas")
        assert (unknown["code"], unknown["message"]) == (
            69, f"model bert-bas: not found on {server.url}; check the name, or set HF_TOKEN if it is private",
        )  # fmt: skip
        revision = fetch(server.url, tmp_path, commit="0" * 40)
        assert (revision["code"], revision["message"]) == (
            69, f"model {MODEL}: no commit {'0' * 40} there; check the revision",
        )  # fmt: skip
    with running(token="secret-of-the-hub") as server:
        denied = fetch(server.url, tmp_path / "other")
        assert denied["code"] == 69
        assert "HF_TOKEN" in denied["message"]
        assert len(server.log) <= 3, "an answer of 401 is not asked for again"
        wrong = fetch(server.url, tmp_path / "other", HF_TOKEN="hf_wrongwrongwrong")
        assert "hf_wrong" not in wrong["message"] + wrong["stderr"]
        assert "folder" in fetch(server.url, tmp_path / "other", HF_TOKEN="secret-of-the-hub")


@pytest.mark.crash
def test_a_hub_that_is_always_busy_gets_one_line(tmp_path: Path) -> None:
    # The client reports "not in the cache" for a 503 and hides what happened.
    with running(busy=1) as server:
        answer = fetch(server.url, tmp_path, deadline=1)
        assert answer["code"] == 69
        assert answer["message"].startswith(f"model {MODEL}: {server.url} answered 503; try again later"), answer


def test_a_hub_that_asks_to_wait_gets_one_line(tmp_path: Path) -> None:
    # 429 with nothing behind it.
    with answering(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n") as url:
        answer = fetch(url, tmp_path, deadline=1)
        assert answer["code"] == 69
        assert "answered 429; try again later" in answer["message"], answer


@pytest.mark.crash
def test_a_hub_that_hangs_is_given_up(tmp_path: Path) -> None:
    # A server that accepts and never answers would hold a run for ever without a timeout.
    with answering(b"") as url:
        answer = fetch(url, tmp_path, deadline=1)
        assert answer["code"] == 69
        assert answer["seconds"] < 280
        assert "cannot be reached" in answer["message"] or "failed" in answer["message"], answer


@pytest.mark.crash
def test_no_hub_at_all_gets_one_line(tmp_path: Path) -> None:
    # On a plane.
    answer = fetch("http://127.0.0.1:9", tmp_path, deadline=1)
    assert answer["code"] == 69
    assert answer["message"].startswith(
        f"model {MODEL}: http://127.0.0.1:9 cannot be reached and the cache has no copy; go online and run again"
    ), answer


@contextmanager
def answering(response: bytes) -> Iterator[str]:
    """A server that gives every request the same answer, or none at all."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_connections = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_connections.append(connection)
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        try:
            while connection.recv(65536):
                if not response:
                    time.sleep(300)
                connection.sendall(response)
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        for connection in open_connections:
            connection.close()


def test_a_full_disk_is_not_called_a_network_fault() -> None:
    # OSError is both; "check the network" sends the user the wrong way.
    import errno

    from refit.download import hub

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert hub._explain(full, "model x", COMMIT) == (None, False)
