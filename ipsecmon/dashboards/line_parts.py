"""Which parts of the line are VPN, which are named and clear, and what is left."""

from __future__ import annotations

from ipsecmon.dashboards.influxql import chosen

__all__ = ["CLEAR", "LINE", "NOT_VPN", "OTHER", "TUNNELS", "VPN"]

_BUILT_IN = "esp|ah|nat-t|ike"  # parts that are IPsec's whoever uses it

LINE = chosen("line")
TUNNELS = '"part" =~ /^${vpn:regex}$/'
VPN = f'"part" =~ /^({_BUILT_IN}|${{vpn:regex}})$/'
NOT_VPN = VPN.replace("=~", "!~")
CLEAR = f'"part" !~ /^({_BUILT_IN}|other|${{vpn:regex}})$/'
OTHER = "\"part\" = 'other'"
