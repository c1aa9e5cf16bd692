"""The command line: parse, call, print. Errors of the user's or the world's are one line and a status."""

from __future__ import annotations

import errno
import io
import os
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

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # where a shell sends our output to


class _Group(click.Group):
    """Says an expected error in one line; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            value = super().invoke(ctx)
            if isinstance(sys.stdout, io.TextIOBase):  # None where a shell has closed it
                sys.stdout.flush()
            return value
        except IpsecmonError as error:
            for line in str(error).splitlines():
                click.echo(f"ipsecmon: {line}", err=True)
            sys.exit(1)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            _forget_output()
            click.echo(f"ipsecmon: the output cannot be written: {error.strerror}", err=True)
            sys.exit(1)


def _forget_output() -> None:
    """Python would try once more to write what is left, and say at its end that it can't."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123  # a device
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


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
