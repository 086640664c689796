# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the users concerned are told of a run, each once and in their language; addresses and texts go to the channel and nowhere else.

Mail is sent from here, because a task with community.general.mail would show every address in the play's output.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from string import Template
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from . import runs
from .channels import Channel, Refused, Undelivered
from .errors import DataError
from .session import Session, explained

HELD, REVERTED, UNDONE, RESTORED = "held", "reverted", "undone", "restored"
EVENTS = (HELD, REVERTED, UNDONE, RESTORED)
PLACEHOLDERS = ("run", "target", "began", "ended")
DDL = """
CREATE TABLE IF NOT EXISTS plano_delivery.message (
    run text NOT NULL,
    event text NOT NULL,
    recipient text NOT NULL,
    language text NOT NULL,
    state text NOT NULL CHECK (state IN ('sending', 'sent')),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, event, recipient)
);
COMMENT ON TABLE plano_delivery.message IS 'Who was told of a run, as a hash; sending: it is not known whether it arrived';
"""


class Text(NamedTuple):
    """A message's templates; $name and ${name} of PLACEHOLDERS are filled in."""

    subject: str
    text: str


TEXTS: dict[str, dict[str, Text]] = {
    "en": {
        HELD: Text(
            "An update of your data is delayed",
            "We checked an update of ${target} on ${began} before publishing it, and something in it was wrong.\n"
            "It was not published: what you see is the data from before, complete and unchanged.\n\n"
            "We are having it corrected. You do not need to do anything.\n\n"
            "Reference: ${run}\n",
        ),
        REVERTED: Text(
            "An update of your data was taken back",
            "On ${began} we published an update of ${target} that turned out to be wrong, and took it back by ${ended}.\n"
            "In between you may have seen wrong data. Now it is as it was before.\n\n"
            "Please check again what you have decided or copied from it in that time.\n\n"
            "Reference: ${run}\n",
        ),
        UNDONE: Text(
            "Results that were wrong have been taken back",
            "Results of ${target} from ${began} were wrong. They were taken back on ${ended}; all other data stays as it is.\n\n"
            "Please do not use results from that time, and check what you have done with them.\n\n"
            "Reference: ${run}\n",
        ),
        RESTORED: Text(
            "Your data went back to an earlier state",
            "After a failure we brought ${target} back to an earlier state on ${ended}.\n"
            "What was entered shortly before that may be missing.\n\n"
            "Please check your latest entries and enter again what is missing.\n\n"
            "Reference: ${run}\n",
        ),
    },
    "pt-BR": {
        HELD: Text(
            "Uma atualização dos seus dados vai atrasar",
            "Em ${began} conferimos uma atualização de ${target} antes de publicá-la, e havia algo errado nela.\n"
            "Ela não foi publicada: o que você vê são os dados de antes, completos e inalterados.\n\n"
            "A correção já está em andamento. Você não precisa fazer nada.\n\n"
            "Referência: ${run}\n",
        ),
        REVERTED: Text(
            "Uma atualização dos seus dados foi desfeita",
            "Em ${began} publicamos uma atualização de ${target} que estava errada; ela foi desfeita até ${ended}.\n"
            "Nesse intervalo você pode ter visto dados errados. Agora eles estão como antes.\n\n"
            "Por favor, confira de novo o que decidiu ou copiou com base neles nesse período.\n\n"
            "Referência: ${run}\n",
        ),
        UNDONE: Text(
            "Resultados errados foram desfeitos",
            "Os resultados de ${target} de ${began} estavam errados. Foram desfeitos em ${ended}; todos os outros dados continuam como estão.\n\n"
            "Por favor, não use resultados desse período e confira o que já fez com eles.\n\n"
            "Referência: ${run}\n",
        ),
        RESTORED: Text(
            "Seus dados voltaram a um estado anterior",
            "Depois de uma falha, trouxemos ${target} de volta a um estado anterior em ${ended}.\n"
            "O que foi cadastrado pouco antes disso pode estar faltando.\n\n"
            "Por favor, confira seus últimos cadastros e refaça o que estiver faltando.\n\n"
            "Referência: ${run}\n",
        ),
    },
}


class Recipient(NamedTuple):
    """Somebody to tell, and in which of the languages there are."""

    address: str
    language: str


@dataclass
class Outcome:
    """Who was told, as counts. *uncertain* are those whose message was cut off in the midst: they are not told again."""

    sent: Counter[str] = field(default_factory=Counter)
    already: int = 0
    refused: int = 0
    uncertain: int = 0

    def result(self) -> dict[str, Any]:
        return {
            "sent": dict(sorted(self.sent.items())),
            "already": self.already,
            "refused": self.refused,
            "uncertain": self.uncertain,
        }


def event_of(run: runs.Run) -> str:
    """Return what became of a run as its users see it. Raises DataError when there is nothing to tell."""
    found = {
        (runs.IMPORT, runs.HELD): HELD,
        (runs.IMPORT, runs.REVERTED): REVERTED,
        (runs.DISTRIBUTION, runs.REVERTED): UNDONE,
        (runs.UNDO, runs.CONFIRMED): UNDONE,
        (runs.RESTORE, runs.CONFIRMED): RESTORED,
    }.get((run.kind, run.state))
    if found is None:
        raise DataError(
            f"run {run.id} ({run.kind}) is {run.state}: there is nothing to tell its users; say what with event"
        )
    return found


def texts(given: Mapping[str, Mapping[str, str]], event: str) -> dict[str, Text]:
    """Return the templates of *event* by language: those that come with this, and in their place those *given*. Raises DataError."""
    found = {language: by_event[event] for language, by_event in TEXTS.items()}
    for language, own in given.items():
        if not isinstance(own, Mapping) or not set(own) <= set(Text._fields):
            raise DataError(f"texts.{language} must have subject and text, and nothing else")
        before = found.get(language)
        found[language] = Text(
            *(str(own.get(part) or (getattr(before, part) if before else "")) for part in Text._fields)
        )
    for language, template in found.items():
        for part in Text._fields:
            _check(getattr(template, part), f"the {part} in {language}")
        if "\n" in template.subject.strip():
            raise DataError(f"the subject in {language} must be one line")
    return found


def _check(text: str, where: str) -> None:
    if not text.strip():
        raise DataError(f"{where} is missing")
    try:
        Template(text).substitute(dict.fromkeys(PLACEHOLDERS, ""))
    except KeyError as error:
        raise DataError(
            f"{where} names ${{{error.args[0]}}}; there is {', '.join(f'${{{name}}}' for name in PLACEHOLDERS)}"
        ) from None
    except ValueError:
        raise DataError(f"{where} has a $ that begins no name; write $$ for the sign itself") from None


def target_of(session: Session, run: runs.Run) -> str:
    """Return what a run was about; an undo is about what it has undone."""
    undone = runs.find(session, run.reverts) if run.reverts else None
    return undone.target if undone else run.target


def filled(template: Text, run: runs.Run, target: str) -> Text:
    """Return the text that users read."""
    moments = {
        name: f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""
        for name, moment in (("began", run.began), ("ended", run.ended))
    }
    words = {"run": run.id, "target": target, **moments}
    return Text(*(Template(part).substitute(words).strip() for part in template))


def language_of(wanted: str | None, known: Iterable[str], default: str) -> str:
    """Return which of the *known* languages somebody gets who *wanted* one: that, one of the same tongue, or the *default*."""
    tags = {language.lower(): language for language in known}
    tag = (wanted or "").strip().replace("_", "-").lower()
    tongue = tag.partition("-")[0]
    kin = sorted(language for lower, language in tags.items() if tongue and lower.partition("-")[0] == tongue)
    return tags.get(tag) or (kin[0] if kin else default)


def recipients(
    session: Session, query: str, run: str, known: Iterable[str], default: str, most: int
) -> list[Recipient]:
    """Return whom *query* names, each address once. Raises DataError, also when they are more than *most*."""
    languages = list(known)
    with session.transaction():
        session.execute("SET TRANSACTION READ ONLY")
        # What is prepared is one statement only: none can end the transaction.
        with explained(session.login):
            found = session.connection.execute(query, {"run": run}, prepare=True).fetchall()
    wrong = [row for row in found if len(row) not in (1, 2) or not isinstance(row[0], str)]
    if wrong:
        raise DataError("recipients_query must return an address, as text, and at most a language")
    by_address: dict[str, Recipient] = {}
    for row in found:
        address = row[0].strip()
        if address:
            wanted = row[1] if len(row) == 2 else None
            by_address.setdefault(address.lower(), Recipient(address, language_of(wanted, languages, default)))
    if len(by_address) > most:
        raise DataError(
            f"recipients_query names {len(by_address)} addresses, more than max_recipients ({most}): nobody was told."
            " See that it names only those concerned, or raise the limit"
        )
    return list(by_address.values())


def key(run: str, event: str, address: str) -> str:
    """Return what is remembered in place of an address."""
    return hashlib.sha256("\0".join(("plano.delivery", run, event, address.lower())).encode()).hexdigest()


def told(session: Session, run: str, event: str) -> dict[str, str]:
    """Return who was told of it already, by their keys, and whether it is known to have been sent."""
    if session.value("SELECT to_regclass('plano_delivery.message')") is None:
        return {}
    return dict(
        session.rows("SELECT recipient, state FROM plano_delivery.message WHERE run = %s AND event = %s", [run, event])
    )


def plan(people: Sequence[Recipient], past: Mapping[str, str], run: str, event: str) -> tuple[list[Recipient], Outcome]:
    """Return who is still to be told, and the counts of the others."""
    outcome = Outcome()
    still = []
    for person in people:
        state = past.get(key(run, event, person.address))
        outcome.already += state == "sent"
        outcome.uncertain += state == "sending"
        if state is None:
            still.append(person)
    return still, outcome


def send(
    session: Session,
    channel: Channel,
    run: str,
    event: str,
    people: Iterable[Recipient],
    by_language: Mapping[str, Text],
    outcome: Outcome,
) -> None:
    """Tell each of *people*, and remember it; whoever is told is counted in *outcome*, also when an error ends it.

    An entry is written before the message leaves: what is cut off in the midst is not told twice. Raises DataError when the channel
    itself fails; the same call goes on from there.
    """  # fmt: skip
    with channel:
        for person in people:
            mark = [run, event, key(run, event, person.address)]
            session.execute(
                "INSERT INTO plano_delivery.message (run, event, recipient, language, state) VALUES (%s, %s, %s, %s, 'sending')",
                [*mark, person.language],
            )
            text = by_language[person.language]
            try:
                channel.send(mark[2], person.address, person.language, text.subject, text.text)
            except (Refused, Undelivered) as error:
                session.execute(
                    "DELETE FROM plano_delivery.message WHERE run = %s AND event = %s AND recipient = %s", mark
                )
                if isinstance(error, Undelivered):
                    raise
                outcome.refused += 1
            else:
                session.execute(
                    "UPDATE plano_delivery.message SET state = 'sent', at = clock_timestamp()"
                    " WHERE run = %s AND event = %s AND recipient = %s",
                    mark,
                )
                outcome.sent[person.language] += 1


def cut(error: DataError, outcome: Outcome, left: int) -> DataError:
    """Return what to say when the channel failed with *left* people still to be told; its details are the counts."""
    sure = isinstance(error, Undelivered)
    words = f"{error}. Told: {sum(outcome.sent.values())}, not told: {left}; the same call goes on from there"
    told = DataError(words if sure else f"{words}. Whether the last message arrived is not known; it is not sent again")
    told.details = {**outcome.result(), "uncertain": outcome.uncertain + (not sure)}  # type: ignore[attr-defined]
    return told
