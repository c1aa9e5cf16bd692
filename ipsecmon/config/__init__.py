"""The user's file: load it, check it, describe it.

text ─▶ document ─▶ settings (match, counters, sinks' own) ─▶ Config
           └─▶ agreement ─┴─▶ translation ─▶ Problem, ConfigErrors
settings ─▶ schema ─▶ reference ─▶ docs/configuration.md
"""

from __future__ import annotations

from ipsecmon.config.advice import warnings
from ipsecmon.config.counters import BUILT_IN_PARTS, Counter, Pin
from ipsecmon.config.ipsec import Ipsec, Subnets
from ipsecmon.config.load import ConfigErrors, load, parse
from ipsecmon.config.match import Match
from ipsecmon.config.problems import Problem
from ipsecmon.config.schema import json_schema
from ipsecmon.config.settings import Capacity, Config, Line, Nflog, Nfmark, SinkEntry, Store, Xfrm

__all__ = [
    "BUILT_IN_PARTS",
    "Capacity",
    "Config",
    "ConfigErrors",
    "Counter",
    "Ipsec",
    "Line",
    "Match",
    "Nflog",
    "Nfmark",
    "Pin",
    "Problem",
    "SinkEntry",
    "Store",
    "Subnets",
    "Xfrm",
    "json_schema",
    "load",
    "parse",
    "warnings",
]
