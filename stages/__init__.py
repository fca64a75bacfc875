"""The pipeline's stages, one file each; dvc.yaml runs them as ``python -m stages.<name>``.

A stage uses the library of its own checkout: an experiment that DVC runs in a folder of its own would otherwise import
the working copy that happens to be installed, and not the code that it was queued with.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))


LOCKS = Path(
    ".faceseg/locks"
)  # of this checkout: an experiment that runs in a folder of its own has outputs of its own
# For a stage that was just killed, or has seen that its dvc was, to be gone.
PATIENCE_SECONDS = 15.0


def run(name: str, main: Callable[[], None], outs: Sequence[str], ends_itself: bool = False) -> None:
    """Run one stage, alone on its outputs; what a person can mend is shown as a message, without a traceback.

    ``FACESEG_TRACEBACK=1`` shows the traceback as well. Anything but ValueError, OSError and a missing package is a
    fault of ours and keeps it.

    Args:
        outs: as dvc.yaml has them; what a killed run left half written in them is removed first.
        ends_itself: the stage looks by itself whether its dvc process is gone, where it can go on from later. Others
            are ended.
    """
    try:
        from faceseg.running.ending import Ending
        from faceseg.running.parent import parent

        with Ending(name, [Path(out) for out in outs], parent(), ends_itself):
            _alone(name, main, outs)
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


def _alone(name: str, main: Callable[[], None], outs: Sequence[str]) -> None:
    from faceseg.files import remove_unfinished
    from faceseg.running import workers
    from faceseg.running.ending import end_workers
    from faceseg.running.locks import held

    what = f"the stage {name}"
    with held(LOCKS / name, what, PATIENCE_SECONDS):
        # Workers of a killed run may outlive it for a moment; each holds this.
        workers.lock = Path.cwd() / LOCKS / f"{name}.workers"
        with held(workers.lock, what, PATIENCE_SECONDS):
            for out in outs:
                remove_unfinished(Path(out))
        try:
            main()
        except BaseException:
            # One worker's fault ends the stage while the others are in the middle of their files.
            end_workers()
            for out in outs:
                remove_unfinished(Path(out))
            raise
