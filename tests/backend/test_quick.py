"""A press answered the quick way is answered as the framework does, down to the headers."""

from dataclasses import replace

import pytest
from a2wsgi import ASGIMiddleware

from backend.api import quick
from backend.app import SECURITY_HEADERS
from tests.backend.browser import device_of, running

URL = "https://bea.example.org/post"
USUAL = "application/json; charset=utf-8"  # says the same, but is left to the framework


def served(app):
    """The application as it is served, with presses answered in front of it."""
    app.wsgi_app = ASGIMiddleware(quick.Quick(app, SECURITY_HEADERS, threads=2))
    return app


@pytest.fixture
def ways(app, town, monkeypatch):
    """Ann's device, and how often the quick way was taken."""
    town.person("Ann", budget="5.00")
    town.person("Bea")
    town.claim("Bea", "bea.example.org")
    taken = []
    answer = quick.Quick._answer

    def counted(self, *arguments):
        taken.append(1)
        return answer(self, *arguments)

    monkeypatch.setattr(quick.Quick, "_answer", counted)
    return device_of(served(app), town, "Ann"), taken


def press(device, url=URL, content_type="application/json", **more):
    body = {"url": url, "owner_id": None, "title": "A post", "clicked_at": "2026-10-05T12:00:00Z"}
    return device.post("/clicks", body, headers={"Content-Type": content_type}, **more)


@pytest.mark.parametrize("base_url", ["http://localhost", "https://localhost"])
def test_both_ways_answer_the_same(ways, base_url):
    ann, taken = ways
    assert press(ann, base_url=base_url).status_code == 201
    quickly = press(ann, base_url=base_url)
    assert len(taken) == 2
    usually = press(ann, content_type=USUAL, base_url=base_url)
    assert len(taken) == 2

    assert (quickly.status_code, quickly.json) == (usually.status_code, usually.json)
    assert sorted(quickly.headers) == sorted(usually.headers)
    assert ("Strict-Transport-Security" in quickly.headers) == base_url.startswith("https")


def test_a_new_press_has_the_same_status_either_way(ways):
    ann, taken = ways
    quickly, usually = press(ann), press(ann, url=URL + "/2", content_type=USUAL)
    assert quickly.status_code == usually.status_code == 201
    assert len(taken) == 1


@pytest.mark.parametrize(
    "press",
    [
        {"json": {"url": URL}},
        {"json": {"url": URL, "owner_id": None, "wallet": 5}},
        {"data": "{", "content_type": "application/json"},
        {"data": "x" * 70_000, "content_type": "application/json"},
        {"json": {"url": "https://127.0.0.1/", "owner_id": None}},
        {"json": {"url": URL, "owner_id": None}, "headers": {"Authorization": "Bearer flt_unknown"}},
        {"json": {"url": URL, "owner_id": None}, "headers": {"Authorization": "Basic abc"}},
        {"data": b"{}", "content_type": "application/json", "headers": {"Content-Length": "\u00b2"}},
    ],
)
def test_what_is_not_well_formed_or_refused_takes_the_usual_way(ways, press):
    ann, taken = ways
    answer = ann.ask("POST", "/clicks", **press)
    assert 400 <= answer.status_code < 500
    assert answer.content_type == "application/problem+json"
    assert taken == []


def test_behind_a_proxy_the_quick_way_believes_what_the_proxy_says(config, town):
    town.person("Ann", budget="5.00")
    with running(replace(config, dev=True, proxies=1)) as app:
        ann = device_of(served(app), town, "Ann")
        told = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
        body = {"url": URL, "owner_id": None}
        assert "Strict-Transport-Security" in ann.post("/clicks", body, headers=told).headers
