"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

import click

from ipsecmon.cli.ranges import CURRENT, DEFAULT_SINCE, AskedRange

__all__ = ["DEFAULT_CONFIG", "config_option", "json_option", "range_options"]

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


def range_options(function: Callable[..., None]) -> Callable[..., None]:
    """--month, --day, --since, --from and --to, as one `asked`."""

    @functools.wraps(function)
    def asked_as_one(
        *arguments: Any,
        month: Optional[str],
        day: Optional[str],
        since: Optional[str],
        from_: Optional[str],
        to: Optional[str],
        **others: Any,
    ) -> None:
        options = {"--month": month, "--day": day, "--since": since, "--from": from_}
        function(*arguments, asked=AskedRange(options, to), **others)

    optional: Mapping[str, Any] = {"is_flag": False, "flag_value": CURRENT}
    for option in (
        click.option("--to", metavar="TIME", help="The end of --from; now when left out."),
        click.option("--from", "from_", metavar="TIME", help="From a time on, such as 2026-11-22T14:30."),
        click.option("--since", metavar="DURATION", help=f"How far back.  [default: {DEFAULT_SINCE}]"),
        click.option("--day", metavar="[YYYY-MM-DD]", **optional, help="A day; today without a value."),
        click.option("--month", metavar="[YYYY-MM]", **optional, help="A month; this one without a value."),
    ):
        asked_as_one = option(asked_as_one)
    return asked_as_one
