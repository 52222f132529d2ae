"""A module that takes for ever to import, in a worker only."""

import multiprocessing
import time

if multiprocessing.parent_process() is not None:
    time.sleep(600)


def work(job: str, report: object) -> str:
    """Never be reached."""
    return job
