"""How programs are run."""

from __future__ import annotations

import threading

from ipsecmon.helper import programs


def test_a_program_that_was_read_leaves_no_thread_behind() -> None:
    alive = threading.active_count()
    for _ in range(10):
        assert programs.read("/bin/echo", ("said",), 100) == b"said\n"
        assert threading.active_count() == alive
