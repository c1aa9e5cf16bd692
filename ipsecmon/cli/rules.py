"""`ipsecmon rules`: show, install, remove or check the rules of a config."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from ipsecmon.agent.assignment import plan_as_before
from ipsecmon.agent.foreign_words import describe_foreign, tap_words
from ipsecmon.agent.privileges import separated
from ipsecmon.cli.options import config_option
from ipsecmon.config import Config, load
from ipsecmon.config.advice import resolve_host
from ipsecmon.errors import ConfigError, StoreError
from ipsecmon.ruleset.iptables import show as render_iptables
from ipsecmon.ruleset.model import BACKENDS, Plan
from ipsecmon.ruleset.nft import render

if TYPE_CHECKING:
    from ipsecmon.agent.wiring import Wired

__all__ = ["rules_command"]

backend_option = click.option(
    "--backend", type=click.Choice(BACKENDS), help="What installs the rules, instead of the config's."
)


@click.group("rules")
def rules_command() -> None:
    """The netfilter rules of a config."""


@rules_command.command("show")
@config_option
@backend_option
def show(config_file: Path, backend: Optional[str]) -> None:
    """Print the rules, as for a router that does no NAT, and the NFLOG groups.

    As nft text; with an iptables backend as text for iptables-restore and ip6tables-restore.
    """
    plan = plan_as_before(_config(config_file, backend), resolve_host)
    if not plan.managed:
        click.echo("# the rules are your own: ipsecmon installs none")
        for tap in plan.taps():
            click.echo(f"# {tap_words(tap)}")
        return
    by_iptables = plan.backend.startswith("iptables")
    if by_iptables:
        click.echo("# load with both: iptables-restore --noflush, ip6tables-restore --noflush")
    for tap in plan.taps():  # the object's name is made of safe characters; the user's name might not be
        click.echo(f"# group {tap.group}: {tap.object_name}")
    click.echo(render_iptables(plan) if by_iptables else render(plan), nl=False)


@rules_command.command("install")
@config_option
@backend_option
def install(config_file: Path, backend: Optional[str]) -> None:
    """Install the rules, or bring them up to date; counters keep their values."""
    config = _config(config_file, backend)
    plan = plan_as_before(config, resolve_host)
    _refuse_foreign(plan)
    with separated(plan) as helper:
        # this loads numpy: only after capabilities are gone, so that no thread can have kept them
        from ipsecmon.agent.wiring import build_wired

        remarks = _install(build_wired(config.model_copy(update={"sinks": []}), plan, helper))
    for remark in remarks:
        click.echo(remark, err=True)
    click.echo("rules installed")


@rules_command.command("remove")
@config_option
@backend_option
def remove(config_file: Path, backend: Optional[str]) -> None:
    """Remove the rules and their counters. A running agent would put them back: stop it first."""
    plan = plan_as_before(_config(config_file, backend), resolve_host)
    _refuse_foreign(plan)
    with separated(plan) as helper:
        helper.remove_rules()
    click.echo("rules removed")


@rules_command.command("status")
@config_option
@backend_option
def status(config_file: Path, backend: Optional[str]) -> None:
    """Say whether the rules stand as the config wants them. Exit status: 0 yes, 1 no."""
    plan = plan_as_before(_config(config_file, backend), resolve_host)
    with separated(plan) as helper:
        if not plan.managed:
            sys.exit(_tell_foreign(*describe_foreign(plan, helper.foreign_rules())))
        stand = helper.rules_stand()
    click.echo("rules stand" if stand else "rules are missing or differ: ipsecmon rules install")
    sys.exit(0 if stand else 1)


def _install(wired: Wired) -> list[str]:
    """What is to be known about the rules. Counters made here begin at 0, and the store learns it, so that
    what passes before the agent starts counts. Without the store (an agent runs and has it, or it is another
    user's) rules are installed all the same.
    """
    from ipsecmon.agent.rulekeeper import RuleKeeper

    if wired.folder.is_dir() and wired.folder.stat().st_uid == os.geteuid():
        keeper = RuleKeeper(wired)
        try:
            opened = wired.store.start(wired.clock.now())
            if opened.moved_aside:
                click.echo(
                    f"the store was corrupt, begun afresh; the old one is {opened.moved_aside}", err=True
                )
            keeper.install()
            return []  # the keeper has said them
        except StoreError:
            pass
        finally:
            wired.store.stop()
    applied = wired.helper.apply_rules()
    refused = [f"packets are not tagged by nfmark: {reason}" for reason in applied.nfmarks_refused]
    return [*refused, *applied.notes]


def _config(config_file: Path, backend: Optional[str]) -> Config:
    config = load(config_file)
    return config.model_copy(update={"backend": backend}) if backend else config


def _refuse_foreign(plan: Plan) -> None:
    if not plan.managed:
        raise ConfigError("the rules are your own (rules: manual or off): ipsecmon installs and removes none")


def _tell_foreign(said: list[str], troubles: list[str]) -> int:
    for line in (*said, *troubles):
        click.echo(line)
    return 1 if troubles else 0
