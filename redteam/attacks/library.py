"""Attacks of the Adversarial Robustness Toolbox, as an attacker would drive them.

The library is imported when an attack runs: it is slow to import. It asks for the same input again and again; an
attacker with a notebook does not, so answers are remembered and exact repetitions never leave the client.
"""

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redteam.attacks.base import Run, Source
from redteam.oracle import Endpoint
from redteam.victims import Victim

START_TRIES = 100
SIMBA_STEPS = {"px": 0.08, "dct": 0.125}
"""Of the victim's budget: with larger steps most attacks are out of it before the label flips."""


@contextmanager
def library(rng: np.random.Generator) -> Iterator[None]:
    """Silence the library, on import too, and seed the global generators it draws from; give them back as they were."""
    numpy_before = np.random.get_state()  # noqa: NPY002 - the library draws from the global generator
    python_before = random.getstate()
    made = np.random.RandomState
    seeds = rng.spawn(1)[0]

    class Seeded(np.random.RandomState):
        """The library makes generators without a seed, too."""

        def __init__(self, seed: Any = None) -> None:
            super().__init__(int(seeds.integers(2**32)) if seed is None else seed)

    np.random.set_state(Seeded().get_state())  # noqa: NPY002 - as above
    random.seed(int(seeds.integers(2**32)))
    np.random.RandomState = Seeded  # type: ignore[misc]  # the library makes unseeded ones
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.RandomState = made  # type: ignore[misc]  # put back
        np.random.set_state(numpy_before)  # noqa: NPY002 - as above
        random.setstate(python_before)


def remembering(victim: Victim, oracle: Endpoint) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Return a function that asks for every distinct input once, and for none that the victim would not take."""
    known: dict[bytes, NDArray[np.float64]] = {}

    def ask(inputs: NDArray[Any]) -> NDArray[np.float64]:
        rows = np.clip(np.asarray(inputs, dtype=np.float32).reshape(len(inputs), -1), victim.low, victim.high)
        keys = [row.tobytes() for row in rows]
        new = {key: i for i, key in enumerate(keys) if key not in known}
        if new:
            order = sorted(new.values())
            answers = oracle.ask(rows[order].astype(np.float64))
            known.update(zip((keys[i] for i in order), answers, strict=True))
        return np.array([known[key] for key in keys])

    return ask


def estimator(victim: Victim, ask: Callable[[NDArray[Any]], NDArray[np.float64]], *, flat: bool = False) -> Any:
    """Return the victim as the library wants it: images in one channel, tables flat."""
    from art.estimators.classification import BlackBoxClassifier, BlackBoxClassifierNeuralNetwork

    clip = (victim.low, victim.high)
    if flat or len(victim.shape) == 1:
        return BlackBoxClassifier(ask, (victim.dimension,), victim.classes, clip_values=clip)
    shape = (1, *victim.shape)
    return BlackBoxClassifierNeuralNetwork(ask, shape, victim.classes, channels_first=True, clip_values=clip)


def shaped(victim: Victim, row: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return one input as a batch in the library's shape."""
    shape = victim.shape if len(victim.shape) == 1 else (1, *victim.shape)
    return row.astype(np.float32).reshape(1, *shape)


def start(
    victim: Victim,
    ask: Callable[[NDArray[Any]], NDArray[np.float64]],
    source: Source,
    rng: np.random.Generator,
    *,
    noisy: bool = True,
) -> NDArray[np.float64] | None:
    """Return an input with another label: uniform noise or, when that finds none, one of the attacker's own."""
    for _ in range(START_TRIES if noisy else 0):
        noise = rng.uniform(victim.low, victim.high, victim.dimension).astype(np.float32).astype(np.float64)
        if ask(noise[None]).argmax() != source.label:
            return noise
    inputs, labels = source.data
    for i in rng.permutation(np.flatnonzero(labels != source.label))[:START_TRIES]:
        if ask(inputs[i][None]).argmax() != source.label:
            return np.asarray(inputs[i])
    return None


def from_start(make: Callable[[Any, Victim], Any], *, noisy: bool = True) -> Run:
    """Return an attack that begins at an input with another label, noise if it may be, and comes closer."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        with library(rng):
            ask = remembering(victim, oracle)
            first = start(victim, ask, source, rng, noisy=noisy)
            if first is not None:
                attack = make(estimator(victim, ask), victim)
                attack.generate(shaped(victim, source.input), x_adv_init=shaped(victim, first))

    return run


def from_root(make: Callable[[Any, Victim], Any]) -> Run:
    """Return an attack that begins at the input itself."""

    def run(victim: Victim, oracle: Endpoint, source: Source, rng: np.random.Generator) -> None:
        with library(rng):
            make(estimator(victim, remembering(victim, oracle)), victim).generate(shaped(victim, source.input))

    return run


def hop_skip_jump(norm: float, *, noisy: bool = True) -> Run:
    """HopSkipJump (Chen, Jordan, Wainwright 2020)."""

    def make(model: Any, _: Victim) -> Any:
        from art.attacks.evasion import HopSkipJump

        return HopSkipJump(model, norm=norm, max_iter=50, max_eval=500, init_eval=100, verbose=False)

    return from_start(make, noisy=noisy)


def boundary() -> Run:
    """Boundary attack (Brendel, Rauber, Bethge 2018)."""

    def make(model: Any, _: Victim) -> Any:
        from art.attacks.evasion import BoundaryAttack

        return BoundaryAttack(model, targeted=False, max_iter=1_000, delta=0.01, epsilon=0.01, verbose=False)

    return from_start(make)


def sign_opt() -> Run:
    """Sign-OPT (Cheng et al. 2020), with fewer directions a step than its authors took: its queries are few here."""

    def make(model: Any, _: Victim) -> Any:
        from art.attacks.evasion import SignOPTAttack

        return SignOPTAttack(model, targeted=False, num_trial=10, k=100, query_limit=1_000_000, verbose=False)

    return from_root(make)


def simba(basis: str) -> Run:
    """SimBA (Guo et al. 2019) over single pixels (``px``) or cosine waves (``dct``)."""
    step = SIMBA_STEPS[basis]

    def make(model: Any, victim: Victim) -> Any:
        from art.attacks.evasion import SimBA

        size = step * victim.budget
        return SimBA(model, attack=basis, epsilon=size, max_iter=10_000, freq_dim=4, stride=1, verbose=False)

    return from_root(make)


def square(norm: float) -> Run:
    """Square attack (Andriushchenko et al. 2020) at the victim's budget."""

    def make(model: Any, victim: Victim) -> Any:
        from art.attacks.evasion import SquareAttack

        eps = victim.budget_linf if np.isinf(norm) else victim.budget
        return SquareAttack(model, norm=norm, eps=eps, max_iter=10_000, verbose=False)

    return from_root(make)


def zoo() -> Run:
    """Zeroth-order optimisation (Chen et al. 2017); with the library's own settings nothing moves."""

    def make(model: Any, victim: Victim) -> Any:
        from art.attacks.evasion import ZooAttack

        return ZooAttack(
            model,
            variable_h=0.1,
            learning_rate=0.1,
            initial_const=10.0,
            max_iter=10_000,
            use_resize=False,
            use_importance=False,
            nb_parallel=min(64, victim.dimension),
            verbose=False,
        )

    return from_root(make)
