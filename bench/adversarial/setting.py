"""Who is attacked, and what the monitor compares requests with: one yardstick for every secret salt."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from detectors.principals.fingerprint import Fingerprinter, Fingerprints, salt_tag, take_apart
from detectors.principals.forest import Forest
from detectors.principals.grown import grown
from detectors.principals.monitor import Yardstick
from redteam.session import Session
from redteam.victims import Victim, cancer, digits, mnist

VICTIMS = ("digits", "mnist", "digits-logistic", "digits-forest", "cancer-logistic", "cancer-forest")
SALTS = 12
"""Different salts of a part of the protocol: a session has one of them, and no part has another one's."""


class Recorder:
    """Stands where the forest does, and takes down every story that the monitor tells."""

    def __init__(self, forest: Forest) -> None:
        self._forest = forest
        self.stories: list[NDArray[np.float64]] = []

    def score(self, story: NDArray[np.float64]) -> float:
        """Keep a story, and return what the forest says of it."""
        self.stories.append(story)
        return self._forest.score(story)


@dataclass(frozen=True, kw_only=True)
class Lens:
    """What one salt makes of a victim's requests."""

    maker: Fingerprinter
    tag: int
    yardstick: Yardstick
    recorder: Recorder
    """The yardstick's forest: the one of this release, taken down."""

    def of(self, session: Session) -> Fingerprints:
        """Return the fingerprints of a session's requests."""
        return take_apart(self.maker.of(session.inputs.astype(np.float64)), self.tag)

    def points(self, session: Session) -> NDArray[np.float32]:
        """Return the points of a session's requests, shape (n, dimension): what single principals are judged by."""
        return self.maker.points(session.inputs.astype(np.float64))


def load(name: str, data: Path) -> Victim:
    """Return a victim by its name; MNIST lies in a folder of its own under the data."""
    makers: dict[str, Callable[[], Victim]] = {
        "digits": lambda: digits(folder=data / "vision"),
        "mnist": lambda: mnist(data / "vision"),
        "digits-logistic": lambda: digits(folder=data / "vision", model="logistic"),
        "digits-forest": lambda: digits(folder=data / "vision", model="forest"),
        "cancer-logistic": lambda: cancer("logistic"),
        "cancer-forest": lambda: cancer("forest"),
    }
    return makers[name]()


class Lenses:
    """The lenses of one victim in one part of the protocol.

    Parameters
    ----------
    victim : Victim
        Whose ``reference`` split they are ground on.
    part : str
        Such as ``calibration``: salts of one part are in no other one.
    """

    def __init__(self, victim: Victim, part: str) -> None:
        self._victim, self._part = victim, part
        self._made: dict[int, Lens] = {}

    def of(self, session: Session) -> Lens:
        """Return the lens that a session is looked at through."""
        return self.at(session.seed, session.source)

    def at(self, seed: int, source: int) -> Lens:
        """Return the lens of sessions with this seed and source."""
        return self.salted(int(np.random.default_rng([seed, source + 1]).integers(SALTS)))

    def salted(self, which: int) -> Lens:
        """Return the lens of one of the salts, 0 to ``SALTS - 1``."""
        if which not in self._made:
            self._made[which] = lens(self._victim, salt(self._victim.name, self._part, which))
        return self._made[which]


def salt(victim: str, part: str, which: int) -> bytes:
    """Return a salt that nothing else has."""
    return np.random.default_rng([crc32(f"{victim} {part}".encode()), which]).bytes(32)


def lens(victim: Victim, secret: bytes) -> Lens:
    """Make a lens from the victim's reference."""
    maker = Fingerprinter(secret, victim.dimension, low=victim.low, high=victim.high)
    inputs = victim.reference[0].astype(np.float32).astype(np.float64)
    answers = victim.predict(inputs)
    points = maker.points(inputs)
    recorder = Recorder(grown())
    yardstick = Yardstick.fit(points, answers.argmax(axis=1), answers, cast(Forest, recorder))
    return Lens(maker=maker, tag=salt_tag(secret), yardstick=yardstick, recorder=recorder)


@cache
def cached(name: str, data: Path) -> Victim:
    """Return a victim, trained once in a process."""
    return load(name, data)
