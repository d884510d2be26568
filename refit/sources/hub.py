"""Repositories of the Hugging Face hub, at one commit, with bytes that are the commit's.

The hub client checks sizes but not contents, so each file's hash is compared here with the name that the cache keeps
it under, which is the hub's own hash of it.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from refit import files
from refit.errors import DataError, NetworkError


def snapshot(repository: str, kind: Literal["model", "dataset"], revision: str, patterns: Sequence[str]) -> Path:
    """The local folder of a repository's files at a commit, each file's content checked; its name is the commit.

    Files that are in the Hugging Face cache are not fetched again, and are enough when there is no network.
    Raises NetworkError when a file can neither be fetched nor found, DataError when its bytes are wrong twice.
    """
    for attempt in (1, 2):
        folder = _download(repository, kind, revision, patterns)
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
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    endpoint = os.environ.get("HF_ENDPOINT", "the Hugging Face hub")
    what = f"{kind} {repository}"
    try:
        folder = snapshot_download(repository, repo_type=kind, revision=revision, allow_patterns=list(patterns))
    except GatedRepoError:
        raise NetworkError(f"{what}: access denied; set HF_TOKEN to a token that may read it") from None
    except RepositoryNotFoundError:
        raise NetworkError(
            f"{what}: not found on {endpoint}; check the name, or set HF_TOKEN if it is private"
        ) from None
    except RevisionNotFoundError:
        raise NetworkError(f"{what}: no commit {revision} there; check the revision") from None
    except (OfflineModeIsEnabled, LocalEntryNotFoundError):
        raise NetworkError(
            f"{what}: {endpoint} cannot be reached and the cache has no copy; go online and run again"
        ) from None
    except HfHubHTTPError as error:
        raise NetworkError(f"{what}: {endpoint} answered {error.response.status_code}; try again later") from None
    except (ConnectionError, TimeoutError, OSError) as error:
        raise NetworkError(f"{what}: {endpoint} cannot be reached ({error}); check the network, run again") from None
    return Path(folder)


def _is_intact(path: Path) -> bool:
    """Compare a cached file with the hash that it is named by: SHA-256 for large files, git's blob id for small."""
    stored = path.resolve()
    if len(stored.name) == 64:
        return files.sha256(stored) == stored.name
    content = stored.read_bytes()
    blob_id = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return len(stored.name) != 40 or blob_id == stored.name
