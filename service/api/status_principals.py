"""Who is followed one by one, in the status of a version."""

from service.api.views import View


class PrincipalsStatus(View, frozen=True, kw_only=True):
    """Who is followed one by one, under this baseline and policy."""

    followed: int
    """Principals that are remembered."""
    forgotten: int
    examined: int
    """Requests that were looked at."""
    unexamined: int
    """Requests beyond the limits, or without principal, answer, or what is compared."""
    invalid: int
    """Requests whose point or answer could not be compared."""
    invalid_answers: int
    """Of these, by their answer: probabilities that do not sum to one, or are below zero. The others have an embedding
    of another dimension, a fingerprint that is none or of another salt, or what else is no finite point."""
    fingerprints: dict[str, int]
    """Of the requests that were looked at: ``taken``, ``unreadable``, and ``foreign``, made with another salt."""
    campaigns: int
    """Clusters of near-duplicates that more than one principal has sent, as far as they are remembered."""
    unkept: int
    """Principals that begin anew when the worker starts, as there is no room to keep them."""
    thresholds: dict[str, float]
    """By tier, each in the unit of its evidence."""
    calibrated: dict[str, bool]
    """By tier: whether the threshold was held against sessions that this baseline's own reference gives."""
    calibration: dict[str, dict[str, float]]
    """By tier: the ``nominal`` threshold, the largest evidence that such a session ``reached``, how many ``sessions``
    there were, and ``at_most`` which share of them is above the threshold, as none was (95 %, exact). The last three
    are missing of baselines of earlier releases."""
    persistence: dict[str, float]
    """Of the bets on input after input: ``wrong_of_told``, the share of those told of that is expected to be wronged at
    most, on how many principals there was a bet (``betting``), what one alone has to win to be told of
    (``log_threshold``, natural logarithm), and the most that one has (``log_highest``). Empty without bets."""
