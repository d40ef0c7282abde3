"""How the dashboards ask Prometheus: every selector keeps to the chosen job and instance, every counter to a rate."""

from service.observability import DEFINITIONS, Kind

VERSION = "model, version"
STOPPED = 'state=~"quarantined|under_review"'
CHOSEN = 'model=~"$model", version=~"$version"'
HERE = ('job=~"$job"', 'instance=~"$instance"')
PROCESS = ("process_", "scrape_")


def series(name: str, *matchers: str) -> str:
    """Return a selector of one metric, within the chosen job and instance."""
    if name not in DEFINITIONS and name != "up" and not name.startswith(PROCESS):
        raise ValueError(f"{name} is not in the catalogue")
    inside = ", ".join((*HERE, *matchers))
    return f"{name}{{{inside}}}"


def gauge(name: str, by: str, *matchers: str) -> str:
    """Return a gauge by some labels; the largest of all instances, because each of them tells the same of a model."""
    return f"max by ({by}) ({series(name, *matchers)})"


def age(name: str, by: str, *matchers: str) -> str:
    """Return how long ago the newest moment of a timestamp was."""
    return f"time() - {gauge(name, by, *matchers)}"


def rate(name: str, *matchers: str, over: str = "rate") -> str:
    """Return what a counter gains: a second, or with ``increase`` in the interval."""
    _demand(name, Kind.COUNTER)
    return f"{over}({series(name, *matchers)}[$__rate_interval])"


def total(name: str, by: str = "", *matchers: str, over: str = "rate") -> str:
    """Return the gains of all instances together: for what each process counts by itself."""
    return f"sum {f'by ({by}) ' if by else ''}({rate(name, *matchers, over=over)})"


def told(name: str, by: str, *matchers: str, over: str = "rate") -> str:
    """Return the gains that every instance tells alike, because they are read from the store."""
    return f"max by ({by}) ({rate(name, *matchers, over=over)})"


def quantile(share: float, name: str) -> str:
    """Return a quantile of a histogram; nothing, rather than no number, when nothing was measured."""
    _demand(name, Kind.HISTOGRAM)
    buckets = series(name).replace(name, f"{name}_bucket", 1)
    return f"histogram_quantile({share}, sum by (le) (rate({buckets}[$__rate_interval]))) >= 0"


def at_least_zero(expression: str) -> str:
    """Return 0 where there is nothing to count, but only while the service is scraped: no answer is not a zero."""
    return f"({expression}) or 0 * max({series('lazaretto_build_info')})"


def _demand(name: str, kind: Kind) -> None:
    if DEFINITIONS[name].kind is not kind:
        raise ValueError(f"{name} is a {DEFINITIONS[name].kind}, not a {kind}")
