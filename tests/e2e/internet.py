"""The networks under their own names, over TLS; and no other host: a proxy leads every browser here."""

import contextlib
import http.server
import pathlib
import socket
import ssl
import threading
import time

HERE = pathlib.Path(__file__).parent
PAGES = {file.name.removesuffix(".html"): file for file in (HERE / "networks").glob("*.html")}
CERTIFICATE = HERE.parent / "data" / "site.example.net.pem"  # of another name: the browsers are told not to mind


class Internet:
    """What was `asked` of each host: (host, method, path). A path that ends in `fails` is answered with an error."""

    def __init__(self):
        self.asked = []
        internet = self

        class Pages(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self._answer(200, PAGES[self.headers["Host"]].read_bytes(), "text/html; charset=utf-8")

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fails = self.path.endswith("fails")
                time.sleep(0.7 if fails else 0)  # until then the page shows what it hopes for
                self._answer(500 if fails else 200, b"{}", "application/json")

            def _answer(self, status, body, kind):
                internet.asked.append((self.headers["Host"], self.command, self.path))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.proxy = socket.create_server(("127.0.0.1", 0))
        self.proxy_port = self.proxy.getsockname()[1]
        for run in (self.server.serve_forever, self._lead):
            threading.Thread(target=run, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.proxy.close()

    def _lead(self):
        with contextlib.suppress(OSError):  # it was closed
            while True:
                near, _ = self.proxy.accept()
                threading.Thread(target=self._tunnel, args=(near,), daemon=True).start()

    def _tunnel(self, near):
        with contextlib.suppress(OSError), near:
            asked = near.recv(4096)
            if not asked:
                return  # browsers connect ahead, and change their minds
            host = asked.split(b" ")[1].rpartition(b":")[0].decode()
            if host not in PAGES:
                near.sendall(b"HTTP/1.1 502 No such host\r\nContent-Length: 0\r\n\r\n")
                return
            near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            far = socket.create_connection(("127.0.0.1", self.server.server_port))
            threading.Thread(target=self._pass, args=(far, near), daemon=True).start()
            self._pass(near, far)

    def _pass(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
