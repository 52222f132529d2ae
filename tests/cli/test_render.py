"""Tests of what is drawn: results, bars, lines, and text from outside that must not steer the terminal."""

import contextlib
import fcntl
import io
import json
import os
import pty
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.cli.pace import Pace, duration_text, rate_text
from elo_cli.cli.render import plain, show_json, show_outcome
from elo_cli.cli.signals import StopRequest
from elo_cli.cli.terminal import escape, escape_lines, has_colour, is_terminal
from elo_cli.cli.watching import BarWatch, LineWatch, open_watch
from elo_cli.workflows.events import Outcome, Table

EVIL = "[red]a\x1b[2J\nb\udcff\x9b1m\u202e"
EVIL_SHOWN = r"[red]a\x1b[2J\nb\xff\x9b1m\u202e"
OUTCOME = Outcome(
    {"accuracy": 0.5},
    [Table("Scores of " + EVIL, ["video", "accuracy"], [[EVIL, "0.5"], ["日本", "12.25"]], note="Larger is better.")],
    {"log": "runs/log.jsonl", "best loss": EVIL},
    "elo pretrain",
)


class Clock:
    """A clock that a test turns by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def read_all(terminal: int) -> Iterator[bytes]:
    """Yield what is written to a terminal until it is closed at the other end."""
    with contextlib.suppress(OSError):  # that is how Linux says so
        while chunk := os.read(terminal, 4096):
            yield chunk


def on_terminal(draw: Callable[[], None], monkeypatch: pytest.MonkeyPatch, columns: int = 100, **environment: str) -> str:
    """Return what `draw` writes to stdout and stderr when both are a terminal."""
    chunks: list[bytes] = []
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color"} | environment).items():
        monkeypatch.setenv(name, value)
    with os.fdopen(theirs, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        reader = threading.Thread(target=lambda: chunks.extend(read_all(ours)))
        reader.start()
        draw()
    reader.join()
    os.close(ours)
    return b"".join(chunks).decode().replace("\r\n", "\n")


def test_results_are_plain_aligned_text_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_outcome(OUTCOME)
    written = capsys.readouterr()
    assert written.err == ""
    assert written.out == (
        f"Scores of {EVIL_SHOWN}\n"
        f"{'video':{len(EVIL_SHOWN)}}  accuracy\n"
        f"{EVIL_SHOWN}       0.5\n"
        f"日本{' ' * (len(EVIL_SHOWN) - 4)}     12.25\n"
        "Larger is better.\n\n"
        f"Files:\n  log        runs/log.jsonl\n  best loss  {EVIL_SHOWN}\n\n"
        "Next: elo pretrain\n"
    )


def test_results_are_boxed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for environment in ({}, {"NO_COLOR": "1"}):
        text = on_terminal(lambda: show_outcome(OUTCOME), monkeypatch, **environment)
        assert "╭" in text and f"│ {EVIL_SHOWN} │      0.5 │" in text
        assert "\x1b[2J" not in text and "\x9b" not in text
    assert "\x1b" not in text  # NO_COLOR
    assert "╭" not in on_terminal(lambda: show_outcome(OUTCOME), monkeypatch, TERM="dumb")


def test_a_result_without_tables_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show_outcome(Outcome({"videos": 3, "rate": float("nan")}))
    assert capsys.readouterr().out == "videos: 3\nrate: null\n"


def test_lines_of_python_stand_at_the_margin(capsys: pytest.CaptureFixture[str]) -> None:
    show_outcome(Outcome({}, files={"file": "a"}, python="import a\n    a.b('[red]\x1b[2J')"))
    assert capsys.readouterr().out == "Files:\n  file  a\n\nIn Python:\nimport a\n    a.b('[red]\\x1b[2J')\n"


def test_json_holds_only_what_json_knows(capsys: pytest.CaptureFixture[str]) -> None:
    show_json(
        {"a": float("inf"), "b": (np.float32(0.5), np.array([1, 2])), "c": Path("x"), "d": {"é\udcff\x1b"}, "e": None, "f": True}
    )
    out = capsys.readouterr().out
    assert out.isascii() and "\x1b" not in out
    assert json.loads(out) == {"a": None, "b": [0.5, [1, 2]], "c": "x", "d": ["é\udcff\x1b"], "e": None, "f": True}
    with pytest.raises(TypeError, match="object"):
        plain({"a": object()})


@given(st.text(st.characters(codec=None), max_size=50))
def test_escaped_text_is_one_line_that_steers_nothing(text: str) -> None:
    shown = escape(text)
    assert shown.isprintable() or not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert all(line.startswith(" ") for line in escape_lines(text).split("\n")[1:])


def watch_all(watch: LineWatch, clock: Clock) -> None:
    watch.start("training", 500, "step")
    for done in range(241, 361):  # a resumed run: the first 240 steps cost nothing now
        clock.now += 0.5
        watch.advance("training", done, {"loss": 1.2345678})
    watch.note("a note of " + EVIL.replace("\n", ""))
    watch.warn("one\ntwo")
    watch.finish("training")


def test_lines_are_said_at_the_start_every_30_seconds_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    watch_all(LineWatch(StopRequest(""), clock), clock)
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.splitlines() == [
        "training: started, 500 step",
        "training: 300/500 step, 2.0 step/s, 1 min 40 s left, loss 1.235",
        "training: 360/500 step, 2.0 step/s, 1 min 10 s left, loss 1.235",
        "a note of " + EVIL_SHOWN.replace(r"\n", ""),
        "Warning: one",
        "  two",
        "training: 360/500 step in 1 min, loss 1.235",
    ]


ROUNDS = Table("zipf by [round]", ("round", "best"), (("0", "0.25"), ("1", EVIL)), note="2 of 4 candidates")


def test_what_is_new_is_a_line_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    watch = LineWatch(StopRequest(""), clock)
    watch.start("searching", 40, "step")
    watch.show("searching", ROUNDS, "round 0 is over: " + EVIL)
    clock.now += 20.0
    watch.advance("searching", 0)
    clock.now += 9.0
    watch.advance("searching", 10)
    watch.show("searching", ROUNDS)
    watch.show("searching", ROUNDS, "round 1 is over")
    clock.now += 29.0
    watch.advance("searching", 20)
    assert capsys.readouterr().err.splitlines() == [
        "searching: started, 40 step",
        f"searching: round 0 is over: {EVIL_SHOWN}",
        "searching: round 1 is over, 1 min 27 s left",
    ]


def test_what_a_stage_shows_is_below_its_bar_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw() -> None:
        with open_watch(StopRequest("")) as watch:
            assert isinstance(watch, BarWatch)
            watch.start("searching", 4, "step")
            watch.show("searching", ROUNDS, "round 0 is over")
            watch._progress.refresh()
            said.append(list(watch._tables))
            watch.finish("searching")
            said.append(list(watch._tables))

    said: list[list[str]] = []
    text = on_terminal(draw, monkeypatch, columns=60)
    assert text.index("0/4 step") < text.index("zipf by [round]\n") < text.index("╭") < text.index("2 of 4 candidates")
    assert EVIL_SHOWN in text.replace(" │\n", "") and "\x1b[2J" not in text.split("zipf")[1].split("2 of 4")[0]
    assert "round 0 is over" not in text
    assert said == [["searching"], []]


def test_bars_are_drawn_on_a_terminal_and_leave_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw() -> None:
        with open_watch(StopRequest("")) as watch:
            watch.start("training [red]", 4, "step")
            watch.start("clips", None, "clip")
            watch.advance("training [red]", 2, {"loss": 0.5})
            watch.note("a note")
            if isinstance(watch, BarWatch):
                watch._progress.refresh()
            watch.finish("training [red]")

    text = on_terminal(draw, monkeypatch)
    assert "2/4 step, loss 0.5" in text and "━" in text and "a note\n" in text and "0 clip" in text
    assert "training [red]: 2/4 step in 0 s, loss 0.5\n" in text
    assert "\x1b[?25h" in text  # the cursor is shown again
    assert "\x1b[38" not in on_terminal(draw, monkeypatch, NO_COLOR="1")
    assert "\x1b" not in on_terminal(draw, monkeypatch, TERM="dumb")


def test_nobody_reading_the_progress_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        clock = Clock()
        watch_all(LineWatch(StopRequest(""), clock), clock)
        with pytest.raises(OSError, match="Broken pipe"):
            stream.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_terminal(io.StringIO())
    seen = []
    for environment in ({}, {"NO_COLOR": "1"}, {"NO_COLOR": ""}, {"TERM": "dumb"}):
        on_terminal(lambda: seen.append((is_terminal(sys.stdout), has_colour(sys.stdout))), monkeypatch, **environment)
    assert seen == [(True, True), (True, False), (True, True), (False, False)]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min"), (125, "2 min 5 s"), (3000, "50 min"), (3900, "1 h 5 min"), (86400 * 2 + 3600, "2 d 1 h")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(32.4, "32 x/s"), (3.24, "3.2 x/s"), (0.5, "30 x/min"), (0.001, "3.6 x/h"), (1e-5, "0.0 x/h")]
)
def test_rates_take_the_unit_they_need(rate: float, text: str) -> None:
    assert rate_text(rate, "x") == text


def test_a_pace_of_slow_units_counts_from_the_start() -> None:
    pace = Pace("search", 10, "round", 0.0)
    assert pace.rate(5.0) is None and pace.describe(5.0) == "0/10 round"
    pace.advance(600.0, 1, None)
    assert pace.describe(600.0) == "1/10 round, 6.0 round/h, 1 h 30 min left"
