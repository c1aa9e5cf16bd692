"""The command line: parse, call, print. Errors of the user's or the world's are one line and a status."""

from __future__ import annotations

import errno
import importlib
import io
import sys
from typing import Any, Optional

import click

from ipsecmon import __version__
from ipsecmon.cli.streams import forget, forget_if_gone
from ipsecmon.errors import IpsecmonError

__all__ = ["cli", "main"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # where a shell sends our output to
_COMMANDS = (
    *("backfill", "check", "compare", "doctor", "events", "init", "line", "mark"),
    *("reload", "report", "rules", "run", "status", "top", "tunnels"),
)
"""Each has a module of its name beside this one, with its click command."""


class _Group(click.Group):
    """Loads only the command that is called; help loads all.

    Says an expected error in one line; anything else is a bug and keeps its traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"ipsecmon.cli.{cmd_name}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

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
            forget(sys.stdout)
            click.echo(f"ipsecmon: the output cannot be written: {error.strerror}", err=True)
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ipsecmon")
def cli() -> None:
    """IPsec-aware traffic accounting: every octet once, at a named observation point."""


def main() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the locale cannot write
    try:
        cli(prog_name="ipsecmon")
    finally:
        forget_if_gone(sys.stdout, sys.stderr)
