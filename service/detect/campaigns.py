"""Near-duplicates over all principals of one version: who works together, and what their requests tell as one story.

Every request that is looked at leaves hashes in one table of fixed size. A cluster to which more than one principal has
added is a *campaign*. Its requests are judged as if one principal had sent them, so an attack that is split over many
accounts has evidence all the same. So has one whose principal is forgotten in between, again and again, because a flood
of other names comes between its requests: whoever is new, and near what it sent before, is judged like several.

Whoever is accused has evidence of its own: requests of its own by which the story went further than ever before, and it
is not the one around whose input the others work. Those who were merely near are named as members, and nothing else.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError
from detectors.principals.campaigns import Campaign, Index
from detectors.principals.monitor import Principal, Tier, Yardstick
from detectors.principals.packing import Packer
from service.detect.keeping import BYTES_MAX, fitting
from service.detect.yardsticks import Measure
from service.domain.adversarial import Following
from service.domain.ids import Micros

ENTRIES = 1 << 17
"""Places of the shared table, 28 bytes each: the hashes of the last 4,096 requests that are matched in both ways, of
twice as many that are in one, or of more that are alike."""
TTL_US = 6 * 3_600_000_000
"""After so long a request is nobody's near-duplicate any more."""
CLUSTERS_MAX = 1_024
STORIES_BYTES_MAX = BYTES_MAX // 2
STORIES_PART = 8
"""One story may be kept for so many principals that are."""
NAMES_PART = 8
"""So many names are kept for each principal that is: members of campaigns may have been forgotten otherwise."""
NAMES_MAX = 65_536
MEMBERS_MAX = 100
"""Members of a campaign that are told apart."""
ADVANCES_MIN = 2
"""Requests by which a member brought the story further, before it is accused: one may be an accident."""
STEERED_MIN = math.log(20.0)
"""Evidence that this was no chance, before a member is accused where there are others: the logarithm."""
STEERED_LEAST = -5.0
"""Long ago counts for no more than this: whoever begins with harmless requests does not hide for good."""
STEERS = 0.4
"""How often a request of somebody who steers by the answers brings the story further."""
BURST_MIN = 10
"""New principals in one campaign that are a burst."""
BURST_US = 600_000_000
"""A principal is new for so long, and so long must principals have been watched to know who is."""


class Request(NamedTuple):
    """One request, as the campaigns see it."""

    name: str
    """Whose it is."""
    point: NDArray[np.float32]
    label: int
    answer: NDArray[np.float64]
    hashes: NDArray[np.uint64]
    """One row for each way in which it is matched."""
    at_us: Micros
    fresh: bool
    """Whether its principal was first seen a short while ago."""
    since_us: Micros = Micros(0)
    """Since when its principal is remembered without a break."""


class Share(msgspec.Struct):
    """What one member has to do with a story."""

    requests: int = 0
    """Exact duplicates not counted."""
    advances: int = 0
    """By which the answers went further than ever before."""
    flips: int = 0
    """That got another label than the story's first request."""
    told: bool = False
    """Whether it was accused."""
    fresh_us: int = -1
    """When it came, as a new principal; -1: it is none."""
    steered: float = 0.0
    """Evidence that its advances are no chance: the logarithm of a bet's capital."""

    def note(self, size: int, *, further: bool) -> None:
        """Take the last one of so many near-duplicates, and bet against chance.

        Of near-duplicates that do not heed the answers, it is the furthest one with a probability of one in ``size``,
        whatever came before; with a smaller one where others steer.
        """
        chance = 1.0 / max(size, 2)
        often = max(STEERS, chance)
        self.advances += further
        bet = often / chance if further else (1.0 - often) / (1.0 - chance)
        self.steered = max(self.steered + math.log(bet), STEERED_LEAST)

    def own(self, *, alone: bool) -> bool:
        """Tell whether it has evidence of its own, as far as advances go; those of one alone are its own anyway."""
        return self.advances >= ADVANCES_MIN and (alone or self.told or self.steered >= STEERED_MIN)


@dataclass(slots=True)
class Story:
    """The requests of one campaign, as of one principal."""

    principal: Principal
    since_us: Micros
    first: str
    """Whose request was the first one of the cluster; empty when that is not known any more."""
    shares: dict[str, Share] = field(default_factory=dict)
    told: int = 0
    """Members when its evidence was last told of."""
    burst: bool = False
    """Whether its burst was told of."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a request adds to a campaign."""

    campaign: Campaign
    story: Story
    share: Share
    evidence: float
    """That the story is an attack."""
    told: bool
    """Whether the evidence is to be told of: for the first time, as that of another principal, or of twice as many."""
    accuses: bool
    """Whether its principal has evidence of its own."""
    flipped: bool
    """Whether this request got another label, by a principal that has evidence of its own."""
    burst: int
    """How many new principals have come at once; 0: no burst, or one that was told of."""

    def others(self, name: str) -> tuple[str, ...]:
        """Return the other members."""
        return tuple(sorted(other for other in self.story.shares if other != name))


class Campaigns:
    """The shared table of one version, and the stories of its campaigns."""

    def __init__(self, measure: Measure, following: Following) -> None:
        self._yardstick: Yardstick = measure.yardstick
        self._limit = measure.thresholds.of(Tier.INTENT)
        self.index = Index(ENTRIES, TTL_US, CLUSTERS_MAX)
        self.stories: OrderedDict[int, Story] = OrderedDict()
        """By cluster, the one that grew last at the end."""
        self.names: OrderedDict[int, str] = OrderedDict()
        """By number, the one seen last at the end."""
        self._stories_max = max(16, following.principals_max // STORIES_PART)
        self._names_max = min(NAMES_MAX, NAMES_PART * following.principals_max)

    def take(self, request: Request) -> Seen | None:
        """Take one request; return what it adds to a campaign, ``None`` when it belongs to none."""
        number = self._number_of(request.name)
        campaign = self.index.add(request.hashes, number, request.at_us)
        if campaign is None:
            return None
        alone = len(campaign.members) < 2  # noqa: PLR2004 - others than oneself
        if alone and campaign.since_us >= request.since_us and campaign.id not in self.stories:
            return None
        story = self._story_of(campaign, number)
        share = story.shares.get(request.name)
        if share is None:
            share = Share()
            if not story.first and len(story.shares) == 1:
                _met(story)
            # Beyond so many, a story goes on, and whoever comes is not named.
            if len(story.shares) < MEMBERS_MAX:
                story.shares[request.name] = share
        return self._told(campaign, story, share, request)

    def kept(self, packer: Packer) -> tuple[list[tuple[int, bytes]], Any, list[str]]:
        """Return the stories, the table and the names, packed."""
        packed = [(str(cluster), self._packed(story, packer)) for cluster, story in self.stories.items()]
        kept, _ = fitting(packed, STORIES_BYTES_MAX)
        stories = [(int(cluster), content) for cluster, content in kept]
        return stories, packer.pack(self.index), list(self.names.values())

    def adopt(self, packer: Packer, stories: list[tuple[int, bytes]], index: Any, names: list[str]) -> None:
        """Take them back; raise ``StateError`` when they are something else."""
        found = {cluster: self._unpacked(content, packer) for cluster, content in stories}
        table = packer.unpack(index)
        if not isinstance(table, Index) or table.nbytes != self.index.nbytes:
            raise StateError("not the shared table")
        self.index, self.stories = table, OrderedDict(found)
        self.names = OrderedDict((number_of(name), name) for name in names)

    def _packed(self, story: Story, packer: Packer) -> bytes:
        shares = [(name, *msgspec.structs.astuple(share)) for name, share in story.shares.items()]
        told = (story.since_us, story.first, story.told, story.burst, shares, packer.pack(story.principal))
        return msgspec.msgpack.encode(told)

    def _unpacked(self, content: bytes, packer: Packer) -> Story:
        try:
            kept = msgspec.msgpack.decode(content, type=tuple[int, str, int, bool, list[Any], Any])
            shares = {name: Share(*rest) for name, *rest in kept[4]}
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise StateError(f"not a story: {error}") from error
        principal = packer.unpack(kept[5])
        return Story(principal, Micros(kept[0]), kept[1], shares, told=kept[2], burst=kept[3])

    def _told(self, campaign: Campaign, story: Story, share: Share, request: Request) -> Seen | None:
        worst = story.principal.worst
        before, size = (np.inf, 0) if worst is None else (worst.lowest, worst.size)
        reading = story.principal.take(request.point, request.label, request.answer)
        if reading.duplicate:
            return None
        share.requests += 1
        if request.fresh and share.fresh_us < 0:
            share.fresh_us = request.at_us
        after = story.principal.worst
        flipped = after is not None and after.lowest < 0.0 and request.label != after.label
        if after is not None and after is worst and after.size > size:
            share.note(after.size, further=after.lowest < before)
        share.flips += flipped
        evidence = reading.evidence[Tier.INTENT]
        own = share.own(alone=len(story.shares) <= 1) and request.name != story.first and evidence >= self._limit
        # A first flip is news of somebody who was told of.
        news = own and (not share.told or (flipped and share.flips == 1))
        told = news or (evidence >= self._limit and len(story.shares) >= 2 * story.told)
        share.told |= own
        if told:
            story.told = len(story.shares)
        return Seen(
            campaign=campaign,
            story=story,
            share=share,
            evidence=evidence,
            told=told,
            accuses=own,
            flipped=flipped and own,
            burst=self._burst(story, request.at_us),
        )

    def _burst(self, story: Story, at_us: Micros) -> int:
        if story.burst:
            return 0
        came = sum(share.fresh_us > at_us - BURST_US for share in story.shares.values() if share.fresh_us >= 0)
        story.burst = came >= BURST_MIN
        return came if story.burst else 0

    def _story_of(self, campaign: Campaign, number: int) -> Story:
        story = self.stories.get(campaign.id)
        if story is None:
            others = [self.names.get(one, "") for one in sorted(campaign.members) if one != number]
            # Of one principal alone there is nobody else around whose input it might work.
            story = Story(Principal(self._yardstick), Micros(campaign.since_us), others[0] if others else "")
            story.shares.update({name: Share() for name in others if name})
            self.stories[campaign.id] = story
            while len(self.stories) > self._stories_max:
                self.stories.popitem(last=False)
        self.stories.move_to_end(campaign.id)
        return story

    def _number_of(self, name: str) -> int:
        """Return the number of a pseudonym, and remember whose it is."""
        number = number_of(name)
        self.names[number] = name
        self.names.move_to_end(number)
        while len(self.names) > self._names_max:
            self.names.popitem(last=False)
        return number


def _met(story: Story) -> None:
    """Somebody comes to a story of one, and may be working around the input of that one.

    What that one did before is held against it only if it was told of; until then whatever it sent got lower at times.
    """
    for name, one in story.shares.items():
        if not one.advances:
            story.first = name
        elif not one.told:
            one.advances, one.steered = 0, 0.0


def number_of(name: str) -> int:
    """Return the number of a pseudonym: 31 bits of it, which are as good as any."""
    return int(name[:8], 16) & 0x7FFFFFFF
