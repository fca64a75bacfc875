"""The report on a pull request: what the change does to recorded scores and to a tiny pipeline, as Markdown and images.

    python .ci/report.py --base main --out ci-report      (or: make ci-report BASE=main)

Both commits are run in a clone of their own, so the working copy is left alone and each side runs its own code. The
exit code is 1 when the recorded scores became worse, 0 otherwise, and 2 when the report could not be made. A tiny
training differs by chance with any change of arithmetic, so the tiny run alone fails nothing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import vl_convert
import yaml

MARK = "<!-- faceseg-ci-report -->"  # by which .ci/post.py finds its comment again
SIDES = ("ci-base", "ci-head")
SCALE = 1.5  # pixels of the images for each of Vega's
RECORDED = "metrics/clips.csv"


class Runner:
    """Commands in one folder, with the environment's own programs first and nothing of the caller's DVC or MLflow."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
        self.environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": str(state),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _AUTHOR.items()},
        }

    def code(self, *command: str) -> tuple[int, str]:
        """Exit code and standard output; errors go to the log."""
        done = subprocess.run(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)
        return done.returncode, done.stdout

    def __call__(self, *command: str) -> str:
        code, output = self.code(*command)
        if code:
            print(output, file=sys.stderr)
            raise ReportError(f"`{' '.join(command)}` ended with exit code {code}")
        return output


_AUTHOR = {"NAME": "faceseg ci", "EMAIL": "ci@localhost"}


class ReportError(Exception):
    """A step of the report failed; the log holds what it said."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The report on a pull request.")
    parser.add_argument("--base", required=True, help="revision to compare with")
    parser.add_argument("--head", default="HEAD", help="revision that is reported on")
    parser.add_argument("--out", type=Path, default=Path("ci-report"), help="folder for report.md and its images")
    parser.add_argument("--settings", type=Path, default=Path(__file__).with_name("tiny.yaml"), help="of the tiny run")
    given = parser.parse_args(arguments)
    settings = yaml.safe_load(given.settings.read_text(encoding="utf-8"))
    out = given.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    try:
        with tempfile.TemporaryDirectory(prefix="faceseg-ci-") as scratch:
            here = Runner(Path.cwd(), Path(scratch) / "state")
            commits = [
                here("git", "rev-parse", "--verify", f"{name}^{{commit}}").strip() for name in (given.base, given.head)
            ]
            worse, recorded = recorded_scores(here, commits)
            there = run_both(here, Path(scratch), commits, settings)
            text = "\n".join([MARK, *heading(given, commits), *recorded, *tiny_run(there, out)])
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    (out / "report.md").write_text(text + "\n", encoding="utf-8")
    print(f"report: {out / 'report.md'}")
    return int(worse)


def heading(given: argparse.Namespace, commits: Sequence[str]) -> list[str]:
    return [f"# faceseg: {given.base} ({commits[0][:7]}) → {given.head} ({commits[1][:7]})", ""]


def recorded_scores(run: Runner, commits: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether the scores that the two commits hold became worse, and the section on them."""
    lines = ["## Recorded scores", ""]
    for commit in commits:
        if run.code("git", "cat-file", "-e", f"{commit}:./{RECORDED}")[0]:
            return False, [
                *lines,
                f"{commit[:7]} holds no {RECORDED}: `make repro`, then commit metrics/ and dvc.lock.",
                "",
            ]
    code, text = run.code("faceseg", "compare", *commits, "--markdown", "--fail-if-worse")
    if code == 2:
        return False, [*lines, "They cannot be compared; the log says why.", ""]
    if code not in (0, 1) or not text:
        raise ReportError(f"faceseg compare ended with exit code {code}")
    return code == 1, [*lines, text]


def run_both(here: Runner, scratch: Path, commits: Sequence[str], settings: dict[str, Any]) -> Runner:
    """A clone in which the tags ``SIDES`` hold the tiny pipeline's results of both commits."""
    root = here("git", "rev-parse", "--show-toplevel").strip()
    inside = here("git", "rev-parse", "--show-prefix").strip()
    clone = scratch / "clone"
    here("git", "clone", "--quiet", "--no-checkout", root, str(clone))
    top = Runner(clone, scratch / "state")
    there = Runner(clone / inside, scratch / "state")
    for tag, commit in zip(SIDES, commits, strict=True):
        top("git", "fetch", "--quiet", root, commit)
        top("git", "checkout", "--quiet", "--force", "--detach", commit)
        params = there.folder / "params.yaml"
        values = yaml.safe_load(params.read_text(encoding="utf-8"))
        params.write_text(yaml.safe_dump(overlaid(values, settings), sort_keys=False), encoding="utf-8")
        with _group(f"the tiny pipeline at {commit[:7]}"):
            print(there("dvc", "repro"), flush=True)
        there("git", "add", "--all")
        there("git", "commit", "--quiet", "--allow-empty", "--message", f"tiny pipeline of {commit}")
        there("git", "tag", tag)
    return there


def overlaid(values: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """``values`` with those of ``settings`` that they know: an older base may lack a parameter."""
    return {
        key: overlaid(value, settings[key])
        if isinstance(value, dict) and isinstance(settings.get(key), dict)
        else settings.get(key, value)
        for key, value in values.items()
    }


def tiny_run(run: Runner, out: Path) -> list[str]:
    """The section on the tiny pipeline: the comparison, DVC's differences, the plots."""
    lines = ["## The tiny pipeline, run on both", ""]
    code, text = run.code("faceseg", "compare", *SIDES, "--markdown")
    lines += [text if code == 0 else "The two runs cannot be compared; the log says why.", ""]
    for title, command in (("dvc metrics diff", "metrics"), ("dvc params diff", "params")):
        table = run("dvc", command, "diff", *SIDES, "--md").strip()
        lines += [f"<details><summary>{title}</summary>", "", table or "no difference", "", "</details>", ""]
    lines += ["**dvc plots diff**", "", *plots(run, out), ""]
    return lines


def plots(run: Runner, out: Path) -> list[str]:
    """Write what ``dvc plots diff`` shows as PNG files into ``out``; returns the Markdown that shows them."""
    found = json.loads(run("dvc", "plots", "diff", *SIDES, "--json", "--out", str(out / "plots")))
    lines = []
    for name, drawings in sorted(found["data"].items()):
        for drawing in drawings:
            label = (
                " ".join([Path(name).stem, *drawing["revisions"]]) if drawing["type"] == "image" else Path(name).stem
            )
            file = out / f"{len(lines):02}-{label.replace(' ', '-').lower()}.png"
            if drawing["type"] == "image":
                shutil.copy(run.folder / drawing["url"], file)
            else:
                content = drawing["content"]
                spec = content if isinstance(content, str) else json.dumps(content)
                file.write_bytes(vl_convert.vegalite_to_png(spec, scale=SCALE))
            lines.append(f"![{label}]({file.name})")
    shutil.rmtree(out / "plots", ignore_errors=True)
    return lines


@contextmanager
def _group(title: str) -> Iterator[None]:
    """A part of the log that GitHub folds."""
    folds = "GITHUB_ACTIONS" in os.environ
    print(f"::group::{title}" if folds else title, flush=True)
    yield
    if folds:
        print("::endgroup::", flush=True)


if __name__ == "__main__":
    sys.exit(main())
