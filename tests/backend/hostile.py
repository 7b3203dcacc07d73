"""Web servers that misbehave as real ones do, on this machine."""

import socket
import ssl
import threading
from contextlib import contextmanager
from pathlib import Path

CERTIFICATE = Path(__file__).parents[1] / "data" / "site.example.net.pem"


class Server:
    """Answers each connection with *behave(connection)*; remembers what was asked."""

    def __init__(self, behave, *, tls, speaks_first):
        self.behave, self.asked, self.over = behave, [], threading.Event()
        self.speaks_first = speaks_first
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self.tls:
            self.tls.load_cert_chain(CERTIFICATE)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.site = f"127.0.0.1:{self.port}"

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return  # the test is over
            threading.Thread(target=self.answer, args=[connection], daemon=True).start()

    def answer(self, connection):
        connection.settimeout(5)
        try:
            with self.tls.wrap_socket(connection, server_side=True) if self.tls else connection as stream:
                if not self.speaks_first:
                    self.asked.append(stream.recv(65_536).decode("latin-1"))
                self.behave(stream)
        except OSError:
            pass  # the client hung up, as it should

    def until_over(self, write, pause=0.02):
        """Keep writing until the client hangs up or the test is over."""
        while not self.over.wait(pause):
            write()


@contextmanager
def server(behave, *, tls=False, speaks_first=False):
    """A running server; *behave* gets the connection, or is the bytes of the whole answer."""
    answer = (lambda stream: stream.sendall(behave)) if isinstance(behave, bytes) else behave
    running = Server(answer, tls=tls, speaks_first=speaks_first)
    thread = threading.Thread(target=running.serve, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.over.set()
        running.listener.shutdown(socket.SHUT_RDWR)
        running.listener.close()
        thread.join(5)


def page(body=b"<!doctype html>", *headers, status="200 OK"):
    """The bytes of an ordinary answer."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/html; charset=utf-8", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(*targets, status="301 Moved Permanently"):
    """The bytes of a redirect."""
    return page(b"", *[f"Location: {target}" for target in targets], status=status)
