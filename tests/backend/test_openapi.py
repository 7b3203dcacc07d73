"""The API's description, and a machine that reads it and tries what it allows."""

from dataclasses import replace

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from tests.backend.browser import device_of, running

load_all_checks()
CHECKED = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "ignored_auth",
    )
]
# Left out: positive_data_acceptance, the rules refuse most of what looks like an address; and what looks at sequences
# of calls, because undoing twice is fine here.

CALLS = [
    "GET /api/v1/clicks",
    "POST /api/v1/clicks",
    "DELETE /api/v1/clicks/{page_id}",
    "GET /api/v1/me",
    "PATCH /api/v1/me",
    "GET /api/v1/pages",
    "POST /api/v1/pairings",
    "POST /api/v1/pairings/{pairing_id}/token",
    "DELETE /api/v1/token",
]


@pytest.fixture
def patient(config):
    """An application that does not count how often it is asked."""
    with running(replace(config, dev=True)) as app:
        yield app


@pytest.mark.parametrize("call", CALLS)
def test_every_call_does_what_its_description_says(patient, town, call):
    town.person("Ann", budget="5.00", wallet="5.00")
    token = device_of(patient, town, "Ann").token
    description = schemathesis.openapi.from_wsgi("/openapi.json", patient)
    method, path = call.split(" ")

    for mode, examples in ((GenerationMode.POSITIVE, 40), (GenerationMode.NEGATIVE, 40)):
        try_out(description[path][method], mode, examples, token)


def try_out(operation, mode, examples, token):
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers(case):
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKED)

    answers()


def test_the_description_is_openapi_and_names_every_call(client):
    description = client.get("/openapi.json").json

    assert description["openapi"] == "3.1.0"
    OPENAPI_31_VALIDATOR.validate(description)
    named = [f"{method.upper()} {path}" for path, calls in description["paths"].items() for method in calls]
    assert sorted(named) == sorted(CALLS)


def test_the_description_is_served_at_the_root_and_beside_the_api(client):
    at_root, beside = client.get("/openapi.json"), client.get("/api/v1/openapi.json")

    assert (at_root.status_code, at_root.content_type) == (200, "application/json")
    assert at_root.json == beside.json


def test_both_answers_to_a_press_are_described(client):
    responses = client.get("/openapi.json").json["paths"]["/api/v1/clicks"]["post"]["responses"]

    for status in ("200", "201"):
        assert responses[status]["content"]["application/json"]["schema"]["$ref"].endswith("/ClickOut")


def test_every_refusal_is_described_as_a_problem(client):
    description = client.get("/openapi.json").json

    for calls in description["paths"].values():
        for call in calls.values():
            for status, response in call["responses"].items():
                kinds = set(response.get("content", {}))
                assert kinds <= ({"application/problem+json"} if status >= "400" else {"application/json"})
    assert set(description["components"]["schemas"]["Problem"]["required"]) >= {"type", "status", "code"}


def test_only_pairing_works_without_a_token(client):
    description = client.get("/openapi.json").json

    open_to_all = {
        path for path, calls in description["paths"].items() for call in calls.values() if "security" not in call
    }
    assert open_to_all == {"/api/v1/pairings", "/api/v1/pairings/{pairing_id}/token"}


def test_the_description_names_this_installation_whoever_asks(client):
    client.get("/openapi.json", headers={"Host": "evil.example.net"})

    assert client.get("/openapi.json").json["servers"] == [{"url": "http://127.0.0.1:8000"}]


def test_there_is_no_page_with_other_peoples_scripts(client):
    for path in ("/docs", "/redoc", "/swagger", "/docs/oauth2-redirect"):
        assert client.get(path).status_code == 404
