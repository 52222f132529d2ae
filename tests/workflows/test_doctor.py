"""`elo doctor`: what is wrong is told with its mend, and a step is tried without a data set."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elo_cli.cli.render import plain
from elo_cli.config import resolve
from elo_cli.core.errors import UsageError
from elo_cli.core.settings import MachineSettings, Settings
from elo_cli.run.memory import Memory
from elo_cli.workflows import doctor
from elo_cli.workflows.checkup import examine
from elo_cli.workflows.events import Unwatched
from elo_cli.workflows.inventory import Inventory, extras_of, look_at_disk, take_inventory
from elo_cli.workflows.step_cost import MARGIN

GIB = 2**30
TINY = (
    "objective.terms=[rgb.reverse, rgb-audio.embed]",
    "pretrain.clip.frames=4",
    "pretrain.clip.size=16",
    "pretrain.clip.future=2",
    "pretrain.encoder.depth=10",
    "pretrain.encoder.width=4",
    "pretrain.batch=4",
    "machine.threads=1",
    "machine.device=cpu",
)


@pytest.fixture(scope="module")
def here() -> Inventory:
    """This machine, but for what differs from one to another."""
    found = take_inventory(Path("elo"))
    return replace(
        found,
        busy=0.0,
        processors=8,
        memory=Memory(16 * GIB, 8 * GIB, None),
        nvidia_driver=False,
        gpus=(),
        disk=replace(found.disk, free=100 * GIB),
        shared=GIB,
        open_files=(4096, 4096),
    )


def settings_of(*assignments: str) -> Settings:
    return resolve(None, None, [*TINY, *assignments], None)


def run(*assignments: str, **options: Any) -> Any:
    arguments = {"loss": None, "proxy": False, "quick": False, "watch": Unwatched(), **options}
    return doctor.run(settings=settings_of(*assignments), **arguments)


def test_a_machine_without_fault_passes(here: Inventory) -> None:
    checks = examine(here, MachineSettings(), 4, 1000)
    assert [(check.name, check.found) for check in checks if check.state != "fine" or check.mend] == []
    assert here.codecs["h264"] and here.versions["torch"] and here.processor and json.dumps(plain(here.codecs))


@pytest.mark.parametrize(
    ("change", "settings", "name", "state", "words"),
    [
        ({"imports": {"av": "ImportError: x"}, "codecs": {}}, {}, "av", "failure", "pip install --force-reinstall av"),
        ({"imports": {"torchvision": "RuntimeError: nms"}}, {}, "torchvision", "failure", "from one index"),
        ({"codecs": {"h264": False, "aac": True}}, {}, "codecs", "failure", "--only-binary"),
        ({"codecs": {"h264": True, "opus": False}}, {}, "codecs", "warning", "--only-binary"),
        ({"busy": 7.9}, {}, "processors", "warning", "ask again"),
        ({"memory": Memory(16 * GIB, GIB, GIB)}, {}, "memory", "warning", "docker run --memory"),
        ({"memory": Memory(16 * GIB, GIB, None)}, {}, "memory", "warning", "End other programs"),
        ({"nvidia_driver": True, "cuda": ""}, {}, "GPU", "warning", "default build"),
        ({"nvidia_driver": True, "cuda": "13.2"}, {}, "GPU", "warning", "nvidia-smi"),
        ({"instructions": ("avx2",)}, {"precision": "bf16"}, "bf16", "warning", "precision=auto"),
        ({"shared": 64 * 2**20}, {}, "/dev/shm", "warning", "--shm-size=2g"),
        ({"open_files": (256, 4096)}, {}, "open files", "warning", "ulimit -n 4096"),
        ({"compiler": ""}, {"compile": True}, "compiler", "failure", "apt install g++"),
    ],
)
def test_what_is_wrong_comes_with_its_mend(
    here: Inventory, change: dict[str, Any], settings: dict[str, Any], name: str, state: str, words: str
) -> None:
    checks = examine(replace(here, **change), MachineSettings(**settings), 4, GIB // 5)
    faults = [check for check in checks if check.state != "fine" and not (check.name == "codecs" and not change.get("codecs", 1))]
    assert [(check.name, check.state) for check in faults if check.name == name] == [(name, state)]
    assert words in next(check for check in faults if check.name == name).mend


def test_disks_are_checked_where_the_workspace_will_be(here: Inventory, tmp_path: Path) -> None:
    found = look_at_disk(tmp_path / "not" / "there")
    assert found.folder == str(tmp_path) and found.free > 0 and not found.obstacle and not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    assert look_at_disk(tmp_path / "file").obstacle == "it is no folder"
    for disk, state in (
        (replace(found, free=GIB), "warning"),
        (replace(found, free=1), "failure"),
        (replace(found, obstacle="x"), "failure"),
    ):
        (check,) = [check for check in examine(replace(here, disk=disk), MachineSettings(), 0, 0) if check.name == "disk"]
        assert check.state == state and "workspace=" in check.mend


def test_extras_are_read_from_the_distribution() -> None:
    wanted = ["torch>=2.10", "ray<3,>=2.52; extra == 'ray'", 'onnx>=1; extra == "onnx"', "onnxscript; extra == 'onnx'"]
    assert extras_of(wanted) == {"ray": ["ray"], "onnx": ["onnx", "onnxscript"]}


def test_a_step_is_tried_and_the_largest_batch_fits_into_what_there_is() -> None:
    first = run(available=64 * GIB, quick=True)
    assert "step" not in first.result and [table.title for table in first.tables][1] == "What will be used"
    allowed = 1200 * 2**20  # what a process has after its imports, and some hundred megabytes
    outcome = run(available=allowed)
    step = outcome.result["step"]
    assert step["terms"] == 2 and step["fits"] and step["batch"]["measured"] and step["batch"]["bytes"] < allowed
    assert 4 < step["largest_batch"] < 65_536 and step["verified"]
    tried = [trial for trial in step["trials"] if trial["clips"] >= step["largest_batch"]]
    assert tried and step["room_bytes"] == int((1 - MARGIN) * allowed)
    json.dumps(plain(outcome.result), allow_nan=False)


def test_death_by_want_of_memory_is_survived() -> None:
    outcome = run(available=20 * 2**20)
    (check,) = [check for check in outcome.result["checks"] if check["name"] == "a step"]
    assert check["state"] == "warning" and "memory" in check["found"] and "elo presets" in check["mend"]
    assert outcome.result["step"]["fits"] is False


def test_a_device_that_is_not_there_is_a_failure_after_all_is_shown() -> None:
    with pytest.raises(doctor.UnfitMachine, match=r"1 of \d+ checks failed: device") as caught:
        run("machine.device=cuda:99")
    assert caught.value.exit_code == 4 and caught.value.hint and "machine.device=cpu" in caught.value.hint
    assert caught.value.outcome.result["checks"][0]["state"] == "failure" and len(caught.value.outcome.tables) == 2


def test_settings_that_do_not_go_together_are_a_failure() -> None:
    with pytest.raises(doctor.UnfitMachine, match="a step") as caught:
        run("pretrain.recompute=true", "machine.compile=true")
    assert caught.value.hint == "Set one of them to false."


def test_without_torch_the_rest_is_still_looked_at(here: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(here, imports={"torchvision": "RuntimeError: operator torchvision::nms does not exist"})
    monkeypatch.setattr(doctor, "take_inventory", lambda workspace: broken)
    with pytest.raises(doctor.UnfitMachine, match="torchvision") as caught:
        run()
    assert "used" not in caught.value.outcome.result


def test_a_loss_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no loss file"):
        run(loss=str(tmp_path / "none.yaml"))
