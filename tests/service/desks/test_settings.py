"""What is in force, without secrets; channels that can be tried; keys with the time of their last use."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.api.auth import KeyRing
from service.api.key_uses import KeyUseNotes
from service.console.settings_rows import address_of
from service.domain.errors import Unavailable
from service.domain.ids import Micros
from service.domain.notices import DeliveryStatus
from tests.fakes import ManualClock
from tests.service.desks.desk import ADMIN, READER, Desk, text_of

SECRET = "s3cret-word"


def test_no_secret_is_on_the_page_wherever_it_was_set(template: Path, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    shutil.copy(template, path)
    channels = {
        "pager": {"kind": "webhook", "url": f"https://hooks.example/{SECRET}"},
        "mail": {"kind": "email", "host": "mail.example", "sender": "a@b.example", "recipients": ["c@d.example"]},
        "chat": {"kind": "slack", "url_secret": {"env": "SLACK"}},
    }
    desk = Desk.over(
        path,
        secret_key=SECRET,
        transcript_keys_before=[SECRET],
        webhook_secret=SECRET,
        webhook_url=f"https://user:{SECRET}@hooks.example/{SECRET}?token={SECRET}",
        log_url=f"postgresql://lazaretto:{SECRET}@db.example:5432/log",
        notifications={
            "channels": channels,
            "routes": [{"severities": ["high"], "channels": ["pager"]}, {"channels": []}],
        },
    )
    page = desk.visitor("ada", ADMIN).page("/settings")
    desk.store.close()
    assert SECRET not in page
    said = text_of(page)
    assert "LAZARETTO_SECRET_KEY set (a secret) not set" in said
    assert "LAZARETTO_LOG_URL postgresql://db.example:5432 not set" in said
    assert "LAZARETTO_WEBHOOK_URL https://hooks.example not set" in said
    assert "severity high → pager" in said
    assert "everything else → the log alone" in said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h.example:8443/path?x=y", "https://h.example:8443"),
        ("sqlite:///state.db", "sqlite: a file"),
        ("https://h.example:notaport/x", "set"),
        ("nonsense", "set"),
        ("postgresql://user:12/ss@host/db", "set"),
        ("postgresql://user:12?ss@host/db", "set"),
        ("postgresql://user:12#ss@host/db", "set"),
    ],
)
def test_an_address_is_shown_without_what_could_be_secret(url: str, shown: str) -> None:
    assert address_of(url) == shown


def test_what_was_changed_stands_apart_from_what_was_not(desk: Desk) -> None:
    page = desk.visitor("ada", ADMIN).page("/settings")
    changed = page[page.index('id="force-title"') : page.index('id="untouched"')]
    assert re.findall(r"<code>(LAZARETTO_\w+)</code>", changed) == ["LAZARETTO_DATA_DIR"]
    assert "LAZARETTO_PORT" in page[page.index('id="untouched"') :]


def test_a_channel_is_tried_and_what_was_given_up_is_tried_again(desk: Desk) -> None:
    ada = desk.visitor("ada", ADMIN)
    answer = ada.post("/settings/channels/ops/test", ada.page("/settings"))
    assert answer.headers["location"] == "/settings?done=test#channels"
    found = desk.store.desk.deliveries(status=None, channel="ops", message_id=None, limit=10)
    assert [(one.message.kind, one.status) for one in found] == [("test", DeliveryStatus.PENDING)]
    page = ada.page("/settings?done=test")
    assert "A test is on its way" in page
    assert "pending" in page[page.index('id="latest" open') :]
    assert ada.post("/settings/channels/nobody/test", page).status_code == 404
    assert ada.post("/settings/channels/ops/explode", page).status_code == 404
    assert ada.post("/settings/channels/ops/replay", page).headers["location"] == "/settings?done=replay#channels"


def test_only_who_operates_tries_channels_and_only_who_administers_sees_keys(desk: Desk) -> None:
    rita = desk.visitor("rita", READER)
    page = rita.page("/settings")
    assert "Send a test" not in page
    assert "this needs a key with scope 'admin'" in page
    assert "lzk_" not in page
    assert rita.post("/settings/channels/ops/test", page).status_code == 403
    assert desk.visitor("fred", models=frozenset({"digits"})).get("/settings").status_code == 403


def test_keys_are_shown_by_their_prefix_with_their_last_use(desk: Desk) -> None:
    ada = desk.visitor("ada", ADMIN)
    desk.visitor("grace")
    keys = {key.name: key for key in list(desk.store.read.keys())}
    desk.store.keys.note_uses({keys["grace"].id: desk.clock.now_us()})
    desk.clock.advance(7_200)
    page = ada.page("/settings")
    rows = re.findall(r'<tr><th scope="row">(\w+)</th><td data-label="Key"><code>(.*?)</code>.*?</tr>', page, re.DOTALL)
    assert rows == [("grace", f"lzk_{keys['grace'].id}…"), ("ada", f"lzk_{keys['ada'].id}…")]
    assert "grace lzk_" in text_of(page)
    assert "2 hours ago made 2 hours ago" in text_of(page)
    assert "never made 2 hours ago" in text_of(page)


def a_ring(clock: ManualClock, *seen: str) -> KeyRing:
    """Return a keyring that has seen some keys."""
    ring = KeyRing(None, b"pepper", clock)  # type: ignore[arg-type]  # it is asked for no key
    ring.see(seen)
    return ring


class Uses:
    """Notes every write, and may be away."""

    def __init__(self) -> None:
        self.writes: list[dict[str, Micros]] = []
        self.away = False

    def uses(self) -> dict[str, Micros]:
        return {}

    def note_uses(self, used: Any) -> None:
        if self.away:
            raise Unavailable("away")
        self.writes.append(dict(used))


def test_a_key_in_steady_use_is_written_down_once_a_minute() -> None:
    clock, uses = ManualClock(), Uses()
    ring = a_ring(clock)
    notes = KeyUseNotes(ring, uses, clock)
    begin = clock.now_us()
    for _ in range(13):
        ring.see({"a"})
        notes.write_down()
        clock.advance(10)
    assert [one["a"] - begin for one in uses.writes] == [0, 60_000_000, 120_000_000]


def test_a_use_is_not_lost_while_the_store_is_away() -> None:
    clock, uses = ManualClock(), Uses()
    notes = KeyUseNotes(a_ring(clock, "a"), uses, clock)
    uses.away = True
    with pytest.raises(Unavailable):
        notes.write_down()
    uses.away = False
    notes.write_down()
    notes.write_down()
    assert [set(one) for one in uses.writes] == [{"a"}], "what was written down is forgotten"


def test_a_session_counts_its_key_as_used_while_it_may_read(desk: Desk) -> None:
    ada = desk.visitor("ada", ADMIN)
    desk.used.clear()
    ada.page("/settings")
    (key,) = desk.store.read.keys()
    assert desk.used == [key.id]
    with desk.store.control.write() as tx:
        tx.revoke_key(key.id, desk.clock.now_us())
    desk.used.clear()
    assert ada.get("/settings").status_code == 303
    assert desk.used == []
