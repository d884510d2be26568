"""Repositories of the Hugging Face hub, at one commit, with bytes that are the commit's.

The hub client checks sizes but not contents, so each file's hash is compared here with the name that the cache keeps
it under, which is the hub's own hash of it.
"""

import errno
import hashlib
import os
import random
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from refit.errors import DataError, NetworkError
from refit.storage import files

COMMIT = re.compile(r"[0-9a-f]{40}")
ATTEMPTS = 6
FIRST_WAIT = 1.0  # seconds; doubled after each attempt
LONGEST_WAIT = 60.0
DEADLINE = 900.0
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)


def snapshot(repository: str, kind: Literal["model", "dataset"], revision: str, patterns: Sequence[str]) -> Path:
    """The local folder of a repository's files at a commit, each file's content checked; its name is the commit.

    Files that are in the Hugging Face cache are not fetched again, and are enough when there is no network.
    Raises NetworkError when a file can neither be fetched nor found, DataError when its bytes are wrong twice.
    """
    for attempt in (1, 2):
        folder = _download(repository, kind, revision, patterns)
        if COMMIT.fullmatch(revision) and folder.name != revision:
            raise DataError(f"{kind} {repository}: asked for commit {revision}, got {folder.name}; run again online")
        damaged = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_intact(path)]
        if not damaged:
            return folder
        for path in damaged:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
        if attempt == 1:
            print(f"{repository}: {damaged[0].name} is damaged in the cache; fetching it again", file=sys.stderr)
    raise DataError(
        f"{repository}@{revision}: {damaged[0].name} came with wrong bytes twice; "
        "the hub or a proxy on the way serves a damaged file, try again later"
    )


def _download(repository: str, kind: str, revision: str, patterns: Sequence[str]) -> Path:
    """Fetch a snapshot, trying again after faults that pass: a lost connection, a timeout, 408, 429 and 5xx.

    The hub client tries some of these again by itself and others not, 5xx on a file and resets in its midst.
    """
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", "10")
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "30")
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    deadline = time.monotonic() + DEADLINE
    for attempt in range(1, ATTEMPTS + 1):
        _limit_waiting()
        try:
            return Path(snapshot_download(repository, repo_type=kind, revision=revision, allow_patterns=list(patterns)))
        except Exception as error:
            failure, may_pass = _explain(error, f"{kind} {repository}", revision)
            if failure is None:
                raise
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
            if not may_pass or attempt == ATTEMPTS or time.monotonic() + wait > deadline:
                tried = f" (tried {attempt} times)" if attempt > 1 else ""
                raise NetworkError(f"{failure}{tried}") from None
            print(f"{failure}; trying again in {wait:.0f} s", file=sys.stderr)
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _limit_waiting() -> None:
    """Have the client's session give up on a silent server: it lists a repository's files without any time limit."""
    from huggingface_hub import get_session

    session = get_session()
    hooks = session.event_hooks["request"]
    if _limit not in hooks:
        session.event_hooks = {**session.event_hooks, "request": [*hooks, _limit]}


def _limit(request: Any) -> None:
    from huggingface_hub import constants

    limits = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {
        kind: constants.HF_HUB_DOWNLOAD_TIMEOUT if limits.get(kind) is None else limits[kind]
        for kind in ("connect", "read", "write", "pool")
    }


def _explain(error: Exception, what: str, revision: str) -> tuple[str | None, bool]:
    """(what to tell the user or None if it is not the network's, whether trying again can help)."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    endpoint = os.environ.get("HF_ENDPOINT", "the Hugging Face hub")
    if isinstance(error, OSError) and error.errno in DISK_FAULTS:
        return None, False
    if isinstance(error, GatedRepoError):
        return f"{what}: access denied; set HF_TOKEN to a token that may read it", False
    if isinstance(error, RepositoryNotFoundError):
        return f"{what}: not found on {endpoint}; check the name, or set HF_TOKEN if it is private", False
    if isinstance(error, RevisionNotFoundError):
        return f"{what}: no commit {revision} there; check the revision", False
    if isinstance(error, OfflineModeIsEnabled) or os.environ.get("HF_HUB_OFFLINE") in ("1", "true", "True", "ON"):
        return (
            f"{what}: commit {revision} is not in the cache, and HF_HUB_OFFLINE is set; go online and run again",
            False,
        )
    if isinstance(error, LocalEntryNotFoundError):
        if isinstance(error.__cause__, HfHubHTTPError):
            return _explain(error.__cause__, what, revision)
        return f"{what}: {endpoint} cannot be reached and the cache has no copy; go online and run again", True
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        may_pass = status in (408, 429) or status >= 500
        return f"{what}: {endpoint} answered {status}; {'try again later' if may_pass else 'check HF_TOKEN'}", may_pass
    if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore"):
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return f"{what}: the connection to {endpoint} failed ({reason}); check the network and run again", True
    return None, False


def _is_intact(path: Path) -> bool:
    """Compare a cached file with the hash that it is named by: SHA-256 for large files, git's blob id for small."""
    stored = path.resolve()
    if len(stored.name) == 64:
        return files.sha256(stored) == stored.name
    content = stored.read_bytes()
    blob_id = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return len(stored.name) != 40 or blob_id == stored.name
