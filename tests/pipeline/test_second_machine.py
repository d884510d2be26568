"""A second machine: a new clone that pulls from a shared remote has the model and runs nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import environment, ran, run

pytestmark = pytest.mark.slow
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def s3() -> Iterator[str]:
    """The address of a real S3 server with a bucket `refit`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://127.0.0.1:{port}" if host else ""
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"], region_name=KEYS["AWS_DEFAULT_REGION"],
    )  # fmt: skip
    client.create_bucket(Bucket="refit")
    yield address
    server.stop()


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_clone_that_pulls_has_the_model_and_runs_nothing(
    kind: str, project: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Prevents a colleague who pulls from training again what was trained."""
    place = "s3://refit/store" if kind == "s3" else tmp_path / "remote"
    run("dvc", "remote", "add", "--local", "--default", "shared", place, cwd=project)
    if kind == "s3":
        run("dvc", "remote", "modify", "--local", "shared", "endpointurl", request.getfixturevalue("s3"), cwd=project)
    run("dvc", "repro", cwd=project)
    run("git", "commit", "--quiet", "--all", "--message", "a run", cwd=project)
    run("dvc", "push", "--run-cache", cwd=project, env=environment(**KEYS))
    second = tmp_path / "second"
    run("git", "clone", "--quiet", project, second, cwd=tmp_path)
    shutil.copyfile(project / ".dvc/config.local", second / ".dvc/config.local")
    run("dvc", "pull", "--run-cache", cwd=second, env=environment(**KEYS))
    weights = (project / "models/finetuned/model.safetensors").read_bytes()
    assert (second / "models/finetuned/model.safetensors").read_bytes() == weights
    assert ran(run("dvc", "repro", cwd=second).stdout) == []
    # Without dvc.lock, DVC finds the result of a stage only in the run cache.
    (second / "dvc.lock").unlink()
    shutil.rmtree(second / "models/finetuned")
    assert "Running stage 'train'" not in run("dvc", "repro", "train", cwd=second).stdout
    assert (second / "models/finetuned/model.safetensors").read_bytes() == weights
