"""Memory that a training step frees stays with the process for the next step.

glibc hands large freed blocks back to the kernel at once. On a CPU TensorFlow frees the same hundreds of megabytes in
every step and asks for them in the next, and the kernel maps and clears every page anew (benchmarks/freed_memory.py).
"""

import ctypes
import platform

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
KEPT = 2**30  # bytes: smaller blocks come from the heap, which keeps as much free memory before it returns any


def keep_freed_memory() -> None:
    """Let this process keep what it frees; call it before threads begin. Results do not depend on it.

    The peak stays what it was; what falls is how often the same memory is mapped. One heap serves all threads, because
    glibc's further heaps cannot hold blocks of 64 MB. Another C library, or a glibc that refuses a size, goes on as
    before.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    for name, value in ((M_MMAP_THRESHOLD, KEPT), (M_TRIM_THRESHOLD, KEPT), (M_ARENA_MAX, 1)):
        mallopt(name, value)
