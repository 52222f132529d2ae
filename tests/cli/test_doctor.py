"""`elo doctor` at the command line: stdout is the result, a failed check ends it with 4."""

import json
from pathlib import Path

from tests.support.commands import SETTINGS, elo, finish, start


def test_json_is_pure_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "elo.yaml").write_text(SETTINGS)
    code, said, complained = finish(start("doctor --json", tmp_path))
    told = json.loads(said)
    assert code == 0 and told["step"]["of"] == "pretrain" and told["used"]["threads"] == 1 and "a step of 2 clips" in complained
    assert [path.name for path in tmp_path.iterdir()] == ["elo.yaml"]


def test_a_failed_check_ends_it_with_4_after_everything_is_shown(tmp_path: Path) -> None:
    done = elo("doctor --quick --json --set machine.device=cuda:99", tmp_path)
    assert done.exit_code == 4 and "checks failed: device" in done.stderr and "How to mend it:" in done.stderr
    assert [check["name"] for check in json.loads(done.stdout)["checks"] if check["state"] == "failure"] == ["device"]
    shown = elo("doctor --quick --set machine.device=cuda:99", tmp_path)
    assert shown.exit_code == 4 and "This machine has" in shown.stdout and "how to mend it" in shown.stdout


def test_proxies_can_be_tried_and_tables_are_for_people(tmp_path: Path) -> None:
    (tmp_path / "elo.yaml").write_text(SETTINGS)
    done = elo("doctor --proxy --loss uniform", tmp_path)
    assert done.exit_code == 0 and "A step of proxy here: 4×16² clips" in done.stdout and "The whole of proxy" in done.stdout
