"""The application as servers and health checks see it."""

import sqlite3
from dataclasses import replace

import pytest

from backend import config as settings
from backend import db
from backend.app import create_app
from backend.config import Config
from tests.backend.browser import Page, running
from tests.backend.town import NOW


def test_the_process_and_its_database_say_that_they_are_well(client):
    for path, said in (("/healthz", "ok"), ("/readyz", "ready")):
        answer = client.get(path)
        assert (answer.status_code, answer.mimetype, answer.text.strip()) == (200, "text/plain", said)


def test_a_server_whose_database_is_of_another_version_is_not_ready(client, engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")

    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


@pytest.fixture
def fresh_postgres(postgres, tmp_path):
    """How to make a configuration with a PostgreSQL database of its own, and its server's administrator."""
    admin, url = postgres

    def fresh(name, template):
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return Config(database_url=url.format(name), instance=tmp_path, secret_key="a secret", fixed_now=NOW)

    return admin, fresh


def test_a_server_whose_database_is_away_is_not_ready_until_it_is_back(fresh_postgres):
    admin, fresh = fresh_postgres
    with running(fresh("wandering", "upgraded")) as app, admin.connect() as connection:
        ready = app.test_client()
        assert ready.get("/readyz").status_code == 200
        connection.exec_driver_sql("ALTER DATABASE wandering ALLOW_CONNECTIONS false")
        connection.exec_driver_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'wandering'")
        assert [ready.get("/readyz").status_code for _ in range(2)] == [503, 503]
        connection.exec_driver_sql("ALTER DATABASE wandering ALLOW_CONNECTIONS true")
        assert ready.get("/readyz").status_code == 200


def test_postgresql_waits_for_its_operator(fresh_postgres):
    with pytest.raises(db.NotUpgraded, match="flattr db upgrade"):
        create_app(fresh_postgres[1]("not_upgraded", "template1"))


def test_sqlite_makes_its_own_tables(tmp_path):
    config = settings.from_environment({"FLATTR_INSTANCE": str(tmp_path / "instance")})

    with running(config) as app:
        assert app.test_client().get("/readyz").status_code == 200
    with sqlite3.connect(tmp_path / "instance" / "flattr.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_relative_path_of_the_database_is_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "instance").mkdir()

    with running(settings.from_environment({"FLATTR_DATABASE_URL": "sqlite:///instance/books.db"})) as app:
        assert app.test_client().get("/readyz").status_code == 200
    assert (tmp_path / "instance" / "books.db").is_file()
    assert not (tmp_path / "instance" / "instance").exists()


def test_two_applications_live_beside_each_other(config):
    with running(config) as one, running(replace(config, base_url="https://flattr.example")) as other:
        assert one.test_client().get("/").status_code == 200
        assert other.test_client().get("/").status_code == 200


def test_nothing_is_kept_in_caches_but_what_is_the_same_for_all(client):
    for path in ("/", "/sign-in", "/month", "/nothing", "/api/v1/me", "/openapi.json", "/healthz"):
        assert client.get(path).headers["Cache-Control"] == "no-store", path
    assert client.get("/static/site.css").headers.get("Cache-Control") != "no-store"


def test_browsers_are_held_to_tls_where_there_is_tls(client):
    assert "Strict-Transport-Security" not in client.get("/").headers
    assert "max-age" in client.get("/", base_url="https://flattr.example").headers["Strict-Transport-Security"]


def test_proxies_in_front_are_believed_only_when_they_are_named(config):
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}

    with running(config) as direct, running(replace(config, proxies=1)) as behind:
        assert "Strict-Transport-Security" not in direct.test_client().get("/", headers=told).headers
        assert "Strict-Transport-Security" in behind.test_client().get("/", headers=told).headers


def test_people_behind_a_proxy_are_counted_each_for_themselves(config):
    with running(replace(config, proxies=1)) as behind:
        asked = [
            behind.test_client().post(
                "/api/v1/pairings",
                json={"challenge": "A" * 43, "device": "x"},
                headers={"X-Forwarded-For": f"198.51.100.66, 203.0.113.{number % 2}"},
            )
            for number in range(61)
        ]
    assert [answer.status_code for answer in asked] == [201] * 60 + [429]


def test_a_bug_on_a_page_is_a_page_that_tells_nothing(app, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("secret inside")

    app.testing = app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setitem(app.view_functions, "web.home", broken)
    page = Page(app.test_client().get("/"))

    assert page.status == 500
    assert "our side" in page.text
    assert "secret" not in page.html
