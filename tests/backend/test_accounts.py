"""docs/accounts.md tells the truth: every account, every code, and the worked month."""

import ast
import re
from itertools import chain
from pathlib import Path

from backend import journal, ledger
from backend.ledger import Kind

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "accounts.md").read_text("utf-8")


def section(name):
    return DOC.split(f"## {name}\n")[1].split("\n## ")[0]


def codes_in(tree):
    """The codes of all postings: literals, or the strings in tuples that a function posts one after the other."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if getattr(call.func, "id", getattr(call.func, "attr", None)) != "Posting" or not call.args:
                continue
            said = [node for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant)]
            if not said:
                tuples = [node for node in ast.walk(function) if isinstance(node, ast.Tuple)]
                keys = [node.keys for node in ast.walk(function) if isinstance(node, ast.Dict)]
                parts = chain(*(node.elts for node in tuples), *keys)
                said = [part for part in parts if isinstance(part, ast.Constant)]
            codes = {node.value for node in said if isinstance(node.value, str)}
            assert codes, f"name the codes of what is posted in {function.name}, where it is posted"
            yield from codes


def test_every_code_has_its_words_and_its_row():
    sources = [file for file in (ROOT / "backend").rglob("*.py") if file.name != "ledger.py"]
    posted = {code for file in sources for code in codes_in(ast.parse(file.read_text("utf-8")))}
    assert {"charge", "deposit", "fee", "paid_back", "rest", "share"} <= posted
    assert posted == set(ledger.WORDS), "Say in ledger.WORDS what each code is, and of no other."
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", section("The transfers"), re.MULTILINE))
    assert rows == posted, "Give each code a row in docs/accounts.md."


def test_every_account_is_in_the_chart_under_its_name_in_the_journal():
    rows = re.findall(r"^\| `([a-z]+)` \| (.+?) \|.*\| `(.+?)` \|$", section("The accounts"), re.MULTILINE)
    assert {kind for kind, _, _ in rows} == {kind.name.lower() for kind in Kind}
    for kind, whose, name in rows:
        user = 0 if whose == "the house's" else 7
        account = ledger.account_of(Kind[kind.upper()], user)
        assert journal.account_name(account, "id" if user else None) == name


def test_the_worked_month_comes_to_what_it_says(town):
    for name in ("Bea", "Carl", "Dora"):
        town.person(name)
        town.claim(name, f"{name.lower()}.example.org")
    town.person("Ann", budget="5.00", wallet="20.00")
    for name in ("bea", "carl", "dora"):
        town.press("Ann", f"{name}.example.org/")
    town.on("2026-11-02")
    town.settle(fee_bps=100)

    with town.sessions() as session:
        found = {"bank": ledger.balance(session, ledger.BANK), "fees": ledger.balance(session, ledger.FEES)}
        found["Ann's wallet"] = ledger.balance(session, ledger.wallet(town.people["Ann"].id))
        incomes = {ledger.balance(session, ledger.income(town.people[n].id)) for n in ("Bea", "Carl", "Dora")}
        found["together"] = sum(ledger.trial_balance(session).values())
    [found["Bea's, Carl's and Dora's income, each"]] = incomes
    rows = re.findall(r"^\| ([^|]+) \| (-?[0-9.]+) \|$", section("A worked month"), re.MULTILINE)
    assert {name: int(amount.replace(".", "")) for name, amount in rows} == found
