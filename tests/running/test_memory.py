"""Freed memory stays with the process, so that a training step does not have it mapped in anew."""

import platform
import subprocess
import sys

import pytest

# Blocks as a step at 256 pixels frees them, 12 and 100 MB, filled, from a thread of their own as TensorFlow's are.
RESIDENT_AFTER_FREEING = """
import resource, sys, threading
from pathlib import Path
if sys.argv[1] == "kept":
    from faceseg.quiet import import_tensorflow
    import_tensorflow()

def work():
    for megabytes in (12, 100):
        b"1" * (megabytes * 10**6)

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

before = resident()
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(resident() - before)
"""


def resident_after_freeing(how: str) -> int:
    """Bytes that a process still holds of the 100 MB that a thread has freed."""
    result = subprocess.run(
        [sys.executable, "-c", RESIDENT_AFTER_FREEING, how], capture_output=True, text=True, check=True, timeout=120
    )
    return int(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_freed_memory_stays_with_the_process() -> None:
    assert resident_after_freeing("kept") > 90 * 10**6
    assert resident_after_freeing("given back") < 20 * 10**6, "glibc keeps it by itself now: running/memory.py can go"
