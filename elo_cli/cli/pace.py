"""How far a stage of work is, how fast it goes, and when it will be done."""

from collections import deque
from collections.abc import Mapping

_REMEMBERED = 64


class Pace:
    """One stage of work, seen from outside.

    Args:
        stage: what the work is called.
        total: how many units there are, or None if nobody knows.
        unit: what one unit is called.
        now: seconds of a steady clock.
    """

    def __init__(self, stage: str, total: int | None, unit: str, now: float) -> None:
        self.stage = stage
        self.total = total
        self.unit = unit
        self.done = 0
        self.began = now
        self.figures: dict[str, float] = {}
        self._seen: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)

    def advance(self, now: float, done: int, figures: Mapping[str, float] | None) -> None:
        """Take how many units are done in all; the first call may be a leap, where a run is resumed."""
        if not self._seen and done <= 1:
            self._seen.append((self.began, 0))
        self.done = done
        self.figures.update(figures or {})
        if not self._seen or now - self._seen[-1][0] >= 1:
            self._seen.append((now, done))

    def rate(self, now: float) -> float | None:
        """Return the units done in a second of late, or None while that is unknown."""
        if not self._seen:
            return None
        since, before = self._seen[0]
        return (self.done - before) / (now - since) if now > since and self.done > before else None

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest will take, or None while that is unknown."""
        rate = self.rate(now)
        return None if self.total is None or rate is None else max(self.total - self.done, 0) / rate

    def describe(self, now: float) -> str:
        """Say it, as in `120/500 step, 3.2 step/s, 2 min left, loss 1.23`."""
        parts = [self._count()]
        rate, left = self.rate(now), self.seconds_left(now)
        if rate is not None:
            parts.append(rate_text(rate, self.unit))
        if left is not None:
            parts.append(f"{duration_text(left)} left")
        return ", ".join(parts + self._figures())

    def conclude(self, now: float) -> str:
        """Say how it ended, as in `500/500 step in 2 min, loss 1.23`."""
        return ", ".join([f"{self._count()} in {duration_text(now - self.began)}", *self._figures()])

    def _count(self) -> str:
        return f"{self.done}{'' if self.total is None else f'/{self.total}'} {self.unit}"

    def _figures(self) -> list[str]:
        return [f"{name} {value:.4g}" for name, value in self.figures.items()]


def rate_text(rate: float, unit: str) -> str:
    """Write a rate in the largest unit of time that it needs."""
    for factor, name in ((1, "s"), (60, "min"), (3600, "h")):
        if rate * factor >= 1 or name == "h":
            break
    value = rate * factor
    return f"{value:.0f} {unit}/{name}" if value >= 10 else f"{value:.1f} {unit}/{name}"


def duration_text(seconds: float) -> str:
    """Write a duration in one or two units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    hours = round(seconds / 3600)
    return f"{hours // 24} d" + (f" {hours % 24} h" if hours % 24 else "")
