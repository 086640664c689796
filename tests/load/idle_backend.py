"""Run on a host, with its HAProxy configuration as the argument: a second HAProxy, on ports of its own, before a backend that answers
one request of each connection and closes it at the very moment the next one comes, as a server does whose idle time is over.
"""

import http.client
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

FRONT, BACK = 19080, 19081


class Backend(socketserver.BaseRequestHandler):
    def handle(self):
        head = self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        if b"\nconnection: close" not in head.lower():
            self.request.recv(65536)


config = re.sub(r"(frontend metrics\s+bind) :\d+", r"\1 127.0.0.1:19083", sys.argv[1])
config = re.sub(r"bind :\d+", f"bind 127.0.0.1:{FRONT}", config)
config = re.sub(r"bind 127.0.0.1:180\d\d", "bind 127.0.0.1:19082", config)
config = re.sub(r"127.0.0.1:1808[12]$", f"127.0.0.1:{BACK}", config, flags=re.MULTILINE)
config = config.replace("/run/haproxy/admin.sock", "/run/plano-load-admin.sock")

socketserver.ThreadingTCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer(("127.0.0.1", BACK), Backend) as server, tempfile.NamedTemporaryFile("w") as file:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file.write(config)
    file.flush()
    proxy = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-q", "-f", file.name], stderr=subprocess.DEVNULL)
    try:
        for _attempt in range(300):
            try:
                socket.create_connection(("127.0.0.1", FRONT), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        for method in ("GET", "POST"):
            user = http.client.HTTPConnection("127.0.0.1", FRONT, timeout=5)
            for _ in range(2):
                user.request(method, "/", b"")
                answer = user.getresponse()
                answer.read()
                print(method, answer.status)
    except http.client.HTTPException as error:
        print(repr(error))
    finally:
        proxy.terminate()
        proxy.wait(10)
        server.shutdown()
