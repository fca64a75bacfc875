"""Outputs and objects of DVC against DVC's record: what of them is bad, and the command that mends it."""

import hashlib
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from faceseg.verification import ledger
from faceseg.verification.ledger import LOCK, LedgerError, Output
from faceseg.verification.manifests import manifest_faults
from faceseg.verification.rot import Rot, chain, rm

State = Literal["whole", "damaged", "missing"]


@dataclass
class Books:
    """DVC's record beside what is on the disk.

    ``digests``: md5 of every file that was read, empty for one that cannot be read. ``whole``: of each object by its
    name, whether its bytes are those that it is named by.
    """

    root: Path
    cache: Path
    digests: Mapping[Path, str]
    whole: Mapping[str, bool]
    reported: set[str] = field(default_factory=set)

    def here(self, path: str) -> str | None:
        """The md5 of a file of the workspace, None when it is not there."""
        return self.digests.get(self.root / path)

    def state(self, md5: str) -> State:
        if md5 not in self.whole:
            return "missing"
        return "whole" if self.whole[md5] else "damaged"

    def object(self, md5: str) -> str:
        """The path of an object as it is shown."""
        return shown(self.root, ledger.object_path(self.cache, md5))

    def damaged(self, md5s: Iterable[str]) -> list[str]:
        """The paths of those objects that are damaged; they have to go before DVC writes them anew."""
        return [self.object(md5) for md5 in md5s if self.state(md5) == "damaged"]

    def object_fault(self, md5: str, wrong: str, mend: str) -> Iterator[Rot]:
        """A fault of an object, once."""
        if md5 not in self.reported:
            self.reported.add(md5)
            yield Rot(self.object(md5), wrong, mend)

    def other_faults(self) -> Iterator[Rot]:
        """Damaged objects that no output of today uses."""
        for md5, whole in self.whole.items():
            if not whole:
                wrong = "is not what its name says; another revision or experiment uses it, and DVC will make it anew"
                yield from self.object_fault(md5, wrong, rm(self.object(md5)))


def output_faults(books: Books, output: Output) -> Iterator[Rot]:
    if not output.cached:
        return _metrics_faults(books, output)
    return _folder_faults(books, output) if output.is_folder else _file_faults(books, output, output.path, output.md5)


def _file_faults(books: Books, output: Output, path: str, md5: str) -> Iterator[Rot]:
    """A file that DVC keeps a copy of, and the copy."""
    here, copy = books.here(path), books.state(md5)
    if here == md5:
        yield from _copy_faults(books, output, md5)
        return
    if copy == "missing" and path == output.path and here and books.state(here) == "whole":
        yield _lock_fault(books, output, here)
        return
    if copy == "damaged":
        yield from books.object_fault(md5, "is not what its name says", rm(books.object(md5)))
    if copy == "whole":
        mend = chain(rm(path), f"dvc checkout --force {shlex.quote(output.path)}")
    else:
        mend = chain(rm(path, *books.damaged([md5])), _remake(output))
    yield Rot(path, "is not there" if here is None else f"is not the file that {_record(output)} names", mend)


def _copy_faults(books: Books, output: Output, md5: str) -> Iterator[Rot]:
    """DVC's copy of something whose original is whole."""
    commit = f"dvc commit --force {shlex.quote(output.target)}"
    if books.state(md5) == "damaged":
        wrong = f"is not what its name says; DVC would bring it back as {output.path} without a word"
        yield from books.object_fault(md5, wrong, chain(rm(books.object(md5)), commit))
    elif books.state(md5) == "missing":
        yield from books.object_fault(md5, f"is not there: DVC has no copy of {output.path}", commit)


def _folder_faults(books: Books, output: Output) -> Iterator[Rot]:
    present = {
        path.relative_to(books.root / output.path).as_posix(): path for path in files_in(books.root / output.path)
    }
    if books.state(output.md5) != "whole":
        yield from _unlisted_faults(books, output, {name: books.digests[path] for name, path in present.items()})
        return
    listed = ledger.listing(ledger.object_path(books.cache, output.md5).read_bytes())
    if not present:
        yield from _absent_faults(books, output, listed.values())
        return
    for name, md5 in listed.items():
        yield from _file_faults(books, output, f"{output.path}/{name}", md5)
    for name in sorted(present.keys() - listed.keys()):
        path = f"{output.path}/{name}"
        yield Rot(path, f"is left over: {_record(output)} names no such file", rm(path))


def _absent_faults(books: Books, output: Output, members: Collection[str]) -> Iterator[Rot]:
    """A folder that is not there as a whole: one line, and not one for each file."""
    damaged = books.damaged(members)
    for md5 in members:
        if books.state(md5) == "damaged":
            yield from books.object_fault(md5, "is not what its name says", rm(books.object(md5)))
    if all(books.state(md5) == "whole" for md5 in members):
        mend = f"dvc checkout --force {shlex.quote(output.path)}"
    else:
        mend = chain(rm(*damaged) if damaged else "", _remake(output))
    yield Rot(output.path, "is not there", mend)


def _unlisted_faults(books: Books, output: Output, here: Mapping[str, str]) -> Iterator[Rot]:
    """A folder whose list of files DVC's cache does not have whole."""
    made = ledger.listing_md5(here) if here else ""
    if made == output.md5:
        if books.state(made) == "damaged":
            for md5 in here.values():
                yield from _copy_faults(books, output, md5)
        yield from _copy_faults(books, output, made)
        return
    if made and books.state(output.md5) == "missing" and books.state(made) == "whole":
        yield _lock_fault(books, output, made)
        return
    if books.state(output.md5) == "damaged":
        yield from books.object_fault(output.md5, "is not what its name says", rm(books.object(output.md5)))
    damaged = books.damaged([output.md5])
    remake = chain(rm(*damaged) if damaged else "", _remake(output))
    if not here:
        yield Rot(output.path, "is not there", remake)
        return
    named = [(f"{output.path}/{name}", wrong) for name, wrong in manifest_faults(books.root / output.path)]
    for path, wrong in named:
        yield Rot(path, wrong, chain(rm(path), remake))
    if not named:
        wrong = f"is not what {_record(output)} names, and DVC's cache does not have the list of its files"
        yield Rot(output.path, wrong, chain(f"rm -rf {shlex.quote(output.path)}", remake))


def _metrics_faults(books: Books, output: Output) -> Iterator[Rot]:
    """A file that belongs to git, so that `dvc checkout` does not bring it back."""
    here = books.here(output.path)
    if here == output.md5:
        return
    blob = ledger.committed(books.root, output.path)
    committed = None if blob is None else hashlib.md5(blob, usedforsecurity=False).hexdigest()
    if here is not None and committed == here:
        yield _lock_fault(books, output, here)
        return
    if committed == output.md5:
        mend = f"git checkout HEAD -- {shlex.quote(output.path)}"
    else:
        mend = chain(rm(output.path), _remake(output))
    yield Rot(output.path, "is not there" if here is None else f"is not the file that {_record(output)} names", mend)


def _lock_fault(books: Books, output: Output, here: str) -> Rot:
    """The output is whole, and DVC's record names something that nobody has."""
    wrong = f"names {output.path} with the md5 {output.md5}, and what is there is whole, with {here}"
    if output.target.endswith(".dvc"):
        return Rot(output.target, wrong, f"dvc commit --force {shlex.quote(output.target)}")
    return Rot(LOCK, wrong, restored_lock(books.root, f"dvc repro {output.target}", (output.path, here)))


def restored_lock(root: Path, otherwise: str, expected: tuple[str, str] | None = None) -> str:
    """The command that brings dvc.lock back: from git when its newest commit names what is ``expected``."""
    try:
        known = {
            (output.path, output.md5) for output in ledger.outputs_of_lock(ledger.committed(root, LOCK) or b"", root)
        }
    except LedgerError:
        return otherwise
    return f"git checkout HEAD -- {LOCK}" if expected is None or expected in known else otherwise


def _remake(output: Output) -> str:
    """The command that makes an output anew, or gets what nobody here can make."""
    if output.target.endswith(".dvc"):
        return f"dvc pull --force {shlex.quote(output.target)}"
    return f"dvc repro {output.target}"


def _record(output: Output) -> str:
    return output.target if output.target.endswith(".dvc") else LOCK


def shown(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def files_in(path: Path) -> list[Path]:
    """The file, or the files of the folder."""
    return [path] if path.is_file() else sorted(inner for inner in path.rglob("*") if inner.is_file())
