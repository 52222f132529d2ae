"""How many candidates train side by side, where, and what each has."""

import pytest
import torch

from elo_cli.config import resolve
from elo_cli.core.errors import MachineError, UsageError
from elo_cli.core.settings import Settings
from elo_cli.executors import Machine, Needs
from elo_cli.run.environment import processors
from elo_cli.workflows.places import Places, elsewhere, here

CPUS = [Machine(8, 0), Machine(3, 0)]
GPUS = [Machine(8, 2), Machine(64, 4), Machine(16, 0)]


def settings_of(*changes: str) -> Settings:
    return resolve("demo", None, list(changes), 0)


def ray(machines: list[Machine], *changes: str) -> Places:
    return elsewhere(settings_of("search.engine=ray", *changes), lambda: machines)


def test_here_each_processor_has_a_candidate_with_a_thread_of_its_own() -> None:
    places = here(settings_of("machine.device=cpu"))
    assert (places.devices, places.threads) == (["cpu"] * processors(), 1)
    two = here(settings_of("machine.device=cpu", "search.workers=2", "machine.threads=3"))
    assert (two.devices, two.threads) == (["cpu"] * 2, 3)
    assert Places.of(settings_of("machine.device=cpu")) == places


@pytest.mark.parametrize(
    ("machines", "changes", "devices", "needs"),
    [
        (CPUS, (), ["cpu"] * 11, Needs(1)),
        (CPUS, ("machine.threads=2",), ["cpu"] * 5, Needs(2)),  # a machine of three has room for one
        (CPUS, ("search.workers=4",), ["cpu"] * 4, Needs(1)),
        (GPUS, (), ["cuda:0"] * 6, Needs(1, 1)),
        (GPUS, ("machine.device=cpu",), ["cpu"] * 88, Needs(1)),
        (GPUS, ("search.workers_per_device=3",), ["cuda:0"] * 18, Needs(1, 0.3333)),
        (GPUS, ("search.gpus_per_candidate=0.1",), ["cuda:0"] * 48, Needs(1, 0.1)),  # eight processors, and forty tenths
        (GPUS, ("search.gpus_per_candidate=2", "machine.threads=8"), ["cuda:0"] * 3, Needs(8, 2)),
        (GPUS, ("search.gpus_per_candidate=0",), ["cpu"] * 88, Needs(1)),
    ],
)
def test_elsewhere_there_are_as_many_as_the_machines_have_room_for(
    machines: list[Machine], changes: tuple[str, ...], devices: list[str], needs: Needs
) -> None:
    places = ray(machines, *changes)
    assert (places.devices, places.needs, places.threads) == (devices, needs, needs.cpus)


def test_whoever_says_everything_asks_no_machine() -> None:
    def unasked() -> list[Machine]:
        raise AssertionError

    given = settings_of("search.engine=ray", "search.workers=9", "search.gpus_per_candidate=1")
    assert elsewhere(given, unasked).devices == ["cuda:0"] * 9


def test_all_machines_compute_in_the_same_way() -> None:
    places = ray(GPUS)
    assert places.computed == {"device": "cuda", "precision": "bf16", "layout": "channels_last"}
    assert (places.machine.precision, places.machine.layout) == ("bf16", "channels_last")
    assert ray(GPUS, "machine.precision=float32").computed["precision"] == "float32"
    assert ray(CPUS).computed == here(settings_of("machine.device=cpu")).computed
    assert "auto" not in (ray(CPUS).machine.precision, ray(CPUS).machine.layout)


@pytest.mark.parametrize(
    ("machines", "changes", "words"),
    [
        (GPUS, ("machine.device=cuda:1",), "machine.device=cuda:1 names a device of this machine"),
        (GPUS, ("machine.device=cpu", "search.gpus_per_candidate=1"), "device is cpu, and search.gpus_per_candidate is 1"),
        (GPUS, ("machine.device=cuda", "search.gpus_per_candidate=0"), "device is cuda, and search.gpus_per_candidate is 0"),
        (CPUS, ("machine.device=cuda",), "No machine of the cluster has a GPU"),
        (GPUS, ("search.gpus_per_candidate=8",), "which asks for 1 CPU and 8 GPUs"),
        (CPUS, ("machine.threads=9",), "which asks for 9 CPUs"),
    ],
)
def test_what_cannot_be_given_is_refused(machines: list[Machine], changes: tuple[str, ...], words: str) -> None:
    with pytest.raises((UsageError, MachineError), match=words):
        ray(machines, *changes)


@pytest.mark.parametrize(
    "changes", [("search.gpus_per_candidate=1",), ("search.engine=ray", "search.gpus_per_candidate=1.5")], ids=["local", "a part"]
)
def test_gpus_that_mean_nothing_are_refused(changes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="gpus_per_candidate is"):
        settings_of(*changes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_here_each_gpu_has_a_few() -> None:
    devices = here(settings_of("search.workers_per_device=2")).devices
    assert devices == [f"cuda:{number}" for number in range(torch.cuda.device_count())] * 2
