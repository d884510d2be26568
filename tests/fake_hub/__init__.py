"""A small Hugging Face hub for tests: the part of its API that downloads a snapshot, with faults on request.

ROOT/{models,datasets}/OWNER/NAME/ is a repository with a single commit, `main`. As on the real hub, large files are
redirected to another origin, and a private repository cannot be told from a missing one.
"""

import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from refit.download.model_registry import HUB_COMMITS
from refit.download.task_registry import TASKS

COMMITS = HUB_COMMITS | {task.source.name: task.source.revision for task in TASKS.values()}
LARGE = (".parquet", ".safetensors")


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong; the defaults are a hub without faults."""

    drop: int = 0  # the first body and then every n-th ends halfway with a lost connection
    reset: bool = False  # and the connection is reset, not closed
    on: str = "/"  # how the addresses of the dropped bodies start: /api for listings, /cdn for large files
    busy: int = 0  # every n-th request gets `status`
    status: int = 503
    weights: str = ""  # bodies of weights: garble (wrong bytes), truncate (always dropped), short (half, cleanly ended)
    ranges: bool = True  # whether a part of a file can be requested
    token: str = ""  # requests without it get 401


def commit_of(repository: str) -> str:
    """The commit of a repository: the one that refit pins, or one made from its name."""
    pinned = COMMITS.get(repository, "main")
    return hashlib.sha1(repository.encode()).hexdigest() if pinned == "main" else pinned


class Server(ThreadingHTTPServer):
    """The hub: its folder, its address, the requests that it got, and how many of them went wrong."""

    def __init__(self, root: Path, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root, self.faults = root, faults
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.cdn = f"http://localhost:{self.server_port}/cdn"
        self.requests: list[str] = []
        self.bodies = self.faulty = 0


@contextmanager
def running(root: Path, **faults: Any) -> Iterator[Server]:
    """Serve the repositories in `root` on a free port until the block ends."""
    with Server(root, Faults(**faults)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        faults, requests = self.server.faults, self.server.requests
        requests.append(f"{self.command} {self.path}")
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        is_cdn = parts[0] == "cdn"
        parts = parts[1:] if parts[0] in ("cdn", "api") else parts
        kind = parts.pop(0) if parts[0] in ("models", "datasets") else "models"
        repository, (verb, revision, *path) = "/".join(parts[:2]), [*parts[2:], "", ""]
        commit, folder = commit_of(repository), self.server.root / kind / repository
        if faults.busy and len(requests) % faults.busy == 0:
            self.server.faulty += 1
            self.reply(faults.status, **{"Retry-After": "1"})
        elif faults.token and not is_cdn and self.headers.get("Authorization") != f"Bearer {faults.token}":
            self.reply(401, error="Invalid credentials" if "Authorization" in self.headers else "RepoNotFound")
        elif not folder.is_dir():
            self.reply(401, error="RepoNotFound")
        elif revision not in ("main", commit):
            self.reply(404, error="RevisionNotFound")
        elif verb == "revision":
            self.reply(200, json.dumps({"id": repository, "sha": commit}).encode())
        elif verb == "tree":
            files = sorted(file for file in folder.rglob("*") if file.is_file())
            self.reply(200, json.dumps([_entry(file, folder) for file in files]).encode())
        else:
            self.file(folder / "/".join(filter(None, path)), is_cdn, {"X-Repo-Commit": commit})

    do_HEAD = do_GET  # noqa: N815

    def file(self, path: Path, is_cdn: bool, headers: dict[str, str]) -> None:
        """Reply with a file, or a part of it, or for a large one with its address."""
        faults = self.server.faults
        if not path.is_file():
            return self.reply(404, error="EntryNotFound", **headers)
        content = path.read_bytes()
        headers |= {"ETag": f'"{_hash(path, content)}"', "Accept-Ranges": "bytes" if faults.ranges else "none"}
        if path.suffix in LARGE and not is_cdn:
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": headers["ETag"]}
            return self.reply(302, Location=self.server.cdn + quote(self.path), **headers)
        damage = faults.weights if path.suffix == ".safetensors" else ""
        if damage == "garble":
            content = content[:-100] + bytes(100)
        content = content[: len(content) // 2] if damage == "short" else content
        start, status = 0, 200
        if faults.ranges and (part := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            start, status = int(part[1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.reply(status, content[start:], is_cut=damage == "truncate", **headers)

    def reply(self, status: int, body: bytes = b"", *, error: str = "", is_cut: bool = False, **headers: str) -> None:
        """Send a response; its body is dropped halfway if `is_cut`, or if it is its turn."""
        faults = self.server.faults
        if faults.drop and body and self.command == "GET" and self.path.startswith(faults.on):
            is_cut = is_cut or self.server.bodies % faults.drop == 0
            self.server.bodies += 1
            self.server.faulty += is_cut
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Error-Code": error, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[: len(body) // 2] if is_cut else body)
        if is_cut:
            self.close_connection = True
            if faults.reset:
                time.sleep(0.05)  # for the client to read what was sent
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _entry(file: Path, folder: Path) -> dict[str, object]:
    """A file in the listing of a repository."""
    content = file.read_bytes()
    size, path = len(content), file.relative_to(folder).as_posix()
    lfs = {"lfs": {"oid": _hash(file, content), "size": size, "pointerSize": 130}} if file.suffix in LARGE else {}
    return {"type": "file", "path": path, "size": size, "oid": _blob_id(content), **lfs}


def _hash(path: Path, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if path.suffix in LARGE else _blob_id(content)


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
