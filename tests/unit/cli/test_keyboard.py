"""Keys on a real terminal (a pseudo-terminal), which is left as it was found."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from ipsecmon.cli.keyboard import keyboard

LIMIT_S = 10.0


class Terminal(NamedTuple):
    """hand: where a person types. program: where a program reads."""

    hand: int
    program: int

    def modes(self) -> list[object]:
        return list(termios.tcgetattr(self.program))


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal(*os.openpty())
    yield made
    for descriptor in made:
        try:
            os.close(descriptor)
        except OSError:
            pass  # the test has hung up


def test_a_key_is_seen_without_enter_and_is_not_echoed(terminal: Terminal) -> None:
    with keyboard(terminal.program) as keys:
        os.write(terminal.hand, b"q")
        assert keys.pressed("q", LIMIT_S)
        os.set_blocking(terminal.hand, False)
        with pytest.raises(BlockingIOError):
            os.read(terminal.hand, 10)


def test_other_keys_are_passed_over(terminal: Terminal) -> None:
    with keyboard(terminal.program) as keys:
        os.write(terminal.hand, b"x\x1a\n")  # Ctrl-Z too
        assert not keys.pressed("q", 0.01)


def test_the_terminal_is_as_it_was_again(terminal: Terminal) -> None:
    before = terminal.modes()
    with keyboard(terminal.program):
        assert terminal.modes() != before
    assert terminal.modes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_terminal_is_as_it_was_after_a_signal(terminal: Terminal, number: signal.Signals) -> None:
    before, handler = terminal.modes(), signal.getsignal(number)
    with pytest.raises((SystemExit, KeyboardInterrupt)), keyboard(terminal.program) as keys:
        os.kill(os.getpid(), number)
        keys.pressed("q", LIMIT_S)
    assert terminal.modes() == before
    assert signal.getsignal(number) is handler


def test_a_terminal_that_is_hung_up_is_left(terminal: Terminal) -> None:
    with keyboard(terminal.program) as keys:
        os.close(terminal.hand)
        assert keys.pressed("q", LIMIT_S)


def test_what_is_no_terminal_is_refused() -> None:
    reading, writing = os.pipe()
    with pytest.raises(termios.error), keyboard(reading):
        pass
    os.close(reading)
    os.close(writing)
