"""The journal survives kills: whole lines stay, a torn one is cut off, copies outlive what they were made of."""

import json
import threading
from pathlib import Path

import pytest

from faceseg.tracking.journal import BusyError, Journal, Sent, journals


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.append("start", params={}, tags={})
    with journal.path.open("ab") as file:
        file.write(b'{"kind": "epo')
    assert [line["kind"] for line in journal.lines()] == ["start"]
    journal.append("trained", model_sha256="x", files={})
    assert [json.loads(line)["kind"] for line in journal.path.read_text().splitlines()] == ["start", "trained"]


def test_a_first_line_that_is_torn_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.path.write_bytes(b'{"kind": "sta')
    assert journal.lines() == []
    journal.append("start")
    assert [line["kind"] for line in journal.lines()] == ["start"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.append("start")
    with journal.path.open("ab") as file:
        file.write(b"{damaged}\n")
    with pytest.raises(ValueError, match=r"a\.jsonl, line 2 is damaged .*take the line out"):
        journal.lines()


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    threads = [
        threading.Thread(target=lambda n=n: [journal.append("system", step=n, text="x" * 5000) for _ in range(10)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line["step"] for line in journal.lines()) == sorted(list(range(4)) * 10)


def test_a_copy_stays_what_it_was(tmp_path: Path) -> None:
    journal, source = Journal(tmp_path / "a.jsonl"), tmp_path / "curves.csv"
    source.write_text("first")
    first = journal.keep(source)
    source.write_text("second")
    second = journal.keep(source)
    assert [journal.kept(name).read_text() for name in (first, second)] == ["first", "second"]
    journal.drop(first)
    assert not journal.kept(first).exists()
    assert journal.keep(source) == second


def test_each_store_has_a_count_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.note_sent("sqlite:///a", "run-a", 3)
    journal.note_sent("http://b", "run-b", 1)
    journal.note_sent("sqlite:///a", "run-a", 4)
    again = Journal(tmp_path / "a.jsonl")
    assert again.sent("sqlite:///a") == Sent("run-a", 4)
    assert again.sent("http://b") == Sent("run-b", 1)
    assert again.sent("http://c") == Sent(None, 0)


def test_one_process_delivers_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    with journal.delivering(), pytest.raises(BusyError, match="by another process"), journal.delivering():
        pass
    with journal.delivering():  # free again
        pass


def test_journals_come_in_the_order_of_their_beginning(tmp_path: Path) -> None:
    folder = tmp_path / ".faceseg" / "journal"
    folder.mkdir(parents=True)
    for name, began in (("b", 10), ("a", 30), ("c", 20)):
        (folder / f"{name}.jsonl").write_text(json.dumps({"kind": "start", "time_ms": began}) + "\n")
    assert [journal.path.stem for journal in journals(tmp_path)] == ["b", "c", "a"]
