# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages to users, received by a mail server and a web server of the tests' own."""

from __future__ import annotations

import base64
import email
import email.policy
import http.server
import json
import re
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server import PASSWORD, Server, as_ansible

from ansible_collections.plano.delivery.plugins.module_utils.data import home, runs
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError, ServerError
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session
from ansible_collections.plano.delivery.plugins.modules import data_message

WHO = runs.Stamp("ana", "monthly", "c1", "1.0.0")
PEOPLE = [("ana@example.com", "pt-BR"), ("bob@example.com", "en"), ("cy@example.com", None), ("ANA@example.com", "en")]
QUERY = "SELECT address, language FROM public.person WHERE run = %(run)s ORDER BY id"


class MailHandler(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as a client needs; what the server's `answers` say of an address comes first."""

    def handle(self) -> None:
        server: Any = self.server
        self.say("220 test")
        sender = recipient = ""
        while line := self.rfile.readline().decode().strip():
            verb = line.split(":")[0].upper()
            if verb.startswith(("EHLO", "HELO")):
                self.say(f"250-test\r\n250 {'STARTTLS' if server.tls else 'AUTH PLAIN'}")
            elif verb == "STARTTLS":
                self.say("220 go on")
                self.connection = server.tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
                server.tls = None
            elif verb.startswith("AUTH PLAIN "):
                server.heard.append(base64.b64decode(line.split()[2]))
                self.say("235 fine")
            elif verb == "MAIL FROM":
                sender = line
                self.say("250 fine")
            elif verb == "RCPT TO":
                recipient = re.findall("<(.*?)>", line)[0]
                self.say(server.answers.get(recipient, "250 fine"))
            elif verb == "DATA":
                self.say("354 go on")
                lines = []
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(part)
                if recipient in server.cuts:
                    return
                server.heard.append((sender, recipient, b"".join(lines)))
                self.say("250 taken")
            elif verb == "RSET":
                self.say("250 fine")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("502 no")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class WebHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        code = server.answers.get(body["address"], 202)
        if code == 202:
            server.heard.append((dict(self.headers), body))
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        raise AssertionError("a redirect was followed")

    def log_message(self, *_arguments: Any) -> None:
        pass


def serving(kind: type, handler: type) -> Iterator[Any]:
    with kind(("127.0.0.1", 0), handler) as found:
        found.heard, found.answers, found.cuts, found.tls = [], {}, set(), None
        found.daemon_threads = True
        threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture
def mail() -> Iterator[Any]:
    yield from serving(socketserver.ThreadingTCPServer, MailHandler)


@pytest.fixture
def web() -> Iterator[Any]:
    yield from serving(http.server.ThreadingHTTPServer, WebHandler)


@pytest.fixture
def people(session: Session) -> Session:
    """Some people, and a run that was taken back."""
    home.ensure(session)
    session.execute("CREATE TABLE public.person (id serial, run text, address text, language text)")
    for address, language in PEOPLE:
        session.execute("INSERT INTO public.person (run, address, language) VALUES ('r1', %s, %s)", [address, language])
    runs.begin(session, "r1", runs.IMPORT, "public.clients", WHO)
    runs.finish(session, "r1", runs.REVERTED)
    return session


Tell = Callable[..., dict[str, Any]]


@pytest.fixture
def tell(server: Server, database: str, people: Session, mail: Any) -> Tell:
    def run(apply: bool = True, **changed: Any) -> dict[str, Any]:
        by_mail = {
            "host": "127.0.0.1",
            "port": mail.server_address[1],
            "sender": "plano@example.com",
            "starttls": False,
        }
        params = {
            "run": "r1", "event": None, "recipients_query": QUERY, "max_recipients": 10, "default_language": "en", "texts": {},
            "target": "the price list", "webhook": None,
            "mail": {**by_mail, "username": "", "password": None, "timeout": 30.0, "ca_cert": ""},
        }  # fmt: skip
        return data_message.tell(server.login(database), {**params, **changed}, apply)

    return run


def hook(web: Any, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{web.server_address[1]}/in"
    return {"mail": None, "webhook": {"url": url, "headers": {"X-Token": "t"}, "timeout": 30.0, "ca_cert": "", **more}}


def test_each_is_told_once_and_in_their_language(tell: Tell, mail: Any, people: Session) -> None:
    first = tell()
    assert first == {
        "changed": True, "run": "r1", "event": "reverted", "recipients": 3, "sent": {"en": 2, "pt-BR": 1}, "already": 0,
        "refused": 0, "uncertain": 0,
    }  # fmt: skip
    found = {to: email.message_from_bytes(text, policy=email.policy.default) for _from, to, text in mail.heard}
    assert list(found) == ["ana@example.com", "bob@example.com", "cy@example.com"]
    ana, bob = found["ana@example.com"], found["bob@example.com"]
    assert ana["Subject"] == "Uma atualização dos seus dados foi desfeita"
    assert "uma atualização de the price list que estava errada" in ana.get_content()
    assert (ana["Content-Language"], ana["Auto-Submitted"]) == ("pt-BR", "auto-generated")
    assert (bob["Subject"], bob["To"], bob["From"]) == (
        "An update of your data was taken back", "bob@example.com", "plano@example.com",
    )  # fmt: skip
    assert re.search(r"On \d{4}-\d\d-\d\d \d\d:\d\d UTC we published", bob.get_content())
    assert "Reference: r1" in bob.get_content()
    assert ana["Message-ID"] != bob["Message-ID"]

    again = tell()
    assert (again["changed"], again["sent"], again["already"], len(mail.heard)) == (False, {}, 3, 3)
    people.execute("INSERT INTO public.person (run, address) VALUES ('r1', 'new@example.com')")
    assert tell()["sent"] == {"en": 1}
    assert mail.heard[-1][1] == "new@example.com"
    # Another event of the same run is another message.
    assert tell(event="restored")["sent"] == {"en": 3, "pt-BR": 1}


def test_no_address_is_kept_or_told(tell: Tell, people: Session, mail: Any) -> None:
    mail.answers["bob@example.com"] = "550 5.1.1 <bob@example.com> is unknown here"
    result = tell()
    kept = people.rows("SELECT * FROM plano_delivery.message")
    assert (result["refused"], len(kept)) == (1, 2)
    assert "@" not in repr(result) + repr(kept)
    del mail.answers["bob@example.com"]
    assert (tell()["sent"], len(mail.heard)) == ({"en": 1}, 3)


def test_check_mode_counts_and_tells_nobody(tell: Tell, people: Session, mail: Any) -> None:
    people.execute("DROP TABLE plano_delivery.message")
    assert tell(apply=False)["sent"] == {"en": 2, "pt-BR": 1}
    assert mail.heard == []
    assert people.value("SELECT to_regclass('plano_delivery.message')") is None


def test_a_server_that_takes_no_more_is_gone_on_with(tell: Tell, mail: Any) -> None:
    mail.answers["bob@example.com"] = "451 later"
    with pytest.raises(
        DataError, match=r"takes no more now \(451\)\. Told: 1, not told: 2; the same call goes on"
    ) as caught:
        tell()
    assert caught.value.details["sent"] == {"pt-BR": 1}
    assert "@" not in str(caught.value)
    mail.answers.clear()
    assert tell() == {**tell(apply=False), "changed": True, "sent": {"en": 2}, "already": 1}


def test_what_was_cut_off_in_the_midst_is_not_sent_again(tell: Tell, mail: Any) -> None:
    mail.cuts.add("bob@example.com")
    with pytest.raises(DataError, match="Whether the last message arrived is not known") as caught:
        tell()
    assert caught.value.details["uncertain"] == 1
    mail.cuts.clear()
    found = tell()
    assert (found["sent"], found["already"], found["uncertain"]) == ({"en": 1}, 1, 1)
    assert [to for _from, to, _text in mail.heard] == ["ana@example.com", "cy@example.com"]


def test_a_mail_server_that_is_away(tell: Tell, mail: Any) -> None:
    mail.shutdown()
    mail.server_close()
    with pytest.raises(DataError, match=r"the mail server 127.0.0.1:\d+ is not usable: .*Told: 0, not told: 3"):
        tell()


def test_a_password_needs_tls_and_tls_must_be_there(tell: Tell, mail: Any) -> None:
    by_mail = {
        "host": "127.0.0.1",
        "port": mail.server_address[1],
        "sender": "plano@example.com",
        "timeout": 30.0,
        "ca_cert": "",
    }
    with pytest.raises(DataError, match=r"mail\.username needs mail\.starttls"):
        tell(mail={**by_mail, "starttls": False, "username": "u", "password": "p"})
    with pytest.raises(DataError, match="it offers no STARTTLS"):
        tell(mail={**by_mail, "starttls": True, "username": "", "password": None})
    with pytest.raises(DataError, match=r"mail\.sender must be one address"):
        tell(mail={**by_mail, "sender": "a@b, c@d", "starttls": False, "username": "", "password": None})
    assert mail.heard == []


def test_over_tls_with_a_password(tell: Tell, mail: Any, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key", "-out", tmp_path / "crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    login = {"starttls": True, "username": "plano", "password": "p w", "timeout": 30.0}
    by_mail = {"host": "127.0.0.1", "port": mail.server_address[1], "sender": "plano@example.com", **login}
    mail.tls = context
    with pytest.raises(DataError, match="its certificate is not trusted") as caught:
        tell(mail={**by_mail, "ca_cert": ""})
    assert "p w" not in str(caught.value)
    mail.tls = context
    assert tell(mail={**by_mail, "ca_cert": str(tmp_path / "crt")})["sent"] == {"en": 2, "pt-BR": 1}
    assert (mail.heard[0], len(mail.heard)) == (b"\0plano\0p w", 4)


@pytest.mark.parametrize(
    "address", ["x", "a@b\r\nBcc: c@example.com", "a@b, c@d", "a b@c", "@c", "a@b@c", "<a@b>", "x" * 260 + "@c.d"]
)
def test_what_is_no_address_is_refused_and_injects_nothing(
    tell: Tell, people: Session, mail: Any, address: str
) -> None:
    people.execute("UPDATE public.person SET address = %s WHERE address = 'bob@example.com'", [address])
    assert tell()["refused"] == 1
    assert [to for _from, to, _text in mail.heard] == ["ana@example.com", "cy@example.com"]


def test_a_webhook_gets_one_request_each(tell: Tell, web: Any) -> None:
    web.answers["bob@example.com"] = 422
    assert tell(**hook(web)) == {
        **tell(apply=False),
        "changed": True,
        "sent": {"en": 1, "pt-BR": 1},
        "already": 0,
        "refused": 1,
    }
    (headers, body), _other = web.heard
    assert (headers["X-Token"], headers["Idempotency-Key"]) == ("t", body["key"])
    assert (body["address"], body["language"], set(body)) == (
        "ana@example.com", "pt-BR", {"key", "address", "language", "subject", "text"},
    )  # fmt: skip


@pytest.mark.parametrize("code", [302, 404, 500])
def test_a_webhook_that_is_wrong_or_broken_ends_it(tell: Tell, web: Any, code: int) -> None:
    web.answers["ana@example.com"] = code
    with pytest.raises(DataError, match=rf"the webhook on 127.0.0.1 answers {code}.*Told: 0, not told: 3"):
        tell(**hook(web))
    web.answers.clear()
    assert tell(**hook(web))["sent"] == {"en": 2, "pt-BR": 1}


def test_a_webhook_that_is_away_or_none(tell: Tell, web: Any) -> None:
    web.shutdown()
    web.server_close()
    with pytest.raises(DataError, match=r"the webhook on 127.0.0.1 is not reached: Connection refused"):
        tell(**hook(web))
    with pytest.raises(DataError, match="must begin with https"):
        tell(**hook(web, url="file:///etc/passwd"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("DELETE FROM public.person RETURNING address", "read-only transaction"),
        ("SELECT 'a@b'; COMMIT; DELETE FROM public.person", "multiple commands"),
        ("SELECT 1", "must return an address, as text"),
        ("SELECT 'a', 'b', 'c'", "must return an address, as text"),
        ("SELECT nothing", "does not exist"),
        (
            "SELECT 'p' || i FROM generate_series(1, 11) i",
            r"names 11 addresses, more than max_recipients \(10\): nobody was told",
        ),
    ],
)
def test_a_query_that_cannot_be_meant_tells_nobody(
    tell: Tell, people: Session, mail: Any, query: str, said: str
) -> None:
    with pytest.raises((DataError, ServerError), match=said):
        tell(recipients_query=query)
    assert mail.heard == []
    assert people.value("SELECT count(*) FROM public.person") == len(PEOPLE)


def test_a_run_that_concerns_nobody_is_refused(tell: Tell, people: Session) -> None:
    with pytest.raises(DataError, match="run r9 is not in the log"):
        tell(run="r9")
    runs.begin(people, "r2", runs.IMPORT, "public.clients", WHO)
    with pytest.raises(DataError, match=r"run r2 \(import\) is pending: there is nothing to tell"):
        tell(run="r2")
    assert tell(run="r2", event="held", recipients_query="SELECT 'x@example.com'")["sent"] == {"en": 1}


def test_texts_of_ones_own(tell: Tell, mail: Any) -> None:
    own = {"pt-BR": {"subject": "Olá ${run}"}, "es": {"subject": "Hola", "text": "Precio: $$1, ${target}"}}
    tell(texts=own, recipients_query="SELECT * FROM (VALUES ('a@example.com', 'pt_PT'), ('b@example.com', 'es-AR')) t")
    ana, bob = (email.message_from_bytes(text, policy=email.policy.default) for _from, _to, text in mail.heard)
    assert ana["Subject"] == "Olá r1"
    assert "estava errada" in ana.get_content()
    assert bob.get_content().strip() == "Precio: $1, the price list"
    for texts, said in {
        "the subject in fr is missing": {"fr": {"text": "x"}},
        r"names \$\{name\}; there is \$\{run\}": {"en": {"text": "Dear ${name}"}},
        "has a \\$ that begins no name": {"en": {"text": "5 $ only"}},
        "must be one line": {"en": {"subject": "a\nb"}},
        "must have subject and text": {"en": {"body": "x"}},
    }.items():
        with pytest.raises(DataError, match=texts):
            tell(texts=said)
    with pytest.raises(DataError, match="there is no text in 'fr', only in en, pt-BR"):
        tell(default_language="fr")


def test_as_ansible_runs_it_no_address_is_told(server: Server, database: str, people: Session, mail: Any) -> None:
    mail.answers["bob@example.com"] = "550 <bob@example.com> is unknown here"
    login = {"login_db": database, "login_host": "127.0.0.1", "login_port": server.port, "login_user": "data"}
    arguments = {
        **login, "login_password": PASSWORD, "session_role": "owner", "run": "r1", "recipients_query": QUERY,
        "mail": {"host": "127.0.0.1", "port": mail.server_address[1], "sender": "plano@plano.example", "starttls": False},
    }  # fmt: skip
    code, result = as_ansible("data_message", {**arguments, "_ansible_check_mode": True})
    assert (code, result["changed"], result["sent"], mail.heard) == (0, True, {"en": 2, "pt-BR": 1}, [])
    code, result = as_ansible("data_message", arguments)
    assert (code, result["sent"], result["refused"]) == (0, {"en": 1, "pt-BR": 1}, 1)
    assert "@example.com" not in json.dumps(result)
    assert PASSWORD not in json.dumps(result)
    code, result = as_ansible("data_message", {**arguments, "webhook": {"url": "http://127.0.0.1/S3CRET"}})
    assert (code, "mutually exclusive" in result["msg"], "S3CRET" in json.dumps(result)) == (1, True, False)
