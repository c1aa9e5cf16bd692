"""What ethtool(8) is told of an interface, and what kind of device it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pyroute2.ethtool.ioctl import IoctlEthtool, NoSuchDevice, NotSupportedError

from ipsecmon.errors import SourceError

__all__ = ["ask_ethtool", "link_kind"]

_Told = TypeVar("_Told")


def ask_ethtool(name: str, question: Callable[[IoctlEthtool], _Told]) -> _Told:
    """Raises SourceError where the driver does not tell."""
    asked = IoctlEthtool(name)
    try:
        return question(asked)
    except (NoSuchDevice, NotSupportedError, OSError, KeyError) as error:
        raise SourceError(f"ethtool says nothing of {name}: {error!r}") from error
    finally:
        asked.close()


def link_kind(link: Any) -> str:
    """link: of pyroute2, RTM_NEWLINK. Empty for a device that has hardware."""
    info = link.get_attr("IFLA_LINKINFO")
    return str(info.get_attr("IFLA_INFO_KIND") or "") if info else ""
