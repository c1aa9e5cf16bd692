"""`ipsecmon reload`: the running agent takes a changed config over, or says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import click

from ipsecmon.agent.control import ask
from ipsecmon.cli.options import config_option
from ipsecmon.config import load
from ipsecmon.errors import ConfigError

__all__ = ["reload_command"]


@click.command("reload")
@config_option
def reload_command(config_file: Path) -> None:
    """Have the running agent read its config again, and say what changes.

    No packet goes uncounted meanwhile. Nothing changes where the config is wrong, or where it asks for what
    only a restart can do. Exit status: 0 the agent runs on the config as it is now, 1 it goes on as before.
    """
    folder = Path(load(config_file).store.path)
    running = ask(folder, "status")["config_file"]
    if running is None or Path(running).resolve() != config_file.resolve():
        raise ConfigError(f"the agent on {folder} runs with {running or 'no config file'}, not {config_file}")
    for line in ask(folder, "reload")["changed"] or ["nothing has changed"]:
        click.echo(line)
