"""Download files of a repository of the Hugging Face hub at a commit, and verify their content.

The hub client checks the size of a file but not its content. Its cache names each file by the hash that the hub has
for it, so the content is compared with that name here.
"""

import errno
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import constants, get_session, is_offline_mode, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.sha import git_hash
from huggingface_hub.utils.tqdm import disable_progress_bars

from refit.errors import DataError, NetworkError
from refit.storage import files

ATTEMPTS = 6
FIRST_WAIT = 1.0  # seconds; doubled after each attempt
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)


def snapshot(repository: str, kind: Literal["model", "dataset"], revision: str, patterns: Sequence[str]) -> Path:
    """The local folder with a repository's files at a revision, their content verified; its name is the commit.

    Files in the Hugging Face cache are not downloaded again and need no network. Raises NetworkError if a file is
    neither there nor can be downloaded, DataError if its content is wrong twice.
    """
    for attempt in (1, 2):
        folder = _download(repository, kind, revision, patterns)
        damaged = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_intact(path.resolve())]
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


def _is_intact(stored: Path) -> bool:
    """Whether a cached file has the hash in its name: SHA-256 for large files, git's blob id for small ones."""
    if len(stored.name) == 64:
        return files.sha256(stored) == stored.name
    return len(stored.name) != 40 or git_hash(stored.read_bytes()) == stored.name


def _download(repository: str, kind: str, revision: str, patterns: Sequence[str]) -> Path:
    """Download a snapshot, retrying after temporary faults: a lost connection, a timeout, 408, 429 and 5xx.

    The hub client retries some of these itself, but neither 5xx for a file nor a connection reset in the middle of it.
    """
    if not sys.stderr.isatty():
        disable_progress_bars()
    attempt = 1
    while True:
        _limit_waiting()
        try:
            return Path(snapshot_download(repository, repo_type=kind, revision=revision, allow_patterns=list(patterns)))
        except Exception as error:
            failure = _explain(error, f"{kind} {repository}", revision)
            if failure is None:
                raise
            message, is_temporary = failure
            wait = FIRST_WAIT * 2 ** (attempt - 1)
            if not is_temporary or attempt == ATTEMPTS:
                raise NetworkError(message + (f" (tried {attempt} times)" if attempt > 1 else "")) from None
            print(f"{message}; trying again in {wait:.0f} s", file=sys.stderr)
            time.sleep(wait)
            attempt += 1


def _limit_waiting() -> None:
    """Give every request of the hub client a timeout: it lists a repository's files without one."""
    hooks = get_session().event_hooks
    if _set_timeout not in hooks["request"]:
        get_session().event_hooks = {**hooks, "request": [*hooks["request"], _set_timeout]}


def _set_timeout(request: Any) -> None:
    limits = request.extensions["timeout"]
    request.extensions["timeout"] = {kind: limits[kind] or constants.HF_HUB_DOWNLOAD_TIMEOUT for kind in limits}


def _explain(error: BaseException, what: str, revision: str) -> tuple[str, bool] | None:
    """The message for the user and whether a retry can help; None if the network is not the cause."""
    hub = os.environ.get("HF_ENDPOINT", "the Hugging Face hub")
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, HfHubHTTPError):
        error = error.__cause__  # the client reports "not in the cache" and hides why it looked there
    match error:
        case OSError() if error.errno in DISK_FAULTS:
            return None
        case GatedRepoError():
            return f"{what}: access denied; set HF_TOKEN to a token that may read it", False
        case RepositoryNotFoundError():
            return f"{what}: not found on {hub}; check the name, or set HF_TOKEN if it is private", False
        case RevisionNotFoundError():
            return f"{what}: no commit {revision} there; check the revision", False
        case OSError() if is_offline_mode():
            offline = "is not in the cache, and HF_HUB_OFFLINE is set; go online and run again"
            return f"{what}: commit {revision} {offline}", False
        case LocalEntryNotFoundError():
            return f"{what}: {hub} cannot be reached and the cache has no copy; go online and run again", True
        case HfHubHTTPError():
            status = error.response.status_code
            is_temporary = status in (408, 429) or status >= 500
            fix = "try again later" if is_temporary else "check HF_TOKEN"
            return f"{what}: {hub} answered {status}; {fix}", is_temporary
    if isinstance(error, OSError) or type(error).__module__.startswith("http"):  # httpx or httpx2, and httpcore
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return f"{what}: the connection to {hub} failed ({reason}); check the network and run again", True
    return None
