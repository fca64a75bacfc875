"""One file from an address, whatever happens on the way: continued where it was cut off, tried again, checked.

What has come lies in a folder beside the pipeline's outputs, which DVC deletes before a stage runs, until it is whole.
"""

import email.utils
import fcntl
import hashlib
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import requests
import urllib3

from faceseg.files import BLOCK_BYTES, NoRoomError, read_json, sha256, write_json
from faceseg.progress import track
from faceseg.running.room import require_room

_TIMEOUT_SECONDS = (10, 60)  # to connect, and of silence
_PIECE_BYTES = 1 << 16  # what is lost at most of a body that is cut off
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT_SECONDS = 120.0


class DownloadError(ValueError):
    """An address that gives nothing, or not what it should."""


@dataclass(frozen=True)
class Patience:
    """How often in a row nothing may come before the download is given up, and how long to wait after the first time.

    The wait doubles with every time; a server that says how long to wait (Retry-After) is heard.
    """

    attempts: int = 6
    wait_seconds: float = 1.0


@dataclass(frozen=True)
class Address:
    """What to get: ``url``; the name under which its part is kept, when the url itself changes; and its sha256."""

    url: str
    key: str
    sha256: str | None


class _Cut(Exception):  # noqa: N818 - a way back to the next attempt
    def __init__(self, why: str, wait_seconds: float | None = None) -> None:
        super().__init__(why)
        self.wait_seconds = wait_seconds


@contextmanager
def downloaded(address: Address, folder: Path, patience: Patience) -> Iterator[Path]:
    """The file at an address, whole, until the block ends.

    It is kept for the next call where the block ends in anything but ValueError, which says that the file is no good; a
    full disk does not say so.

    Args:
        folder: where parts of files lie; the next call goes on with what an earlier one has left there.

    Raises:
        DownloadError: no such file (at once), nothing comes although it was tried often enough, or another checksum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = part_of(address.key, folder)
    with part.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two experiments at once: the second waits, then gets its own
        _complete(address, part, patience)
        if address.sha256 is not None and (came := sha256(part)) != address.sha256:
            _forget(part)
            raise DownloadError(
                f"{address.url}: checksum mismatch: the file has sha256 {came}, expected {address.sha256}. Try again; "
                "if it stays so, the file has changed at its source: set dataset.source to a copy that you trust"
            )
        try:
            yield part
        except NoRoomError:  # says nothing about the file
            raise
        except ValueError:
            _forget(part)
            raise
        _forget(part)


def part_of(key: str, folder: Path) -> Path:
    """Where what has come of a file lies until it is whole."""
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.part"


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _about(part).unlink(missing_ok=True)


def _about(part: Path) -> Path:
    return part.with_suffix(".json")


def _complete(address: Address, part: Path, patience: Patience) -> None:
    if _about(part).exists() and read_json(_about(part)).get("whole"):
        return
    print(f"download: {address.url}", file=sys.stderr, flush=True)
    fruitless = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _attempt(address, part)
            return
        except _Cut as cut:
            came = part.stat().st_size if part.exists() else 0
            fruitless = 0 if came > before else fruitless + 1
            if fruitless >= patience.attempts:
                raise DownloadError(
                    f"{address.url} could not be fetched ({cut}), tried {fruitless} times in a row without a byte; "
                    "look at the connection and run again: what has come is kept. Or download it by hand and set "
                    "dataset.source to the file"
                ) from cut
            wait = patience.wait_seconds * 2**fruitless if cut.wait_seconds is None else cut.wait_seconds
            print(f"download: {cut}; going on from byte {came} in {wait:.0f} s", file=sys.stderr, flush=True)
            time.sleep(min(wait, _LONGEST_WAIT_SECONDS))


def _attempt(address: Address, part: Path) -> None:
    """One request; ends when the file is whole.

    Raises:
        _Cut: it is worth while to try again.
        DownloadError: it is not.
    """
    have, validator = _what_is_there(part)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    try:
        with requests.get(address.url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
            start = _start(response, have, part, address.url)
            if start is None:  # the server has no more than what is there
                write_json(_about(part), {"url": address.url, "validator": validator, "whole": True})
                return
            total = _total(response, start)
            require_room("the download", {part.parent: max(0, (total or 0) - start)})
            if not start:
                part.write_bytes(b"")  # before its new description: what an older answer left is none of this one
            write_json(_about(part), {"url": address.url, "validator": _validator(response), "whole": False})
            _take(response, part, start, total)
    except (requests.exceptions.InvalidURL, requests.exceptions.TooManyRedirects) as error:
        raise DownloadError(f"{address.url} cannot be fetched ({error}); look whether it is still right") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _Cut(f"{type(error).__name__}: {error}") from error
    write_json(_about(part), {"url": address.url, "validator": _validator(response), "whole": True})


def _what_is_there(part: Path) -> tuple[int, str]:
    """How many bytes can be gone on from, and what says that the file at the address is still the same one."""
    if not part.exists() or not _about(part).exists():
        return 0, ""
    validator = str(read_json(_about(part)).get("validator") or "")
    return (part.stat().st_size, validator) if validator else (0, "")


def _validator(response: requests.Response) -> str | None:
    """A strong ETag, or the date of the last change; a weak ETag does not speak of bytes (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _start(response: requests.Response, have: int, part: Path, url: str) -> int | None:
    """The byte that the answer begins with; None: there is nothing after what is there."""
    status = response.status_code
    content_range = response.headers.get("Content-Range", "")
    if status == 416 and have and content_range == f"bytes */{have}":
        return None
    if status == 206 and re.fullmatch(rf"bytes {have}-\d+/(\d+|\*)", content_range):
        return have
    if status in (206, 416):
        _forget(part)
        raise _Cut(f"{status} {response.reason}, {content_range!r} when asked for the bytes from {have} on")
    if status in _BUSY:
        raise _Cut(f"{status} {response.reason}", _retry_after(response))
    if status >= 300:
        raise DownloadError(
            f"{url} could not be fetched ({status} {response.reason}); look whether the address is still right, or "
            "download it by hand and set dataset.source to the file"
        )
    return 0


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the server asks to wait for: a number, or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _total(response: requests.Response, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _take(response: requests.Response, part: Path, start: int, total: int | None) -> None:
    with part.open("r+b") as file:
        file.seek(start)
        blocks = None if total is None else math.ceil((total - start) / BLOCK_BYTES)
        for _ in track(_written(response, file), blocks, "download, MiB"):
            pass
        came = file.tell()
    if total is not None and came != total:
        raise _Cut(f"{came} of {total} bytes came")


def _written(response: requests.Response, file: BinaryIO) -> Iterator[None]:
    """Write the body as it comes, and yield after every ``BLOCK_BYTES`` and at the end.

    The bytes as they are sent: servers declare a .tgz to be a tar file that was compressed on the way.
    """
    fresh = 0
    for piece in response.raw.stream(_PIECE_BYTES, decode_content=False):
        file.write(piece)
        fresh += len(piece)
        if fresh >= BLOCK_BYTES:
            fresh -= BLOCK_BYTES
            file.flush()
            yield
    if fresh:
        yield
