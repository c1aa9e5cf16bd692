"""What ipsecmon says of the line, held against the capture of it: all of it, to the octet and the frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.guest.line_meter import WAYS, LineMeter, Passed
from tests.guest.packets import Packet, volume_of
from tests.guest.places import inner_volumes, parts_of
from tests.guest.wire_tap import drain, open_tap
from tests.netns.exchange import LINK_HEADER, Volume
from tests.netns.namespaces import Namespaces

__all__ = ["Observed", "assert_exact", "beyond_parts", "observed"]


@dataclass
class Observed:
    """captured: both ways. passed: by direction. Both are there after the block."""

    captured: list[Packet] = field(default_factory=list)
    passed: Mapping[str, Passed] = field(default_factory=dict)

    def frames(self, way: str) -> list[Packet]:
        return [packet for packet in self.captured if packet.way == way]


@contextlib.contextmanager
def observed(among: Namespaces, meter: LineMeter) -> Iterator[Observed]:
    """What passes in the block, by the capture and by ipsecmon."""
    seen = Observed()
    meter.start_again()
    with open_tap(among) as tap:
        yield seen
        seen.captured += drain(tap)
    seen.passed = meter.passed()


def beyond_parts(passed: Passed) -> Volume:
    """Frames, and octets without link headers, that the interface counted and no part has."""
    frames, octets = passed.nic.packets, passed.nic.octets
    return Volume(frames - passed.line.packets, octets - frames * LINK_HEADER - passed.line.octets)


def assert_exact(seen: Observed, ways: Sequence[str] = WAYS) -> None:
    """Each packet is in the part that is its own, each one in ESP in its tunnel; nothing remains."""
    for way in ways:
        passed, frames = seen.passed[way], seen.frames(way)
        assert passed.parts == parts_of(seen.captured, way), way
        assert passed.inner == passed.tunnels == inner_volumes(seen.captured, way), way
        assert passed.nic == Volume(len(frames), sum(one.frame_octets for one in frames)), way
        assert passed.nic.octets == volume_of(frames).octets + len(frames) * LINK_HEADER
        assert (passed.unexplained, passed.unseen) == (0, 0), (way, passed.terms)
