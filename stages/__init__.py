"""The pipeline's stages, one file each; dvc.yaml runs them as ``python -m stages.<name>``.

A stage uses the library of its own checkout: an experiment that DVC runs in a folder of its own would otherwise import
the working copy that happens to be installed, and not the code that it was queued with.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))


def run(main: Callable[[], None]) -> None:
    """Run one stage; what a person can mend is shown as a message, without a traceback.

    ``FACESEG_TRACEBACK=1`` shows the traceback as well. Anything but ValueError, OSError and a missing package is a
    fault of ours and keeps it.
    """
    try:
        main()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("faceseg", "stages"):
            raise
        sys.exit(
            f"\n{sys.executable} lacks {error.name}: it is not the project's environment. "
            "Use `make repro`, or `source .venv/bin/activate` before `dvc repro`."
        )
    except (ValueError, OSError) as error:
        if os.environ.get("FACESEG_TRACEBACK"):
            raise
        print(f"\n{error}", file=sys.stderr)
        if "DVC_STAGE" in os.environ:
            print(
                "This stage's outputs are not whole now. To have the previous ones back, undo the change (in "
                "params.yaml, the code or the source) and run `dvc repro`.",
                file=sys.stderr,
            )
        sys.exit(1)
