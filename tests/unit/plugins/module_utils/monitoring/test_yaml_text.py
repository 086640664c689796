# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.plano.delivery.plugins.module_utils.monitoring.yaml_text import yaml_text

SCALARS = st.one_of(st.booleans(), st.integers(), st.text(st.characters(codec="utf-8")))
KEYS = st.one_of(st.sampled_from(["no", "on", "a_b", "1", ""]), st.text(st.characters(codec="utf-8"), max_size=4))
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner), st.dictionaries(KEYS, inner)), max_leaves=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=st.dictionaries(KEYS, VALUES, min_size=1))
def test_yaml_reads_what_was_written(value):
    assert yaml.safe_load(yaml_text(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": {"b": 1, "no": True}}, 'a:\n  b: 1\n  "no": true\n'),
        ({"a": [{"b": "x", "c": ["y"]}, []]}, 'a:\n  - b: "x"\n    c:\n      - "y"\n  - []\n'),
        ({"a": {}, "b": "1:30\n\x7f"}, 'a: {}\nb: "1:30\\n\\u007f"\n'),
    ],
)
def test_it_looks_as_people_write_it(value, text):
    assert yaml_text(value) == text
