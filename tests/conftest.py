"""What every test needs: Hypothesis without deadlines, since a shared machine may pause at any moment."""

from hypothesis import settings

settings.register_profile("elo", deadline=None)
settings.load_profile("elo")
