"""Progress in a log and on a terminal."""

import io

import pytest
from rich.console import Console

from faceseg import progress


def test_a_log_gets_one_line_at_the_end_of_short_work(capsys):
    assert list(progress.track("abc", 3, "reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "reading: 3 of 3, 0 s\n"


def test_a_log_gets_a_line_when_it_was_silent_for_long(capsys, monkeypatch):
    clock = iter([0.0, 4.0, 11.0, 15.0, 20.0, 21.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(progress.track(range(4), 4, "reading")) == [0, 1, 2, 3]
    assert capsys.readouterr().err.splitlines() == ["reading: 2 of 4, 11 s", "reading: 4 of 4, 21 s"]


def test_a_log_says_how_far_failed_work_came(capsys):
    def broken():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(progress.track(broken(), 5, "reading"))
    assert capsys.readouterr().err == "reading: 1 of 5, 0 s\n"


def test_a_terminal_gets_a_bar(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=100))
    assert list(progress.track(range(3), 3, "reading")) == [0, 1, 2]
    assert "reading" in screen.getvalue()
    assert "3/3" in screen.getvalue()


def test_work_of_unknown_length_tells_what_is_done(capsys):
    assert list(progress.track(iter("ab"), None, "download, MiB")) == ["a", "b"]
    assert capsys.readouterr().err == "download, MiB: 2, 0 s\n"
