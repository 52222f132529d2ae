"""The checks of this project: `pip install nox && nox`.

`nox` alone runs lint, types, imports and tests, and prints what each took; `nox -s build`, `nox -s
minimums`, `nox -s perf`, `nox -s alive`, `nox -s ranking` and `nox -s cheaper` run on request. Everything comes from
`uv.lock` and stays under `.nox`. Types, imports, tests and perf share one environment, because a
PyTorch with CUDA takes 5 GB; lint makes do with a few megabytes of its own, so that `nox -s lint`
answers at once. Arguments after `--` go to pytest, those of perf, alive, ranking and cheaper to the
measurement: `nox -s "perf(training)" -- --quick`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
SHARED = ROOT / ".nox" / "shared"
MINIMUMS = ROOT / ".nox" / "minimums-shared"
MEASURED = ["preprocessing", "training", "engine", "gpu", "fitness", "searching", "benchmarks"]  # files of tests/perf


def locked(package: str) -> str:
    """Return `package==version` as uv.lock has it."""
    match = re.search(rf'^name = "{package}"\nversion = "(.+)"$', (ROOT / "uv.lock").read_text(), re.MULTILINE)
    assert match, f"uv.lock has no {package}"
    return f"{package}=={match[1]}"


def run(session: nox.Session, environment: Path, program: str, *arguments: str) -> None:
    """Run a program of one of our own environments."""
    path = os.pathsep.join([str(environment / SCRIPTS), os.environ.get("PATH", "")])
    variables = {"VIRTUAL_ENV": str(environment), "UV_PROJECT_ENVIRONMENT": str(environment), "PATH": path}
    # PYTHONPATH could bring another checkout of elo in front of the installed one.
    session.run(str(environment / SCRIPTS / program), *arguments, external=True, env={**variables, "PYTHONPATH": None})


def with_uv(session: nox.Session, environment: Path) -> Path:
    """Make an environment that holds the locked uv and nothing else, unless it is there already."""
    if not (environment / SCRIPTS / "uv").exists() and not (environment / SCRIPTS / "uv.exe").exists():
        session.run(sys.executable, "-m", "venv", "--clear", str(environment), external=True)
        run(session, environment, "python", "-m", "pip", "install", "--quiet", locked("uv"))
    return environment


def shared(session: nox.Session) -> Path:
    """Bring the shared environment to what uv.lock says; takes a fraction of a second when it is."""
    environment = with_uv(session, SHARED)
    run(session, environment, "uv", "sync", "--quiet", "--frozen", "--group", "dev")
    return environment


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("--quiet", locked("ruff"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Check types."""
    run(session, shared(session), "mypy")


@nox.session(venv_backend="none")
def imports(session: nox.Session) -> None:
    """Check that each floor imports only from the floors below it."""
    run(session, shared(session), "lint-imports")


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the tests."""
    run(session, shared(session), "pytest", "--numprocesses", "auto", "--dist", "worksteal", *session.posargs)


@nox.session(venv_backend="none", default=False)
def build(session: nox.Session) -> None:
    """Build the wheel, install it away from the checkout, and ask it for its help and its presets."""
    environment = shared(session)
    work = Path(session.create_tmp()).resolve()
    wheels, fresh = work / "wheels", work / "fresh"
    run(session, environment, "uv", "build", "--quiet", "--wheel", "--clear", "--out-dir", str(wheels))
    session.run(sys.executable, "-m", "venv", "--clear", str(fresh), external=True)
    run(session, fresh, "python", "-m", "pip", "install", "--quiet", "--no-deps", *map(str, wheels.glob("*.whl")))
    # The dependencies are borrowed from the shared environment. A line in a .pth file lends its
    # packages but not its own .pth files, so that elo itself can come from the wheel alone.
    lend = "import sysconfig; print(sysconfig.get_path('purelib'))"
    lender, borrower = (
        subprocess.run([place / SCRIPTS / "python", "-c", lend], check=True, capture_output=True, text=True).stdout.strip()
        for place in (environment, fresh)
    )
    Path(borrower, "borrowed.pth").write_text(lender + "\n")
    session.chdir(work)
    run(session, fresh, "elo", "--help")
    run(session, fresh, "elo", "presets")


@nox.session(venv_backend="none", default=False)
def minimums(session: nox.Session) -> None:
    """Run the tests with the lowest versions that pyproject.toml allows."""
    environment = with_uv(session, MINIMUMS)
    tools = [locked(name) for name in ("hypothesis", "pytest", "pytest-timeout")]
    lowest = ["--resolution", "lowest-direct", "--upgrade"]
    run(session, environment, "uv", "pip", "install", "--quiet", *lowest, "--editable", ".", *tools)
    run(session, environment, "pytest", *session.posargs)


@nox.session(venv_backend="none", default=False)
@nox.parametrize("what", MEASURED, ids=MEASURED)
def perf(session: nox.Session, what: str) -> None:
    """Measure preprocessing, training, fitness measures, searches and benchmarks; needs a quiet machine (docs/speed.md)."""
    run(session, shared(session), "python", "-m", f"tests.perf.{what}", *session.posargs)


@nox.session(venv_backend="none", default=False)
def alive(session: nox.Session) -> None:
    """Train every task alone and measure it on unseen clips; takes an hour (docs/objective.md)."""
    run(session, shared(session), "python", "-m", "tests.perf.alive", *session.posargs)


@nox.session(venv_backend="none", default=False)
def ranking(session: nox.Session) -> None:
    """Ask which measure without labels ranks losses as accuracy does; takes hours (docs/fitness.md)."""
    run(session, shared(session), "python", "-m", "tests.perf.ranking", *session.posargs)


@nox.session(venv_backend="none", default=False)
def cheaper(session: nox.Session) -> None:
    """Compare ways to search by the steps that they train and by what they find; takes hours (docs/search.md)."""
    run(session, shared(session), "python", "-m", "tests.perf.cheaper", *session.posargs)
