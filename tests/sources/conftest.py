"""A web server on loopback that misbehaves as it is told to."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest


@dataclass
class Site:
    """What the server has, and how it behaves; ``asked`` are the requests that it got: (path, Range header)."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True  # honours Range
    tags: bool = True  # sends an ETag
    cut_after: list[int] = field(default_factory=list)  # bytes of the body, an entry an answer, then whole
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # status and headers, before content
    claim: int = 0  # bytes that Content-Length says more than there are
    wrong_start: bool = False  # answers a Range with another one
    headers: dict[str, str] = field(default_factory=dict)  # sent with content
    moves: dict[str, str] = field(default_factory=dict)  # path to the path that it redirects to
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)  # the headers of the requests

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


def _handler(site: Site) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.lstrip("/").split("?")[0]
            site.asked.append((path, self.headers.get("Range")))
            site.sent.append(dict(self.headers))
            if site.statuses:
                self._answer(*site.statuses.pop(0))
            elif path in site.moves:
                self._answer(302, {"Location": site.url(site.moves[path])})
            elif path not in site.files:
                self._answer(404, {})
            else:
                self._content(site.files[path])

        def _answer(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def _content(self, content: bytes) -> None:
            tag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
            asked = self.headers.get("Range")
            start = 0
            if asked and site.ranges and self.headers.get("If-Range") in (None, tag):
                start = int(asked.removeprefix("bytes=").removesuffix("-")) - (1 if site.wrong_start else 0)
            if start >= len(content) > 0:
                self._answer(416, {"Content-Range": f"bytes */{len(content)}"})
                return
            body = content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if site.tags:
                self.send_header("ETag", tag)
            for name, value in site.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) + site.claim))
            self.end_headers()
            self.wfile.write(body[: site.cut_after.pop(0)] if site.cut_after else body)
            self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(site)) as server:
        site.port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield site
        server.shutdown()
