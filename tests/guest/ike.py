"""strongSwan at the router and at the parent: IKEv2 with a PSK, one CHILD_SA between the two LANs.

charon's pid file is compiled in, so each has a mount namespace with a /run of its own. swanctl(8) speaks to
each over a socket in the test's folder.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from tests.guest.routers import wait_until
from tests.netns.topology import FAR, WAN, Topology

__all__ = ["CHILD", "CONNECTION", "PSK", "Charon", "ike_connection"]

CHARON = "/usr/lib/ipsec/charon"
CONNECTION, CHILD = "hq-parent", "lans"
PSK = "pre-shared-7f3a9c51e8d2"
END_WITHIN_S = 20
LANS = {"router": "10.1.0.0/24", "parent": "10.2.0.0/24"}
GATEWAYS = {"router": WAN, "parent": FAR}

_DAEMON = """
charon {{
  load = random nonce aes sha1 sha2 hmac gmp kdf kernel-netlink socket-default vici
  install_routes = no
  plugins {{ vici {{ socket = unix://{folder}/vici }} }}
  filelog {{ log {{
    path = {folder}/charon.log
    default = 1
    flush_line = yes
  }} }}
}}
"""
_CONNECTION = """
connections {{ {connection} {{
  version = 2
  proposals = aes128-sha256-modp2048
  local_addrs = {own}
  remote_addrs = {other}
  local {{
    auth = psk
    id = {role}
  }}
  remote {{
    auth = psk
    id = {far}
  }}
  children {{ {child} {{
    local_ts = {own_lan}
    remote_ts = {other_lan}
    esp_proposals = {esp}
    rekey_time = {rekey_time}
    rand_time = 0
    life_time = 2h
  }} }}
}} }}
secrets {{ ike {{ secret = "{psk}" }} }}
"""


class Charon:
    """One charon and what it is told. folder: its configuration, its socket, its log."""

    def __init__(self, topology: Topology, role: str, folder: Path, esp: str, rekey_time: str) -> None:
        self._topology = topology
        self._role = role
        self.folder = folder
        far = "parent" if role == "router" else "router"
        (folder / "run").mkdir(parents=True)
        (folder / "strongswan.conf").write_text(_DAEMON.format(folder=folder))
        (folder / "swanctl.conf").write_text(
            _CONNECTION.format(
                connection=CONNECTION,
                child=CHILD,
                role=role,
                far=far,
                own=GATEWAYS[role],
                other=GATEWAYS[far],
                own_lan=LANS[role],
                other_lan=LANS[far],
                esp=esp,
                rekey_time=rekey_time,
                psk=PSK,
            )
        )
        self._process: Optional[subprocess.Popen[str]] = None

    def launch(self) -> None:
        inside = f"mount --bind {self.folder}/run /run && exec {CHARON}"
        environment = f"STRONGSWAN_CONF={self.folder}/strongswan.conf"
        self._process = self._topology.start(
            self._role, "env", environment, "unshare", "-m", "bash", "-c", inside
        )

    def load(self) -> None:
        """Its connection and its secret, as soon as it listens."""
        wait_until((self.folder / "vici").is_socket, self.folder)
        self.swanctl("--load-all", "--file", str(self.folder / "swanctl.conf"))

    def initiate(self) -> None:
        self.swanctl("--initiate", "--child", CHILD)

    def rekey(self) -> None:
        """The CHILD_SA; done on return, but that the old SAs stay a while (RFC 7296 2.8)."""
        self.swanctl("--rekey", "--child", CHILD)

    def swanctl(self, *arguments: str) -> str:
        return self._topology.run(self._role, "swanctl", *arguments, "--uri", f"unix://{self.folder}/vici")

    def end(self) -> None:
        """It takes its SAs and policies along."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=END_WITHIN_S)


@contextlib.contextmanager
def ike_connection(
    topology: Topology, folder: Path, esp: str = "aes128gcm16", rekey_time: str = "1h"
) -> Iterator[Charon]:
    """The router's charon, with the CHILD_SA up. rekey_time: of the router's, as strongSwan writes times."""
    times = {"router": rekey_time, "parent": "1h"}
    both = [Charon(topology, role, folder / role, esp, times[role]) for role in ("parent", "router")]
    try:
        for charon in both:
            charon.launch()
        for charon in both:
            charon.load()
        both[1].initiate()
        yield both[1]
    finally:
        for charon in reversed(both):
            charon.end()
