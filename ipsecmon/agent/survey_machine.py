"""Asks this machine for Answers: ip, tc and swanctl, which only list, and the IKE daemons' connection files.

Everything with the rights of the user; nothing is changed, no key and no secrets file is read. What is
refused is told in Answers.unread.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ipsecmon.agent.survey import Answers, choose_line
from ipsecmon.agent.survey_ike import Connection, read_ipsec_conf, read_list_conns, read_swanctl_conf
from ipsecmon.agent.survey_ip import read_default_routes, read_links
from ipsecmon.agent.survey_tc import Shaper, read_redirect, read_shaper
from ipsecmon.config.advice import resolve_host
from ipsecmon.config.readers import parse_address
from ipsecmon.errors import SourceError

__all__ = ["ask_machine"]

COMMAND_LIMIT_S = 10.0
MAX_OCTETS = 1 << 20  # of one file; connections of hundreds of peers fit
MAX_FILES = 1000  # of one folder
MAX_HOSTS = 20  # host names that are looked up: each may take seconds where DNS is down

_SBIN = ":/usr/local/sbin:/usr/sbin:/sbin"  # not on an ordinary user's path
_SWANCTL = (
    "swanctl/swanctl.conf",
    "swanctl/conf.d/*.conf",
    "strongswan/swanctl/swanctl.conf",
    "strongswan/swanctl/conf.d/*.conf",
)
_IPSEC = ("ipsec.conf", "ipsec.d/*.conf", "strongswan/ipsec.conf", "strongswan/ipsec.d/*.conf")


def ask_machine(wanted_line: Optional[str] = None, etc: Path = Path("/etc")) -> Answers:
    """Raises SourceError where ip(8) is missing or no line can be told."""
    links, addresses, routes = (
        _needed("ip", *words)
        for words in (
            ("-j", "-d", "link", "show"),
            ("-j", "addr", "show"),
            ("-j", "route", "show", "default", "table", "all"),
        )
    )
    read = read_links(links, addresses)
    rules = _quietly("ip", "-j", "rule", "show")
    line = choose_line(read, read_default_routes(routes, rules), wanted_line).name
    unread: list[str] = []
    own = {address for link in read for address in link.addresses}
    connections = tuple(_connections(etc, own, unread))
    shaper_in, shaper_out = _shapers(line)
    return Answers(
        router=socket.gethostname(),
        links=links,
        addresses=addresses,
        routes=routes,
        rules=rules,
        pppoe=_read(Path("/proc/net/pppoe")),
        states=_asked("IPsec SAs", unread, "ip", "xfrm", "state", "list", "nokeys"),
        policies=_asked("IPsec policies", unread, "ip", "xfrm", "policy", "list"),
        shaper_in=shaper_in,
        shaper_out=shaper_out,
        connections=connections,
        resolved=_resolved(connections),
        unread=tuple(unread),
    )


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    """Raises OSError where the program is missing or is too slow."""
    path = os.environ.get("PATH", "") + _SBIN
    program = shutil.which(argv[0], path=path)
    if program is None:
        raise FileNotFoundError(f"{argv[0]} is not installed")
    try:
        return subprocess.run(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_LIMIT_S,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{argv[0]} did not answer within {COMMAND_LIMIT_S:.0f} s") from None


def _needed(*argv: str) -> str:
    try:
        done = _run(*argv)
    except OSError as error:
        raise SourceError(f"this machine cannot be looked at: {error}") from error
    if done.returncode:
        raise SourceError(f"{' '.join(argv)}: {_first_line(done.stderr)}")
    return done.stdout


def _asked(what: str, unread: list[str], *argv: str) -> Optional[str]:
    try:
        done = _run(*argv)
    except OSError as error:
        unread.append(f"{what}: {error}")
        return None
    if done.returncode:
        hint = " (needs CAP_NET_ADMIN: sudo ipsecmon init)" if "not permitted" in done.stderr else ""
        unread.append(f"{what}: {_first_line(done.stderr)}{hint}")
        return None
    return done.stdout


def _quietly(*argv: str) -> str:
    """What is good to have, and often not there."""
    try:
        done = _run(*argv)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout


def _read(file: Path) -> str:
    """What is there where the kernel has it, and else nothing."""
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0] or "failed without a word"


def _shapers(line: str) -> tuple[Optional[Shaper], Optional[Shaper]]:
    """Inbound (by way of an ifb) and outbound."""
    through = read_redirect(_quietly("tc", "filter", "show", "dev", line, "ingress"))
    return _shaper(through) if through else None, _shaper(line)


def _shaper(interface: str) -> Optional[Shaper]:
    qdiscs, classes = (_quietly("tc", what, "show", "dev", interface) for what in ("qdisc", "class"))
    return read_shaper(qdiscs, classes)


def _connections(etc: Path, own: set[str], unread: list[str]) -> Iterator[Connection]:
    """Each name once; what the running daemon has loaded comes before what files say."""
    found: dict[str, Connection] = {}
    running = read_list_conns(_loaded(unread))
    from_files = [one for text in _texts(etc, _SWANCTL, unread) for one in read_swanctl_conf(text)]
    for one in (*running, *from_files, *read_ipsec_conf(_texts(etc, _IPSEC, unread), own)):
        found.setdefault(one.name, one)
    yield from found.values()


def _loaded(unread: list[str]) -> str:
    """The running daemon's list; that there is no daemon is no news, but that it may not be asked is."""
    try:
        done = _run("swanctl", "--list-conns")
    except OSError:
        return ""
    if "denied" in done.stderr:
        unread.append("connections that strongSwan has loaded: Permission denied")
    return "" if done.returncode else done.stdout


def _texts(etc: Path, patterns: tuple[str, ...], unread: list[str]) -> Iterator[str]:
    for pattern in patterns:
        folder, name = (etc / pattern).parent, Path(pattern).name
        try:
            files = sorted(folder.glob(name))[:MAX_FILES]
            if not files and folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            unread.append(f"connections in {folder}: {error.strerror}")
            continue
        for file in files:
            yield from _text(file, unread)


def _text(file: Path, unread: list[str]) -> Iterator[str]:
    try:
        with file.open("rb") as opened:
            yield opened.read(MAX_OCTETS).decode("utf-8", "replace")
    except OSError as error:
        unread.append(f"connections in {file}: {error.strerror}")


def _resolved(connections: tuple[Connection, ...]) -> dict[str, tuple[str, ...]]:
    names = [remote for one in connections for remote in one.remotes if parse_address(remote) is None]
    return {name: resolve_host(name) for name in list(dict.fromkeys(names))[:MAX_HOSTS]}
