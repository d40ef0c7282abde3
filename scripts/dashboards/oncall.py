"""On-call quality: are people told, in time, and not too often."""

from scripts.dashboards.panels import GOOD_OR_BAD, Dashboard, Panel, Query, Row
from scripts.dashboards.promql import STOPPED, VERSION, age, at_least_zero, gauge, series, told
from scripts.dashboards.quality import DECIDED, JUDGED

CHANNEL = "{{channel}}"
NO_CHANNEL = "Nothing was sent to a channel yet"
STATE = "lazaretto_model_state"
NAME = "{{model}} {{version}}"

TOLD = (
    Panel(
        title="Firing",
        description="Alerts that people were told of and that are not over.",
        queries=(Query(gauge("lazaretto_notifications_firing", "job"), "firing"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=((1, "orange"),),
    ),
    Panel(
        title="Not routed",
        description="Messages for which nobody has decided yet who is told. They take a quarter of a second.",
        queries=(Query(gauge("lazaretto_notifications_unrouted", "job"), "not routed"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=((10, "red"),),
        runbook="LazarettoNotificationsUnrouted",
    ),
    Panel(
        title="Waiting",
        description="Notifications that wait for their delivery, over all channels.",
        queries=(Query(at_least_zero(f"sum({gauge('lazaretto_notifications_pending', 'channel')})"), "waiting"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=((10, "orange"),),
        runbook="LazarettoNotificationsLate",
    ),
    Panel(
        title="Given up",
        description="Dead letters that were kept: they can be sent again.",
        queries=(Query(at_least_zero(f"sum({gauge('lazaretto_notifications_dead', 'channel')})"), "given up"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=GOOD_OR_BAD,
        runbook="LazarettoDeadLetters",
    ),
    Panel(
        title="Channels that fail",
        description="Channels that are known to fail.",
        queries=(Query(at_least_zero(f"sum({gauge('lazaretto_channel_failing', 'channel')})"), "failing"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=GOOD_OR_BAD,
        runbook="LazarettoNotificationsFailing",
    ),
    Panel(
        title="Oldest that waits",
        description="Age of the oldest notification that waits.",
        queries=(
            Query(
                at_least_zero(f"max({age('lazaretto_notifications_oldest_timestamp_seconds', 'channel')})"), "oldest"
            ),
        ),
        unit="s",
        kind="stat",
        width=4,
        height=4,
        steps=((60, "orange"), (600, "red")),
        runbook="LazarettoNotificationsLate",
    ),
)

CHANNELS = (
    Panel(
        title="Delivered",
        description="Notifications that arrived in the interval, by channel.",
        queries=(Query(told("lazaretto_channel_delivered_total", "channel", over="increase"), CHANNEL),),
        unit="short",
        empty=NO_CHANNEL,
    ),
    Panel(
        title="Attempts that failed",
        description="In the interval, by channel. Each is tried again.",
        queries=(Query(told("lazaretto_channel_failures_total", "channel", over="increase"), CHANNEL),),
        unit="short",
        empty=NO_CHANNEL,
        steps=((1, "orange"),),
        runbook="LazarettoNotificationsFailing",
    ),
    Panel(
        title="Dead letters",
        description="Notifications given up in the interval, by channel.",
        queries=(Query(told("lazaretto_channel_dead_letters_total", "channel", over="increase"), CHANNEL),),
        unit="short",
        empty=NO_CHANNEL,
        steps=GOOD_OR_BAD,
        runbook="LazarettoDeadLetters",
    ),
    Panel(
        title="Circuits",
        description="closed: in use; open: not tried for a while; half_open: one message is tried.",
        queries=(Query(gauge("lazaretto_channel_circuit", "channel, circuit"), ""),),
        unit="none",
        kind="table",
        empty=NO_CHANNEL,
    ),
    Panel(
        title="Waiting by channel",
        description="Notifications that wait for their delivery.",
        queries=(Query(gauge("lazaretto_notifications_pending", "channel"), CHANNEL),),
        unit="short",
        empty=NO_CHANNEL,
        runbook="LazarettoNotificationsLate",
    ),
    Panel(
        title="All channels together, since the worker started",
        description="Notifications delivered, attempts that failed, notifications given up: in the interval.",
        queries=(
            Query(told("lazaretto_messages_delivered_total", "job", over="increase"), "delivered"),
            Query(told("lazaretto_message_failures_total", "job", over="increase"), "failed"),
            Query(told("lazaretto_message_dead_letters_total", "job", over="increase"), "given up"),
        ),
        unit="short",
    ),
)

LOAD = (
    Panel(
        title="Open alerts by cause",
        description="What people are asked about.",
        queries=(Query(f"sum by (cause) ({gauge('lazaretto_open_alerts', f'{VERSION}, cause')})", "{{cause}}"),),
        unit="short",
        empty="No alert is open",
    ),
    Panel(
        title="Time out of service",
        description="Share of the chosen time that versions were in quarantine or under review: the 20 longest.",
        queries=(
            Query(
                f"topk(20, sum by ({VERSION}) (count_over_time({series(STATE, STOPPED)}[$__range])) / "
                f"sum by ({VERSION}) (count_over_time({series(STATE)}[$__range])))",
                NAME,
            ),
        ),
        unit="percentunit",
        kind="bargauge",
        empty="No version was out of service in this time",
        maximum=1,
        in_console=True,
    ),
    Panel(
        title="Time until a quarantine held",
        description="From the newest quarantine to the first request that the gate kept away: the 20 longest.",
        queries=(Query(f"topk(20, {gauge('lazaretto_enforcement_seconds', VERSION)})", NAME),),
        unit="s",
        kind="bargauge",
        empty="No version was ever in quarantine, or nobody has asked since",
        in_console=True,
    ),
    Panel(
        title="Serves after the deadline",
        description="1 while a version in quarantine still serves.",
        queries=(Query(gauge("lazaretto_enforcement_overdue", VERSION), NAME),),
        unit="bool_yes_no",
        kind="stat",
        empty="No version was ever in quarantine",
        steps=GOOD_OR_BAD,
        runbook="LazarettoQuarantineNotEnforced",
        in_console=True,
    ),
)

ONCALL = Dashboard(
    uid="lazaretto-on-call",
    title="Lazaretto / On-call quality",
    description="Are people told, in time, and not too often; and does a quarantine hold.",
    rows=(
        Row("People are told", TOLD),
        Row("Channels", CHANNELS),
        Row("Load and effect", LOAD),
        Row("What people said of it", JUDGED),
        Row("What people decide", DECIDED),
    ),
)
