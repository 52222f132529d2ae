"""From an exception to what a person reads and the exit code that a script sees."""

import contextlib
import errno
import sys
import traceback

from elo_cli.cli.terminal import complain, escape_lines, paint
from elo_cli.core.errors import AbandonedError, DataError, EloError, MachineError, Stopped, StorageError, UsageError
from elo_cli.core.rank import Rank

_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def report(error: BaseException, *, debug: bool) -> int:
    """Tell about an error on stderr.

    Args:
        error: what was raised.
        debug: print the traceback as well.

    Returns:
        The exit code.
    """
    told, rank = _as_elo_error(error), Rank()
    with contextlib.suppress(UsageError):  # which may be what is to be told
        rank = Rank.announced()
    # Another process says why; those of one machine meet the same settings and the same files.
    said: tuple[type[EloError], ...] = (Stopped, AbandonedError)
    said += (UsageError, DataError) if rank.neighbours == rank.world else ()
    if rank.number and isinstance(told, said):
        return told.exit_code
    if debug:
        complain(escape_lines("".join(traceback.format_exception(error)).rstrip()))
    if told is None:
        kind, text = type(error).__name__, " ".join(str(error).split())
        told = EloError(
            f"This is a bug in elo: {kind}{': ' if text else ''}{text}",
            hint="" if debug else "run again with --debug for the traceback, and report it.",
        )
    word = f"Error in process {rank.number}:" if rank.number else "Error:"
    complain(f"{paint(word, 'red', sys.stderr)} {escape_lines(told.message)}")
    if told.hint:
        complain(f"{paint('How to mend it:', 'bold', sys.stderr)} {escape_lines(told.hint)}")
    return told.exit_code


def _as_elo_error(error: BaseException) -> EloError | None:
    """Return the error as one of ours, or None if nobody foresaw it."""
    if isinstance(error, EloError):
        return error
    if isinstance(error, OSError) and error.errno in _STORAGE:
        where = f"{error.filename}: " if error.filename else ""
        return StorageError(f"{where}{error.strerror}.", hint="Make room, or give another place with --out; then run it again.")
    if isinstance(error, MemoryError):
        return MachineError("Memory ran out.", hint="Give smaller settings, such as a smaller batch.")
    if hasattr(error, "format_message"):  # Typer's: what was typed is wrong
        return _usage_error(error)
    return None


def _usage_error(error: BaseException) -> UsageError:
    """Turn an error of Typer's parser into ours, with the nearest option and the way to the help."""
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help shows what there is." if context else ""
    near = getattr(error, "possibilities", None)
    if near:  # the nearest comes first
        return UsageError(f"{getattr(error, 'message', error)}. Did you mean '{near[0]}'?", hint=hint)
    message = error.format_message()  # type: ignore[attr-defined]
    return UsageError(message if message.endswith((".", "?")) else f"{message}.", hint=hint)
