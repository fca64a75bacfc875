"""Locks between processes: a file that the kernel holds for a process and frees when it dies, however it dies."""

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import psutil

from faceseg.files import full_disk_named

_POLL_SECONDS = 0.1


class HeldError(ValueError):
    """Another process holds the lock; the message names it."""


@contextmanager
def held(path: Path, what: str, patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock ``path`` within the block.

    Args:
        path: a file that is made where it is missing and stays.
        what: what the holder is doing, as the subject of the message: ``the stage merge``.
        patience_seconds: how long to wait for another holder.

    Raises:
        HeldError: another process holds it; the message says which, since when, and what it was started as.
    """
    lock = take(path, what, patience_seconds)
    try:
        yield
    finally:
        lock.close()


def take(path: Path, what: str, patience_seconds: float = 0.0) -> BinaryIO:
    """As ``held``, without an end: the lock lasts until the file that is returned is closed or the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + patience_seconds
    while True:
        lock = path.open("a+b")
        if _try(lock, path, fcntl.LOCK_EX):
            with full_disk_named(path):
                lock.truncate(0)
                lock.write(json.dumps(_introduction()).encode())
                lock.flush()
            return lock
        holder = _holder(lock)
        lock.close()
        if time.monotonic() >= until:
            raise HeldError(
                f"{what} is already running: {holder}, holds {path}. "
                "Wait for it, or end that process; what it has finished is kept."
            )
        time.sleep(_POLL_SECONDS)


def share(path: Path) -> BinaryIO:
    """Hold the lock together with others who share it, until the file is closed or the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("ab")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    if not path.exists():
        return False
    with path.open("ab") as lock:
        return not _try(lock, path, fcntl.LOCK_EX)


def _try(lock: BinaryIO, path: Path, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    try:
        # The file may have been removed between opening and locking: then the lock keeps nobody out.
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _introduction() -> dict[str, str | int]:
    started = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": started.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "command": " ".join(["python", *sys.orig_argv[1:]])[:200],
    }


def _holder(lock: BinaryIO) -> str:
    lock.seek(0)
    try:
        said = json.loads(lock.read())
        return f"process {said['pid']} on {said['host']} (`{said['command']}`), since {said['since']}"
    except (ValueError, KeyError, TypeError):  # it has the lock and has not yet said who it is
        return "another process"
