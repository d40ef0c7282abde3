"""Every attack by its name."""

from functools import partial

import numpy as np

from redteam.attacks import extraction, library, membership, oars, offline, streams, wrap
from redteam.attacks.base import Attack, Family, Need
from redteam.attacks.score import nes, throttled_simba

CRAFT_BLACK_BOX = "AML.T0043.001"
CRAFT_WHITE_BOX = "AML.T0043.000"
CRAFT_TRANSFER = "AML.T0043.002"
EVADE = "AML.T0015"
EXTRACT = "AML.T0024.002"
TRAIN_PROXY = "AML.T0005.001"
INFER_MEMBERSHIP = "AML.T0024.000"
DENIAL = "AML.T0029"
EXCESSIVE_QUERIES = "AML.T0034.000"
RESOURCE_INTENSIVE = "AML.T0034.001"
POISON = "AML.T0020"
ERODE_MODEL = "AML.T0031"
ERODE_DATA = "AML.T0059"
CHAFF = "AML.T0046"
ESTABLISH_ACCOUNTS = "AML.T0021"
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
        attack(
            name="hopskipjump-l2-own",
            title="HopSkipJump, L2, from an ordinary input",
            run=library.hop_skip_jump(2, noisy=False),
        ),
        attack(name="boundary", title="Boundary attack", run=library.boundary(), queries_max=2_000),
        attack(
            name="signopt", title="Sign-OPT", run=library.sign_opt(), needs=frozenset({Need.CLASSES}), queries_max=2_000
        ),
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


def _by_other_means() -> list[Attack]:
    return [
        Attack(
            name="lowprofool",
            title="LowProFool",
            family=Family.GRADIENT,
            techniques=(CRAFT_WHITE_BOX, EVADE),
            run=offline.low_pro_fool(),
            needs=frozenset({Need.TABLE, Need.GRADIENTS}),
        ),
        Attack(
            name="transfer-pgd",
            title="Projected gradient descent on a model of the attacker's own",
            family=Family.TRANSFER,
            techniques=(CRAFT_TRANSFER, EVADE),
            run=offline.transfer(),
        ),
    ]


def _extraction() -> list[Attack]:
    attack = partial(
        Attack,
        family=Family.EXTRACTION,
        techniques=(EXTRACT, TRAIN_PROXY),
        progress="fidelity: share of labels that the thief has right",
        enough=0.8,
        queries_max=2_000,
    )
    strange = partial(attack, needs=frozenset({Need.STRANGERS}))
    take, copy = extraction.knockoff, extraction.copycat
    return [
        attack(name="knockoff-own", title="Knockoff nets, ordinary inputs", run=take(extraction.own)),
        attack(name="knockoff-noise", title="Knockoff nets, noise", run=take(extraction.noise)),
        attack(
            name="knockoff-classes", title="Knockoff nets, a third of the classes", run=take(extraction.few_classes)
        ),
        strange(name="knockoff-strangers", title="Knockoff nets, another data set", run=take(extraction.strangers)),
        attack(name="copycat-own", title="Copycat, ordinary inputs", run=copy(extraction.own)),
        attack(name="copycat-noise", title="Copycat, noise", run=copy(extraction.noise)),
        attack(name="copycat-classes", title="Copycat, a third of the classes", run=copy(extraction.few_classes)),
        strange(name="copycat-strangers", title="Copycat, another data set", run=copy(extraction.strangers)),
        attack(name="jacobian", title="Jacobian-based augmentation", run=extraction.jacobian(), queries_max=1_000),
    ]


def _membership() -> list[Attack]:
    attack = partial(
        Attack,
        family=Family.MEMBERSHIP,
        techniques=(INFER_MEMBERSHIP,),
        progress="records with a verdict",
    )
    return [
        attack(
            name="membership-boundary",
            title="Membership by distance to the boundary",
            run=membership.boundary_distance(),
            queries_max=2_000,
            enough=5,
        ),
        attack(
            name="membership-copies",
            title="Membership by changed copies",
            run=membership.changed_copies(),
            enough=20,
        ),
        attack(
            name="membership-confidence",
            title="Membership by confidence",
            run=membership.confidence(),
            queries_max=200,
            enough=100,
        ),
    ]


def _costs() -> list[Attack]:
    attack = partial(Attack, family=Family.COST, latency=streams.latency)
    return [
        attack(
            name="sponge",
            title="Sponge examples",
            techniques=(RESOURCE_INTENSIVE, DENIAL),
            run=streams.sponge(),
            progress="time an answer takes, over that of ordinary inputs",
            enough=2.0,
            rate=16.0,
            company=True,
        ),
        attack(
            name="flood",
            title="Excessive queries",
            techniques=(EXCESSIVE_QUERIES,),
            run=streams.flood(),
            progress="requests",
            enough=1_000,
            rate=200.0,
            queries_max=2_000,
        ),
        Attack(
            name="chaff",
            title="Flood of alerts",
            family=Family.FLOODING,
            techniques=(CHAFF, ESTABLISH_ACCOUNTS),
            run=streams.chaff(),
            progress="bursts",
            enough=25,
        ),
    ]


def _poisoning() -> list[Attack]:
    attack = partial(Attack, family=Family.POISONING)
    return [
        attack(
            name="label-flips",
            title="Flipped labels in feedback",
            techniques=(POISON, ERODE_DATA),
            run=streams.label_flips(),
            progress="fall of the measured accuracy",
            enough=0.05,
        ),
        attack(
            name="boiling-frog",
            title="Drift of 1 % of a standard deviation a day",
            techniques=(ERODE_MODEL,),
            run=streams.boiling_frog(),
            progress="standard deviations",
            enough=0.5,
            queries_max=6_000,
        ),
        attack(
            name="baseline-poison",
            title="Poisoned baseline",
            techniques=(POISON, ERODE_DATA),
            run=streams.baseline_poison(),
            progress="standard deviations",
            enough=0.1,
            queries_max=2_000,
        ),
    ]


def _adaptive() -> list[Attack]:
    attack = partial(Attack, techniques=(CRAFT_BLACK_BOX, EVADE), queries_max=3_000)
    attacks = [
        attack(name="oars-hopskipjump", title="OARS on HopSkipJump", family=Family.DECISION, run=oars.hop_skip_jump()),
        attack(
            name="oars-square",
            title="OARS on the square attack",
            family=Family.SCORE,
            run=oars.square(),
            norm=np.inf,
            needs=IMAGES,
        ),
        attack(
            name="oars-nes",
            title="OARS on natural evolution strategies",
            family=Family.SCORE,
            run=oars.nes(),
            norm=np.inf,
        ),
    ]
    return [*attacks, *(oars.banned(one, 50) for one in attacks)]


def _disguised(plain: dict[str, Attack]) -> list[Attack]:
    """Return what the plain attacks become when they hide."""
    hop, square, simba = plain["hopskipjump-l2"], plain["square-linf"], plain["simba-dct"]
    throttled = Attack(
        name="simba-throttled",
        title="SimBA that accepts one step in ten",
        family=Family.SCORE,
        techniques=(CRAFT_BLACK_BOX, EVADE),
        run=throttled_simba(),
        queries_max=2_000,
        needs=IMAGES,
    )
    return [
        throttled,
        *(wrap.sybil(one, accounts) for one in (hop, simba) for accounts in (1, 5, 20, 100)),
        wrap.sybil(square, 20),
        wrap.sybil(plain["knockoff-noise"], 20),
        wrap.sybil(plain["jacobian"], 20),
        *(wrap.covered(one, cover) for one in (hop, square, simba) for cover in (10, 100)),
        *(wrap.decoyed(one) for one in (hop, simba, plain["nes-linf"])),
        wrap.decoyed(simba, 3),
        *(wrap.blinded(one, 0.01) for one in (hop, simba)),
        *(wrap.shifted(one) for one in (hop, simba)),
        *(wrap.rounded(one) for one in (hop, square, plain["simba-px"])),
        wrap.covered(wrap.sybil(simba, 20), 10),
        wrap.rounded(wrap.sybil(hop, 20)),
        *(wrap.verified(one) for one in (hop, simba)),
    ]


def _registry() -> dict[str, Attack]:
    groups = (_by_labels, _by_scores, _by_other_means, _extraction, _membership, _costs, _poisoning, _adaptive)
    plain = {attack.name: attack for group in groups for attack in group()}
    return plain | {attack.name: attack for attack in _disguised(plain)}


ATTACKS: dict[str, Attack] = _registry()
