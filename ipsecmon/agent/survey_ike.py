"""Configured IPsec connections of strongSwan and libreswan: their names and far ends, and nothing else.

In: `swanctl --list-conns`, swanctl.conf(5) and ipsec.conf(5) texts. These files may hold secrets beside
connections: values of other keys are dropped where they are read. What is not understood is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ipsecmon.config.readers import parse_peer

__all__ = ["Connection", "read_ipsec_conf", "read_list_conns", "read_swanctl_conf"]

_LISTED = re.compile(r"^(\S.*?): IKEv.*((?:\n  (?:local|remote): .*)*)", re.MULTILINE)
_LISTED_REMOTE = re.compile(r"^  remote: (.*)", re.MULTILINE)
_TOKEN = re.compile(r'#[^\n]*|"(?:\\.|[^"\\])*"|[{}=\n]|[^\s{}=#"]+')
_HEADING = re.compile(r"(\S+)[ \t]+(\S+)")
_SETTING = re.compile(r"[ \t]+([A-Za-z0-9_]+)[ \t]*=[ \t]*(.*)")
_WANTED = ("left", "right", "also", "auto", "type")
_LOADED = ("add", "start", "route", "ondemand", "keep", "up")
_SHUNTS = ("passthrough", "pass", "drop", "reject")

_Section = dict[str, list[str]]


@dataclass(frozen=True)
class Connection:
    """remotes: addresses and host names of fixed far ends; none: whoever calls (a road warrior)."""

    name: str
    remotes: tuple[str, ...] = ()


def read_list_conns(text: str) -> list[Connection]:
    """What the running daemon has loaded, as swanctl --list-conns prints it."""
    return [
        _connection(name, [remote for row in _LISTED_REMOTE.findall(ends) for remote in _listed([row])])
        for name, ends in _LISTED.findall(text)
    ]


def read_swanctl_conf(text: str) -> list[Connection]:
    """The connections of a swanctl.conf, or of a file that it includes."""
    found: dict[str, list[str]] = {}
    for path, key, values in _settings(text):
        if len(path) == 2 and path[0] == "connections":
            found.setdefault(path[1], []).extend(values if key == "remote_addrs" else [])
    return [_connection(name, remotes) for name, remotes in found.items()]


def read_ipsec_conf(texts: Iterable[str], own: Collection[str]) -> list[Connection]:
    """The connections of an ipsec.conf and its parts; own: this machine's addresses."""
    sections: dict[str, _Section] = {}
    for text in texts:
        _read_sections(text, sections)
    found = []
    for name in sections:
        section = _merged(name, sections, set())
        section = {**sections.get("%default", {}), **section}
        if name != "%default" and _is_tunnel(section):
            found.append(_connection(name, _far_side(section, own)))
    return found


def _connection(name: str, remotes: Iterable[str]) -> Connection:
    return Connection(name, tuple(dict.fromkeys(peer for remote in remotes for peer in _fixed(remote))))


def _fixed(remote: str) -> Iterator[str]:
    """A lone address or host name; not %any, a network or a range."""
    try:
        peer = parse_peer(remote).lower()
    except ValueError:
        return
    if peer not in ("any", "localhost", "::1") and not peer.startswith("127."):
        yield peer


def _settings(text: str) -> Iterator[tuple[list[str], str, list[str]]]:
    """(sections, key, words of the value) of each setting; also (sections, "", []) as one begins."""
    path: list[str] = []
    words: list[str] = []
    for token in _TOKEN.findall(text + "\n"):
        in_value = "=" in words
        if token == "{" and not in_value:
            path.append(words[0].strip('"') if words else "")
            words = []
            yield list(path), "", []
        elif token in ("\n", "}"):
            if in_value:
                equals = words.index("=")
                yield list(path), words[equals - 1] if equals else "", _listed(words[equals + 1 :])
            if in_value or token == "}" or words[:1] == ["include"]:
                words = []
            if token == "}":
                del path[-1:]
        elif not token.startswith("#"):
            words.append(token)


def _listed(values: Iterable[str]) -> list[str]:
    return " ".join(value.strip('"') for value in values).replace(",", " ").split()


def _read_sections(text: str, sections: dict[str, _Section]) -> None:
    section: _Section = {}
    for line in text.splitlines():
        heading, setting = _HEADING.match(line), _SETTING.match(line)
        if heading and not line[0].isspace():
            section = sections.setdefault(heading[2], {}) if heading[1] == "conn" else {}
        elif setting and setting[1] in _WANTED:
            value = setting[2].partition("#")[0].strip().strip('"')
            section.setdefault(setting[1], []).append(value)


def _merged(name: str, sections: Mapping[str, _Section], seen: set[str]) -> _Section:
    """A section with those that its also= names; its own settings win."""
    seen.add(name)
    section = dict(sections.get(name, {}))
    for others in section.get("also", []):
        for other in others.split():
            if other not in seen:
                section = {**_merged(other, sections, seen), **section}
    return section


def _is_tunnel(section: _Section) -> bool:
    """Neither a shunt, nor a part for also= that names no far end."""
    if _last(section, "type") in _SHUNTS:
        return False
    return "right" in section or _last(section, "auto") in _LOADED


def _far_side(section: _Section, own: Collection[str]) -> list[str]:
    """The side that is not ours: right, unless that is ours."""
    left, right = (_last(section, side).replace(",", " ").split() for side in ("left", "right"))
    is_swapped = any(one in own or one.startswith("%defaultroute") for one in right)
    return left if is_swapped else right


def _last(section: _Section, key: str) -> str:
    return section.get(key, [""])[-1]
