"""How expositions are read and made small, by literals."""

from __future__ import annotations

import pytest
from exposition import VALUES, ExpositionError, Sample, sample, samples, trim


def test_a_line_has_a_name_labels_and_the_rest():
    assert sample("up 1") == Sample("up", {}, " 1")
    assert sample('a:b{x="1",y="{ \\"} #",} 2.5e+06 1795572773752') == Sample(
        "a:b", {"x": "1", "y": '{ \\"} #'}, " 2.5e+06 1795572773752"
    )
    assert str(sample('a{x="1"} NaN')) == 'a{x="1"} NaN'


@pytest.mark.parametrize("line", ["", "1a 1", "a", 'a{x="1" 1', "a{x=1} 1", 'a{x="1"}', "a 1 2 3"])
def test_what_is_no_sample_is_refused(line):
    with pytest.raises(ExpositionError):
        sample(line)


def test_comments_and_empty_lines_are_no_samples():
    assert [found.name for found in samples("# HELP a b\n\n# TYPE a gauge\na 1\n")] == ["a"]


def test_few_values_of_each_label_are_kept_and_all_of_a_short_list():
    text = (
        "# TYPE a gauge\n"
        + "".join(f'a{{id="{number}",mode="x"}} 1\n' for number in range(50))
        + 'a{id="1",mode="y"} 2\n'
    )
    kept = trim(text).splitlines()
    assert len(kept) == 1 + VALUES + 1
    assert kept[-1] == 'a{id="1",mode="y"} 2'


def test_what_belongs_to_one_machine_goes():
    text = (
        "# TYPE node_uname_info gauge\n"
        'node_uname_info{nodename="laptop",release="6.9-secret",sysname="Linux"} 1\n'
        "# TYPE node_network_up gauge\n"
        'node_network_up{device="veth1234"} 1\n'
        "# TYPE go_memstats_x gauge\n"
        "go_memstats_x 1\n"
    )
    assert trim(text) == (
        '# TYPE node_uname_info gauge\nnode_uname_info{nodename="host",release="6.1.0-amd64",sysname="Linux"} 1\n'
    )
