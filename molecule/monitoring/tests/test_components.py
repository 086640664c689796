"""What runs on every host is the current release, says so itself, is sandboxed, and nothing else listens."""

from __future__ import annotations

import json
import re

import pytest

# Each with its port and the group of the hosts it runs on.
COMPONENTS = {
    "prometheus": (9090, "monitoring"),
    "alertmanager": (9093, "monitoring"),
    "grafana": (3000, "monitoring"),
    "blackbox_exporter": (9115, "monitoring"),
    "node_exporter": (9100, "all"),
    "postgres_exporter": (9187, "postgresql"),
}
# What systemd-analyze may say at most, of 10.
EXPOSED = 1.6
EXPOSED_JAVA = 1.5
# Asks as root, from where the certificate and the password are.
ASK = """
import base64, glob, ssl, sys, urllib.request
(path,) = glob.glob("/var/lib/plano/%s/secrets/*/monitoring_password") [-1:]
word = base64.b64encode(b"plano:" + open(path, "rb").read().strip()).decode()
context = ssl.create_default_context(cafile="/var/lib/plano/tls/ca.crt")
request = urllib.request.Request("https://127.0.0.1:%d/metrics", headers={"Authorization": "Basic " + word})
print(urllib.request.urlopen(request, timeout=10, context=context).read().decode())
"""

testinfra_hosts = ["ansible://all"]


@pytest.fixture
def here(host):
    """The components of the host, each with its port."""
    variables = host.ansible.get_variables()
    name, groups = variables["inventory_hostname"], variables["groups"]
    return {component: port for component, (port, group) in COMPONENTS.items() if name in groups[group]}


def released(host, component):
    return json.loads(host.file(f"/opt/plano/{component}/current/release.json").content_string)["artifact"]["version"]


def test_each_process_itself_says_the_version_that_is_released(host, here):
    for component, port in here.items():
        done = host.run("python3 -c %s", ASK % (component, port))
        assert done.rc == 0, done.stderr
        (said,) = set(re.findall(rf'^{component}_build_info{{.*version="([^"]+)', done.stdout, re.MULTILINE))
        # Debian's builds say 2.42.0+ds.
        assert released(host, component) in (said, said.partition("+")[0]), component


def test_without_the_password_nothing_is_told(host, here):
    for port in here.values():
        done = host.run(
            "python3 -c %s",
            f"""
import ssl, urllib.error, urllib.request
context = ssl.create_default_context(cafile="/var/lib/plano/tls/ca.crt")
try:
    urllib.request.urlopen("https://127.0.0.1:{port}/metrics", timeout=10, context=context)
except urllib.error.HTTPError as error:
    print(error.code)
""",
        )
        assert done.stdout.strip() == "401", (port, done.stdout, done.stderr)


def test_the_units_are_sandboxed(host, here):
    java = ["cloudwatch_exporter"] if "prometheus" in here else []
    for component in [*here, *java]:
        unit = f"plano-{component.replace('_', '-')}.service"
        verdict = host.check_output(f"systemd-analyze security --no-pager {unit}").splitlines()[-1]
        most = EXPOSED_JAVA if component in java else EXPOSED
        assert float(verdict.rpartition(":")[2].split()[0]) <= most, f"{unit}: {verdict}"


def test_nothing_else_listens(host, here):
    variables = host.ansible.get_variables()
    meant = {"22", *map(str, here.values())}
    meant |= {"8080", "8404"} if variables["inventory_hostname"] in variables["groups"]["backend"] else set()
    meant |= {"5432"} if variables["inventory_hostname"] in variables["groups"]["postgresql"] else set()
    # CloudWatch Exporter knows no other way; it has a filter of its own before it.
    meant |= {"9106", "9107"} if variables["inventory_hostname"] in variables["groups"]["monitoring"] else set()
    lines = host.check_output("ss -Hltn").splitlines()
    public = {line.split()[3].rpartition(":")[2] for line in lines if "127.0.0." not in line and "[::1]" not in line}
    assert public == meant, lines


def test_the_hosts_run_without_a_failed_unit(host):
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


def test_every_release_is_as_it_was_written(host):
    done = host.run("/opt/plano/bin/plano verify")
    assert done.rc == 0, done.stdout + done.stderr
