"""A journal gives back what was written, whatever stopped the writing."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.core.errors import DataError, StorageError
from elo_cli.run.journal import Journal, decode, encode

RECORDS = [{"step": step, "loss": 1 / (step + 1)} for step in range(5)]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "log.jsonl")
    for record in RECORDS:
        journal.append(record)
    return journal


def test_records_come_back_in_order(journal: Journal) -> None:
    assert journal.read() == RECORDS
    assert Journal(journal.path).read() == RECORDS
    assert journal.path.read_text().splitlines()[0] == '{"step": 0, "loss": 1.0, "check": "16dd2119"}'


def test_no_file_is_no_records(tmp_path: Path) -> None:
    assert Journal(tmp_path / "none.jsonl").read() == []
    with pytest.raises(StorageError, match="No such file"):
        Journal(tmp_path / "nowhere" / "log.jsonl").append({"a": 1})


@given(st.dictionaries(st.text().filter(lambda key: key != "check"), VALUES))
def test_any_record_comes_back(record: dict[str, object]) -> None:
    line = encode(record)
    assert line.count(b"\n") == 1
    assert decode(line[:-1]) == record


def test_file_names_that_are_not_utf8_come_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "failures.jsonl")
    journal.append({"video": os.fsdecode(b"\xff\n.mp4")})
    assert os.fsencode(journal.read()[0]["video"]) == b"\xff\n.mp4"


def test_numbers_as_keys_become_text(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.jsonl")
    journal.append({"counts": {10: 1, 9: (2, 3)}})
    assert journal.read() == [{"counts": {"10": 1, "9": [2, 3]}}]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(journal: Journal, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append({"loss": value})
    with pytest.raises(ValueError, match="check"):
        journal.append({"check": "mine"})
    assert journal.read() == RECORDS


def test_a_line_torn_anywhere_counts_as_not_written(journal: Journal) -> None:
    whole = journal.path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for length in range(start, len(whole)):
        journal.path.write_bytes(whole[:length])
        torn = Journal(journal.path)
        assert torn.read() == RECORDS[:-1]
        torn.append({"again": length})
        assert torn.read() == [*RECORDS[:-1], {"again": length}]
        assert Journal(journal.path).read() == torn.read()


@pytest.mark.parametrize(
    "tail", [b"\0" * 100, b"\0" * 99 + b"\n", b"not json\n", b'{"step": 9}\n', b'{"a": NaN, "check": "0"}\n']
)
def test_rubbish_at_the_end_is_cut_off(journal: Journal, tail: bytes) -> None:
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + tail)
    assert journal.read() == RECORDS
    assert journal.path.read_bytes() == whole + tail  # reading changes nothing
    journal.append(RECORDS[-1])
    assert journal.path.read_bytes() == whole


def test_every_flipped_byte_before_the_last_line_is_found(journal: Journal) -> None:
    whole = journal.path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for position in range(last - 1):  # without its newline, the last line but one is part of the last
        flipped = bytearray(whole)
        flipped[position] ^= 4
        journal.path.write_bytes(flipped)
        number = whole.count(b"\n", 0, position) + 1
        with pytest.raises(DataError, match=rf"log\.jsonl, line {number}: the record is damaged"):
            journal.read()
        with pytest.raises(DataError):
            Journal(journal.path).append({"step": 9})
        assert journal.path.read_bytes() == flipped


def test_every_flipped_byte_of_the_last_line_loses_that_line_alone(journal: Journal) -> None:
    whole = journal.path.read_bytes()
    for position in range(whole.rindex(b"\n", 0, -1) + 1, len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 4
        journal.path.write_bytes(flipped)
        assert journal.read() == RECORDS[:-1]


def test_a_repeated_line_counts_once(journal: Journal) -> None:
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join([*lines[:2], lines[1], *lines[2:], lines[-1]]))
    assert journal.read() == RECORDS
    journal.append({"step": 9})
    assert journal.read() == [*RECORDS, {"step": 9}]
    journal.path.write_bytes(b"".join([*lines[:2], lines[1], lines[1], *lines[2:]]))
    with pytest.raises(DataError, match="line 4: the record stands there for the third time"):
        journal.read()


def test_an_append_may_be_repeated(journal: Journal) -> None:
    for _ in range(3):
        journal.append(RECORDS[-1])
        Journal(journal.path).append(RECORDS[-1])
    assert journal.read() == RECORDS
    journal.append(RECORDS[0])
    assert journal.read() == [*RECORDS, RECORDS[0]]


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left") as caught:
        Journal(path).append({"a": 1})
    assert caught.value.exit_code == 74
    assert caught.value.hint


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.jsonl")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError):
            deque(journal.append({"step": step, "text": "x" * 50}) for step in range(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    records = journal.read()
    assert len(records) > 5
    assert journal.path.read_bytes().endswith(b"\n")
    journal.append({"step": "later"})
    assert journal.read() == [*records, {"step": "later"}]


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_failing_disk_leaves_the_file_as_it_was(journal: Journal, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    whole = journal.path.read_bytes()
    written = os.write

    def fail(descriptor: int, *content: bytes) -> int:
        if content:
            written(descriptor, content[0][:7])
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StorageError, match="Input/output error"):
            journal.append({"step": 9})
    assert journal.path.read_bytes() == whole
    journal.append({"step": 9})
    assert journal.read() == [*RECORDS, {"step": 9}]


def test_kill_9_loses_at_most_the_line_being_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    script = (
        "import sys, itertools; from pathlib import Path; from elo_cli.run.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in itertools.count(len(journal.read())):\n"
        "    journal.append({'number': number, 'text': 'x' * 5000})\n"
        "    print(number, flush=True)\n"
    )
    promised = -1
    for pause in (0.0, 0.011, 0.023, 0.037):
        with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            promised = int(process.stdout.readline())
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            promised = max(promised, *(int(line) for line in process.stdout.read().split()), promised)
        numbers = [record["number"] for record in Journal(path).read()]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) in (promised + 1, promised + 2)


def test_lines_are_plain_json(journal: Journal) -> None:
    assert [json.loads(line)["step"] for line in journal.path.read_text().splitlines()] == [0, 1, 2, 3, 4]
