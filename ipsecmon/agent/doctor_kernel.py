"""Checks of the kernel: fast paths that packets take past rules, its clock, its age."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ipsecmon.agent.doctor_facts import Facts, Flowtable, Offloaded, Unread, known
from ipsecmon.agent.doctor_findings import UNKNOWN, Check, Seen, Severity

__all__ = ["KERNEL_CHECKS"]

_ESP_OFFLOAD = ("esp4_offload", "esp6_offload")
_OLDEST = (4, 20)  # nft's `rt ipsec` came with it: NFT_RT_XFRM in linux/netfilter/nf_tables.h


def _esp_offload(facts: Facts) -> Iterator[Seen]:
    loaded = sorted(known(facts.modules).intersection(_ESP_OFFLOAD))
    if not loaded:
        return
    merging = sorted(name for name, is_on in known(facts.gro).items() if is_on)
    if not merging:
        yield Seen(Severity.NOTE, f"{_words(loaded)} is there; GRO is off on the line, so it does nothing")
        return
    severity = Severity.WRONG if facts.has_sas() else Severity.RISK
    yield Seen(severity, f"{_words(loaded)} is there, and GRO is on: {_words(merging)}")


def _gro_merges(facts: Facts) -> Iterator[Seen]:
    """A note: it is so by default on most routers, and the agent tells what is missing."""
    merging = sorted(name for name, is_on in known(facts.gro).items() if is_on)
    others = known(facts.gro_beside)
    told = [f"what the line's {_words(merging)} receives"] if merging else []
    told += [f"what {_words(list(others))} receives, where it goes on to the line"] if others else []
    if told:
        yield Seen(Severity.NOTE, f"GRO merges packets before rules count them: {'; '.join(told)}")


def _sa_offload(facts: Facts) -> Iterator[Seen]:
    offloaded = Offloaded(*known(facts.agent).offloaded)
    if offloaded.inbound or offloaded.full:
        severity = Severity.WRONG
    elif offloaded.outbound:
        severity = Severity.RISK
    else:
        return
    yield Seen(
        severity,
        f"SAs with hardware offload: {offloaded.inbound} inbound, {offloaded.outbound} outbound; "
        f"{offloaded.full} of them hand whole packets to the device",
    )


def _flowtable(facts: Facts) -> Iterator[Seen]:
    ruleset = known(facts.ruleset)
    ours = set(facts.interfaces())
    for one in ruleset.flowtables:
        shared = sorted(ours & one.devices)
        if shared:
            yield _flowtable_seen(one, shared)


def _flowtable_seen(one: Flowtable, shared: list[str]) -> Seen:
    counter = "" if one.has_counter else "; it has no `counter`, so conntrack's counters freeze too"
    named = f"flowtable {one.name}"
    if one.is_used:
        return Seen(Severity.WRONG, f"{named} takes flows past the rules on {_words(shared)}{counter}")
    return Seen(Severity.RISK, f"{named} has {_words(shared)}, and no rule adds flows to it{counter}")


def _clock(facts: Facts) -> Iterator[Seen]:
    if not known(facts.is_clock_synchronised):
        yield Seen(Severity.RISK, "the kernel says that its clock is not synchronised (adjtimex, STA_UNSYNC)")


def _kernel(facts: Facts) -> Iterator[Seen]:
    """What was tried is the truth; where nothing could be, the version has to do."""
    if not isinstance(facts.lacking, Unread):
        if facts.lacking:
            what = f"Linux {facts.release} or its nft refuses {_words(list(facts.lacking))}"
            yield Seen(Severity.RISK, what)
        return
    found = re.match(r"(\d+)\.(\d+)", facts.release)
    if found is None:
        yield Seen(Severity.NOTE, f"{UNKNOWN}release {facts.release!r} has no number")
    elif (int(found[1]), int(found[2])) < _OLDEST:
        yield Seen(Severity.RISK, f"Linux {facts.release} is older than {_OLDEST[0]}.{_OLDEST[1]}")


def _conntrack(facts: Facts) -> Iterator[Seen]:
    if not known(facts.has_conntrack_accounting):
        yield Seen(Severity.NOTE, "net.netfilter.nf_conntrack_acct is 0")


def _words(names: list[str]) -> str:
    return ", ".join(names)


KERNEL_CHECKS = (
    Check(
        "esp-offload",
        "ESP on the line, inbound: decryption happens inside GRO, before any rule, so ESP parts count too "
        "little, "
        "down to nothing; what is inside has no nfmark. SA counters and the policy match stay right",
        "ethtool -K INTERFACE gro off, or unload the module (modprobe -r esp4_offload) and leave IKE's "
        "offload off",
        _esp_offload,
    ),
    Check(
        "gro-merges",
        "packets and octets of rules: of merged TCP they count one packet with one header (of bulk transfers "
        "a tenth of the packets, 3 % too few octets). SA counters, ESP and the interface stay right, and the "
        "agent explains to the octet what is missing",
        "leave it, as it saves CPU; or, where packets of rules must be right, ethtool -K INTERFACE gro off",
        _gro_merges,
    ),
    Check(
        "sa-offload",
        "ESP on the line: the device decrypts before rules see ESP, or encrypts after they did; a device "
        "that "
        "takes whole packets may also count for the SA, late or not at all",
        "leave offload off in IKE (strongSwan hw_offload = no, libreswan nic-offload=no) and set the SAs "
        "up again",
        _sa_offload,
    ),
    Check(
        "flowtable",
        "parts of the line and named counters: forwarded packets of a flow go past the rules after its "
        "first few. "
        "SA counters, ESP and the interface stay right",
        "take the line's interface out of the flowtable, or take its `flow add` rule away",
        _flowtable,
    ),
    Check(
        "clock",
        "when something happened: intervals lie beside those of other routers and of the far side, and a "
        "later "
        "step of the clock makes an interval longer or shorter",
        "run chronyd (with rtcsync), ntpd or systemd-timesyncd, and see that it reaches a server",
        _clock,
    ),
    Check(
        "kernel",
        "what is inside IPsec, and with it every part of the line: rules may not be able to tell it",
        "run a later kernel; where the distribution has taken `rt ipsec` over into this one, ignore it",
        _kernel,
    ),
    Check(
        "conntrack-accounting",
        "nothing of ipsecmon's: no number comes from conntrack. conntrack -L and tools on it show no octets",
        "sysctl net.netfilter.nf_conntrack_acct=1, if you need these",
        _conntrack,
    ),
)
