"""Every scenario by its name."""

from redteam.scenarios import injection, takeover, tampering, telemetry
from redteam.scenarios.base import Need, Scenario, Stride

POISON, ERODE_DATA = "AML.T0020", "AML.T0059"
CHAFF, DENIAL = "AML.T0046", "AML.T0029"

LISTED = (
    Scenario(
        name="baseline-upload",
        title="A baseline that was changed on its way",
        stride=(Stride.TAMPERING, Stride.ELEVATION),
        ids=(POISON, "CWE-353", "CWE-862"),
        defence="a body that is not what its digest says, or no data, is refused; only admin keys put a baseline",
        act=tampering.altered_upload,
    ),
    Scenario(
        name="baseline-store",
        title="A baseline that was changed on disk",
        stride=(Stride.TAMPERING,),
        ids=(POISON, "CWE-345", "CWE-354"),
        defence="a baseline without its own signature is not used, and the status says so",
        act=tampering.altered_store,
        needs=frozenset({Need.DISK}),
    ),
    Scenario(
        name="replayed-batches",
        title="Batches that are sent again",
        stride=(Stride.TAMPERING, Stride.REPUDIATION),
        ids=(ERODE_DATA, "CWE-294"),
        defence="a key counts a batch once; copies under other keys count as of now and accuse nobody",
        act=telemetry.replayed_batches,
    ),
    Scenario(
        name="forged-principals",
        title="Requests and keys of somebody else",
        stride=(Stride.SPOOFING, Stride.ELEVATION),
        ids=("CWE-290", "CWE-306", "CWE-863"),
        defence="nobody writes without a key of the model, and a pseudonym is not a name",
        act=telemetry.forged_principals,
    ),
    Scenario(
        name="poisoned-labels",
        title="Labels that are lies",
        stride=(Stride.TAMPERING,),
        ids=(POISON, ERODE_DATA, "CWE-20"),
        defence="labels are kept with their batch; they move no baseline, no evidence and no state",
        act=telemetry.poisoned_labels,
    ),
    Scenario(
        name="event-times",
        title="Events from another time",
        stride=(Stride.TAMPERING, Stride.REPUDIATION),
        ids=(ERODE_DATA, "CWE-20"),
        defence="evidence goes by arrival: what a client says of the time rewrites nothing",
        act=telemetry.event_times,
    ),
    Scenario(
        name="quarantine-by-probing",
        title="A healthy model taken away by one client's attacks",
        stride=(Stride.DENIAL,),
        ids=(DENIAL, CHAFF),
        defence="one principal never quarantines a model",
        act=takeover.by_probing,
    ),
    Scenario(
        name="quarantine-by-drift",
        title="A healthy model taken away by one client's traffic",
        stride=(Stride.DENIAL,),
        ids=(DENIAL, CHAFF),
        defence="drift that rests on one principal is told of, and quarantines nothing",
        act=takeover.by_drift,
    ),
    Scenario(
        name="quarantine-by-scope",
        title="A healthy model taken away with a key that may not",
        stride=(Stride.ELEVATION, Stride.DENIAL),
        ids=("CWE-862", "CWE-863"),
        defence="states, policies and keys change with the scope for it alone",
        act=takeover.by_low_scope,
    ),
    Scenario(
        name="alert-flood",
        title="Alerts for their own sake",
        stride=(Stride.DENIAL,),
        ids=(CHAFF, "CWE-770"),
        defence="alerts have caps for each principal and tier, and whoever is over them is contained all the same",
        act=takeover.alert_flood,
    ),
    Scenario(
        name="injected-strings",
        title="Names and texts that mean something to whoever reads them",
        stride=(Stride.TAMPERING, Stride.SPOOFING, Stride.DISCLOSURE),
        ids=("CWE-79", "CWE-113", "CWE-117", "CWE-20"),
        defence="names are refused, texts are shown as text, in pages, metrics and headers",
        act=injection.strings,
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in LISTED}
