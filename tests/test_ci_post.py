""".ci/post.py against a server on loopback that keeps comments as GitHub's API does, and a real git remote."""

import importlib.util
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PNG = bytes.fromhex("89504e470d0a1a0a") + b"not looked into"


@pytest.fixture
def post() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ci_post", ROOT / ".ci/post.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Forge:
    """Comments of one pull request, number 7, listed two to a page whatever is asked, and the requests that came."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        where, _, query = path.partition("?")
        if (method, where) == ("GET", "/repos/a/b/issues/7/comments"):
            page = int(dict(pair.split("=") for pair in query.split("&"))["page"])
            return 200, self.comments[2 * (page - 1) : 2 * page]
        if (method, where) == ("POST", "/repos/a/b/issues/7/comments"):
            self.comments.append({"id": len(self.comments), "html_url": f"new-{len(self.comments)}", **body})
            return 201, self.comments[-1]
        if method == "PATCH" and where.startswith("/repos/a/b/issues/comments/"):
            comment = self.comments[int(where.rsplit("/", 1)[1])]
            comment |= body
            return 200, comment
        return 404, {}


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Forge]:
    forge = Forge()

    class Handler(BaseHTTPRequestHandler):
        def do_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            forge.tokens.add(self.headers.get("Authorization"))
            status, answer = forge.answer(self.command, self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_any  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://forge.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/b")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield forge
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bare repository, and the working directory in a clone of it."""
    bare, clone = tmp_path / "bare", tmp_path / "clone"
    for command in (["git", "init", "--quiet", "--bare", bare], ["git", "clone", "--quiet", bare, clone]):
        subprocess.run(command, check=True, capture_output=True)
    monkeypatch.chdir(clone)
    return bare


def report(folder: Path, post: ModuleType, text: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "report.md").write_text(f"{post.MARK}\n{text}\n")
    return ["--report", str(folder), "--number", "7"]


def git(where: Path, *command: str) -> bytes:
    return subprocess.run(["git", *command], cwd=where, check=True, capture_output=True).stdout


def test_one_comment_that_a_later_report_replaces(post: ModuleType, forge: Forge, remote: Path, tmp_path: Path) -> None:
    forge.comments = [{"id": n, "html_url": "old", "body": f"what {post.MARK} means"} for n in range(3)]
    post.main(report(tmp_path / "report", post, "first"))
    post.main(report(tmp_path / "report", post, "second"))
    assert [comment["body"] for comment in forge.comments[3:]] == [f"{post.MARK}\nsecond\n"]
    assert forge.comments[0]["body"].startswith("what")
    assert forge.tokens == {"Bearer secret"}


def test_images_are_pushed_alone_and_shown_by_their_commit(
    post: ModuleType, forge: Forge, remote: Path, tmp_path: Path
) -> None:
    arguments = report(tmp_path / "report", post, "![a curve](00-curve.png) ![elsewhere](https://x.example/y.png)")
    (tmp_path / "report/00-curve.png").write_bytes(PNG)
    post.main(arguments)
    commit = git(remote, "rev-parse", "refs/heads/ci-report/7").decode().strip()
    assert f"![a curve](https://forge.example/a/b/raw/{commit}/00-curve.png)" in forge.comments[0]["body"]
    assert "![elsewhere](https://x.example/y.png)" in forge.comments[0]["body"]
    assert git(remote, "ls-tree", "--name-only", commit) == b"00-curve.png\n"
    assert git(remote, "show", f"{commit}:00-curve.png") == PNG
    assert git(remote, "rev-list", "--count", commit) == b"1\n"


def test_a_report_that_is_too_long_is_cut(post: ModuleType, forge: Forge, remote: Path, tmp_path: Path) -> None:
    post.main(report(tmp_path / "report", post, "x" * 70_000))
    assert len(forge.comments[0]["body"]) < 65_536
    assert forge.comments[0]["body"].endswith("(cut off: the whole report is an artifact of the run)")


def test_a_refused_token_is_an_error(post: ModuleType, forge: Forge, remote: Path, tmp_path: Path) -> None:
    arguments = [*report(tmp_path / "report", post, "first")[:-1], "8"]
    with pytest.raises(post.requests.HTTPError, match="404"):
        post.main(arguments)
