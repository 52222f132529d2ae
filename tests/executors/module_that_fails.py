"""A module that cannot be imported, in a worker only."""

import multiprocessing

if multiprocessing.parent_process() is not None:
    raise ImportError("libGL.so.1: cannot open shared object file")


def work(job: str, report: object) -> str:
    """Never be reached."""
    return job
