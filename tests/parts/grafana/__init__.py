"""Dashboards against Grafana's own types and components, a real influxd and a real browser."""

from __future__ import annotations
