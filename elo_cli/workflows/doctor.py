"""`elo doctor`: what this machine has, what will be used, what is wrong, and what a step costs."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elo_cli.core.errors import EloError, MachineError, Stopped
from elo_cli.core.settings import MachineSettings, Settings
from elo_cli.core.train_settings import TrainSettings
from elo_cli.workflows.checkup import Check, examine, of_error
from elo_cli.workflows.events import Outcome, Table, Watch, size_text
from elo_cli.workflows.inventory import Inventory, take_inventory

if TYPE_CHECKING:  # torch may be what is broken: what needs it is imported once it is known to work
    from elo_cli.core.weights import LossWeights
    from elo_cli.engine.precision import Precision
    from elo_cli.workflows.step_cost import Measured


class UnfitMachine(MachineError):
    """A check failed.

    Attributes:
        outcome: all that was found, as that of a machine without fault.
    """

    def __init__(self, message: str, *, hint: str, outcome: Outcome) -> None:
        super().__init__(message, hint=hint)
        self.outcome = outcome


def run(*, settings: Settings, loss: str | None, proxy: bool, quick: bool, watch: Watch, available: int | None = None) -> Outcome:
    """Look at this machine, and try what a step of training costs on it.

    Args:
        loss: a loss file; None or `uniform` for equal weights of all terms.
        proxy: try the proxies of a search instead of `pretrain`.
        quick: try nothing.
        available: bytes that training may take; what is free if None.

    Raises:
        UsageError: the loss file is wrong.
        UnfitMachine: a check failed.
    """
    here = take_inventory(Path(settings.workspace))
    result: dict[str, Any] = {"here": asdict(here)}
    before = [_machine(here)]
    after: list[Table] = []
    if {"torch", "torchvision"} & set(here.imports):
        checks = examine(here, settings.machine, 0, 0)
    else:
        name = "proxy" if proxy else "pretrain"
        weights = _weights(settings, loss)
        used, loaders, checks = _used(settings.machine)
        checks += examine(here, settings.machine, loaders, _batch_bytes(settings, name))
        if used is not None:
            result["used"] = used.describe() | {"threads": used.threads, "loader_workers": loaders}
            before.append(_choices(here, settings.machine, used, loaders))
        if used is not None and not quick:
            free = here.memory.available if available is None else available
            bound = free if used.device.type == "cpu" else None
            for check in checks:
                if check.state != "fine":
                    watch.warn(f"{check.name}: {check.found}.")
            found, more = _try(settings, name, weights, bound, free, loaders, watch)
            checks += more
            if found is not None:
                from elo_cli.workflows import cost_tables

                given = getattr(settings, name)
                result["step"] = {"of": name, "terms": len(weights.active()), **cost_tables.told(found, given)}
                after += cost_tables.tables(found, given, name)
    result["checks"] = [asdict(check) for check in checks]
    outcome = Outcome(result, (*before, _checks(checks), *after))
    failed = [check for check in checks if check.state == "failure"]
    if failed:
        said = f"{len(failed)} of {len(checks)} checks failed: {', '.join(check.name for check in failed)}."
        raise UnfitMachine(said, hint=failed[0].mend, outcome=outcome)
    return outcome


def _weights(settings: Settings, loss: str | None) -> "LossWeights":
    from elo_cli.core.weights import LossWeights
    from elo_cli.tasks import all_terms
    from elo_cli.workflows.material import read_loss

    terms = all_terms(settings.objective)
    return LossWeights.uniform(terms) if loss in (None, "uniform") else read_loss(Path(loss), terms)


def _used(machine: MachineSettings) -> "tuple[Precision | None, int, list[Check]]":
    """Return how networks would be computed, the processes that would load clips, and what stands against it."""
    from elo_cli.engine.precision import Precision
    from elo_cli.engine.setup import loader_workers

    try:
        used = Precision.choose(machine)
    except MachineError as error:
        return None, 0, [of_error("device", error)]
    return used, loader_workers(machine, used), []


def _batch_bytes(settings: Settings, name: str) -> int:
    """Return the bytes of a batch with everything that a term could ask of the loader, or more."""
    from elo_cli.data.loader import source_shapes
    from elo_cli.data.video_set import StoredRates

    given, stored = getattr(settings, name), settings.preprocess
    shapes = source_shapes(given.clip, StoredRates(stored.fps, stored.hop_seconds, stored.mels))
    read = [shape for source, shape in shapes.items() if source.modality in settings.objective.modalities]
    return int(4 * given.batch * sum(math.prod(shape) for shape in read))


def _try(
    settings: Settings, name: str, weights: "LossWeights", bound: int | None, free: int, loaders: int, watch: Watch
) -> "tuple[Measured | None, list[Check]]":
    """Try steps; what goes wrong in them is a check that failed."""
    from elo_cli.workflows.step_cost import measure
    from elo_cli.workflows.trying import Trials

    try:
        found = measure(Trials(settings, getattr(settings, name), weights, bound, watch), free, loaders)
    except Stopped:
        raise
    except EloError as error:
        return None, [of_error("a step", error)]
    except RuntimeError as error:  # of torch: too little memory for oneDNN, or a GPU that it has no code for
        words = str(error).strip().partition("\n")[0]
        if bound is None:
            return None, [Check("a step", "failure", words, "Try --set machine.device=cpu; if that goes well, it is the GPU.")]
        mend = "Use a smaller preset (elo presets), or free memory; if there was enough, report it with this output."
        return None, [Check("a step", "warning", f"not even one can be tried with {size_text(bound)}: {words}", mend)]
    return found, list(_verdict(found, getattr(settings, name), name))


def _verdict(found: "Measured", given: TrainSettings, name: str) -> Iterator[Check]:
    from elo_cli.workflows.cost_tables import next_command

    if found.lines is None:
        broken = found.reason == "crash" and "no memory left" not in found.lost[0]
        mend = "Report it, with this output." if broken else "Use a smaller preset: elo presets."
        yield Check("a step", "failure" if broken else "warning", f"not even one can be tried: {found.lost[0]}", mend)
        return
    way = next_command(found, given, name)
    size = size_text(found.lines.bytes(given.batch, given.accumulate))
    if found.fits(given.batch, given.accumulate):
        yield Check("a step", "fine", f"{given.batch} clips fit into {size_text(found.room)}")
        return
    said = f"{given.batch} clips need {size}, and {size_text(found.room)} may be used"
    yield Check("a step", "warning", said, way or "Use smaller clips, a smaller network, or a smaller preset: elo presets.")


def _machine(here: Inventory) -> Table:
    memory, limit = here.memory, here.limit
    rows = [
        ("processor", here.processor),
        ("instructions", " ".join(here.instructions) or "none that matters"),
        ("processors", f"{here.processors} may be used" + ("" if limit is None else f" (control group: {limit:g})")),
        ("memory", f"{size_text(memory.total)}, {size_text(memory.available)} free" + _limited(memory.limit)),
        *(
            ("GPU", f"{gpu.name}, {size_text(gpu.memory)}, compute capability {gpu.capability}{', bf16' * gpu.bf16}")
            for gpu in here.gpus
        ),
        *([] if here.gpus else [("GPU", "none that torch can use")]),
        ("disk", f"{size_text(here.disk.free)} free in {here.disk.folder}"),
        ("shared memory", "no /dev/shm" if here.shared is None else f"{size_text(here.shared)} free"),
        ("open files", f"{here.open_files[0]} at most"),
        ("decodes", ", ".join(name for name, decodes in here.codecs.items() if decodes) or "not known"),
        ("C++ compiler", here.compiler or "none; only machine.compile needs one"),
        *(
            (f"extra {name}", "installed" if there else f"not installed; pip install 'elo-cli[{name}]'")
            for name, there in here.extras.items()
        ),
        ("Python", here.python),
        *((package, version or "not installed") for package, version in here.versions.items()),
        ("CUDA of torch", here.cuda or "none"),
    ]
    return Table("This machine has", ("what", "found"), rows)


def _limited(limit: int | None) -> str:
    return "" if limit is None else f" (control group: {size_text(limit)} at most)"


def _choices(here: Inventory, machine: MachineSettings, used: "Precision", loaders: int) -> Table:
    """Say what will be used, and why."""
    gpu, fast = used.device.type != "cpu", "no bfloat16 instructions"
    words = [word for word in here.instructions if word in ("avx512_bf16", "amx_bf16", "amx_tile")]
    if gpu:
        fast = "the GPU computes in bfloat16" if used.bf16 or used.channels_last else "the GPU has no bfloat16"
    elif words:
        fast = f"the processor has {' and '.join(words)}"
    layout = "channels_last" if used.channels_last else "contiguous"
    few = "on few processors, loading and training would take turns" if not loaders else "half of the processors, 8 at most"
    free = "torch can use a GPU" if gpu else "torch can use no GPU"
    rows = [
        ("device", str(used.device), _why(machine.device, "device", free)),
        ("number format", "bf16" if used.bf16 else "float32", _why(machine.precision, "precision", fast)),
        ("memory layout", layout, _why(machine.layout, "layout", fast)),
        ("threads", str(used.threads), _why(machine.threads, "threads", "every processor that may be used")),
        ("code", "compiled" if used.compiled else "as it is", f"machine.compile={str(machine.compile).lower()}"),
        ("loading processes", str(loaders), _why(machine.loader_workers, "loader_workers", few)),
    ]
    return Table("What will be used", ("what", "choice", "why"), rows)


def _why(setting: object, name: str, reason: str) -> str:
    return reason if setting == "auto" else f"machine.{name}={setting}"


def _checks(checks: Sequence[Check]) -> Table:
    rows = [(check.name, check.state, check.found, check.mend) for check in checks]
    shown = 4 if any(check.mend for check in checks) else 3
    return Table("Checks", ("check", "is", "found", "how to mend it")[:shown], [row[:shown] for row in rows])
