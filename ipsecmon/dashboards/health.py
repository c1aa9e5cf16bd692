"""ipsecmon about itself: do the meters agree, what was lost, what did the doctor find, what does it cost?"""

from __future__ import annotations

from ipsecmon.dashboards import variables
from ipsecmon.dashboards.influxql import RANGE_MS, chosen, is_tag, over_time, per_tag
from ipsecmon.dashboards.layout import band, build_dashboard, heading
from ipsecmon.dashboards.look import Json, of_name, prop
from ipsecmon.dashboards.panels import OCTETS, SHARE, columns, curve, stat, table, time_series, titled

__all__ = ["UID", "build"]

UID = "ipsecmon-health"
_COUNT = "short"
_LEVELS = (
    "cpu-us|peak-memory-kib|waiting-batches|oldest-waiting-s|dropped-batches|failing|retries"
    "|datagrams|events|reloads"
)
_LOST_IN_NFLOG = "dropped-datagrams|sequence-gap|malformed|short"
_NO_SUM = '"counter" !~ /^${line:regex}$/'  # the line's counter is the sum of others
_DOCTOR = is_tag("component", "doctor")


def build() -> Json:
    return build_dashboard(
        UID,
        "ipsecmon: health",
        "Whether the numbers can be trusted, and what ipsecmon itself costs.",
        [variables.DATA_SOURCE, variables.ROUTER_VARIABLE, variables.LINE, variables.INTERFACE],
        [
            band(4, *_figures()),
            heading("Do the meters agree?"),
            band(8, _agreement(), _disagreements(), widths=(10, 14)),
            band(8, _terms(), _bridged()),
            heading("Header copies, spool, findings"),
            band(8, _copies(), _spool()),
            band(8, _findings(), _troubles()),
            heading("What the kernel's XFRM dropped, and what ipsecmon costs"),
            band(8, _xfrm_errors(), _cpu(), _memory()),
        ],
        since="now-6h",
    )


def _agent(expression: str, *where: str, by: tuple[str, ...] = ()) -> str:
    return per_tag("agent", expression, where, by)


def _figures() -> list[Json]:
    agree = curve(per_tag("agreement", 'mean("agrees")'), "agree")
    lost = curve(per_tag("meter", 'sum("lost_packets")', [_NO_SUM]), "lost")
    newest = _agent('last("value") AS "value"', is_tag("kind", "waiting-batches"), by=("component",))
    waiting = curve(f'SELECT sum("value") FROM ({newest})', "waiting")
    found = curve(f'SELECT sum("value") FROM ({_agent_findings()})', "findings")
    memory = curve(_agent('last("value") * 1024', is_tag("kind", "peak-memory-kib")), "memory")
    return [
        titled(
            stat("Meters agree", [agree], SHARE, steps=[(0, "red"), (0.99, "orange"), (1, "green")]),
            "Of all pairs and intervals.",
        ),
        titled(stat("Header copies lost", [lost], _COUNT, red_above=1), "Copies only: no total is touched."),
        stat("Waiting in the spool", [waiting], _COUNT, steps=[(10, "orange"), (100, "red")]),
        stat("Findings of the doctor", [found], _COUNT, steps=[(1, "orange")]),
        stat("CPU", [curve(_agent(_cpu_share(RANGE_MS), _CPU), "cpu")], SHARE),
        stat("Memory, at most", [memory], "bytes"),
    ]


_CPU = is_tag("kind", "cpu-us")


def _cpu_share(length_ms: str) -> str:
    """Of one processor: microseconds in so many milliseconds."""
    return f'sum("value") / 1000.0 / {length_ms}'


def _agent_findings() -> str:
    return per_tag("agent", 'last("value") AS "value"', [_DOCTOR], ["kind"])


def _agreement() -> Json:
    query = over_time("agreement", 'mean("agrees")', by=["pair"])
    panel = time_series(
        "Intervals in which two meters agree", [curve(query, "$tag_pair")], SHARE, more={"max": 1}
    )
    return titled(
        panel, "rule-nflog: rules and header copies. sa-rule: SAs and inner rules. docs/agreement.md"
    )


def _disagreements() -> Json:
    query = per_tag(
        "agreement",
        'count("agrees") AS "intervals", sum("unexplained") AS "octets"',
        ['"agrees" = 0'],
        ["counter", "direction", "observed_at", "pair"],
    )
    shown = {
        "counter": "Counter",
        "direction": "Direction",
        "observed_at": "Observed at",
        "pair": "Meters",
        "intervals": "Intervals",
        "octets": "Unexplained",
    }
    count = of_name("Intervals", prop("unit", _COUNT))
    return table(
        "Where they do not, and how many octets that is",
        [columns(query)],
        OCTETS,
        shown,
        [count],
        sort_by="intervals",
    )


def _terms() -> Json:
    query = over_time("line_term", 'sum("octets")', [chosen("interface")], ["term"])
    panel = time_series("What ties the interface to its parts, octets", [curve(query, "$tag_term")], OCTETS)
    return titled(panel, "Why the interface counts something else than the parts of the line. docs/line.md")


def _bridged() -> Json:
    query = over_time("meter", 'sum("bridged_octets")', [_NO_SUM], ["observed_at"])
    panel = time_series(
        "Counted while no agent ran, octets", [curve(query, "$tag_observed_at")], OCTETS, bars=True
    )
    return titled(panel, "In the totals; when exactly it passed is not known.")


def _copies() -> Json:
    lost = over_time("meter", 'sum("lost_packets")', [_NO_SUM, '"lost_packets" > 0'], ["counter"])
    kinds = over_time(
        "agent",
        'sum("value")',
        [is_tag("component", "nflog"), f'"kind" =~ /^({_LOST_IN_NFLOG})$/'],
        ["kind"],
    )
    targets = [curve(lost, "lost, $tag_counter"), curve(kinds, "nflog $tag_kind")]
    return time_series("Header copies lost, and why", targets, _COUNT, bars=True)


def _spool() -> Json:
    waiting = over_time("agent", 'max("value")', [is_tag("kind", "waiting-batches")], ["component"])
    dropped = over_time("agent", 'max("value")', [is_tag("kind", "dropped-batches")], ["component"])
    targets = [curve(waiting, "$tag_component waiting"), curve(dropped, "$tag_component dropped since ever")]
    return time_series("Intervals in the spool", targets, _COUNT)


def _findings() -> Json:
    query = per_tag("agent", 'last("value") AS "stands"', [_DOCTOR], ["kind"])
    shown = {"kind": "Condition", "Time": "Last seen"}
    seen = of_name("Last seen", prop("unit", "dateTimeAsIso"), prop("custom.width", 190))
    panel = table("What the doctor found", [columns(query)], _COUNT, shown, [seen])
    return titled(panel, "`ipsecmon doctor` says what it falsifies and how to mend it. docs/doctor.md")


def _troubles() -> Json:
    query = per_tag(
        "agent",
        'sum("value") AS "times"',
        ['"component" !~ /^doctor$/', f'"kind" !~ /^({_LEVELS})$/', '"value" > 0'],
        ["component", "kind"],
    )
    shown = {"component": "Component", "kind": "Kind", "times": "How many"}
    panel = table("What went otherwise than it should", [columns(query)], _COUNT, shown, sort_by="times")
    return titled(panel, "Each kind is explained in docs/series.md.")


def _xfrm_errors() -> Json:
    query = over_time("xfrm_error", 'sum("packets")', by=["error"])
    return time_series("Packets that XFRM dropped", [curve(query, "$tag_error")], _COUNT, bars=True)


def _cpu() -> Json:
    query = over_time("agent", _cpu_share("$__interval_ms"), [_CPU])
    return time_series("CPU, of one processor", [curve(query, "ipsecmon")], SHARE)


def _memory() -> Json:
    query = over_time("agent", 'max("value") * 1024', [is_tag("kind", "peak-memory-kib")])
    return time_series("Memory, at most since its start", [curve(query, "ipsecmon")], "bytes")
