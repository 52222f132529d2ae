"""Foresee which pictures of a film nobody will look at, so that they need not be decoded.

Segments take fewer pictures a second than most films have. H.264 marks the pictures that no other is
predicted from; of these, the ones that are shown at none of a segment's times are left out. All other
pictures are the same to the last bit, for nothing that is left out has a part in them.
"""

import bisect
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import av

# Decoders that can tell by the packet whether a picture is a reference. HEVC's mark holds for one temporal layer only.
TELLING = frozenset({"h264"})
AHEAD = 32  # packets; H.264 puts at most 16 pictures out of order
WHOLE = 0.75  # of a frame's period: packets that follow one another faster may be the fields of one frame

Packets: TypeAlias = "Iterator[av.Packet[Any] | None]"  # None stands for a place that cannot be read
Needed = Callable[[float, float], bool]


class Demand:
    """What is asked of each picture before it is decoded; it may change as plans go on.

    Attributes:
        needed: whether the picture that is shown from one time to another, in seconds, will be looked at.
        everything: whether none may be missing, whatever `needed` says.
    """

    def __init__(self) -> None:
        self.needed: Needed = lambda from_s, to_s: True
        self.everything = False

    def __call__(self, from_s: float, to_s: float) -> bool:
        """Say whether a picture may not be missing."""
        return self.everything or self.needed(from_s, to_s)


def foresee(
    packets: Packets, unit: float, period_s: float
) -> "Iterator[tuple[av.Packet[Any] | None, tuple[float, float] | None]]":
    """Yield packets with the stretch of time over which their picture is shown.

    The stretch is None where that is not certain: at the ends of the stream; near packets without a
    presentation time, packets that an edit list discards and places that cannot be read; and where packets are
    closer than frames are.

    Args:
        packets: of one stream, in decoding order.
        unit: seconds of one tick of their clock.
        period_s: usual time from one frame to the next.
    """
    near: deque[int | None] = deque()  # presentation times of up to `AHEAD` packets before and after this one
    known: list[int] = []  # those that are numbers, in order
    waiting: deque[av.Packet[Any] | None] = deque()
    source, whole = iter(packets), WHOLE * period_s

    def admit() -> None:
        for packet in itertools.islice(source, 1):
            waiting.append(packet)
            stamp = None if packet is None or not packet.size or packet.is_discard else packet.pts
            near.append(stamp)
            if stamp is not None:
                bisect.insort(known, stamp)

    def stretch(stamp: int | None) -> tuple[float, float] | None:
        if stamp is None or len(known) < len(near):
            return None
        place = bisect.bisect_left(known, stamp)
        if not 0 < place < len(known) - 1:
            return None
        before, after = (stamp - known[place - 1]) * unit, (known[place + 1] - stamp) * unit
        return (stamp * unit, known[place + 1] * unit) if min(before, after) >= whole else None

    for _ in range(AHEAD):
        admit()
    while waiting:
        admit()
        packet = waiting.popleft()
        yield packet, stretch(None if packet is None else packet.pts)
        if len(near) - len(waiting) > AHEAD:
            oldest = near.popleft()
            if oldest is not None:
                del known[bisect.bisect_left(known, oldest)]
