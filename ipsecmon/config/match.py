"""Which clear packets a counter takes: all conditions given must hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from ipsecmon.config.fields import Choice, Networks, Ports, Protocols
from ipsecmon.config.protocols import TCP, UDP, WITH_PORTS, render_protocol
from ipsecmon.config.readers import IPNetwork
from ipsecmon.config.section import Section

__all__ = ["Match"]

_PORT_KEYS = ("port", "source_port", "destination_port")
_ADDRESS_KEYS = ("host", "local", "remote", "source", "destination")
_IKE_PORTS = {500, 4500}  # IKE (RFC 7296) and NAT-T (RFC 3948)


class Match(Section):
    """The clear packets a counter takes. All conditions given must hold; at least one is needed.

    Port ranges are inclusive and, like networks, come out sorted and merged: the same packets match.
    """

    model_config = ConfigDict(validate_default=False)  # () means any; written, it is refused

    proto: Protocols = Field((), description="IP protocols, by name or by number 0 to 255.")
    port: Ports = Field(
        (),
        description="Ports 1 to 65535, either the packet's source or its destination. "
        "Without `proto`, ports mean TCP and UDP.",
    )
    source_port: Ports = Field(
        (), description="Source ports 1 to 65535; direction-true, a one-way condition."
    )
    destination_port: Ports = Field(
        (), description="Destination ports 1 to 65535; direction-true, a one-way condition."
    )
    host: Networks = Field((), description="Addresses at either end, inside or outside.")
    local: Networks = Field((), description="Addresses at the inside end, whatever the direction.")
    remote: Networks = Field((), description="Addresses at the outside end, whatever the direction.")
    source: Networks = Field((), description="Source addresses; direction-true, a one-way condition.")
    destination: Networks = Field(
        (), description="Destination addresses; direction-true, a one-way condition."
    )
    view: Annotated[Literal["lan", "wire"], Choice("lan", "wire")] = Field(
        "lan",
        description="Which addresses and ports are compared: `lan` as inside machines see them, "
        "before this router's NAT; `wire` as they are on the line.",
    )

    @property
    def protocols(self) -> tuple[int, ...]:
        """The IP protocol numbers that can match, where that is limited; ports alone mean TCP and UDP."""
        return self.proto or ((TCP, UDP) if self.has_ports else ())

    @property
    def has_ports(self) -> bool:
        return any(self._ports())

    @property
    def is_ike(self) -> bool:
        """True where every packet that matches is IKE or NAT-T ESP."""
        inside = [set(range(low, high + 1)) <= _IKE_PORTS for ports in self._ports() for low, high in ports]
        return self.protocols == (UDP,) and bool(inside) and all(inside)

    @model_validator(mode="after")
    def _can_match(self) -> Match:
        if not self.proto and not self.has_ports and not any(self._networks().values()):
            conditions = ", ".join(("proto", *_PORT_KEYS, *_ADDRESS_KEYS))
            raise ValueError(f"matches every packet: give at least one of {conditions}")
        portless = [render_protocol(number) for number in self.proto if number not in WITH_PORTS]
        if self.has_ports and portless:
            with_ports = ", ".join(render_protocol(number) for number in sorted(WITH_PORTS))
            raise ValueError(f"{', '.join(portless)} has no ports: with a port, proto may be {with_ports}")
        self._check_families()
        return self

    def _check_families(self) -> None:
        versions = {key: {n.version for n in found} for key, found in self._networks().items() if found}
        if versions and not set.intersection(*versions.values()):
            sides = " and ".join(
                f"{key} is IPv{seen.pop()}" for key, seen in versions.items() if len(seen) == 1
            )
            raise ValueError(f"matches no packet: {sides}")

    def _ports(self) -> tuple[Ports, ...]:
        return (self.port, self.source_port, self.destination_port)

    def _networks(self) -> dict[str, tuple[IPNetwork, ...]]:
        return {key: getattr(self, key) for key in _ADDRESS_KEYS}
