"""Every attack by its name."""

from functools import partial

import numpy as np

from redteam.attacks import library
from redteam.attacks.base import Attack, Family, Need
from redteam.attacks.score import nes

CRAFT_BLACK_BOX = "AML.T0043.001"
EVADE = "AML.T0015"
IMAGES = frozenset({Need.IMAGES})
LARGE_IMAGES = frozenset({Need.LARGE_IMAGES})


def _by_labels() -> list[Attack]:
    attack = partial(Attack, family=Family.DECISION, techniques=(CRAFT_BLACK_BOX, EVADE))
    return [
        attack(name="hopskipjump-l2", title="HopSkipJump, L2", run=library.hop_skip_jump(2)),
        attack(
            name="hopskipjump-linf",
            title="HopSkipJump, largest change of a value",
            run=library.hop_skip_jump(np.inf),
            norm=np.inf,
        ),
        attack(name="boundary", title="Boundary attack", run=library.boundary(), queries_max=2_000),
        attack(name="signopt", title="Sign-OPT", run=library.sign_opt()),
    ]


def _by_scores() -> list[Attack]:
    attack = partial(Attack, family=Family.SCORE, techniques=(CRAFT_BLACK_BOX, EVADE))
    linf, images = partial(attack, norm=np.inf), partial(attack, needs=IMAGES)
    return [
        attack(name="zoo", title="Zeroth-order optimisation", run=library.zoo()),
        linf(name="square-linf", title="Square attack, largest change", run=library.square(np.inf), needs=IMAGES),
        attack(name="square-l2", title="Square attack, L2", run=library.square(2), needs=LARGE_IMAGES),
        images(name="simba-px", title="SimBA over pixels", run=library.simba("px")),
        images(name="simba-dct", title="SimBA over cosine waves", run=library.simba("dct")),
        linf(name="nes-linf", title="Natural evolution strategies, largest change", run=nes()),
        attack(name="nes-l2", title="Natural evolution strategies, L2", run=nes(norm=2)),
    ]


ATTACKS: dict[str, Attack] = {attack.name: attack for attack in [*_by_labels(), *_by_scores()]}
