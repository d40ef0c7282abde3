"""At which request of a session an alarm stands, from what the monitor says of the one that it accuses."""

import numpy as np

from redteam.session import Session


def place_of(session: Session, account: int, queries: int) -> int:
    """Return the place of an account's request that was its so-manieth different one; its last when it has fewer."""
    known: set[bytes] = set()
    places = np.flatnonzero(session.accounts == account).tolist()
    for place in places:
        known.add(session.inputs[place].tobytes())
        if len(known) >= queries:
            return int(place)
    return int(places[-1])


def label_of(session: Session, account: int, labels: int) -> int:
    """Return the place of an account's request that its so-manieth label is about; its last when it has fewer."""
    places = np.flatnonzero(session.accounts == account)
    told = places if session.feedback is None else places[session.feedback[places] >= 0]
    return int(told[min(max(labels, 1), len(told)) - 1]) if len(told) else int(places[-1])
