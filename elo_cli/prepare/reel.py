"""The packets of an open container: held in memory where the file is small, read as they are needed where it is large."""

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import av
import av.error
from av.container import InputContainer
from av.frame import Frame
from av.stream import Stream
from av.video.stream import VideoStream

from elo_cli.prepare.container import Log, rate, trim
from elo_cli.prepare.foresight import TELLING, Demand, Packets, foresee

HELD_BYTES = 2**25  # files up to this size are read once; of larger ones only what is kept
SEEK_MARGIN_S = 0.5  # FFmpeg seeks by decoding time, which runs ahead of presentation time
END_S = 2.0  # a film may end so much before its header says: sound is often longer than pictures
MAX_READ_ERRORS = 16  # some demuxers repeat one error forever


@dataclass(frozen=True)
class Extent:
    """Where the packets of one stream lie, in seconds of its own clock.

    Attributes:
        first_s: earliest presentation time; None when no packet carries one.
        end_s: latest presentation time and its duration.
        packets: how many packets there are.
        keys_s: times of the packets at which decoding can start, in order.
    """

    first_s: float | None = None
    end_s: float = 0.0
    packets: int = 0
    keys_s: tuple[float, ...] = ()


class Reel:
    """Decodes streams of one container, from the beginning or from any time.

    Args:
        container: open, and not read from yet.
        streams: those that will be decoded.
        log: FFmpeg's, kept small here.

    Attributes:
        held: whether all packets are in memory. Then the file has been read, once and in order, and
            its end is known whatever its header says.
    """

    def __init__(self, container: InputContainer, streams: Sequence[Stream], log: Log) -> None:
        self._container, self._log = container, log
        self._read = False  # whether the file's own place has moved
        self.held = 0 < container.size <= HELD_BYTES
        self._packets: dict[int, list[av.Packet[Any] | None]] = {stream.index: [] for stream in streams}
        if self.held:
            for packet in _read(container, streams):
                if packet is None:
                    for kept in self._packets.values():  # nobody knows whose it was
                        kept.append(None)
                elif packet.size:
                    self._packets[packet.stream.index].append(packet)

    def extent(self, stream: Stream, frame_s: float) -> Extent:
        """Say where the packets of a stream lie; reads through the whole file unless it is held.

        Args:
            stream: one of the streams of this reel.
            frame_s: how long a packet lasts that does not say so.
        """
        unit = float(stream.time_base or 0)
        first_s, end_s, count = None, 0.0, 0
        keys: list[float] = []
        if self._read and not self.held:
            self._container.seek(0, backward=True)
        self._read = True
        for packet in self._packets[stream.index] if self.held else _read(self._container, [stream]):
            if packet is None or not packet.size or packet.is_discard:
                continue
            count += 1
            time_s = _time(packet, unit)
            if time_s is None:
                continue
            first_s = time_s if first_s is None else min(first_s, time_s)
            end_s = max(end_s, time_s + ((packet.duration or 0) * unit or frame_s))
            if packet.is_keyframe:
                keys.append(time_s)
        return Extent(first_s, end_s, count, tuple(sorted(keys)))

    def reaches(self, stream: Stream, time_s: float) -> bool:
        """Say whether packets come within `END_S` of that time, looking only near it; not for a held reel."""
        unit = float(stream.time_base or 0)
        try:
            self._container.seek(math.floor((time_s - END_S) / (unit or 1)), stream=stream, backward=True)
        except av.error.FFmpegError:
            return False
        self._read = True
        times_s = (_time(packet, unit) for packet in _read(self._container, [stream]) if packet is not None and packet.size)
        return any(found_s is not None and found_s > time_s - END_S for found_s in times_s)

    def decode(
        self, stream: Stream, from_s: float | None = None, demand: Demand | None = None
    ) -> Iterator[tuple[list[Frame], bool]]:
        """Return an iterator over the frames that each packet gives, and whether it was refused or complained of.

        Args:
            stream: one of the streams of this reel; what was begun before ends, of a large file for all streams.
            from_s: begin at a packet from which decoding can start and which is surely no later, in
                seconds of the stream's clock; None: at the beginning.
            demand: is asked for each picture before it is decoded, by when it is shown, in seconds of the
                stream's clock; one that is not needed may be left out. None: all are.

        Raises:
            av.error.FFmpegError: a large file cannot seek. Never while iterating.
        """
        stream.codec_context.flush_buffers()
        if self.held:
            kept = self._packets[stream.index]
            return self._frames(stream, iter(kept[_start(kept, from_s, float(stream.time_base or 0)) :]), demand)
        if from_s is not None:
            self._container.seek(math.floor(from_s / float(stream.time_base or 1)), stream=stream, backward=True)
        elif self._read:
            self._container.seek(0, backward=True)
        self._read = True
        return self._frames(stream, _read(self._container, [stream]), demand)

    def _frames(self, stream: Stream, packets: Packets, demand: Demand | None) -> Iterator[tuple[list[Frame], bool]]:
        for packet in packets if demand is None else _leaving_out(stream, packets, demand):
            complaints = len(self._log)
            frames: list[Frame] = []
            bad = packet is None
            if packet is not None and packet.size:  # an empty packet would end the decoder's work
                try:
                    frames = cast(list[Frame], packet.decode())
                    bad = any(frame.is_corrupt for frame in frames)
                except av.error.FFmpegError:  # the next packet may be whole: decoding goes on
                    bad = True
            bad = bad or len(self._log) > complaints
            trim(self._log)
            yield frames, bad
        try:
            rest = cast(list[Frame], stream.decode(None))  # type: ignore[attr-defined]  # what the decoder still holds back
        except av.error.FFmpegError:
            rest = []
        yield rest, False


def _leaving_out(stream: Stream, packets: Packets, demand: Demand) -> Packets:
    """Yield packets, and before each tell the decoder to leave its picture out if nothing and nobody needs it."""
    context = stream.codec_context
    if not isinstance(stream, VideoStream) or context.name not in TELLING:
        yield from packets
        return
    leaving_out = False
    context.skip_frame = "DEFAULT"
    for packet, shown in foresee(packets, float(stream.time_base or 0), 1 / rate(stream)):
        if leaving_out != (shown is not None and not demand(*shown)):
            leaving_out = not leaving_out
            context.skip_frame = "NONREF" if leaving_out else "DEFAULT"
        yield packet


def _start(packets: "Sequence[av.Packet[Any] | None]", from_s: float | None, unit: float) -> int:
    """The index of the last packet that decoding can start at and that is not later than `from_s`."""
    best = 0
    if from_s is not None:
        for index, packet in enumerate(packets):
            time_s = None if packet is None or not packet.is_keyframe else _time(packet, unit)
            if time_s is not None and time_s <= from_s:
                best = index
    return best


def _time(packet: "av.Packet[Any]", unit: float) -> float | None:
    """The presentation time, else the decoding time, in seconds."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None or not unit else stamp * unit


def _read(container: InputContainer, streams: Sequence[Stream]) -> Packets:
    """Yield packets to the end of the file, over places that cannot be read."""
    for _ in range(MAX_READ_ERRORS):
        try:
            yield from container.demux(*streams)
            return
        except av.error.FFmpegError:  # what follows may be whole
            yield None
        except IndexError:  # PyAV's, after the last packet, where streams have appeared that the header lacked
            return


def key_before(extent: Extent | None, time_s: float) -> float | None:
    """The time of the last packet, surely before `time_s`, at which decoding can start; None when unknown."""
    if extent is None:
        return None
    before = bisect.bisect_right(extent.keys_s, time_s - SEEK_MARGIN_S)
    return extent.keys_s[before - 1] if before else None
