# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a message leaves: by mail or to a webhook. No error tells an address, a text or what a server said, which may quote both."""

from __future__ import annotations

import contextlib
import http.client
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Any, Mapping, Protocol
from urllib.parse import urlsplit

from .errors import DataError


class Refused(DataError):
    """This recipient cannot be told; others can."""


class Undelivered(DataError):
    """The message has certainly not arrived, nor will others."""


class Channel(Protocol):
    """Where messages go; open for the time of a with block."""

    def send(self, key: str, address: str, language: str, subject: str, text: str) -> None:
        """Hand one message over; *key* is the same for the same message. Raises Refused, Undelivered, or DataError when it may have arrived."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *caught: object) -> None: ...


def channel(webhook: Mapping[str, Any] | None, mail: Mapping[str, Any] | None) -> Channel:
    """Return the channel that a module's options describe. Raises DataError."""
    if webhook:
        return Webhook(webhook["url"], webhook["headers"] or {}, webhook["timeout"], webhook["ca_cert"])
    if mail:
        return Mail(**mail)
    raise DataError("say where messages go: webhook or mail")


class Webhook:
    """One POST a message, a JSON object of key, address, language, subject and text.

    Any 2xx is taken for delivered; 422 refuses this recipient, every other answer all of them.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float, ca_cert: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DataError("webhook.url must begin with https:// or http://")
        self.place = f"the webhook on {parts.hostname}"
        self._url, self._headers, self._timeout = url, headers, timeout
        handlers: list[urllib.request.BaseHandler] = [_Stay()]
        if parts.scheme == "https":
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_cert or None)))
        self._opener = urllib.request.build_opener(*handlers)

    def send(self, key: str, address: str, language: str, subject: str, text: str) -> None:
        body = {"key": key, "address": address, "language": language, "subject": subject, "text": text}
        request = urllib.request.Request(
            self._url,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Idempotency-Key": key, **self._headers},
            method="POST",
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 422:
                raise Refused(f"{self.place} refused a message ({error.code})") from None
            raise Undelivered(f"{self.place} answers {error.code}: see that url and headers are right") from None
        except urllib.error.URLError as error:
            raise Undelivered(f"{self.place} is not reached: {_words(error.reason)}") from None
        except (OSError, http.client.HTTPException) as error:
            raise DataError(f"{self.place} broke off: {_words(error)}") from None

    def __enter__(self) -> Webhook:
        return self

    def __exit__(self, *_caught: object) -> None:
        self._opener.close()


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET: it is an error with its code."""

    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        return None


class Mail:
    """One mail a recipient, all over one connection."""

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        starttls: bool,
        username: str,
        password: str | None,
        timeout: float,
        ca_cert: str,
    ) -> None:
        if not _is_address(sender):
            raise DataError("mail.sender must be one address, such as plano@example.com")
        if username and not starttls:
            raise DataError("mail.username needs mail.starttls: without it the password would be readable on the way")
        self.place = f"the mail server {host}:{port}"
        self._host, self._port, self._sender = host, port, sender
        self._tls = ssl.create_default_context(cafile=ca_cert or None) if starttls else None
        self._login = (username, password or "") if username else None
        self._timeout = timeout
        self._connection: smtplib.SMTP | None = None

    def __enter__(self) -> Mail:
        connection = None
        try:
            connection = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
            if self._tls:
                connection.starttls(context=self._tls)
            if self._login:
                connection.login(*self._login)
        except (smtplib.SMTPException, OSError) as error:
            if connection:
                connection.close()
            raise Undelivered(f"{self.place} is not usable: {_words(error)}") from None
        self._connection = connection
        return self

    def send(self, key: str, address: str, language: str, subject: str, text: str) -> None:
        if self._connection is None:
            raise DataError("a message needs an open connection")
        if not _is_address(address):
            raise Refused("an address cannot be one")
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = self._sender, address, subject
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{key[:40]}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text + "\n")
        message["Content-Language"] = language  # set_content() removes one that was there before
        try:
            self._connection.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            if code >= 500:
                raise Refused(f"{self.place} refused a recipient ({code})") from None
            raise Undelivered(f"{self.place} takes no more now ({code})") from None
        except smtplib.SMTPNotSupportedError:
            raise Refused(f"{self.place} takes no address with such letters") from None
        except smtplib.SMTPResponseException as error:
            raise Undelivered(f"{self.place} refuses ({error.smtp_code}): see sender and login") from None
        except (smtplib.SMTPException, OSError) as error:
            raise DataError(f"{self.place} broke off: {_words(error)}") from None

    def __exit__(self, *_caught: object) -> None:
        if self._connection is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                self._connection.quit()
            self._connection.close()


def _is_address(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    bad = any(letter.isspace() or letter in ',;<>()[]\\":' or not letter.isprintable() for letter in text)
    return bool(at and local and domain) and "@" not in local and not bad and len(text) <= 254


def _words(error: Any) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it answers {error.smtp_code}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); name its authority with ca_cert"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "it offers no STARTTLS, or no login"
    return getattr(error, "strerror", None) or type(error).__name__
