#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_message
short_description: Tell the users concerned what became of a run, each once
version_added: 0.1.0
description:
  - Sends a message, in the language of each, to those whom a query of yours names, by mail or to a webhook.
  - Texts in English and Portuguese for an import that was held or taken back, results that were undone and data that was restored come
    with it; O(texts) replaces them or adds a language.
  - Who was told is remembered in the database, as a hash, so that a second call tells nobody the same again. A message that was cut off
    in the midst counts as RV(uncertain) and is not sent again either.
  - Addresses and texts are in no result, log or ledger.
extends_documentation_fragment:
  - plano.delivery.data
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    details: Asks for the recipients and counts them; nothing is sent.
  diff_mode:
    support: none
  platform:
    platforms: posix
options:
  run:
    description: Id of the run.
    type: str
    required: true
  event:
    description:
      - What became of it. Left out, the run's own state says it.
    type: str
    choices: [held, reverted, undone, restored]
  recipients_query:
    description:
      - A query that returns an address and, if you know it, a language such as V(pt-BR). C(%(run)s) in it is O(run); write C(%%) for a per cent sign.
      - It runs as O(session_role), in a transaction that can only read.
    type: str
    required: true
  max_recipients:
    description: More addresses than these are taken for a mistake in the query, and nobody is told.
    type: int
    default: 1000
  default_language:
    description: Language of those who have none, or one that there is no text in.
    type: str
    default: en
  texts:
    description:
      - Language, such as V(en), to texts of your own. C(${run}), C(${target}), C(${began}) and C(${ended}) are filled in; C($$) is the sign itself.
    type: dict
    default: {}
  target:
    description: What users call the data; left out, the tables' name.
    type: str
    default: ""
  webhook:
    description:
      - Sends each message as a POST of a JSON object with C(key), C(address), C(language), C(subject) and C(text). C(key), also the header
        C(Idempotency-Key), is the same for the same message.
      - An answer of 422 refuses one recipient, any other that is not 2xx ends it all.
    type: dict
    suboptions:
      url:
        description: Where to.
        type: str
        required: true
      headers:
        description: Further headers, such as one with a token.
        type: dict
        default: {}
      timeout:
        description: Seconds to wait for an answer.
        type: float
        default: 10.0
      ca_cert:
        description: File on the host with the authority that signed its certificate; left out, those that the host trusts.
        type: path
        default: ""
  mail:
    description: Sends each message as a mail.
    type: dict
    suboptions:
      host:
        description: The mail server.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 587
      sender:
        description: Address of the sender.
        type: str
        required: true
      starttls:
        description: Whether the connection must be encrypted, and the server's certificate right.
        type: bool
        default: true
      username:
        description: User to log in as; needs O(mail.starttls).
        type: str
        default: ""
      password:
        description: Its password.
        type: str
      timeout:
        description: Seconds to wait for an answer.
        type: float
        default: 30.0
      ca_cert:
        description: File on the host with the authority that signed its certificate; left out, those that the host trusts.
        type: path
        default: ""
"""

EXAMPLES = r"""
- name: Tell the clients whose data went back
  plano.delivery.data_message:
    login_db: shop
    login_user: shop_data
    login_password: "{{ vault_shop_data }}"
    login_host: 127.0.0.1
    session_role: shop_owner
    run: import-2026-11-27
    target: the price list
    recipients_query: >-
      SELECT u.email, u.language FROM public.users u JOIN public.clients c ON c.id = u.client_id
      WHERE c.run_id = %(run)s
    default_language: pt-BR
    mail:
      host: smtp.example.com
      sender: Plano <plano@example.com>
      username: plano
      password: "{{ vault_smtp }}"
"""

RETURN = r"""
event:
  description: What they were told of.
  type: str
  returned: always
recipients:
  description: How many addresses the query names.
  type: int
  returned: always
sent:
  description: How many were told, or would be, by language.
  type: dict
  returned: always
  sample: {en: 3, pt-BR: 41}
already:
  description: How many had been told before.
  type: int
  returned: always
refused:
  description: How many the channel refused; the next call tries them again.
  type: int
  returned: always
uncertain:
  description: How many may have been told, as the channel broke off in the midst; they are not told again.
  type: int
  returned: always
"""

from collections import Counter
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _data
from ansible_collections.plano.delivery.plugins.module_utils.data import channels, home, messages, runs
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Login, connect


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_data.LOGIN,
            "run": {"type": "str", "required": True},
            "event": {"type": "str", "choices": list(messages.EVENTS)},
            "recipients_query": {"type": "str", "required": True},
            "max_recipients": {"type": "int", "default": 1000},
            "default_language": {"type": "str", "default": "en"},
            "texts": {"type": "dict", "default": {}},
            "target": {"type": "str", "default": ""},
            "webhook": {
                "type": "dict",
                "options": {
                    "url": {"type": "str", "required": True, "no_log": True},
                    "headers": {"type": "dict", "default": {}, "no_log": True},
                    "timeout": {"type": "float", "default": 10.0},
                    "ca_cert": {"type": "path", "default": ""},
                },
            },
            "mail": {
                "type": "dict",
                "options": {
                    "host": {"type": "str", "required": True},
                    "port": {"type": "int", "default": 587},
                    "sender": {"type": "str", "required": True},
                    "starttls": {"type": "bool", "default": True},
                    "username": {"type": "str", "default": ""},
                    "password": {"type": "str", "no_log": True},
                    "timeout": {"type": "float", "default": 30.0},
                    "ca_cert": {"type": "path", "default": ""},
                },
            },
        },
        mutually_exclusive=[("webhook", "mail")],
        required_one_of=[("webhook", "mail")],
        supports_check_mode=True,
    )
    _data.run(module, lambda login, _stamp: tell(login, module.params, apply=not module.check_mode))


def tell(login: Login, params: dict[str, Any], apply: bool) -> dict[str, Any]:
    """Tell those who are still to be told, and return the counts."""
    run = runs.check_id(params["run"])
    channel = channels.channel(params["webhook"], params["mail"])
    with connect(login) as session:
        found = runs.find(session, run) if home.exists(session) else None
        if found is None:
            raise DataError(f"run {run} is not in the log of {login.place}")
        event = params["event"] or messages.event_of(found)
        texts = messages.texts(params["texts"], event)
        default = params["default_language"]
        if default not in texts:
            raise DataError(f"default_language: there is no text in {default!r}, only in {', '.join(texts)}")
        people = messages.recipients(session, params["recipients_query"], run, texts, default, params["max_recipients"])
        with session.alone(f"the messages of run {run}"):
            still, outcome = messages.plan(people, messages.told(session, run, event), run, event)
            target = params["target"] or messages.target_of(session, found)
            filled = {language: messages.filled(text, found, target) for language, text in texts.items()}
            if apply and still:
                home.ensure(session)
                try:
                    messages.send(session, channel, run, event, still, filled, outcome)
                except DataError as error:
                    left = len(still) - sum(outcome.sent.values()) - outcome.refused
                    raise messages.cut(error, outcome, left) from None
            elif still:
                outcome.sent = Counter(person.language for person in still)
    return {
        "changed": bool(outcome.sent),
        "run": run,
        "event": event,
        "recipients": len(people),
        **outcome.result(),
    }


if __name__ == "__main__":
    main()
