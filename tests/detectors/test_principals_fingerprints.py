"""Fingerprints tell near-duplicates, and nothing to whoever lacks the salt; campaigns join them over principals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.campaigns import MEMBERS_MAX, PROBES, SHARED_MIN, Crowd, Index
from detectors.principals.fingerprint import BYTES, HASHES, PROJECTED, Fingerprinter, Fingerprints, salt_tag, take_apart
from detectors.principals.monitor import Principal, Tier
from tests.detectors.clients import answers, forest_of, labels_of, probes, requests, told, yardstick

SALT, OTHER = b"a secret of sixteen or more bytes", b"another secret, as long as the first"
PIXELS = 784
MAKER = Fingerprinter(SALT, PIXELS)
SECOND = 1_000_000


def images(seed: int, rows: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((rows, PIXELS))


def prints(inputs: NDArray[np.floating], maker: Fingerprinter = MAKER) -> Fingerprints:
    return take_apart(maker.of(inputs), salt_tag(SALT))


def shared(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> int:
    return len(np.intersect1d(first[first != 0], second[second != 0]))


@pytest.mark.parametrize("seed", range(10))
def test_near_duplicates_share_hashes_and_lie_near_each_other_and_others_do_not(seed: int) -> None:
    image, other = images(seed)[0], images(seed + 100)[0]
    near = image.copy()
    near[:3] = 1.0 - near[:3]
    found = prints(np.array([image, near, other]))
    assert shared(found.hashes[0], found.hashes[1]) >= SHARED_MIN
    assert shared(found.hashes[0], found.hashes[2]) == 0
    apart = [float(np.linalg.norm(found.points[0] - found.points[i])) for i in (1, 2)]
    assert apart[0] < apart[1] / 3


def test_the_projection_keeps_distances_on_average() -> None:
    """400 pairs: the mean of the ratios has a standard error of 1.3 %; seven of them are exceeded less than 1e-11."""
    first, second = images(1, 400), images(2, 400)
    projected = np.square(prints(first).points - prints(second).points).sum(axis=1)
    assert abs(float((projected / np.square(first - second).sum(axis=1)).mean()) - 1.0) < 0.09


@pytest.mark.parametrize("seed", range(5))
def test_fingerprints_of_another_salt_share_nothing_and_are_told(seed: int) -> None:
    image = images(seed, 3)
    ours, theirs = prints(image), prints(image, Fingerprinter(OTHER, PIXELS))
    assert ours.valid.all()
    assert not theirs.valid.any()
    assert np.intersect1d(ours.hashes >> np.uint64(16), theirs.hashes >> np.uint64(16)).size == 0
    assert not np.allclose(ours.points, theirs.points)


@pytest.mark.parametrize("dimension", [12, 64, 784])
def test_points_without_hashes_are_those_of_the_fingerprints_to_the_same_bits(dimension: int) -> None:
    maker = Fingerprinter(b"sixteen secret bytes", dimension)
    inputs = np.random.default_rng(dimension).random((9, dimension))
    whole = take_apart(maker.of(inputs), salt_tag(b"sixteen secret bytes")).points
    assert maker.points(inputs).tobytes() == whole.tobytes()
    with pytest.raises(DetectorError, match="shape"):
        maker.points(inputs[:, 1:])


def test_a_salt_has_enough_bytes_and_a_tag_that_no_empty_hash_has() -> None:
    with pytest.raises(DetectorError, match="15 bytes"):
        salt_tag(b"x" * 15)
    tags = [salt_tag(i.to_bytes(16, "little")) for i in range(2_000)]
    assert min(tags) >= 1
    assert max(tags) < 1 << 16


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_blank_input_has_no_hashes_and_is_no_near_duplicate_of_another(level: float) -> None:
    found = prints(np.full((2, PIXELS), level))
    assert not found.hashes.any()
    assert found.valid.all()
    assert Index(1024, SECOND).add(found.hashes[0], 1, 0) is None
    assert Index(1024, SECOND).add(found.hashes[1], 2, 1) is None


def test_the_blank_margin_of_a_scan_makes_no_two_inputs_alike() -> None:
    scans = np.zeros((2, PIXELS))
    scans[:, 400:460] = images(3, 2)[:, :60]
    found = prints(scans)
    assert (found.hashes != 0).all()
    assert shared(*found.hashes) == 0


def test_what_lies_outside_the_range_counts_as_its_end() -> None:
    maker = Fingerprinter(SALT, PIXELS, low=-1.0, high=1.0)
    image = 4.0 * images(4) - 2.0
    assert (image < -1.0).any()
    assert (image > 1.0).any()
    clipped = prints(np.clip(image, -1.0, 1.0), maker)
    assert np.array_equal(prints(image, maker).hashes, clipped.hashes)
    assert not np.array_equal(prints(image, maker).points, clipped.points)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    image = images(5)
    image[0, 7] = value
    with pytest.raises(DetectorError, match="finite"):
        MAKER.of(image)


def test_wrong_shapes_and_ranges_are_refused() -> None:
    with pytest.raises(DetectorError, match="shape"):
        MAKER.of(np.zeros((2, PIXELS - 1)))
    with pytest.raises(DetectorError, match="no fingerprint"):
        Fingerprinter(SALT, 0)
    with pytest.raises(DetectorError, match="empty"):
        Fingerprinter(SALT, 4, low=1.0, high=1.0)
    with pytest.raises(DetectorError, match="shape"):
        take_apart(np.zeros((1, BYTES - 1), np.uint8), 1)


@given(seed=st.integers(0, 99), cut=st.integers(0, 6), dimension=st.sampled_from([1, 2, 19, 20, 64, 300]))
@settings(max_examples=30, deadline=None)
def test_an_input_has_the_same_bits_in_whatever_batch_and_is_left_alone(seed: int, cut: int, dimension: int) -> None:
    maker = Fingerprinter(SALT, dimension)
    inputs = np.random.default_rng(seed).random((6, dimension))
    before = inputs.copy()
    whole = maker.of(inputs)
    parts = np.concatenate([maker.of(inputs[:cut]), maker.of(inputs[cut:]).reshape(-1, BYTES)])
    assert whole.tobytes() == parts.tobytes()
    assert inputs.tobytes() == before.tobytes()
    assert whole.tobytes() == Fingerprinter(SALT, dimension).of(inputs).tobytes()
    assert whole.shape == (6, BYTES)
    assert take_apart(whole, salt_tag(SALT)).valid.all()


@given(content=st.binary(min_size=BYTES, max_size=BYTES))
def test_any_bytes_are_taken_apart_and_what_is_valid_is_finite(content: bytes) -> None:
    found = take_apart(np.frombuffer(content, np.uint8)[None], salt_tag(SALT))
    assert found.hashes.shape == (1, HASHES)
    assert found.points.shape == (1, PROJECTED)
    assert not found.valid[0] or np.isfinite(found.points).all()


def hashes_of(seed: int) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(1, 1 << 63, HASHES, dtype=np.uint64)


def test_an_attack_split_over_twenty_principals_is_one_campaign() -> None:
    index, rng, image = Index(1 << 14, 3_600 * SECOND), np.random.default_rng(0), images(6)[0]
    campaign = None
    for i in range(100):
        image[rng.integers(PIXELS)] += 0.2
        campaign = index.add(prints(image[None]).hashes[0], i % 20, i * SECOND)
        assert (campaign is None) == (i == 0)
    assert campaign is not None
    assert campaign.size == 100
    assert campaign.members == set(range(20))
    assert campaign.joined_us == [i * SECOND for i in range(20)]
    assert (campaign.since_us, campaign.until_us) == (0, 99 * SECOND)
    assert list(index.campaigns.values()) == [campaign]


def test_what_is_matched_in_two_ways_is_near_in_one_of_them_and_not_by_a_little_of_each() -> None:
    index, other, (print_, point) = (*(Index(1 << 10, 3_600 * SECOND) for _ in range(2)), (hashes_of(1), hashes_of(2)))
    for table in (index, other):
        assert table.add(np.stack((print_, point)), 1, 0) is None

    def changed(hashes: NDArray[np.uint64], kept: int, seed: int) -> NDArray[np.uint64]:
        return np.concatenate((hashes[:kept], hashes_of(seed)[kept:]))

    few = SHARED_MIN - 1
    assert other.add(np.stack((changed(print_, few, 3), changed(point, few, 4))), 2, SECOND) is None
    by_print = index.add(np.stack((changed(print_, SHARED_MIN, 5), hashes_of(6))), 3, SECOND)
    by_point = index.add(np.stack((hashes_of(7), changed(point, SHARED_MIN, 8))), 4, SECOND)
    assert by_print is not None
    assert by_point is by_print, "one cluster, whichever way leads there"
    assert by_point.members == {1, 3, 4}
    # Whoever has no fingerprint, or one of few windows, is matched by what there is.
    assert index.add(np.stack((np.zeros_like(print_), changed(point, SHARED_MIN, 9))), 5, SECOND) is by_print


def test_a_crowd_tells_the_story_that_one_principal_would_have_left() -> None:
    points = probes(np.random.default_rng(5), 60)
    wanted = [reading.evidence[Tier.INTENT] for reading in told(Principal(yardstick()), points)]
    crowd = Crowd(yardstick().population, 8, forest_of(0))
    joints = [
        crowd.take(point, label, answer, i % 20)
        for i, (point, label, answer) in enumerate(
            zip(points, labels_of(points).tolist(), answers(points), strict=True)
        )
    ]
    assert joints[:3] == [None] * 3
    assert [joint.evidence for joint in joints[3:] if joint is not None] == wanted[3:]
    last = joints[-1]
    assert last is not None
    assert last.members == (*range(1, 20), 0)
    assert last.cluster.size == 60


def test_the_story_of_one_principal_is_none_of_a_crowd_and_neither_are_requests_that_everybody_sends() -> None:
    rng = np.random.default_rng(6)
    crowd = Crowd(yardstick().population, 8, forest_of(0))
    alone = probes(rng, 60)
    shares = answers(alone)
    assert [crowd.take(p, int(a.argmax()), a, 7) for p, a in zip(alone, shares, strict=True)] == [None] * 60
    usual = requests(rng, 400)
    found = [crowd.take(p, int(a.argmax()), a, i) for i, (p, a) in enumerate(zip(usual, answers(usual), strict=True))]
    assert sum(joint is not None for joint in found) <= 40
    again = [crowd.take(p, int(a.argmax()), a, i) for i, (p, a) in enumerate(zip(usual, answers(usual), strict=True))]
    assert again == [None] * 400, "an input that was sent before is a duplicate"


def test_a_crowd_names_a_hundred_members_at_most_and_remembers_someone() -> None:
    crowd = Crowd(yardstick().population, 8, forest_of(0), 64)
    points = probes(np.random.default_rng(7), 300)
    joints = [
        crowd.take(p, int(a.argmax()), a, i) for i, (p, a) in enumerate(zip(points, answers(points), strict=True))
    ]
    joint = joints[-1]
    assert joint is not None
    assert len(joint.members) == MEMBERS_MAX
    with pytest.raises(DetectorError, match="window of 0 requests"):
        Crowd(yardstick().population, 8, forest_of(0), 0)


def test_unrelated_requests_never_join_and_memory_is_bounded() -> None:
    """Of 10^5 requests with random hashes, in a table that is overwritten 200 times."""
    index = Index(1 << 13, 10**15)
    before = index.nbytes
    rng = np.random.default_rng(1)
    for i in range(100_000):
        assert index.add(rng.integers(1, 1 << 63, HASHES, dtype=np.uint64), i % 1000, i) is None
    assert not index.campaigns
    assert index.nbytes == before == 28 * (1 << 13)


def test_what_is_older_than_the_time_to_live_is_forgotten() -> None:
    for later, joined in ((SECOND - 1, True), (SECOND, False)):
        index = Index(1 << 10, SECOND)
        assert index.add(hashes_of(1), 1, 0) is None
        assert (index.add(hashes_of(1), 2, later) is not None) == joined


@pytest.mark.parametrize("common", [SHARED_MIN - 1, SHARED_MIN])
def test_enough_hashes_must_be_shared_with_one_cluster(common: int) -> None:
    index = Index(1 << 12, SECOND)
    first, second = hashes_of(1), hashes_of(2)
    index.add(first, 1, 0)
    mixed = np.concatenate([first[:common], second[common:]])
    assert (index.add(mixed, 2, 1) is not None) == (common == SHARED_MIN)


def test_hashes_shared_with_several_clusters_join_none() -> None:
    index = Index(1 << 12, SECOND)
    parts = [hashes_of(seed) for seed in range(1, 6)]
    for i, part in enumerate(parts):
        index.add(part, i, 0)
    mixed = np.concatenate([part[:3] for part in parts] + [hashes_of(9)[:1]])
    assert index.add(mixed, 9, 1) is None


def test_a_full_table_overwrites_the_oldest() -> None:
    """All hashes want the same eight places, so each new one takes the place of the oldest."""
    index = Index(PROBES, SECOND)
    keys = [np.full(1, (64 * i) << 16 | 1, np.uint64) for i in range(1, PROBES + 2)]
    for at, key in enumerate(keys[:PROBES]):
        index.add(key, at, at)
    assert set(index._keys) == {int(key[0]) for key in keys[:PROBES]}
    index.add(keys[0], 0, PROBES)
    index.add(keys[PROBES], 9, PROBES + 1)
    assert set(index._keys) == {int(key[0]) for key in keys} - {int(keys[1][0])}


def test_members_and_clusters_are_bounded() -> None:
    index = Index(1 << 12, 10**12, clusters_max=3)
    for i in range(2 * MEMBERS_MAX):
        index.add(hashes_of(0), i, i)
    (campaign,) = index.campaigns.values()
    assert campaign.size == 2 * MEMBERS_MAX
    assert campaign.members == set(range(MEMBERS_MAX))
    for seed in range(1, 5):
        index.add(hashes_of(seed), 1, 1000)
        index.add(hashes_of(seed), 2, 1000)
    assert len(index.campaigns) == 3
    assert campaign.id not in index.campaigns


@pytest.mark.parametrize("entries", [0, 4, 12, 1000])
def test_a_table_is_a_power_of_two(entries: int) -> None:
    with pytest.raises(DetectorError, match="power of two"):
        Index(entries, SECOND)
