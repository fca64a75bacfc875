"""Post a report as the one comment of a pull request: images to a ref of their own, the text through GitHub's API.

    python .ci/post.py --report ci-report --number 7

It needs GITHUB_REPOSITORY, GITHUB_TOKEN (contents and pull-requests: write) and, off github.com, GITHUB_API_URL and
GITHUB_SERVER_URL, as GitHub's runners set them. A later report takes the place of the earlier one.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

MARK = "<!-- faceseg-ci-report -->"
LARGEST = 65_000  # characters; GitHub takes 65,536
_TIMEOUT_SECONDS = 30


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Post a report as the one comment of a pull request.")
    parser.add_argument("--report", type=Path, required=True, help="folder with report.md and its images")
    parser.add_argument("--number", type=int, required=True, help="of the pull request")
    parser.add_argument("--remote", default="origin", help="where the images go")
    given = parser.parse_args(arguments)
    text = (given.report / "report.md").read_text(encoding="utf-8")
    images = sorted(given.report.glob("*.png"))
    if images:
        commit = push_images(images, given.remote, f"refs/heads/ci-report/{given.number}")
        server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        text = with_addresses(text, f"{server}/{os.environ['GITHUB_REPOSITORY']}/raw/{commit}")
    if len(text) > LARGEST:
        text = text[:LARGEST] + "\n\n(cut off: the whole report is an artifact of the run)"
    print(post(text, given.number))


def push_images(images: Sequence[Path], remote: str, ref: str) -> str:
    """Put the images into one commit without a parent, alone on ``ref``; returns the commit."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GIT_INDEX_FILE": str(Path(folder) / "index")}
        for who in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{who}_NAME": "faceseg ci", f"GIT_{who}_EMAIL": "ci@localhost"}

        def git(*command: str) -> str:
            done = subprocess.run(["git", *command], env=environment, check=True, stdout=subprocess.PIPE, text=True)
            return done.stdout.strip()

        for image in images:
            blob = git("hash-object", "-w", "--no-filters", str(image))
            git("update-index", "--add", "--cacheinfo", f"100644,{blob},{image.name}")
        commit = git("commit-tree", git("write-tree"), "-m", "images of a report")
        git("push", "--quiet", "--force", remote, f"{commit}:{ref}")
    return commit


def with_addresses(text: str, where: str) -> str:
    """Images of the report's own folder, named by the address that they were pushed to."""
    return re.sub(r"!\[([^\]]*)\]\(([^)/]+\.png)\)", rf"![\1]({where}/\2)", text)


def post(text: str, number: int) -> str:
    """Write the report's comment, or the earlier one anew; returns its address."""
    api = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    comments = f"{api}/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {os.environ['GITHUB_TOKEN']}"
        session.headers["Accept"] = "application/vnd.github+json"

        def ask(method: str, url: str, **rest: Any) -> Any:
            answer = session.request(method, url, timeout=_TIMEOUT_SECONDS, **rest)
            answer.raise_for_status()
            return answer.json()

        page = 1
        while found := ask("GET", f"{comments}/{number}/comments", params={"per_page": 100, "page": page}):
            for comment in found:
                # Another's comment may quote the mark; only what begins with it is the report.
                if comment["body"].startswith(MARK):
                    return str(ask("PATCH", f"{comments}/comments/{comment['id']}", json={"body": text})["html_url"])
            page += 1
        return str(ask("POST", f"{comments}/{number}/comments", json={"body": text})["html_url"])


if __name__ == "__main__":
    sys.exit(main())
