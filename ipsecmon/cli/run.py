"""`ipsecmon run`: the agent, in the foreground."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Callable, Optional

import click

from ipsecmon.agent.observe import set_up_logging
from ipsecmon.agent.plan import build_plan
from ipsecmon.config import Config, load
from ipsecmon.config.advice import resolve_host
from ipsecmon.helper.capabilities import drop_all
from ipsecmon.helper.client import Helper
from ipsecmon.ruleset.model import Plan

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
        _run(load(config_file), "ipsecmon", leave_rules=True)
        return
    from ipsecmon.agent.standalone import TABLE, standalone_config

    folder = Path(tempfile.mkdtemp(prefix="ipsecmon-"))
    try:
        _run(standalone_config(folder), TABLE, leave_rules=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(config: Config, table: str, leave_rules: bool) -> None:
    plan = build_plan(config, resolve_host, table)
    helper = Helper(plan)
    helper.start()
    try:
        drop_all()
        _count(config, plan, helper, leave_rules)
    finally:
        helper.stop()


def _count(config: Config, plan: Plan, helper: Helper, leave_rules: bool) -> None:
    from ipsecmon.agent.lifecycle import Agent, Look  # loads numpy: only after capabilities are gone
    from ipsecmon.agent.wiring import build_wired

    look: Optional[Callable[[Look], None]] = None
    close: Callable[[], None] = lambda: None  # noqa: E731
    if sys.stdout.isatty():
        from ipsecmon.cli.live import LiveTable

        table = LiveTable(config)
        look, close = table.show, table.close
    agent = Agent(build_wired(config, plan, helper), remove_rules=not leave_rules, look=look)
    agent.start()
    try:
        print("ready", file=sys.stderr, flush=True)
        agent.run()
    finally:
        close()
        agent.stop()
