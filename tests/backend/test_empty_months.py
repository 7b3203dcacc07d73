"""Months in which no click counts: kept, given as before, or to charity, as each reader chose."""

import pytest
import sqlalchemy as sa

from backend import clicks, ledger
from backend.clicks import Gift
from backend.settlement import EarlierOpen


@pytest.fixture
def town(town):
    """Ann gave Bea and Carl 2.00 each in October; a charity is there for who wants it."""
    for owner in ("Bea", "Carl", "Dora", "Charity"):
        town.person(owner)
        if owner != "Charity":
            town.claim(owner, f"{owner.lower()}.example.org")
    town.person("Ann", budget="4.00", wallet="100.00")
    town.press("Ann", "bea.example.org/")
    town.press("Ann", "carl.example.org/")
    town.on("2026-11-01")
    town.settle("2026-10")
    town.on("2026-11-05")
    return town


def incomes(town):
    """What owners have, by name."""
    return {name.removesuffix(" income"): held for name, held in town.balances().items() if name.endswith(" income")}


def given(town, name, period):
    found = town.statement(name, period).given
    return found.charged_micros, {line.name: line.amount_micros for line in found.lines}


def test_an_empty_month_is_kept_when_nothing_was_chosen(town):
    town.press("Ann", "nobody.example.org/")
    town.on("2026-12-01")
    result = town.settle("2026-11")
    assert (result.readers, result.owners, result.promises, result.charged_micros) == (0, 0, 1, 0)
    assert incomes(town) == {"Bea": "2.00", "Carl": "2.00"}
    assert town.balances()["Ann wallet"] == "96.00"


@pytest.mark.parametrize("choice", ["repeat", "charity"])
def test_a_month_in_which_a_click_counts_is_not_empty(town, choice):
    town.choose("Ann", choice)
    town.press("Ann", "dora.example.org/")
    town.on("2026-12-01")
    town.settle("2026-11", charity="Charity")
    assert incomes(town) == {"Bea": "2.00", "Carl": "2.00", "Dora": "4.00"}


def test_a_repeated_month_pays_the_people_of_the_one_before_evenly(town):
    town.choose("Ann", "repeat")
    town.budget("Ann", "3.000001")
    town.press("Ann", "nobody.example.org/")  # a promise alone leaves a month empty
    town.on("2026-12-01")
    result = town.settle("2026-11", fee_bps=1000)

    assert (result.readers, result.owners, result.clicks, result.promises) == (1, 2, 0, 1)
    assert (result.charged_micros, result.received_micros, result.fee_micros) == (3_000_000, 2_700_000, 300_000)
    assert incomes(town) == {"Bea": "3.35", "Carl": "3.35"}
    assert town.balances()["Ann wallet"] == "93.00"


def test_a_month_without_any_click_is_settled_when_somebody_chose_to_repeat(town):
    town.choose("Ann", "repeat")
    town.on("2027-01-01")
    with pytest.raises(EarlierOpen, match="2026-11 has to be settled first"):
        town.settle("2026-12")

    assert [town.settle().period, town.settle().period] == ["2026-11", "2026-12"]
    assert incomes(town) == {"Bea": "6.00", "Carl": "6.00"}


def test_a_month_given_to_charity_pays_the_charity_alone(town):
    town.choose("Ann", "charity")
    town.on("2026-12-01")
    result = town.settle("2026-11", charity="Charity")
    assert (result.readers, result.owners, result.charged_micros) == (1, 1, 4_000_000)
    assert incomes(town) == {"Bea": "2.00", "Carl": "2.00", "Charity": "4.00"}


def test_a_month_given_to_charity_is_kept_where_no_charity_is_set(town):
    town.choose("Ann", "charity")
    town.on("2026-12-01")
    assert town.settle("2026-11").charged_micros == 0
    assert incomes(town) == {"Bea": "2.00", "Carl": "2.00"}


def test_the_charitys_own_empty_month_is_kept(town):
    town.deposit("Charity", "9.00")
    town.choose("Charity", "charity")
    town.on("2026-12-01")
    assert town.settle("2026-11", charity="Charity").charged_micros == 0
    assert town.balances()["Charity wallet"] == "9.00"


def test_the_first_month_of_all_may_go_to_charity_without_any_click(town):
    """Nobody pressed before: what a reader chose is enough to make a month due."""
    town.person("Emil", budget="1.00", wallet="5.00")
    town.choose("Emil", "charity")
    town.on("2027-01-01")
    town.settle("2026-11", charity="Charity")
    town.settle("2026-12", charity="Charity")
    assert incomes(town)["Charity"] == "2.00"


def test_a_reader_with_nothing_to_repeat_keeps_the_month(town):
    town.person("Emil", budget="1.00", wallet="5.00")
    town.choose("Emil", "repeat")
    town.on("2026-12-01")
    result = town.settle("2026-11")
    assert result.charged_micros == 0
    assert town.balances()["Emil wallet"] == "5.00"


def test_what_is_repeated_is_the_last_month_that_paid_anybody(town):
    town.press("Ann", "dora.example.org/")
    town.on("2026-12-01")
    town.settle("2026-11")
    town.budget("Ann", "0.00")
    town.press("Ann", "bea.example.org/")
    town.on("2027-01-01")
    town.settle("2026-12")  # Bea was on the list, but a budget of nothing pays nobody
    town.choose("Ann", "repeat")
    town.budget("Ann", "1.00")
    town.on("2027-02-01")
    town.settle("2027-01")
    assert incomes(town) == {"Bea": "2.00", "Carl": "2.00", "Dora": "5.00"}


def test_a_repeated_month_can_be_repeated(town):
    town.choose("Ann", "repeat")
    for month in ("2026-11", "2026-12", "2027-01"):
        town.on(f"{clicks_after(month)}-01")
        assert town.settle(month).charged_micros == 4_000_000
    assert incomes(town) == {"Bea": "8.00", "Carl": "8.00"}


def clicks_after(month):
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12}-{number % 12 + 1:02d}"


@pytest.mark.parametrize(("back", "charged"), [(12, 4_000_000), (13, 0)])
def test_a_month_is_repeated_when_it_is_at_most_twelve_months_back(town, back, charged):
    chosen, after = {12: ("2027-10-03", "2027-11-01"), 13: ("2027-11-03", "2027-12-01")}[back]
    town.on(chosen)
    town.choose("Ann", "repeat")
    town.on(after)
    assert town.settle(chosen[:7]).charged_micros == charged


def test_a_repeated_month_is_repeated_for_as_long_as_it_pays(town):
    """Twelve months back is counted from the last month that paid, not from the last click."""
    town.choose("Ann", "repeat")
    town.on("2028-02-01")
    for _ in range(15):
        assert town.settle().charged_micros == 4_000_000
    assert incomes(town) == {"Bea": "32.00", "Carl": "32.00"}


def no_longer_payable(town, how):
    {
        "revoked": lambda: town.revoke("bea.example.org"),
        "given up": lambda: town.give_up("Bea", "bea.example.org"),
        "left": lambda: town.leave("Bea"),
        "lapsing": lambda: (town.web.pop("bea.example.org"), town.look("bea.example.org")),
    }[how]()


@pytest.mark.parametrize("how", ["revoked", "given up", "left", "lapsing"])
def test_who_cannot_be_paid_any_more_is_left_out_of_a_repeated_month(town, how):
    town.choose("Ann", "repeat")
    no_longer_payable(town, how)
    town.on("2026-12-01")
    result = town.settle("2026-11")
    assert (result.owners, result.charged_micros) == (1, 4_000_000)
    assert incomes(town)["Carl"] == "6.00"


@pytest.mark.parametrize("how", ["given up", "left", "lapsing"])
def test_who_could_be_paid_when_the_month_ended_is_paid_whatever_happened_since(town, how):
    town.choose("Ann", "repeat")
    town.on("2026-12-02")
    if how == "left":
        town.settle("2026-11")
    else:
        no_longer_payable(town, how)
        town.settle("2026-11")
    assert incomes(town) == {"Bea": "4.00", "Carl": "4.00"}


def test_a_repeated_month_of_nobody_who_can_be_paid_is_kept(town):
    town.choose("Ann", "repeat")
    for site in ("bea.example.org", "carl.example.org"):
        town.revoke(site)
    town.on("2026-12-01")
    assert town.settle("2026-11").charged_micros == 0
    assert town.balances()["Ann wallet"] == "96.00"


def test_a_person_with_another_site_is_still_paid_in_a_repeated_month(town):
    town.choose("Ann", "repeat")
    town.claim("Bea", "bea.example.net")
    town.give_up("Bea", "bea.example.org")
    town.on("2026-12-01")
    town.settle("2026-11")
    assert incomes(town) == {"Bea": "4.00", "Carl": "4.00"}


def test_the_choice_in_force_when_the_month_ended_counts_not_a_later_one(town):
    town.on("2026-12-02")
    town.choose("Ann", "charity")
    town.settle("2026-11", charity="Charity")  # it was to be kept then
    assert incomes(town) == {"Bea": "2.00", "Carl": "2.00"}

    town.on("2027-01-02")
    town.choose("Ann", "keep")
    town.settle("2026-12", charity="Charity")
    assert incomes(town) == {"Bea": "2.00", "Carl": "2.00", "Charity": "4.00"}


def test_the_last_choice_of_a_month_counts(town):
    for choice in ("repeat", "keep", "charity", "repeat"):
        town.choose("Ann", choice)
    town.on("2026-12-01")
    town.settle("2026-11", charity="Charity")
    assert incomes(town) == {"Bea": "4.00", "Carl": "4.00"}


def test_a_change_of_budget_leaves_the_choice_and_a_choice_the_budget(town):
    town.choose("Ann", "repeat")
    town.on("2026-12-05")
    town.budget("Ann", "1.00")
    town.on("2027-01-05")
    town.choose("Ann", "charity")
    town.on("2027-02-01")
    charged = [town.settle(charity="Charity").charged_micros for _ in range(3)]
    assert charged == [4_000_000, 1_000_000, 1_000_000]
    assert incomes(town) == {"Bea": "4.50", "Carl": "4.50", "Charity": "1.00"}


def test_a_poor_reader_repeats_what_the_wallet_holds(town):
    town.person("Emil", budget="5.00", wallet="5.000003")
    for owner in ("bea", "carl", "dora"):
        town.press("Emil", f"{owner}.example.org/")
    town.on("2026-12-01")
    town.settle("2026-11")
    town.choose("Emil", "repeat")
    town.on("2027-01-01")
    town.settle("2026-12")
    assert given(town, "Emil", "2026-11") == (4_999_998, dict.fromkeys(["Bea", "Carl", "Dora"], 1_666_666))
    # Five micros are left: one each, and two stay.
    assert given(town, "Emil", "2026-12") == (3, dict.fromkeys(["Bea", "Carl", "Dora"], 1))
    assert town.balances()["Emil wallet"] == "0.000002"


def test_statements_and_lists_show_whom_an_empty_month_went_to(town):
    town.choose("Ann", "repeat")
    town.person("Emil", budget="6.00", wallet="6.00")
    town.press("Emil", "bea.example.org/")
    town.on("2026-12-01")
    town.settle("2026-11", fee_bps=250)

    assert given(town, "Ann", "2026-11") == (4_000_000, {"Bea": 2_000_000, "Carl": 2_000_000})
    assert all(line.pages == [] for line in town.statement("Ann", "2026-11").given.lines)
    bea, carl = (town.statement(name, "2026-11").received for name in ("Bea", "Carl"))
    assert (bea.readers, bea.received_micros, bea.fee_micros) == (2, 7_800_000, 200_000)
    assert [(line.url, line.readers) for line in bea.lines] == [("https://bea.example.org/", 1)]
    assert (carl.readers, carl.received_micros, carl.lines) == (1, 1_950_000, [])
    month = town.month("Ann", "2026-11")
    assert (month.state, month.pot_micros, month.owners, month.share_micros) == ("settled", 4_000_000, 2, 2_000_000)
    assert month.clicks == []


def test_what_would_be_repeated_is_told_while_the_month_is_empty(town):
    def repeatable(name):
        with town.sessions() as session:
            return clicks.repeatable(session, town.people[name], "2026-11")

    assert (repeatable("Ann"), repeatable("Bea")) == (2, 0)
    town.revoke("bea.example.org")
    assert repeatable("Ann") == 1


def test_empty_months_settle_to_the_same_when_run_again(town):
    town.choose("Ann", "repeat")
    town.person("Emil", budget="1.00", wallet="5.00")
    town.choose("Emil", "charity")
    town.on("2026-12-01")

    foretold = town.foretell("2026-11", charity="Charity")
    before = town.balances()
    settled = town.settle("2026-11", charity="Charity")
    assert foretold == settled
    after = town.balances()
    assert before != after

    town.on("2026-12-20")
    town.choose("Ann", "keep")
    town.revoke("bea.example.org")
    assert town.settle("2026-11", charity="Bea", fee_bps=700) == settled == town.foretell("2026-11")
    assert town.balances() == after


def test_the_audit_notices_an_empty_month_that_paid_somebody_else(town):
    town.choose("Ann", "repeat")
    town.on("2026-12-01")
    town.settle("2026-11")
    dora = town.people["Dora"].id
    with town.sessions.begin() as session:
        bea = sa.update(Gift).where(Gift.owner_id == town.people["Bea"].id)
        session.execute(bea.values(owner_id=dora))
        assert ledger.balance(session, ledger.income(dora)) == 0
    assert any(f"income of user {dora}" in problem for problem in town.problems())
