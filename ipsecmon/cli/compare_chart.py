"""A comparison as a picture: both windows as stacked rates, and each row's change with its interval.

Needs matplotlib, which a router does without: it is the extra `chart`.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipsecmon.agent.compare import Comparison
from ipsecmon.agent.compare_rows import Kind
from ipsecmon.agent.compare_sides import Row, Verdict
from ipsecmon.cli.compare_windows import Windows
from ipsecmon.cli.compare_words import signed
from ipsecmon.cli.ranges import local_time
from ipsecmon.errors import ConfigError
from ipsecmon.model import Direction
from ipsecmon.units import render_whole_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_chart"]

_MOST_POINTS = 240  # of a curve: what a screen can show
_MOST_ROWS = 8  # of changes in one panel
_VPN, _OTHER, _CAPACITY, _TEXT = "#3274d9", "#b4b4b4", "#d64545", "#3b3b3b"
_COLOURS = {
    Verdict.MORE: "#2e8b57",
    Verdict.LESS: "#a0489b",
    Verdict.SAME: "#8e8e8e",
    Verdict.UNKNOWN: "#c9a227",
}
_UNITS = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s"))
_WIDEST = 3.0  # of changes, as a share of the mean before: what is more is cut
_HEADROOM = 1.25  # above the highest, for the legend
_HEIGHT, _WIDTH = 3.4, 13.0  # inches, of a direction

_Floats = NDArray[np.float64]


class _Panel(NamedTuple):
    line: str
    direction: Direction
    rows: Sequence[Row]


def draw_chart(found: Comparison, windows: Windows, file: Path) -> None:
    """As the file's name ends. Raises ConfigError where matplotlib or the file cannot be had."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "--chart needs matplotlib, which is not installed: pip install 'ipsecmon[chart]'"
        ) from error
    panels = _panels(found)
    if not panels:
        raise ConfigError("--chart: nothing is recorded in these ranges")
    figure = Figure(figsize=(_WIDTH, 0.9 + _HEIGHT * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(len(panels), 3, squeeze=False, width_ratios=(1, 1, 0.9))
    figure.suptitle(_title(found, windows), fontsize=12, x=0.01, ha="left", color=_TEXT)
    for panel, (before, after, changes) in zip(panels, axes):
        _draw_rates(panel, found, (before, after))
        _draw_changes(panel, changes)
    try:
        figure.savefig(file, dpi=110)
    except OSError as error:
        raise ConfigError(f"--chart {file}: {error.strerror}") from error


def _panels(found: Comparison) -> list[_Panel]:
    """Lines and directions in which anything passed."""
    panels = []
    for line, way in dict.fromkeys(row.key[:2] for row in found.rows if row.key.kind is Kind.LINE):
        rows = [row for row in found.rows if row.key[:2] == (line, way) and row.key.kind is not Kind.QUEUE]
        if any(side.octets for row in rows for side in (row.before, row.after)):
            panels.append(_Panel(line, way, rows))
    return panels


def _title(found: Comparison, windows: Windows) -> str:
    if windows.event is None:
        return f"{found.router}: before and after"
    return f"{found.router}: before and after {local_time(windows.event.start_ns)}\n{windows.event.text}"


def _draw_rates(panel: _Panel, found: Comparison, both: tuple[Axes, Axes]) -> None:
    """VPN and everything else, one on the other, in the same unit and height before and after."""
    by_kind = {row.key.kind: row for row in panel.rows}
    capacity = next((one.bits_per_s for one in found.capacities if one[:2] == panel[:2]), None)
    curves = [
        [
            _thinned(starts, by_kind[kind].rates[place], found.step_s) if kind in by_kind else None
            for kind in (Kind.VPN, Kind.OTHER)
        ]
        for place, starts in enumerate(found.starts_ns)
    ]
    highest = max(
        [capacity or 0, *(float(np.nanmax(_stacked(pair), initial=0)) for pair in curves if any(pair))]
    )
    factor, unit = next((one for one in _UNITS if highest >= one[0]), _UNITS[-1])
    for axes, name, pair in zip(both, ("before", "after"), curves):
        _decorate(axes, f"{panel.line} {panel.direction.value}, {name}")
        bottom: Any = 0.0
        for curve, colour, label in zip(pair, (_VPN, _OTHER), ("VPN", "everything else")):
            if curve is not None:
                top = bottom + np.nan_to_num(curve[1]) / factor
                shown = np.where(np.isnan(curve[1]), np.nan, top)
                axes.fill_between(
                    curve[0], bottom, shown, color=colour, linewidth=0, label=label, step="post"
                )
                bottom = top
        if capacity:
            axes.axhline(capacity / factor, color=_CAPACITY, linewidth=1, linestyle="--")
            axes.annotate(
                render_whole_rate(capacity),
                (0.995, capacity / factor),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=8,
                color=_CAPACITY,
            )
        axes.set_ylim(0, highest / factor * _HEADROOM or 1)
        axes.set_ylabel(unit)
        _date_ticks(axes)
    both[0].legend(loc="upper left", fontsize=8, frameon=False, ncols=2)


def _thinned(starts_ns: Sequence[int], rates: _Floats, step_s: float) -> Any:
    """Times and means of at most so many equal spans of time; NaN where nothing is known."""
    if not len(starts_ns):
        return None
    start_s = np.array(starts_ns) / 1e9
    span_s = max(step_s, step_s * np.ceil((start_s[-1] - start_s[0] + step_s) / step_s / _MOST_POINTS))
    place = ((start_s - start_s[0]) // span_s).astype(int)
    known = ~np.isnan(rates)
    count = np.bincount(place[known], minlength=place[-1] + 1)
    sums = np.bincount(place[known], rates[known], minlength=place[-1] + 1)
    means = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
    times = start_s[0] + span_s * np.arange(len(means) + 1)
    moments = [datetime.datetime.fromtimestamp(one).astimezone().replace(tzinfo=None) for one in times]
    return moments, np.append(means, means[-1])


def _stacked(pair: Sequence[Any]) -> _Floats:
    there = [np.nan_to_num(curve[1]) for curve in pair if curve is not None]
    stacked: _Floats = np.sum(there, axis=0)
    return stacked


def _draw_changes(panel: _Panel, axes: Axes) -> None:
    """Each row's change as a share of its mean before, with its interval."""
    rows = [
        row
        for row in panel.rows
        if row.before.figures
        and row.after.figures
        and row.before.figures.mean > 0
        and row.mean.low is not None
    ][:_MOST_ROWS]
    _decorate(axes, "change of the mean, 95 % certainty")
    for place, row in enumerate(reversed(rows)):
        assert row.before.figures and row.mean.low is not None and row.mean.high is not None
        mean = row.before.figures.mean
        low, middle, high = (
            100 * max(-_WIDEST, min(_WIDEST, one / mean))
            for one in (row.mean.low, row.mean.difference, row.mean.high)
        )
        colour = _COLOURS[row.mean.verdict]
        axes.plot((low, high), (place, place), color=colour, linewidth=6, alpha=0.45, solid_capstyle="butt")
        axes.plot((middle,), (place,), marker="o", color=colour, markersize=6)
        axes.annotate(
            f"{signed(100 * row.mean.difference / mean)} %  {row.mean.verdict.value}",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=colour,
        )
    axes.axvline(0, color=_TEXT, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row.key.name for row in reversed(rows)], fontsize=8)
    axes.set_ylim(-0.7, max(len(rows), 1) - 0.3)
    axes.set_xlabel("%")
    axes.margins(x=0.1)


def _decorate(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=_TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=_TEXT)


def _date_ticks(axes: Axes) -> None:
    import matplotlib.dates

    dates: Any = matplotlib.dates  # not typed
    locator = dates.AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    axes.margins(x=0)
