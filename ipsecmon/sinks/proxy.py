"""Which proxy a request goes through, by the environment that curl and others read: HTTPS_PROXY, NO_PROXY.

The user and password in such a variable are in no message, and in no exception that one is raised from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from urllib3.util import make_headers

from ipsecmon.errors import Unavailable

__all__ = ["Proxy", "proxy_of"]


class Proxy(NamedTuple):
    """url: without user and password, which are in headers. variable: where it comes from."""

    url: str
    headers: Mapping[str, str]
    variable: str


def proxy_of(url: str) -> Optional[Proxy]:
    """None: there is none for this address. Raises Unavailable for one that cannot be used."""
    parts = urlsplit(url)
    variable = f"{parts.scheme.upper()}_PROXY"
    proxies = getproxies_environment()
    value = proxies.get(parts.scheme)
    if not value or proxy_bypass(parts.netloc, proxies):
        return None
    try:
        found = urlsplit(value if "://" in value else f"http://{value}")
        place = f"{found.scheme}://{found.hostname}" + (f":{found.port}" if found.port else "")
    except ValueError:  # its text may quote a password
        raise _unusable(variable) from None
    if found.scheme not in ("http", "https") or not found.hostname:
        raise _unusable(variable)
    user = f"{unquote(found.username)}:{unquote(found.password or '')}" if found.username else None
    return Proxy(place, make_headers(proxy_basic_auth=user), variable)


def _unusable(variable: str) -> Unavailable:
    return Unavailable(f"environment variable {variable}: must be like http://proxy.example.net:3128")
