"""What every test needs: Hypothesis without deadlines, since a shared machine may pause at any moment,
and one thread for networks so small that more would only wait for each other."""

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported
settings.register_profile("elo", deadline=None)
settings.load_profile("elo")
