"""A receiver of Alertmanager's webhook, and of messages to users: it keeps them all, and run by hand it shows them as they come."""

from __future__ import annotations

import argparse
import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 8025


class Inbox:
    """The alerts and the messages that arrived, in their order."""

    def __init__(self, address: str, port: int = PORT, show: bool = False) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/messages":
                    inbox.messages.append(message)
                    if show:
                        print(f"message  {message['address']}: {message['subject']}", flush=True)
                inbox.alerts += message.get("alerts", [])
                for alert in message.get("alerts", []) if show else []:
                    print(inbox.line(alert), flush=True)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                """What came is what is shown."""

        self.server = ThreadingHTTPServer((address, port), Handler)

    @staticmethod
    def line(alert: dict[str, Any]) -> str:
        """Return an alert as a person reads it."""
        labels, words = alert["labels"], alert["annotations"]
        severity = labels.get("severity", "-")
        return f"{alert['status']:<8} {severity:<6} {labels['alertname']}: {words.get('summary', '')} ({words.get('runbook', '')})"

    def start(self) -> None:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def wait(self, alertname: str, status: str, seconds: float) -> dict[str, Any]:
        """Return the first alert of this name and status, or fail with what came instead."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for alert in list(self.alerts):
                if alert["labels"]["alertname"] == alertname and alert["status"] == status:
                    return alert
            time.sleep(0.5)
        came = "\n".join(self.line(alert) for alert in self.alerts) or "nothing"
        raise AssertionError(f"{alertname} {status} did not arrive within {seconds:g} s; what came:\n{came}")


def main() -> None:
    """Show what arrives until interrupted."""
    parser = argparse.ArgumentParser(description="Show the messages of the local environment's Alertmanager.")
    parser.add_argument("--address", default="10.89.20.1")
    inbox = Inbox(parser.parse_args().address, show=True)
    print("Waiting for alerts; Ctrl-C ends it.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        inbox.server.serve_forever()


if __name__ == "__main__":
    main()
