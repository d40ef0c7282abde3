"""The page of an evidence bundle: one file without scripts that looks the same on paper."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from service.domain.incidents import Frozen, FrozenHistogram
from service.domain.records import Alert

if TYPE_CHECKING:
    import jinja2

    from service.reports.evidence import Gathered

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LN_10 = 2.302585092994046
BINS_MAX = 40
"""Of a histogram; the rest is put together."""
PRINCIPALS_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bin: shares of the reference and of the events since the change."""

    label: str
    baseline: float
    current: float
    baseline_width: float
    """Of the widest bar of the histogram, 0 to 100."""
    current_width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One column, before and since."""

    name: str
    effects: tuple[tuple[str, str], ...]
    events: int
    rows: int
    bars: tuple[Bar, ...]
    more: int


def time_of(at_us: int) -> str:
    """Return a time in UTC, ISO 8601, to the second."""
    moment = EPOCH + timedelta(microseconds=at_us)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def page_of(found: "Gathered", software: str) -> str:
    """Return the page."""
    frozen = None if found.evidence is None else _frozen(found.evidence[1])
    report = found.report
    return _template().render(
        software=software,
        incident=found.incident,
        made=time_of(found.made_us),
        made_by=found.made_by,
        timeline=found.timeline,
        alerts=[_alert(one) for one in found.alerts],
        transitions=found.transitions,
        digest=None if found.evidence is None else found.evidence[0],
        frozen=frozen,
        pictures=() if frozen is None else tuple(picture_of(one) for one in frozen.histograms),
        principals=() if frozen is None else frozen.principals[:PRINCIPALS_MAX],
        principals_more=0 if frozen is None else max(0, len(frozen.principals) - PRINCIPALS_MAX),
        policy="" if frozen is None else msgspec.json.format(msgspec.json.encode(frozen.policy), indent=2).decode(),
        baseline=found.baseline,
        baseline_signed=found.baseline_signed,
        report=report,
        links=found.links,
        more=found.more,
    )


def picture_of(histogram: FrozenHistogram) -> Picture:
    """Return what is shown of one column; of many bins those that changed most."""
    rows, events = max(1, sum(histogram.baseline)), max(1, sum(histogram.current))
    shares = [
        (label, before / rows, since / events)
        for label, before, since in zip(histogram.bins, histogram.baseline, histogram.current, strict=True)
        if before or since
    ]
    kept = sorted(range(len(shares)), key=lambda i: -abs(shares[i][2] - shares[i][1]))[:BINS_MAX]
    widest = max((max(before, since) for _, before, since in shares), default=1.0) or 1.0
    bars = tuple(
        Bar(
            label=label,
            baseline=before,
            current=since,
            baseline_width=round(100 * before / widest, 1),
            current_width=round(100 * since / widest, 1),
        )
        for label, before, since in (shares[i] for i in sorted(kept))
    )
    return Picture(
        name=histogram.name,
        effects=tuple(
            (name, _effect(value, histogram.intervals.get(name)))
            for name, value in histogram.effects.items()
            if value is not None
        ),
        events=sum(histogram.current),
        rows=sum(histogram.baseline),
        bars=bars,
        more=len(shares) - len(bars),
    )


def _effect(value: float, limits: tuple[float, float] | None) -> str:
    return f"{value:.3g}" if limits is None else f"{value:.3g} ({limits[0]:.3g} to {limits[1]:.3g})"


def _alert(alert: Alert) -> dict[str, Any]:
    use = alert.adversarial
    return {
        "reason": alert.reason,
        "status": alert.status,
        "opened": time_of(alert.opened_us),
        "since": time_of(alert.since_us),
        "evidence": f"10^{alert.evidence_log / LN_10:.1f}",
        "threshold": f"10^{alert.threshold_log / LN_10:.1f}",
        "columns": [(one.words, time_of(one.since_us)) for one in alert.columns],
        "reasons": () if use is None else use.reasons,
    }


def _frozen(body: str) -> Frozen | None:
    """Read frozen evidence; that of another release is in the bundle as it is, and not on the page."""
    try:
        return msgspec.json.decode(body, type=Frozen)
    except msgspec.MsgspecError:
        return None


@cache
def _template() -> "jinja2.Template":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("service.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["time"] = time_of
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    return environment.get_template("bundle.html")
