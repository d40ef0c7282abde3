"""Signing in and out, and what a session is worth."""

from dataclasses import replace

import pytest

from service.console.access import COOKIE, FORM_BYTES_MAX, local_path
from service.console.sessions import SESSION_SECONDS
from service.domain.ids import Micros
from service.domain.records import Scope
from tests.service.console.conftest import Console, post
from tests.service.console.seeding import OPERATOR, keyed

PAGE = "/models/digits/versions/1"


def test_nobody_sees_a_page_without_signing_in(console: Console) -> None:
    answer = console.browser().get(PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={PAGE}")
    assert console.browser().get("/").headers["location"] == "/login"


def test_signing_in_leads_back_to_the_page_that_was_asked_for(console: Console) -> None:
    browser = console.browser()
    key = keyed(console.store, "ada", OPERATOR).text
    page = browser.get(f"/login?next={PAGE}").text
    assert f'name="next" value="{PAGE}"' in page
    answer = post(browser, "/login", page, key=key, next=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert browser.get(PAGE).status_code == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(console: Console) -> None:
    browser = console.browser()
    key = keyed(console.store, "ada", OPERATOR)
    cookie = post(browser, "/login", browser.get("/login").text, key=key.text).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert f"max-age={SESSION_SECONDS}" in cookie
    assert key.secret.lower() not in cookie
    assert "secure" not in cookie.split("; ")[1:], "over plain http a secure cookie would never come back"


def test_a_wrong_key_is_told_so_and_not_shown_again(console: Console) -> None:
    browser = console.browser()
    answer = post(browser, "/login", browser.get("/login").text, key="lzk_nonsense")
    assert answer.status_code == 401
    assert "This key was not accepted: the API key is not known" in answer.text
    assert "lzk_nonsense" not in answer.text


def test_a_key_that_may_not_read_is_not_let_in(console: Console) -> None:
    browser = console.browser()
    key = keyed(console.store, "camera", frozenset({Scope.INGEST})).text
    answer = post(browser, "/login", browser.get("/login").text, key=key)
    assert answer.status_code == 403
    assert "needs a key with scope &#39;read&#39;" in answer.text
    assert browser.get(PAGE).status_code == 303


def test_an_admin_key_may_read(console: Console) -> None:
    assert console.signed_in("root", frozenset({Scope.ADMIN})).get(PAGE).status_code == 200


def test_a_revoked_key_stops_working_at_once(console: Console) -> None:
    browser = console.signed_in("ada")
    assert browser.get(PAGE).status_code == 200
    key = next(key for key in console.store.tables.keys.values() if key.name == "ada")
    console.store.tables.keys[key.id] = replace(key, revoked_us=Micros(1))
    assert browser.get(PAGE).status_code == 303


def test_an_expired_key_and_an_expired_session_stop_working(console: Console) -> None:
    browser = console.signed_in("ada")
    key = next(key for key in console.store.tables.keys.values() if key.name == "ada")
    console.store.tables.keys[key.id] = replace(key, expires_us=console.fleet.clock.now_us())
    assert browser.get(PAGE).status_code == 303
    console.store.tables.keys[key.id] = key
    assert browser.get(PAGE).status_code == 200
    console.fleet.clock.advance(SESSION_SECONDS)
    assert browser.get(PAGE).status_code == 303


def test_signing_out_ends_it(console: Console) -> None:
    browser = console.signed_in("ada")
    answer = post(browser, "/logout", browser.get(PAGE).text)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert COOKIE not in browser.cookies
    assert browser.get(PAGE).status_code == 303


@pytest.mark.parametrize("path", ["/login", "/logout", f"{PAGE}/transitions", "/incidents/01jd9/ack"])
def test_a_form_without_its_token_changes_nothing(console: Console, path: str) -> None:
    browser = console.signed_in("ada")
    revision = console.store.read.revision()
    answer = browser.post(path, data={"event": "start_review", "reason": "x", "form_token": "made up"})
    assert answer.status_code == 403
    assert "Nothing was changed" in answer.text
    assert console.store.read.revision() == revision


def test_a_form_sent_from_another_site_changes_nothing(console: Console) -> None:
    browser = console.signed_in("ada")
    browser.headers["sec-fetch-site"] = "cross-site"
    page = browser.get(PAGE).text
    answer = post(browser, f"{PAGE}/transitions", page, event="start_review", reason="x")
    assert answer.status_code == 403


def test_the_login_form_of_one_browser_does_not_work_in_another(console: Console) -> None:
    mine, other = console.browser(), console.browser()
    other.get("/login")
    key = keyed(console.store, "ada", OPERATOR).text
    assert post(other, "/login", mine.get("/login").text, key=key).status_code == 403


def test_a_link_followed_from_a_chat_gets_a_page_that_goes_on_by_itself(console: Console) -> None:
    answer = console.browser().get(PAGE, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert f'<meta http-equiv="refresh" content="0;url={PAGE}">' in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "//evil.test/",
        "https://evil.test/",
        "/models//evil.test",
        "/models/\\evil",
        "/models/\n",
        "javascript:x",
        "/logout",
        "",
    ],
)
def test_after_signing_in_nobody_is_sent_elsewhere(path: str) -> None:
    assert local_path(path) == "/"


def test_a_huge_form_is_refused(console: Console) -> None:
    browser = console.signed_in("ada")
    assert browser.post("/logout", content=b"x" * (FORM_BYTES_MAX + 1)).status_code == 413
    assert browser.post("/logout", content=b"a=1&" * 100).status_code == 400
    assert browser.post("/logout", content=b"\xff\xfe=%zz").status_code == 400


def test_another_key_can_be_used_while_signed_in(console: Console) -> None:
    browser = console.signed_in("ada")
    key = keyed(console.store, "grace", OPERATOR).text
    assert post(browser, "/login", browser.get("/login").text, key=key).status_code == 303
    assert "<span>grace</span>" in browser.get(PAGE).text


@pytest.mark.parametrize(
    "path",
    [
        "/fleet",
        "/fleet?show=attention&q=a%20b",
        f"{PAGE}?window=5m&span=7d&column=a%2Fb",
        "/incidents?page=2",
        "/audit",
    ],
)
def test_after_signing_in_everybody_sees_the_view_they_asked_for(console: Console, path: str) -> None:
    assert local_path(path) == path
    browser = console.browser()
    answer = browser.get(path) if not path.startswith(("/incidents", "/audit")) else browser.get("/fleet?x=1")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=/")
    if path.startswith("/fleet?show"):
        page = browser.get(answer.headers["location"]).text
        signed = post(browser, "/login", page, key=keyed(console.store, "ada", OPERATOR).text, next=path)
        assert signed.headers["location"] == path
        assert 'name="next" value="/fleet?show=attention&amp;q=a%20b"' in page
    moved = console.browser().get("/fleet?q=%22%3E%3Cscript%3E;x", headers={"sec-fetch-site": "cross-site"}).text
    assert "<script>" not in moved
    assert 'content="0;url=/fleet?q=%22%3E%3Cscript%3E%3Bx"' in moved


def test_a_huge_address_is_not_gone_on_to() -> None:
    assert local_path(f"/fleet?q={'x' * 5_000}") == "/"
    assert local_path("/fleet?q=//evil.test") == "/"


def test_a_page_that_is_not_there_helps_to_find_another_one(console: Console) -> None:
    answer = console.signed_in("ada").get("/models/nothing/versions/1")
    assert answer.status_code == 404
    assert 'action="/fleet"' in answer.text
    assert "There is no version" in answer.text
