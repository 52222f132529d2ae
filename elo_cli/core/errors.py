"""Every error that elo raises on purpose: one tree, each with its exit code and its mend.

A message says what went wrong, where and why; the hint says how to mend it. The command line
prints both and leaves with `exit_code`; a traceback is for our own bugs, not for these.
"""


class EloError(Exception):
    """An error with a hint for the person who meets it.

    Args:
        message: what went wrong, where and why, in one or two sentences.
        hint: how to mend it; empty when the message already says so.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TrainingError(EloError):
    """A computation could not go on, such as a loss that is no longer finite."""


class UsageError(EloError):
    """A setting, an argument, a preset or a loss file is wrong: nothing has been started."""

    exit_code = 2


class DataError(EloError):
    """The videos, the lists or the files of a data set are missing, empty or damaged."""

    exit_code = 3


class VideoError(DataError):
    """One video cannot be used.

    Args:
        reason: one word of the closed vocabulary `VIDEO_REASONS`, for counting.
        message: the whole story, FFmpeg's own words included.
    """

    def __init__(self, reason: str, message: str) -> None:
        assert reason in VIDEO_REASONS, reason
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["VideoError"], tuple[str, str]]:
        return VideoError, (self.reason, self.message)


VIDEO_REASONS = (
    "empty-file",  # zero bytes
    "unreadable",  # the operating system refuses to open it
    "not-a-video",  # no container that elo opens
    "no-video-stream",  # sound only, or nothing at all
    "no-decoder",  # the codec is not in PyAV's build
    "no-frames",  # a stream is there, but not one frame could be decoded
    "too-large",  # more pixels than the bound
    "too-short",  # fewer frames than a clip needs
    "decode-error",  # anything else that FFmpeg reports
    "out-of-memory",  # it needs more than a worker may allocate
    "timeout",  # it took longer than one video may
    "crash",  # the worker process died of it, twice
)

VIDEO_STAGES = ("open", "decode", "sound", "flow", "store")  # where a video can fail


class MachineError(EloError):
    """Something of the machine is missing: a library, a codec, memory, a device."""

    exit_code = 4


class LockedError(MachineError):
    """Another process is at work in this run directory."""


class AbandonedError(MachineError):
    """Another of the processes that train together has ended."""


class StorageError(EloError):
    """The disk is full, read-only, or returned an error."""

    exit_code = 74


class Stopped(EloError):
    """The work was asked to stop (SIGTERM, SIGUSR1); it is saved and the same command resumes it."""

    exit_code = 75


class Interrupted(Stopped):
    """The work was stopped from the keyboard; it is saved and the same command resumes it."""

    exit_code = 130
