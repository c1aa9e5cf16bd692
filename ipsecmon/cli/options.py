"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, TypeVar

import click

__all__ = ["DEFAULT_CONFIG", "config_option", "json_option"]

DEFAULT_CONFIG = "/etc/ipsecmon/ipsecmon.yaml"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def config_option(function: _Function) -> _Function:
    """-c FILE, the config; the usual place when left out."""
    return click.option(
        "-c",
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        default=DEFAULT_CONFIG,
        show_default=True,
        help="The config file.",
    )(function)


def json_option(function: _Function) -> _Function:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(function)
