"""Texts that others wrote, made harmless for each channel, and content cut to what a receiver takes. Pure."""

import msgspec

from service.domain.notices import AlertBody, Kind, Payload

HEADLINE_MAX = 3_000
NAME_MAX = 200
"""Characters that each label keeps where a payload does not fit otherwise."""
CUTS = (2_000, 500, 200, 60)
"""Characters that each annotation keeps, tried in turn until a payload fits."""
MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
"""What Slack reads as markup of its own; the rest is told to be plain text."""
WORDS: dict[str, str] = {
    Kind.INCIDENT_ACKNOWLEDGED: "acknowledged",
    Kind.INCIDENT_MERGED: "merged",
    Kind.TEST: "test",
}
"""How messages begin that are about neither a beginning nor an end."""
NOT_SHOWN = dict.fromkeys((*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF), None)
"""Signs without width, and those that turn the direction of what follows."""


def one_line(text: str, most: int) -> str:
    """Return a text as one line without control characters, cut to ``most`` characters."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text.translate(NOT_SHOWN))
    return cut(" ".join(shown.split()), most)


def lines(text: str, most: int) -> str:
    """Return a text of several lines without other control characters, cut to ``most`` characters."""
    kept = text.replace("\r\n", "\n").replace("\r", "\n").translate(NOT_SHOWN)
    return cut("".join(sign if sign.isprintable() or sign == "\n" else " " for sign in kept), most)


def cut(text: str, most: int) -> str:
    """Return a text of at most ``most`` characters; a cut shows as an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def cut_bytes(text: str, most: int) -> str:
    """Return a text of at most ``most`` bytes in UTF-8."""
    content = text.encode()
    if len(content) <= most:
        return text
    return content[: most - 3].decode(errors="ignore") + "\N{HORIZONTAL ELLIPSIS}"


def slack_text(text: str, most: int) -> str:
    """Return a text in which Slack finds no markup, link or mention, at most ``most`` characters when escaped."""
    plain = lines(text, most)
    escaped = "".join(MARKUP.get(sign, sign) for sign in plain)
    while len(escaped) > most:
        plain = cut(plain, max(1, len(plain) - (len(escaped) - most)))
        escaped = "".join(MARKUP.get(sign, sign) for sign in plain)
    return escaped


def fit(payload: Payload, bytes_max: int) -> bytes:
    """Return a payload as JSON of at most ``bytes_max``: texts are cut, then names, then alerts left out."""
    content = msgspec.json.encode(payload)
    for most in CUTS:
        if len(content) <= bytes_max:
            return content
        payload = msgspec.structs.replace(
            payload,
            alerts=[_cut_alert(alert, most) for alert in payload.alerts],
            common_annotations=_cut_all(payload.common_annotations, most),
            lazaretto=msgspec.structs.replace(
                payload.lazaretto,
                summary=cut(payload.lazaretto.summary, most),
                description=cut(payload.lazaretto.description, most),
            ),
        )
        content = msgspec.json.encode(payload)
    if len(content) > bytes_max:  # no name that the API takes is as long
        payload = _cut_names(payload)
        content = msgspec.json.encode(payload)
    while len(content) > bytes_max and payload.alerts:
        payload = msgspec.structs.replace(
            payload, alerts=payload.alerts[:-1], truncated_alerts=payload.truncated_alerts + 1
        )
        content = msgspec.json.encode(payload)
    return content


def _cut_names(payload: Payload) -> Payload:
    about, key = payload.lazaretto, payload.group_key
    return msgspec.structs.replace(
        payload,
        group_key=cut(key, NAME_MAX),
        group_labels=_cut_all(payload.group_labels, NAME_MAX),
        common_labels=_cut_all(payload.common_labels, NAME_MAX),
        alerts=[msgspec.structs.replace(one, labels=_cut_all(one.labels, NAME_MAX)) for one in payload.alerts],
        lazaretto=msgspec.structs.replace(
            about,
            model=cut(about.model, NAME_MAX),
            version=cut(about.version, NAME_MAX),
            actor=cut(about.actor, NAME_MAX),
            over=tuple(cut(key, NAME_MAX) for key in about.over),
        ),
    )


def _cut_alert(alert: AlertBody, most: int) -> AlertBody:
    return msgspec.structs.replace(alert, annotations=_cut_all(alert.annotations, most))


def _cut_all(texts: dict[str, str], most: int) -> dict[str, str]:
    return {name: cut(text, most) for name, text in texts.items()}


def headline(kind: str, severity: str, payload: Payload) -> str:
    """Return what people read first: what it is, how much it matters, and the summary; on one line."""
    said = one_line(payload.lazaretto.summary, HEADLINE_MAX) or kind
    return f"[{WORDS.get(kind, payload.status)}, {severity}] {said}"
