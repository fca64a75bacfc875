"""`make audit`: a planted key and a made-up vulnerability are found, and a machine without a network is no failure."""

import importlib.util
import json
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock of one made-up package, which uv finds in a folder."""
    with zipfile.ZipFile(tmp_path / "leaky-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("leaky-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
        wheel.writestr("leaky-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("leaky-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    path = tmp_path / "requirements.lock"
    path.write_text("leaky==1.0 ; python_full_version < '3.99' \\\n    --hash=sha256:00\n")
    return path


class Database(BaseHTTPRequestHandler):
    """Speaks as OSV does, and knows of one hole."""

    known: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        brief = [{"id": hole["id"], "modified": hole["modified"]} for hole in self.known]
        self._answer({"results": [{"vulns": brief} if q["package"]["name"] == "leaky" else {} for q in asked]})

    def do_GET(self) -> None:
        self._answer(self.known[0])

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


HOLE = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "modified": "2025-01-01T00:00:00Z",
    "summary": "it leaks",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
        }
    ],
}


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Database)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_known_vulnerability_fails(
    audit: Any, lock: Path, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Database, "known", [HOLE])
    assert audit.vulnerabilities(lock, database) == 1
    said = capsys.readouterr().out
    assert "GHSA-aaaa-bbbb-cccc" in said
    assert "leaky" in said


def test_none_known_passes(audit: Any, lock: Path, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.vulnerabilities(lock, database) == 0
    assert capsys.readouterr().out == "vulnerabilities: none known in 1 packages\n"


def test_without_a_network_it_says_so_and_passes(
    audit: Any, lock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert audit.vulnerabilities(lock, None) == 0
    assert "not checked: the database cannot be reached" in capsys.readouterr().out


def test_what_is_no_network_fault_fails(audit: Any, lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock.write_text("leaky==not a version\n")
    assert audit.vulnerabilities(lock, "http://127.0.0.1:9") == 1
    assert "not to be looked for" in capsys.readouterr().out


def test_every_package_of_the_lock_is_asked_about(audit: Any) -> None:
    text = (ROOT / "requirements.lock").read_text()
    packages = audit.pinned(text)
    assert len(packages) == sum(line[0].isalnum() for line in text.splitlines())
    assert "numpy==" in "".join(packages)
    assert not any("--hash" in package for package in packages)


def test_a_planted_key_is_found(audit: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "notes.txt").write_text("nothing to see\n")
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    assert audit.secrets(tmp_path) == 0
    (tmp_path / "notes.txt").write_text("key = " + "AKIA" + "IOSFODNN7" + "ABCDEFG\n")  # in parts: no key of this file
    assert audit.secrets(tmp_path) == 1
    said = capsys.readouterr().out
    assert "notes.txt:1" in said
    assert "AWS Access Key" in said


def test_ci_runs_it() -> None:
    assert "audit" in (ROOT / ".ci/run").read_text()
