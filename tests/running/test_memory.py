"""Freed memory stays with the process, so that a training step does not have it mapped in anew."""

import platform
import subprocess
import sys

import pytest

# Blocks as a step at 256 pixels frees them, 12 and 100 MB, filled, from a thread of their own as TensorFlow's are.
# NumPy would ask the kernel for huge pages, which are mapped 2 MB at a time.
FAULTS_OF_FREED_MEMORY = """
import resource, sys, threading
if sys.argv[1] == "kept":
    from faceseg.quiet import import_tensorflow
    import_tensorflow()

def work():
    for megabytes in (12, 100):
        b"1" * (megabytes * 10**6)

def in_a_thread():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

in_a_thread()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    in_a_thread()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize())
"""


def mapped_again(how: str) -> int:
    """Bytes that were mapped in for five rounds of work after a first one."""
    result = subprocess.run(
        [sys.executable, "-c", FAULTS_OF_FREED_MEMORY, how], capture_output=True, text=True, check=True, timeout=120
    )
    return int(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_freed_memory_is_not_mapped_in_again() -> None:
    freed = 5 * 112 * 10**6
    assert mapped_again("kept") < freed / 50
    assert mapped_again("given back") > freed / 2, "glibc keeps it by itself now: running/memory.py can go"
