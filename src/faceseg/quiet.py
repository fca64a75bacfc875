"""TensorFlow without what it says to its own developers.

TensorFlow writes several lines while it is imported, before its own log level counts, and reports that there is no GPU
as an error. ``TF_CPP_MIN_LOG_LEVEL=0`` shows everything.
"""

import os
import sys

from faceseg.running.memory import keep_freed_memory


def import_tensorflow() -> None:
    """Import TensorFlow with standard error closed, unless ``TF_CPP_MIN_LOG_LEVEL`` asks to hear it.

    From here the process keeps the memory that it frees. An exception of the import itself is raised as ever.
    """
    keep_freed_memory()
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow  # noqa: F401 - the point is that it is loaded
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
