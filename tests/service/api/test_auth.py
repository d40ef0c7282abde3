"""Keys: their shape, their holders, and how they are verified from memory."""

import base64

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.auth import LOOKUPS_PER_SECOND, KeyRing, key_in
from service.domain.errors import Forbidden, LazarettoError, Unauthenticated, Unavailable, Unprocessable
from service.domain.ids import Actor
from service.domain.keys import ALPHABET, Identity, KeyParts, new_key, parse_key
from service.domain.records import ApiKey, Scope
from service.office import KeyRequest, issue_key, revoke_key
from tests.fakes.clock import ManualClock
from tests.fakes.store import InMemoryStore

PEPPER = b"p" * 32
BASE62 = st.text(alphabet=ALPHABET)


class CountingKeys:
    """The key store, counting how often it is asked."""

    def __init__(self, store: InMemoryStore) -> None:
        self._store = store
        self.asked = 0

    def key(self, key_id: str) -> ApiKey | None:
        self.asked += 1
        return self._store.keys.key(key_id)


class World:
    """A store with a clock, keys and a ring over them."""

    def __init__(self) -> None:
        self.store = InMemoryStore()
        self.clock = ManualClock()
        self.keys = CountingKeys(self.store)
        self.ring = KeyRing(self.keys, PEPPER, self.clock)

    def issue(self, *scopes: Scope, days: float | None = None, models: frozenset[str] | None = None) -> KeyParts:
        request = KeyRequest(name="ada", scopes=frozenset(scopes or {Scope.READ}), expires_days=days, models=models)
        return issue_key(self.store.control, self.clock, PEPPER, Actor("test"), request)


@pytest.fixture
def world() -> World:
    return World()


@given(st.text(alphabet=ALPHABET, min_size=8, max_size=8), st.text(alphabet=ALPHABET, min_size=30, max_size=30))
def test_a_key_is_read_back_as_it_was_written(key_id: str, secret: str) -> None:
    parts = KeyParts(key_id, secret)
    assert len(parts.text) == 48
    assert parse_key(parts.text) == parts


@given(position=st.integers(4, 47), sign=st.sampled_from(ALPHABET))
def test_one_wrong_sign_breaks_the_checksum(position: int, sign: str) -> None:
    text = KeyParts("a1b2c3d4", "s" * 30).text
    changed = text[:position] + sign + text[position + 1 :]
    assert (parse_key(changed) is None) is (changed != text)


def test_new_keys_differ() -> None:
    assert len({new_key().text for _ in range(100)}) == 100


def test_a_known_key_is_verified_without_the_store(world: World) -> None:
    parts = world.issue(Scope.READ)
    assert world.ring.authenticate(parts.text).actor == "ada"
    assert world.ring.authenticate(parts.text).key_id == parts.id
    assert world.keys.asked == 1


def test_a_bad_checksum_is_refused_without_asking_the_store(world: World) -> None:
    text = world.issue().text
    for bad in (text[:-1] + ("0" if text[-1] != "0" else "1"), "lzk_short", "", "x" * 48, "lzk_" + "é" * 44):
        with pytest.raises(Unauthenticated):
            world.ring.authenticate(bad)
    assert world.keys.asked == 0


def test_the_right_id_with_another_secret_is_refused(world: World) -> None:
    parts = world.issue()
    forged = KeyParts(parts.id, "z" * 30).text
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="not known"):
            world.ring.authenticate(forged)
    assert world.ring.authenticate(parts.text).key_id == parts.id


def test_only_the_exact_text_passes_once_a_key_is_known(world: World) -> None:
    text = world.issue().text
    world.ring.authenticate(text)
    for bad in (text[:-1] + ("0" if text[-1] != "0" else "1"), text + "x", text[:-1], text[:20] + "\ud800"):
        with pytest.raises(Unauthenticated):
            world.ring.authenticate(bad)


def test_an_expired_key_is_refused_from_the_moment_it_expires(world: World) -> None:
    parts = world.issue(days=1 / 86_400)
    assert world.ring.authenticate(parts.text).key_id == parts.id
    world.clock.advance(1.0)
    with pytest.raises(Unauthenticated, match="expired"):
        world.ring.authenticate(parts.text)


@pytest.mark.parametrize("days", [0.0, -1.0, 36_501.0, 1e300, float("inf"), float("nan")])
def test_a_key_expires_in_the_future_and_within_the_calendar(world: World, days: float) -> None:
    with pytest.raises(Unprocessable, match="cannot be made") as refused:
        world.issue(days=days)
    assert [place.at for place in refused.value.places] == ["expires_days"]
    assert world.issue(days=36_500.0).text


def test_a_revoked_key_is_refused_after_the_refresh(world: World) -> None:
    parts = world.issue()
    world.ring.authenticate(parts.text)
    revoke_key(world.store.control, world.clock, Actor("test"), parts.id)
    world.ring.refresh()
    with pytest.raises(Unauthenticated, match="revoked"):
        world.ring.authenticate(parts.text)


def test_when_the_store_is_away_known_keys_go_on_and_new_ones_wait(world: World) -> None:
    known, new = world.issue(), world.issue()
    world.ring.authenticate(known.text)
    world.store.failing = True
    assert world.ring.authenticate(known.text).key_id == known.id
    with pytest.raises(Unavailable):
        world.ring.authenticate(new.text)


def test_an_unknown_id_asks_the_store_once_a_second(world: World) -> None:
    stranger = new_key().text
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            world.ring.authenticate(stranger)
    assert world.keys.asked == 1
    world.clock.advance(1.1)
    with pytest.raises(Unauthenticated):
        world.ring.authenticate(stranger)
    assert world.keys.asked == 2


def test_guessing_many_ids_does_not_load_the_store(world: World) -> None:
    refused: list[LazarettoError] = []
    for _ in range(LOOKUPS_PER_SECOND + 20):
        try:
            world.ring.authenticate(new_key().text)
        except LazarettoError as error:
            refused.append(error)
    assert world.keys.asked == LOOKUPS_PER_SECOND
    assert isinstance(refused[-1], Unavailable)


def test_a_key_made_a_moment_ago_works_at_once(world: World) -> None:
    async def ask(text: str) -> Identity:
        return await world.ring.identify([(b"x-api-key", text.encode())])

    assert anyio.run(ask, world.issue(Scope.INGEST).text).scopes == {Scope.INGEST}


def test_a_key_is_found_in_each_place_it_may_stand() -> None:
    basic = base64.b64encode(b"key:lzk_x")
    assert key_in([(b"host", b"a"), (b"authorization", b"Bearer lzk_x")]) == "lzk_x"
    assert key_in([(b"authorization", b"bearer  lzk_x ")]) == "lzk_x"
    assert key_in([(b"x-api-key", b"lzk_x")]) == "lzk_x"
    assert key_in([(b"authorization", b"Basic " + basic)]) == "lzk_x"


@pytest.mark.parametrize("value", [b"Digest x", b"lzk_x", b"Basic ???", b""])
def test_other_credentials_are_refused(value: bytes) -> None:
    with pytest.raises(Unauthenticated):
        key_in([(b"authorization", value)])


@pytest.mark.parametrize("own", Scope)
@pytest.mark.parametrize("wanted", Scope)
def test_no_scope_implies_another_but_admin_reads(own: Scope, wanted: Scope) -> None:
    identity = Identity(key_id="k", actor=Actor("a"), scopes=frozenset({own}), models=None)
    expected = own is wanted or (own is Scope.ADMIN and wanted is Scope.READ)
    assert identity.may(wanted) is expected
    if not expected:
        with pytest.raises(Forbidden, match=f"scope '{wanted}'"):
            identity.require(wanted)


def test_a_key_for_some_models_reaches_no_other() -> None:
    identity = Identity(key_id="k", actor=Actor("a"), scopes=frozenset(Scope), models=frozenset({"fraud"}))
    identity.require_model("fraud")
    with pytest.raises(Forbidden, match="'churn'"):
        identity.require_model("churn")


@given(st.binary(max_size=80))
def test_any_header_is_an_identity_or_a_refusal(value: bytes) -> None:
    ring = World().ring
    try:
        ring.authenticate(key_in([(b"authorization", b"Bearer " + value)]))
    except Unauthenticated:
        return
    pytest.fail("a random key was taken")
