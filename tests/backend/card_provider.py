"""Stripe as far as we use it, on this machine, and as it behaves on bad days.

It keeps its own truth. Calls fail before or after they did their work, stall, or are cut off; events come late, never,
twice, out of order and with stale content. What is asked with a key is done once, and its answer, a 500 too, is kept.
"""

import hashlib
import hmac
import itertools
import json
import random
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

SECRET = "whsec_ours"
CENT = 10_000  # micros


class CardProvider:
    """One account at the provider."""

    def __init__(self):
        self.sessions, self.refunds, self.disputes, self.kept, self.posts = {}, {}, {}, {}, []
        self.events, self.random, self.trouble = [], random.Random(0), 0.0
        self.numbers, self.lock, self.broken, self.currency = itertools.count(1), threading.RLock(), None, None
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                provider.answer(self, "GET", {})

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.answer(self, "POST", dict(parse_qsl(body)))

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 50

            def handle_error(self, *_):
                pass  # the client hung up: it does not wait for us

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    # What is asked over HTTP

    def answer(self, call, method, form):
        trouble = self.broken or ("" if self.random.random() >= self.trouble else self.random.choice(TROUBLES))
        if trouble in ("cut off", "429", "500 before"):
            if trouble == "cut off":
                call.close_connection = True
                return
            self.send(call, int(trouble[:3]), {"error": {"type": "api_error", "code": "rate_limit"}})
            return
        key = call.headers.get("Idempotency-Key")
        with self.lock:
            status, body = self.once(method, call.path, form, key, fails=trouble == "500 after")
        if trouble == "stall":
            time.sleep(0.15)
            call.close_connection = True
        elif trouble == "cut off after":
            call.close_connection = True
        else:
            self.send(call, status, body)

    def send(self, call, status, body):
        text = json.dumps(body).encode()
        call.send_response(status)
        call.send_header("Content-Type", "application/json")
        call.send_header("Content-Length", str(len(text)))
        call.end_headers()
        call.wfile.write(text)

    def once(self, method, path, form, key, *, fails):
        """An answer of 500 after the work was done is kept under the key like any other."""
        if method == "POST":
            assert key, f"a POST without an idempotency key: {path}"
            if key in self.kept:
                asked, answer = self.kept[key]
                same = asked == (path, form)
                return answer if same else (400, {"error": {"type": "idempotency_error", "message": "other params"}})
        status, body = self.do(method, path, form)
        if fails:
            status, body = 500, {"error": {"type": "api_error"}}
        if method == "POST":
            self.kept[key] = ((path, form), (status, body))
        return status, body

    def do(self, method, path, form):
        parts = urlsplit(path)
        asked = dict(parse_qsl(parts.query))
        place = parts.path.removeprefix("/v1/")
        if method == "POST":
            self.posts.append(place)
            return self.open_session(form) if place == "checkout/sessions" else self.make_refund(form)
        if place.startswith("checkout/sessions/"):
            found = self.sessions.get(place.removeprefix("checkout/sessions/"))
            missing = {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
            return (200, self.shown(found)) if found else (404, missing)
        rows = (self.disputes if place == "disputes" else self.refunds).values()
        mine = [row for row in rows if row["payment_intent"] == asked["payment_intent"]]
        return 200, {"object": "list", "data": mine, "has_more": False, "url": f"/v1/{place}"}

    def shown(self, session):
        return session | ({"currency": self.currency} if self.currency else {})

    def open_session(self, form):
        id_ = f"cs_test_{next(self.numbers)}"
        price = "line_items[0][price_data]"
        self.sessions[id_] = {
            "id": id_,
            "object": "checkout.session",
            "client_reference_id": form["client_reference_id"],
            "status": "open",
            "payment_status": "unpaid",
            "payment_intent": None,
            "amount_total": int(form[f"{price}[unit_amount]"]),
            "currency": form[f"{price}[currency]"],
            "url": f"{self.url}/pay/{id_}",
            "success_url": form["success_url"],
        }
        return 200, self.sessions[id_]

    def make_refund(self, form):
        refused = self.refusal(form["payment_intent"], int(form["amount"]))
        if refused:
            return 400, {"error": {"type": "invalid_request_error", "code": refused}}
        return 200, self.refund(form["payment_intent"], int(form["amount"]), {"flattr": form["metadata[flattr]"]})

    def refusal(self, payment, amount):
        if any(d["payment_intent"] == payment and d["status"] != "won" for d in self.disputes.values()):
            return "charge_disputed"
        return "charge_already_refunded" if amount > self.left(payment) else None

    # What happens there by itself

    def left(self, payment):
        """Cents of a payment that were not refunded."""
        [session] = [s for s in self.sessions.values() if s["payment_intent"] == payment]
        gone = [
            r["amount"] for r in self.refunds.values() if r["payment_intent"] == payment and r["status"] != "failed"
        ]
        return session["amount_total"] - sum(gone)

    def tell(self, kind, thing):
        self.events.append({"id": f"evt_{next(self.numbers)}", "type": kind, "data": {"object": dict(thing)}})

    def pay(self, id_):
        with self.lock:
            session = self.sessions[id_]
            payment = f"pi_{next(self.numbers)}"
            session |= {"status": "complete", "payment_status": "paid", "payment_intent": payment}
            self.tell("checkout.session.completed", session)
            return payment

    def expire(self, id_):
        with self.lock:
            self.sessions[id_]["status"] = "expired"
            self.tell("checkout.session.expired", self.sessions[id_])

    def refund(self, payment, amount, metadata=None):
        with self.lock:
            id_ = f"re_{next(self.numbers)}"
            self.refunds[id_] = {"id": id_, "object": "refund", "payment_intent": payment, "amount": amount}
            self.refunds[id_] |= {"status": "succeeded", "metadata": metadata or {}}
            self.tell("refund.created", self.refunds[id_])
            return self.refunds[id_]

    def fail(self, refund_id):
        with self.lock:
            self.refunds[refund_id]["status"] = "failed"
            self.tell("refund.failed", self.refunds[refund_id])

    def dispute(self, payment, amount):
        with self.lock:
            id_ = f"dp_{next(self.numbers)}"
            self.disputes[id_] = {"id": id_, "object": "dispute", "payment_intent": payment, "amount": amount}
            self.decide(id_, "needs_response")
            return id_

    def decide(self, dispute_id, status):
        with self.lock:
            self.disputes[dispute_id]["status"] = status
            self.tell("charge.dispute.updated", self.disputes[dispute_id])

    def holds(self):
        """What is left here of all that was paid, in micros: the truth that our books have to come to."""
        paid = sum(s["amount_total"] for s in self.sessions.values() if s["payment_status"] == "paid")
        back = sum(r["amount"] for r in self.refunds.values() if r["status"] != "failed")
        taken = sum(d["amount"] for d in self.disputes.values() if d["status"] not in ("won", "warning_closed"))
        return (paid - back - taken) * CENT


TROUBLES = ("cut off", "cut off after", "429", "500 before", "500 after", "500 after", "stall")


def signed(event, secret=SECRET, at=None):
    """An event as it is sent: its bytes, and the header that vouches for them."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    moment = int(time.time()) if at is None else at
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {"Stripe-Signature": f"t={moment},v1={mac}", "Content-Type": "application/json"}


@contextmanager
def open_provider():
    """A provider that answers, until the test is over."""
    provider = CardProvider()
    thread = threading.Thread(target=provider.server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.server.shutdown()
        provider.server.server_close()
        thread.join(5)
