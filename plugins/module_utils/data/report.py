# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run for those who review it, in English or Portuguese: the same parts as Markdown and as HTML that stands by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from typing import Sequence, Tuple, Union

from .facts import Count, Facts


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Grid:
    """A table; of each row the first cell names it, and numbers stand to the right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Checklist:
    items: tuple[str, ...]


Part = Union[Heading, Paragraph, Grid, Checklist]
Row = Tuple[Union[str, int, None], ...]
# Beside these, what has no words of its own is shown as it is.
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Run {run}: {state}",
        "intro": "{kind} of {target} in {place}. For those who review it; clients' values are not in it.",
        "facts": "What it was",
        "fact": "fact",
        "value": "value",
        "run": "run",
        "kind": "kind",
        "target": "target",
        "state": "state",
        "actor": "asked for by",
        "reason": "reason",
        "change": "change",
        "version": "application version",
        "timeline": "Timeline",
        "time": "time (UTC)",
        "what": "what",
        "event": "event",
        "why": "why",
        "versions": "Versions that ran",
        "versions_note": "Another version at the undo than at the run means that a release came in between.",
        "unknown": "not known",
        "rules": "Rules broken",
        "rules_none": "No rule was broken, or none was asked.",
        "rule": "rule",
        "severity": "severity",
        "rows": "rows",
        "input": "What became of the rows that were given",
        "counts": "Rows before and after",
        "counts_note": "Before: checkpoint {checkpoint}. Now: when this report was made.",
        "counts_bare": "There is no checkpoint from before the run to compare with.",
        "table": "table",
        "before": "before",
        "now": "now",
        "difference": "difference",
        "changes": "What was written, and what was undone",
        "changes_none": "The tables are not in the action log, or nothing was written.",
        "inserted": "inserted",
        "updated": "updated",
        "deleted": "deleted",
        "conflicts": "Open conflicts",
        "conflicts_none": "None.",
        "conflicts_note": "Others have changed these rows since; they are as the others have left them.",
        "keys": "keys",
        "told": "Users told",
        "told_none": "Nobody was told.",
        "language": "language",
        "messages": "messages",
        "questions": "Questions for the review",
    },
    "pt-BR": {
        "title": "Execução {run}: {state}",
        "intro": "{kind} de {target} em {place}. Para quem faz a revisão; não contém valores de clientes.",
        "facts": "O que foi",
        "fact": "fato",
        "value": "valor",
        "run": "execução",
        "kind": "tipo",
        "target": "alvo",
        "state": "estado",
        "actor": "pedida por",
        "reason": "motivo",
        "change": "mudança",
        "version": "versão da aplicação",
        "timeline": "Linha do tempo",
        "time": "hora (UTC)",
        "what": "o quê",
        "event": "evento",
        "why": "por quê",
        "versions": "Versões em execução",
        "versions_note": "Uma versão diferente ao desfazer indica que houve uma entrega entre um momento e outro.",
        "unknown": "desconhecida",
        "rules": "Regras violadas",
        "rules_none": "Nenhuma regra foi violada, ou nenhuma foi verificada.",
        "rule": "regra",
        "severity": "severidade",
        "rows": "linhas",
        "input": "O que aconteceu com as linhas recebidas",
        "counts": "Linhas antes e depois",
        "counts_note": "Antes: ponto de restauração {checkpoint}. Agora: quando este relatório foi feito.",
        "counts_bare": "Não há ponto de restauração anterior à execução para comparar.",
        "table": "tabela",
        "before": "antes",
        "now": "agora",
        "difference": "diferença",
        "changes": "O que foi gravado e o que foi desfeito",
        "changes_none": "As tabelas não estão no registro de ações, ou nada foi gravado.",
        "inserted": "inseridas",
        "updated": "alteradas",
        "deleted": "excluídas",
        "conflicts": "Conflitos em aberto",
        "conflicts_none": "Nenhum.",
        "conflicts_note": "Outros alteraram estas linhas depois; elas estão como eles as deixaram.",
        "keys": "chaves",
        "told": "Usuários avisados",
        "told_none": "Ninguém foi avisado.",
        "language": "idioma",
        "messages": "mensagens",
        "questions": "Perguntas para a revisão",
        "import": "importação",
        "distribution": "distribuição",
        "undo": "desfazer",
        "restore": "restauração",
        "checkpoint": "ponto de restauração",
        "message": "mensagem",
        "begun": "iniciada",
        "pending": "pendente",
        "confirmed": "confirmada",
        "accepted": "aceita",
        "held": "retida",
        "failed": "falhou",
        "reverting": "sendo desfeita",
        "reverted": "desfeita",
        "sent": "enviada",
        "critical": "crítica",
        "warn": "aviso",
        "read": "lidas",
        "unchanged": "inalteradas",
        "quarantined": "em quarentena",
    },
}
QUESTIONS = {
    "en": (
        "What did users see that was wrong, and from when to when?",
        "Was anything done with it meanwhile, by people or by a later run, and has that been corrected?",
        "Were all concerned told, and told enough? (messages sent: {told})",
        "Which rule found it? Could one have found it on staging, before anybody saw it?",
        "Does whoever delivered the data know, and how do they keep it from happening again?",
        "What is to become of the open conflicts, and who decides? (rows: {conflicts})",
        "Was the newest checkpoint from right before the run, and would it have been enough?",
        "What took longest: to notice, to decide or to go back? What would make that shorter?",
        "Who changes what, until when?",
    ),
    "pt-BR": (
        "O que os usuários viram de errado, e de quando até quando?",
        "Algo foi feito com esses dados nesse meio tempo, por pessoas ou por outra execução, e já foi corrigido?",
        "Todos os envolvidos foram avisados, e o aviso bastou? (mensagens enviadas: {told})",
        "Que regra encontrou o erro? Alguma poderia tê-lo encontrado na área de preparo, antes que alguém o visse?",
        "Quem forneceu os dados já sabe, e como vai evitar que se repita?",
        "O que será feito com os conflitos em aberto, e quem decide? (linhas: {conflicts})",
        "O ponto de restauração mais novo era de logo antes da execução, e teria bastado?",
        "O que demorou mais: perceber, decidir ou voltar? O que encurtaria esse tempo?",
        "Quem muda o quê, até quando?",
    ),
}
LANGUAGES = tuple(WORDS)


def parts(facts: Facts, language: str) -> list[Part]:
    """Return the report's parts; *language* is one of LANGUAGES."""
    words = WORDS[language]

    def say(word: str) -> str:
        return words.get(word, word)

    def titles(*names: str) -> tuple[str, ...]:
        return tuple(words[name] for name in names)

    run = facts.run
    about = [
        ("run", run.id), ("kind", say(run.kind)), ("target", run.target), ("state", say(run.state)), ("actor", run.actor),
        ("reason", run.reason), ("change", run.change),
    ]  # fmt: skip
    past = [
        (clock(each.at), each.what, f"{say(each.operation)}: {say(each.state)}", each.why) for each in facts.timeline
    ]
    versions = [(each.id, say(each.kind), each.version or words["unknown"]) for each in (run, *facts.related)]
    rules = [(each.rule, say(each.severity), each.rows) for each in facts.rules]
    compared = words["counts_note"].format(checkpoint=facts.checkpoint) if facts.checkpoint else words["counts_bare"]
    counts = [(each.table, each.before, each.now, _difference(each)) for each in facts.counts]
    keys = any(each.keys for each in facts.conflicts)
    conflicts: list[Row] = [
        (each.table, each.reason, each.rows, *(("; ".join(each.keys),) if keys else ())) for each in facts.conflicts
    ]
    told, still_open = sum(facts.told.values()), sum(each.rows for each in facts.conflicts)
    return [
        Heading(words["title"].format(run=run.id, state=say(run.state)), 1),
        Paragraph(words["intro"].format(kind=say(run.kind).capitalize(), target=run.target, place=facts.place)),
        *_section(words["facts"], titles("fact", "value"), [(words[name], text) for name, text in about if text]),
        *_section(words["timeline"], titles("time", "what", "event", "why"), past),
        *_section(words["versions"], titles("run", "kind", "version"), versions, note=words["versions_note"]),
        *_section(words["rules"], titles("rule", "severity", "rows"), rules, words["rules_none"]),
        *_section(words["input"], titles("state", "rows"), [(say(name), count) for name, count in facts.rows.items()]),
        *_section(words["counts"], titles("table", "before", "now", "difference"), counts, note=compared),
        *_section(
            words["changes"],
            titles("run", "table", "inserted", "updated", "deleted"),
            facts.changes,
            words["changes_none"],
        ),
        *_section(
            words["conflicts"],
            titles("table", "why", "rows", *(["keys"] if keys else [])),
            conflicts,
            words["conflicts_none"],
            words["conflicts_note"],
        ),
        *_section(words["told"], titles("language", "messages"), list(facts.told.items()), words["told_none"]),
        Heading(words["questions"]),
        Checklist(tuple(each.format(told=told, conflicts=still_open) for each in QUESTIONS[language])),
    ]


def _section(
    title: str, columns: tuple[str, ...], rows: Sequence[Row], otherwise: str = "", note: str = ""
) -> list[Part]:
    """Return a table with its heading and a *note*; without rows, what to say *otherwise*, and nothing at all without that."""
    if rows:
        return [Heading(title), *([Paragraph(note)] if note else []), Grid(title, columns, tuple(rows))]
    return [Heading(title), Paragraph(otherwise)] if otherwise else []


def _difference(count: Count) -> str | None:
    return None if count.before is None or count.now is None else f"{count.now - count.before:+d}"


def clock(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def markdown(found: Sequence[Part]) -> str:
    """Return the report as Markdown (tables as GitHub and Grafana read them)."""
    return "\n\n".join(_as_markdown(part) for part in found) + "\n"


def _as_markdown(part: Part) -> str:
    if isinstance(part, Heading):
        return "#" * part.level + " " + _plain(part.text)
    if isinstance(part, Paragraph):
        return _plain(part.text)
    if isinstance(part, Checklist):
        return "\n".join(f"- [ ] {_plain(item)}" for item in part.items)
    right = _numeric(part)
    lines = [
        part.columns,
        tuple("---:" if number in right else "---" for number in range(len(part.columns))),
        *part.rows,
    ]
    shown = [[str(cell) if index == 1 else _plain(_cell(cell)) for cell in line] for index, line in enumerate(lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in shown)


def _plain(text: str) -> str:
    """Return *text* so that Markdown shows it as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>|~])", r"\\\1", re.sub(r"\s+", " ", text).strip())


def _cell(cell: str | int | None) -> str:
    return "-" if cell is None else str(cell)


def _numeric(grid: Grid) -> set[int]:
    """Return the numbers of the columns that hold counts, or differences of them."""
    return {
        number
        for number in range(1, len(grid.columns))
        if grid.rows and all(cell is None or re.fullmatch(r"[+-]?\d+", str(cell)) for cell in [row[number] for row in grid.rows])
    }  # fmt: skip


# Colours have a contrast of 7:1 and more on their ground, light or dark (WCAG 2.2, 1.4.6).
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1b1f24; --quiet: #454c54; --line: #c8ced6; --band: #f3f5f8; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --text: #e8ebee; --quiet: #b9c0c8; --line: #3c444d; --band: #1d2228; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
p { margin: .5rem 0; color: var(--quiet); overflow-wrap: anywhere; }
.grid { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
thead th { background: var(--band); }
tbody th { font-weight: 600; }
.number { text-align: right; white-space: nowrap; }
ul { list-style: none; padding: 0; margin: .5rem 0; }
li { margin: .6rem 0; }
label { display: flex; gap: .6rem; }
input { flex: none; width: 1.1rem; height: 1.1rem; margin-top: .2rem; }
@page { margin: 18mm; }
@media print {
  :root { color-scheme: light; --ground: #fff; --text: #000; --quiet: #222; --line: #999; --band: #fff; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  tr, li { break-inside: avoid; }
  thead { display: table-header-group; }
}
"""


def html(found: Sequence[Part], language: str) -> str:
    """Return the report as one HTML page that loads nothing, for the screen, a screen reader and paper."""
    title = next(part.text for part in found if isinstance(part, Heading))
    body = "\n".join(_as_html(part) for part in found)
    return f"""<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _as_html(part: Part) -> str:
    if isinstance(part, Heading):
        return f"<h{part.level}>{escape(part.text)}</h{part.level}>"
    if isinstance(part, Paragraph):
        return f"<p>{escape(part.text)}</p>"
    if isinstance(part, Checklist):
        items = "\n".join(
            f'<li><label><input type="checkbox"> <span>{escape(item)}</span></label></li>' for item in part.items
        )
        return f"<ul>\n{items}\n</ul>"
    right = _numeric(part)
    kinds = [' class="number"' if number in right else "" for number in range(len(part.columns))]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in zip(kinds, part.columns))
    rows = "\n".join(
        f'<tr><th scope="row">{escape(_cell(row[0]))}</th>'
        + "".join(f"<td{kind}>{escape(_cell(cell))}</td>" for kind, cell in zip(kinds[1:], row[1:]))
        + "</tr>"
        for row in part.rows
    )
    # What may scroll must be within the keyboard's reach (WCAG 2.2, 2.1.1).
    return (
        f'<div class="grid" role="region" aria-label="{escape(part.caption)}" tabindex="0">\n<table>\n<caption>{escape(part.caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )
