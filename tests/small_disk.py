"""A disk of a few megabytes to fill: a tmpfs in a name space of its own, where the system allows one."""

import json
import shutil
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@cache
def _refusal() -> str | None:
    if shutil.which("unshare") is None:
        return "no unshare here"
    script = "mount -t tmpfs tmpfs /mnt"
    tried = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"unshare -rm cannot mount a tmpfs here: {tried.stderr.strip()}"


def on_small_disk(mount: Path, megabytes: int, module: str, *arguments: str) -> Any:
    """Run ``python -m module mount arguments`` with a tmpfs on ``mount``, or skip; the JSON of its last line."""
    if refusal := _refusal():
        pytest.skip(refusal)
    mount.mkdir()
    script = f'mount -t tmpfs -o size={megabytes}m tmpfs "$1" && shift && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(mount), sys.executable, "-m", module, str(mount)]
    done = subprocess.run([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout.splitlines()[-1])


def fill(disk: Path, leave: int) -> Path:
    """Leave so many bytes free; returns the file to remove."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        block = bytes(4096)
        while shutil.disk_usage(disk).free > leave:
            try:
                file.write(block)
                file.flush()
            except OSError:  # as full as it can be
                break
    return filler


def fill_once(disk: Path, pattern: str) -> threading.Thread:
    """Fill the disk as soon as a file of ``pattern`` is there."""

    def wait() -> None:
        while not list(disk.glob(pattern)):
            time.sleep(0.01)
        fill(disk, 0)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread
