"""`ipsecmon init`: a config that writes itself, from what the machine is set up for."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from ipsecmon.agent.survey import survey
from ipsecmon.agent.survey_config import render_config
from ipsecmon.agent.survey_machine import ask_machine
from ipsecmon.errors import ConfigError

__all__ = ["init_command"]


@click.command("init")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="A new file to write, not the terminal."
)
@click.option(
    "--line", "line", metavar="INTERFACE", help="The Internet line, where the default route is not."
)
def init_command(output: Optional[Path], line: Optional[str]) -> None:
    """Look at this machine and propose a config for it.

    It asks nothing and changes nothing: interfaces, routes, IPsec SAs and policies (never their keys), tc
    rates and strongSwan's or libreswan's connections are read, as far as you may. As root it sees most.
    """
    text = render_config(survey(ask_machine(line), line))
    if output is None:
        click.echo(text, nl=False)
        return
    _write_new(output, text)
    click.echo(f"{output}: written; read it, then: ipsecmon check {output}", err=True)


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise ConfigError(f"{file}: is there already and stays as it is: name a new file") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error
