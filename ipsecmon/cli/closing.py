"""--now: a running agent closes its interval before the store is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, TypeVar

import click

from ipsecmon.agent.control import NotRunning, ask

__all__ = ["close_interval", "now_option"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def now_option(function: _Function) -> _Function:
    help_text = "Have the running agent close its interval first."
    return click.option("--now", "close_first", is_flag=True, help=help_text)(function)


def close_interval(folder: Path) -> None:
    """Says it where no agent is running."""
    try:
        ask(folder, "close-interval")
    except NotRunning as error:
        click.echo(f"ipsecmon: {error}; what is shown ends with the last closed interval", err=True)
