"""`ipsecmon run`: the agent, in the foreground."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from ipsecmon.agent.assignment import plan_as_before
from ipsecmon.agent.observe import set_up_logging
from ipsecmon.agent.plan import group_ranges
from ipsecmon.agent.privileges import separated
from ipsecmon.config import Config, load
from ipsecmon.config.advice import resolve_host

if TYPE_CHECKING:
    from ipsecmon.agent.lifecycle import Agent
    from ipsecmon.cli.live import LiveTable

__all__ = ["run_command"]


@click.command("run")
@click.option("-c", "--config", "config_file", type=click.Path(path_type=Path), help="The config file.")
@click.option("--no-page", is_flag=True, help="Serve no page (there is none yet; for later).")
@click.option("--debug", is_flag=True, help="Log more.")
def run_command(config_file: Optional[Path], no_page: bool, debug: bool) -> None:
    """Count, until Ctrl-C or SIGTERM.

    With a config the rules stay when it stops, so that kernel counters bridge a restart. Without one it
    counts the interface of the default route, shows it live and leaves nothing behind.
    """
    set_up_logging(debug)
    # one thread only, so that giving up capabilities covers all of the process; and less memory
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if config_file is not None:
        _run(load(config_file), "ipsecmon", config_file.absolute())
        return
    from ipsecmon.agent.standalone import TABLE, standalone_config

    folder = Path(tempfile.mkdtemp(prefix="ipsecmon-"))
    try:
        _run(standalone_config(folder), TABLE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(config: Config, table: str, file: Optional[Path] = None) -> None:
    plan = plan_as_before(config, resolve_host, table)
    with separated(plan, group_ranges(config)) as helper:
        # these load numpy: only after capabilities are gone, so that no thread can have kept them
        from ipsecmon.agent.lifecycle import Agent
        from ipsecmon.agent.memory import keep_freed_memory
        from ipsecmon.agent.wiring import build_wired

        keep_freed_memory()
        live = _live_table(config)
        agent = Agent(
            build_wired(config, plan, helper, file),
            _say_ready,
            remove_rules=file is None,
            look=live.show if live else None,
            is_watched=sys.stdout.isatty if live else lambda: True,
        )
        _count(agent, live)


def _live_table(config: Config) -> Optional[LiveTable]:
    if not sys.stdout.isatty():
        return None
    from ipsecmon.cli.live import LiveTable

    return LiveTable(config)


def _say_ready() -> None:
    print("ready", file=sys.stderr, flush=True)


def _count(agent: Agent, live: Optional[LiveTable]) -> None:
    agent.start()
    try:
        agent.run()
    finally:
        if live:
            live.close()
        agent.stop()
