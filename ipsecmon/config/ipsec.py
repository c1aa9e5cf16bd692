"""What names an IPsec tunnel: conditions on its SAs, of which all that are given must hold.

A rule of netfilter tells less than an SA does: the peer, the inner addresses and the reqid, but neither the
IKE connection nor if_id or xfrm_mark; and before decryption the peer alone.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from ipsecmon.config.fields import (
    Connections,
    IfIds,
    Networks,
    NotEmpty,
    OneOrMany,
    Peers,
    Reqids,
    XfrmMarks,
)
from ipsecmon.config.readers import IPNetwork, parse_address
from ipsecmon.config.section import Section

__all__ = ["Ipsec", "Subnets"]


class Subnets(Section):
    """Networks at the two ends of a tunnel's inside."""

    local: Networks = Field(description="Networks at this router's end.")
    remote: Networks = Field(description="Networks at the far end.")

    @property
    def pairs(self) -> tuple[tuple[IPNetwork, IPNetwork], ...]:
        """Each local network with each remote one of its family."""
        return tuple(
            (local, remote)
            for local in self.local
            for remote in self.remote
            if local.version == remote.version
        )

    @model_validator(mode="after")
    def _can_carry(self) -> Subnets:
        if not self.pairs:
            raise ValueError("names no tunnel: local and remote need networks of one family")
        return self


class Ipsec(Section):
    """An IPsec tunnel. All conditions given must hold of an SA; at least one is needed."""

    # () means any; written, it is refused
    model_config = ConfigDict(validate_default=False, json_schema_extra={"minProperties": 1})

    peers: Peers = Field(
        (),
        alias="peer",
        description="The other gateway: its IP address, or a host name, which is resolved at start.",
    )
    subnets: Annotated[tuple[Subnets, ...], OneOrMany(1), NotEmpty] = Field(
        (),
        description="What the tunnel carries, as its IPsec policy has it: SAs whose policy lies within the "
        "two networks, and inside the tunnel the packets between them.",
    )
    connections: Connections = Field(
        (),
        alias="connection",
        description="Names that strongSwan or libreswan have for the IKE connection or the CHILD_SA.",
    )
    if_ids: IfIds = Field(
        (), alias="if_id", description="Ids of xfrm interfaces, 1 to 4294967295, such as 42 or 0x2a."
    )
    xfrm_marks: XfrmMarks = Field(
        (),
        alias="xfrm_mark",
        description="Marks of the SAs themselves, such as 0x10 or, with a mask, 0x10/0xff.",
    )
    reqids: Reqids = Field(
        (),
        alias="reqid",
        description="Numbers that tie SAs to their policies, 1 to 4294967295; they outlive rekeys.",
    )

    @property
    def without_rule(self) -> tuple[str, ...]:
        """The keys given that no rule of netfilter can tell."""
        written = {
            "connection": self.connections,
            "if_id": self.if_ids,
            "xfrm_mark": self.xfrm_marks,
        }
        return tuple(key for key, values in written.items() if values)

    @property
    def has_rule(self) -> bool:
        """Rules can tell exactly this tunnel's inner packets."""
        return not self.without_rule

    @property
    def is_by_peer_alone(self) -> bool:
        return bool(self.peers) and not (self.subnets or self.reqids or self.without_rule)

    @property
    def conditions(self) -> Hashable:
        """Equal where two name the same SAs."""
        peers = (str(parse_address(peer) or peer.casefold()) for peer in self.peers)
        pairs = frozenset(pair for subnets in self.subnets for pair in subnets.pairs)
        rest = (self.connections, self.if_ids, self.xfrm_marks, self.reqids)
        return (frozenset(peers), pairs, *(frozenset(values) for values in rest))

    @model_validator(mode="after")
    def _names_a_tunnel(self) -> Ipsec:
        if not self.model_fields_set:
            keys = ", ".join(field.alias or key for key, field in type(self).model_fields.items())
            raise ValueError(f"names no tunnel: give at least one of {keys}")
        return self
