"""`ipsecmon rules`: show, install, remove or check the rules of a config."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipsecmon.agent.foreign_words import describe_foreign, tap_words
from ipsecmon.agent.plan import build_plan
from ipsecmon.agent.privileges import separated
from ipsecmon.cli.options import config_option
from ipsecmon.config import load
from ipsecmon.config.advice import resolve_host
from ipsecmon.errors import ConfigError, StoreError
from ipsecmon.ruleset.model import Plan
from ipsecmon.ruleset.nft import render

if TYPE_CHECKING:
    from ipsecmon.agent.wiring import Wired

__all__ = ["rules_group"]


@click.group("rules")
def rules_group() -> None:
    """The netfilter rules of a config."""


@rules_group.command("show")
@config_option
def show(config_file: Path) -> None:
    """Print the rules as nft text, as for a router that does no NAT, and the NFLOG groups."""
    plan = _plan(config_file)
    if not plan.managed:
        click.echo("# the rules are your own: ipsecmon installs none")
        for tap in plan.taps():
            click.echo(f"# {tap_words(tap)}")
        return
    for tap in plan.taps():  # the object's name is made of safe characters; the user's name might not be
        click.echo(f"# group {tap.group}: {tap.object_name}")
    click.echo(render(plan), nl=False)


@rules_group.command("install")
@config_option
def install(config_file: Path) -> None:
    """Install the rules, or bring them up to date; counters keep their values."""
    config = load(config_file)
    plan = build_plan(config, resolve_host)
    _refuse_foreign(plan)
    with separated(plan) as helper:
        # this loads numpy: only after capabilities are gone, so that no thread can have kept them
        from ipsecmon.agent.wiring import build_wired

        refused = _install(build_wired(config.model_copy(update={"sinks": []}), plan, helper))
    for reason in refused:
        click.echo(f"packets are not tagged by nfmark: {reason}", err=True)
    click.echo("rules installed")


@rules_group.command("remove")
@config_option
def remove(config_file: Path) -> None:
    """Remove the rules and their counters. A running agent would put them back: stop it first."""
    plan = _plan(config_file)
    _refuse_foreign(plan)
    with separated(plan) as helper:
        helper.remove_rules()
    click.echo("rules removed")


@rules_group.command("status")
@config_option
def status(config_file: Path) -> None:
    """Say whether the rules stand as the config wants them. Exit status: 0 yes, 1 no."""
    plan = _plan(config_file)
    with separated(plan) as helper:
        if not plan.managed:
            sys.exit(_tell_foreign(*describe_foreign(plan, helper.foreign_rules())))
        stand = helper.rules_stand()
    click.echo("rules stand" if stand else "rules are missing or differ: ipsecmon rules install")
    sys.exit(0 if stand else 1)


def _install(wired: Wired) -> list[str]:
    """Why packets are not tagged. Counters made here begin at 0, and the store learns it, so that what passes
    before the agent starts counts. Without the store (an agent runs and has it, or it is another user's)
    rules are installed all the same.
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
    return wired.helper.apply_rules().nfmarks_refused


def _refuse_foreign(plan: Plan) -> None:
    if not plan.managed:
        raise ConfigError("the rules are your own (rules: manual or off): ipsecmon installs and removes none")


def _tell_foreign(said: list[str], troubles: list[str]) -> int:
    for line in (*said, *troubles):
        click.echo(line)
    return 1 if troubles else 0


def _plan(config_file: Path) -> Plan:
    return build_plan(load(config_file), resolve_host)
