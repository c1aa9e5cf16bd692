"""The dashboards for Grafana, described once: what is shown, asked of which series, in which colours.

    series ─▶ influxql ─▶ panels ─▶ one module a dashboard ─▶ python -m ipsecmon.dashboards

`make docs` writes them to grafana/dashboards/. A name that no series has is an error when they are written.
Only InfluxQL, which InfluxDB 1, 2 and 3 understand, and only what Grafana 9.2 has.
"""

from __future__ import annotations
