"""Settings: read once, refused with the name of the one that is wrong."""

import dataclasses
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.config import BadSetting, Config, from_environment


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_needs_to_be_set(here):
    config = from_environment({})

    assert config.instance == here / "instance"
    assert config.database_url == f"sqlite:///{here}/instance/flattr.db"
    assert (config.base_url, config.currency, config.fee_bps, config.dev) == ("http://127.0.0.1:8000", "EUR", 0, False)
    assert abs(config.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_empty_settings_are_unset_settings(here):
    settings = dict.fromkeys((f"FLATTR_{field.name.upper()}" for field in dataclasses.fields(Config)), "")
    settings |= {"FLATTR_SECRET_KEY": "s"}
    assert from_environment(settings) == from_environment({"FLATTR_SECRET_KEY": "s"})


def test_the_environment_is_what_counts_when_nothing_is_handed_in(here, monkeypatch):
    monkeypatch.setenv("FLATTR_FEE_BPS", "250")
    assert from_environment().fee_bps == 250


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("sqlite:////var/lib/flattr.db", "sqlite:////var/lib/flattr.db"),
        ("postgres://ann@db/flattr", "postgresql+psycopg://ann@db/flattr"),
        ("postgresql://ann@db/flattr?sslmode=require", "postgresql+psycopg://ann@db/flattr?sslmode=require"),
        ("postgresql+psycopg://ann@db/flattr", "postgresql+psycopg://ann@db/flattr"),
    ],
)
def test_a_database_is_named_as_people_name_it(here, written, used):
    assert from_environment({"FLATTR_DATABASE_URL": written}).database_url == used


def test_a_relative_database_lies_below_the_working_directory_not_below_instance(here):
    url = from_environment({"FLATTR_DATABASE_URL": "sqlite:///instance/x.db"}).database_url
    assert url == f"sqlite:///{here}/instance/x.db"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLATTR_DATABASE_URL", "mysql://db/flattr"),
        ("FLATTR_DATABASE_URL", "flattr.db"),
        ("FLATTR_FEE_BPS", "-1"),
        ("FLATTR_FEE_BPS", "10001"),
        ("FLATTR_FEE_BPS", "2.5"),
        ("FLATTR_FEE_BPS", "\u0665"),
        ("FLATTR_PROXIES", "yes"),
        ("FLATTR_PROXIES", "11"),
        ("FLATTR_NOW", "yesterday"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(here, name, value):
    with pytest.raises(BadSetting, match=name):
        from_environment({name: value, "FLATTR_DEV": "1"})


def test_the_clock_stands_still_only_in_dev_mode(here):
    still = {"FLATTR_NOW": "2026-11-23T12:00:00+01:00"}
    with pytest.raises(BadSetting, match="FLATTR_NOW"):
        from_environment(still)
    assert from_environment(still | {"FLATTR_DEV": "1"}).now() == datetime(2026, 11, 23, 11, tzinfo=UTC)


def test_an_instant_without_a_zone_is_utc(here):
    config = from_environment({"FLATTR_NOW": "2026-11-23", "FLATTR_DEV": "1"})
    assert config.now() == datetime(2026, 11, 23, tzinfo=UTC)


def test_dev_mode_is_refused_where_the_world_can_see_it(here):
    with pytest.raises(BadSetting, match="FLATTR_DEV"):
        from_environment({"FLATTR_DEV": "1", "FLATTR_BASE_URL": "https://flattr.example.org"})


def test_cookies_are_secure_where_people_come_over_tls(here):
    assert from_environment({"FLATTR_BASE_URL": "https://flattr.example.org/"}).secure
    assert from_environment({"FLATTR_BASE_URL": "https://flattr.example.org/"}).base_url == "https://flattr.example.org"
    assert not from_environment({}).secure


def test_an_iban_may_be_typed_in_groups(here):
    assert from_environment({"FLATTR_BANK_IBAN": "DE89 3704 0044 0532 0130 00"}).bank_iban == "DE89370400440532013000"


def test_the_secret_is_made_once_kept_to_its_owner_and_never_replaced(here):
    first = from_environment({}).secret_key
    file = here / "instance" / "secret_key"

    assert len(first) >= 48
    assert from_environment({}).secret_key == first == file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["secret_key"]


def test_a_secret_of_ones_own_needs_no_file(here):
    assert from_environment({"FLATTR_SECRET_KEY": "mine"}).secret_key == "mine"
    assert not (here / "instance").exists()


def test_processes_that_start_at_once_agree_on_the_secret(here):
    script = "from backend.config import from_environment; print(from_environment({}).secret_key)"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script]
    runs = [
        subprocess.Popen(command, cwd=here, env={"PYTHONPATH": str(root)}, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({run.communicate(timeout=90)[0] for run in runs}) == 1
    assert all(run.returncode == 0 for run in runs)
