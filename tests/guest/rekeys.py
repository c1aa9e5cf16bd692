"""Rekeys by ip(8) that lose no packet: one process of it at each end, told line by line."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

from tests.guest.topology import EspTunnel
from tests.netns.topology import Topology

__all__ = ["Rekeyer", "rekeying"]

# ip(8) would keep its answers until its end
BATCH = ("stdbuf", "-oL", "ip", "-batch", "-")
ASK = "xfrm state count\n"


class Rekeyer:
    """A tunnel whose SAs are replaced: newest is the one in use, alive are all that were not deleted."""

    def __init__(self, topology: Topology, tunnel: EspTunnel) -> None:
        self._far = tunnel.far or topology.far
        self._processes = {role: topology.start(role, *BATCH) for role in ("router", self._far)}
        self.alive = [tunnel]

    @property
    def newest(self) -> EspTunnel:
        return self.alive[-1]

    def add(self, limits: str = "") -> None:
        """New SAs, of other SPIs. What each end receives with is there before the other one sends with it."""
        made = replace(self.newest, spi=self.newest.spi + 0x10)
        states = {role: made.new_states(role) for role in self._processes}
        self.say("router", f"xfrm state add {states['router'][1]} {limits}")
        self.say(self._far, *(f"xfrm state add {state}" for state in states[self._far]))
        self.say("router", f"xfrm state add {states['router'][0]} {limits}")
        self.alive.append(made)

    def delete_oldest(self) -> None:
        gone = self.alive.pop(0)
        for role in self._processes:
            self.say(role, *(f"xfrm state delete {state}" for state in gone.states(role)))

    def rekey(self, times: int, pause_s: float, beside_s: float = 0.0) -> None:
        """The old SAs stay for so long beside the new ones. pause_s: between one time and the next."""
        ages: list[float] = []
        for _ in range(times):
            self.add()
            ages.append(time.monotonic())
            while ages and time.monotonic() - ages[0] >= beside_s:
                self.delete_oldest()
                ages.pop(0)
            time.sleep(pause_s)

    def add_again(self) -> None:
        """Delete the newest and add it at once, under the same SPIs, which begins at 0."""
        for role in self._processes:
            self.say(role, *(f"xfrm state delete {state}" for state in self.newest.states(role)))
            self.say(role, *(f"xfrm state add {state}" for state in self.newest.new_states(role)))

    def say(self, role: str, *lines: str) -> None:
        """It is done on return."""
        process = self._processes[role]
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("".join(f"{line}\n" for line in lines) + ASK)
        process.stdin.flush()
        answer = process.stdout.readline()
        assert "SAD count" in answer, f"ip(8) in {role} refused one of {lines}"

    def end(self) -> None:
        for process in self._processes.values():
            with contextlib.suppress(BrokenPipeError):
                process.communicate(timeout=20)


@contextlib.contextmanager
def rekeying(topology: Topology, tunnel: EspTunnel) -> Iterator[Rekeyer]:
    made = Rekeyer(topology, tunnel)
    try:
        yield made
    finally:
        made.end()
