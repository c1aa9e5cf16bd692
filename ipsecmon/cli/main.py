"""The command line: parse, call, print. Errors of the user's or the world's are one line and a status."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from ipsecmon import __version__
from ipsecmon.cli.backfill import backfill_command
from ipsecmon.cli.check import check_command
from ipsecmon.cli.compare import compare_command
from ipsecmon.cli.doctor import doctor_command
from ipsecmon.cli.events import events_command
from ipsecmon.cli.init import init_command
from ipsecmon.cli.line import line_command
from ipsecmon.cli.mark import mark_command
from ipsecmon.cli.reload import reload_command
from ipsecmon.cli.report import report_command
from ipsecmon.cli.rules import rules_group
from ipsecmon.cli.run import run_command
from ipsecmon.cli.status import status_command
from ipsecmon.cli.top import top_command
from ipsecmon.cli.tunnels import tunnels_command
from ipsecmon.errors import IpsecmonError

__all__ = ["cli", "main"]


class _Group(click.Group):
    """Says an expected error in one line; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except IpsecmonError as error:
            for line in str(error).splitlines():
                click.echo(f"ipsecmon: {line}", err=True)
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ipsecmon")
def cli() -> None:
    """IPsec-aware traffic accounting: every octet once, at a named observation point."""


cli.add_command(run_command)
cli.add_command(status_command)
cli.add_command(reload_command)
cli.add_command(top_command)
cli.add_command(report_command)
cli.add_command(compare_command)
cli.add_command(line_command)
cli.add_command(tunnels_command)
cli.add_command(events_command)
cli.add_command(mark_command)
cli.add_command(backfill_command)
cli.add_command(doctor_command)
cli.add_command(check_command)
cli.add_command(init_command)
cli.add_command(rules_group)


def main() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the locale cannot write
    cli(prog_name="ipsecmon")
