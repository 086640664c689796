# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the description of an environment, as a role's variables say it, to the list of things that shall be, or all its faults."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Mapping, Sequence

from ..policies import POLICIES, Scope
from .balancer import TLS_POLICY, Listener, LoadBalancer, TargetGroup, digest
from .compute import IamRole, Instance, InstanceProfile, KeyPair
from .database import Database, DatabaseSubnets, Parameters
from .edge import Distribution, WebAcl, acl_rules, said
from .network import (
    Address,
    Endpoint,
    InternetGateway,
    NatGateway,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
)
from .plan import Item, Kind, Ref
from .storage import Bucket, tls_only

# In the order in which they are made; they are removed in the other one.
ENVIRONMENT_KINDS = (
    "vpc",
    "internet_gateway",
    "subnet",
    "address",
    "nat_gateway",
    "route_table",
    "endpoint",
    "security_group",
    "key_pair",
    "role",
    "profile",
    "instance",
    "database_subnets",
    "parameters",
    "database",
    "bucket",
    "target_group",
    "balancer",
    "listener",
)
EDGE_KINDS = ("web_acl", "global_web_acl", "distribution")

ROLES = ("backend", "postgresql", "monitoring")
NAME = re.compile(r"[a-z][a-z0-9-]{1,22}[a-z0-9]")
ENVIRONMENT_NAME = re.compile(r"[a-z][a-z0-9-]{0,18}")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
IMAGE = re.compile(r"ami-[0-9a-f]{8,17}|/[\w./-]+")
CERTIFICATE = re.compile(r"arn:aws[\w-]*:acm:([\w-]+):\d{12}:certificate/[\w-]+")
CLOUDFRONT_LIST = "com.amazonaws.global.cloudfront.origin-facing"
# A header's value in a rule of a load balancer is a pattern, in which these two are no letters.
SECRET = re.compile(r"[A-Za-z0-9_-]{32,128}")
ACTIONS = ("block", "count")
EXPORTERS = ("9100",)
# What Prometheus asks each role's hosts, beside the host's own exporter.
METRICS = {"backend": ("8404",), "postgresql": ("9187",), "monitoring": ()}


def kinds(bucket: str = "", delete_bucket_content: bool = False) -> dict[str, Kind]:
    return {
        "vpc": Vpc(),
        "internet_gateway": InternetGateway(),
        "subnet": Subnet(),
        "address": Address(),
        "nat_gateway": NatGateway(),
        "route_table": RouteTable(),
        "endpoint": Endpoint(),
        "security_group": SecurityGroup(),
        "key_pair": KeyPair(),
        "role": IamRole(),
        "profile": InstanceProfile(),
        "instance": Instance(),
        "database_subnets": DatabaseSubnets(),
        "parameters": Parameters(),
        "database": Database(),
        "bucket": Bucket(bucket, delete_bucket_content),
        "target_group": TargetGroup(),
        "balancer": LoadBalancer(),
        "listener": Listener(),
        "web_acl": WebAcl("REGIONAL"),
        "global_web_acl": WebAcl("CLOUDFRONT"),
        "distribution": Distribution(),
    }


# What may stand in each of the mappings, and what is taken where it does not. None: it must be there, or is left out.
KEYS: Mapping[str, Mapping[str, Any]] = {
    "network": {"cidr": None, "zones": None, "nat": False, "vpc": "", "public_subnets": None, "private_subnets": None},
    "key": {"name": None, "public_key": None},
    "database": {
        "name": "",
        "version": None,
        "class": None,
        "storage": None,
        "storage_limit": None,
        "multi_az": True,
        "deletion_protection": True,
        "backup_days": 7,
        "ca": "rds-ca-rsa2048-g1",
        "minor_upgrades": False,
        "parameters": {},
        "logs": ["postgresql"],
        "master_user": "plano_admin",
        "apply_immediately": False,
    },
    "bucket": {"name": None, "kms_key": ""},
    "balancer": {
        "certificate": "",
        "sources": [],
        "only_cloudfront": False,
        "origin_secrets": [],
        # A little more than a request may take (backend_request_seconds).
        "drain_seconds": 75,
        "deletion_protection": False,
    },
}
REQUIRED = {
    "key": ("name", "public_key"),
    "database": ("version", "class", "storage", "storage_limit"),
    "bucket": ("name",),
}
INSTANCE_KEYS = ("name", "role", "type", "image", "disk", "network", "zone")


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description with what it leaves out."""
    scope = Scope(
        given["account"], given["region"], given["environment"], given["name"], given["bucket"].get("name", "")
    )
    documents = {
        role: POLICIES[policy](scope) if policy and isinstance(policy, str) else policy
        for role, policy in given["instance_policies"].items()
    }
    whole = {
        name: {**{k: v for k, v in KEYS[name].items() if v is not None}, **given[name]} for name in KEYS if given[name]
    }
    return {**given, **whole, "instance_policies": documents}


# -- what can be wrong ---------------------------------------------------------------------------------------------


def faults(given: Mapping[str, Any]) -> list[str]:
    """Return all that is wrong with an environment's description, each with the variable it is about."""
    found: list[str] = []
    if not ENVIRONMENT_NAME.fullmatch(str(given["environment"])):
        found.append(f"aws_environment: '{given['environment']}' must be small letters, digits and hyphens, 19 at most")
    if not NAME.fullmatch(str(given["name"])):
        found.append(
            f"aws_name: '{given['name']}' must be 3 to 24 small letters, digits and hyphens; it begins all names"
        )
    found += _key_faults(given)
    found += _network_faults(given["network"])
    for index, source in enumerate(given["controller_sources"]):
        if not _is_network(source):
            found.append(f"aws_controller_sources[{index}]: '{source}' is no network such as 203.0.113.0/24")
        elif ipaddress.ip_network(source).prefixlen == 0:
            found.append(
                f"aws_controller_sources[{index}]: '{source}' lets everybody try to sign in; name the controller's network"
            )
    names = [one.get("name") for one in given["instances"]]
    for index, one in enumerate(given["instances"]):
        found += [f"aws_instances[{index}].{fault}" for fault in _instance_faults(one, names)]
    if given["instances"] and not given["key"]:
        found.append("aws_key: hosts need one; give a name and a public key")
    found += [
        f"aws_instance_policies.{role}: there is no such role; known: {', '.join(ROLES)}"
        for role in given["instance_policies"]
        if role not in ROLES
    ]
    found += [
        f"aws_instance_policies.{role}: there is no policy '{policy}'; known: {', '.join(POLICIES)}, or give a document"
        for role, policy in given["instance_policies"].items()
        if isinstance(policy, str) and policy and policy not in POLICIES
    ]
    bucket = str(given["bucket"].get("name", ""))
    if given["bucket"] and not BUCKET.fullmatch(bucket):
        found.append(f"aws_bucket.name: '{bucket}' must be 3 to 63 small letters, digits, hyphens and dots")
    if given["balancer"]:
        found += _balancer_faults(given["balancer"], str(given["region"]))
    return found


def _key_faults(given: Mapping[str, Any]) -> list[str]:
    found = []
    for name, keys in KEYS.items():
        found += [
            f"aws_{name}.{key}: there is no such key; known: {', '.join(keys)}"
            for key in given[name]
            if key not in keys
        ]
        if given[name]:
            found += [f"aws_{name}.{key}: must be given" for key in REQUIRED.get(name, ()) if not given[name].get(key)]
    return found


def _network_faults(network: Mapping[str, Any]) -> list[str]:
    if network.get("vpc"):
        return [
            f"aws_network.{name}: name at least {least} of its subnets when the VPC is given"
            for name, least in (("public_subnets", 2), ("private_subnets", 2))
            if len(network.get(name) or []) < least
        ]
    found = []
    if not _is_network(network.get("cidr")) or not 16 <= ipaddress.ip_network(network["cidr"]).prefixlen <= 24:
        found.append(f"aws_network.cidr: '{network.get('cidr')}' is no network such as 10.20.0.0/16, /16 to /24")
    if len(network.get("zones") or []) < 2:
        found.append('aws_network.zones: two at least, such as ["a", "b"]; a load balancer and a database need two')
    return found


def _instance_faults(one: Mapping[str, Any], names: Sequence[Any]) -> list[str]:
    found = [
        f"{key}: there is no such key; known: {', '.join(INSTANCE_KEYS)}" for key in one if key not in INSTANCE_KEYS
    ]
    if not NAME.fullmatch(str(one.get("name", ""))):
        found.append(f"name: '{one.get('name', '')}' must be 3 to 24 small letters, digits and hyphens")
    elif names.count(one["name"]) > 1:
        found.append(f"name: '{one['name']}' is there twice")
    if one.get("role") not in ROLES:
        found.append(f"role: '{one.get('role', '')}' is not among {', '.join(ROLES)}")
    if not re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+", str(one.get("type", ""))):
        found.append(f"type: '{one.get('type', '')}' is no type such as t4g.small")
    if not IMAGE.fullmatch(str(one.get("image", ""))):
        found.append(
            f"image: '{one.get('image', '')}' is no image (ami-...) and no SSM parameter (/...) that names one"
        )
    if one.get("network", "private") not in ("public", "private"):
        found.append(f"network: '{one['network']}' is neither public nor private")
    return found


def _balancer_faults(balancer: Mapping[str, Any], region: str) -> list[str]:
    found = []
    certificate = str(balancer.get("certificate") or "")
    match = CERTIFICATE.fullmatch(certificate)
    if certificate and not match:
        found.append(f"aws_balancer.certificate: '{certificate}' is no ARN of a certificate in ACM")
    elif match and match[1] != region:
        found.append(
            f"aws_balancer.certificate: it is in {match[1]}; a load balancer in {region} takes one of {region}"
        )
    secrets = balancer.get("origin_secrets") or []
    if balancer.get("only_cloudfront"):
        if not certificate:
            found.append("aws_balancer.certificate: CloudFront asks the load balancer by HTTPS only, so it needs one")
        if not 1 <= len(secrets) <= 2:
            found.append("aws_balancer.origin_secrets: one, or the new and the old one while they change")
        if not all(SECRET.fullmatch(str(secret)) for secret in secrets):
            found.append("aws_balancer.origin_secrets: each must be 32 to 128 letters, digits, hyphens and underscores")
    elif not balancer.get("sources"):
        found.append("aws_balancer.sources: name who may reach it, such as 0.0.0.0/0, or set only_cloudfront")
    return found


def edge_faults(given: Mapping[str, Any]) -> list[str]:
    found = []
    certificate = str(given["certificate"] or "")
    match = CERTIFICATE.fullmatch(certificate)
    if not match or match[1] != "us-east-1":
        found.append(
            f"edge_certificate: '{certificate}' must be the ARN of a certificate in ACM in us-east-1, where CloudFront takes them from"
        )
    if not re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", str(given["origin"] or "")):
        found.append(
            f"edge_origin: '{given['origin']}' must be a name that leads to the load balancer and that its certificate holds for"
        )
    if not given["aliases"]:
        found.append("edge_aliases: name at least one domain that clients use")
    if not SECRET.fullmatch(str(given["origin_secret"] or "")):
        found.append("edge_origin_secret: must be 32 to 128 letters, digits, hyphens and underscores")
    for scope in ("regional", "global"):
        for name, action in given[f"{scope}_rules"].items():
            if action not in ACTIONS:
                found.append(f"edge_{scope}_rules.{name}: '{action}' is neither block nor count")
    if given["rate_action"] not in ACTIONS:
        found.append(f"edge_rate_action: '{given['rate_action']}' is neither block nor count")
    if given["rate"] and not 10 <= given["rate"] <= 2_000_000_000:
        found.append("edge_rate: AWS takes 10 and more (requests of one address in five minutes), or 0 for no limit")
    if given["log_bucket"] and not str(given["log_bucket"]).endswith(".s3.amazonaws.com"):
        found.append(f"edge_log_bucket: '{given['log_bucket']}' must be BUCKET.s3.amazonaws.com")
    return found


def _is_network(text: Any) -> bool:
    try:
        ipaddress.ip_network(text)
    except (ValueError, TypeError):
        return False
    return isinstance(text, str)


# -- what shall be -------------------------------------------------------------------------------------------------


def environment(given: Mapping[str, Any], prefix_lists: Mapping[str, str]) -> list[Item]:
    """Return all that an environment is made of, each after what it needs. *prefix_lists* has the ids of AWS's own."""
    items: list[Item] = []
    vpc, public, private, addresses = _network(given, items)
    _groups(given, items, vpc, addresses, prefix_lists)
    _hosts(given, items, public, private)
    if given["database"]:
        _database(given, items, private)
    if given["bucket"]:
        _bucket(given, items)
    if given["balancer"]:
        _balancer(given, items, vpc, public)
    return items


def _network(given: Mapping[str, Any], items: list[Item]) -> tuple[Any, list[Any], list[Any], list[str]]:
    """Return the VPC, its public and its private subnets, and the ranges of the public ones."""
    name, network = given["name"], given["network"]
    if network.get("vpc"):
        return network["vpc"], list(network["public_subnets"]), list(network["private_subnets"]), []

    def add(kind: str, key: str, tail: str = "", summary: str = "", **wanted: Any) -> Ref:
        items.append(Item(kind, key, f"{name}{tail}", "network", wanted, summary))
        return Ref(key)

    vpc = add("vpc", "vpc", summary=network["cidr"], cidr=network["cidr"], dns_hostnames=True)
    gateway = add("internet_gateway", "internet_gateway", vpc=vpc)
    zones = [f"{given['region']}{zone}" for zone in network["zones"]]
    whole = ipaddress.ip_network(network["cidr"])
    # Sixteen parts: public ones from the first, private ones from the ninth, so that zones can be added to both.
    parts = [str(part) for part in whole.subnets(new_prefix=whole.prefixlen + 4)]
    subnets: dict[str, list[Ref]] = {}
    for kind, first in (("public", 0), ("private", 8)):
        subnets[kind] = [
            add(
                "subnet",
                f"{kind}_{zone[-1]}",
                f"-{kind}-{zone[-1]}",
                f"{parts[first + index]} in {zone}",
                vpc=vpc,
                cidr=parts[first + index],
                zone=zone,
            )
            for index, zone in enumerate(zones)
        ]
    add(
        "route_table",
        "public_routes",
        "-public",
        "to the internet, both ways",
        vpc=vpc,
        gateway=gateway,
        subnets=frozenset(subnets["public"]),
    )
    out: Any = ""
    if network.get("nat"):
        address = add("address", "nat_address", "-nat")
        out = add(
            "nat_gateway",
            "nat",
            summary="hosts in private subnets reach the internet",
            subnet=subnets["public"][0],
            address=address,
        )
    add(
        "route_table",
        "private_routes",
        "-private",
        "to the internet by the NAT gateway" if out else "not to the internet",
        vpc=vpc,
        gateway=out,
        subnets=frozenset(subnets["private"]),
    )
    add(
        "endpoint",
        "s3",
        "-s3",
        "artifacts without the internet",
        vpc=vpc,
        service=f"com.amazonaws.{given['region']}.s3",
        tables=frozenset({Ref("public_routes"), Ref("private_routes")}),
    )
    return vpc, list(subnets["public"]), list(subnets["private"]), parts[: len(zones)]


def _groups(
    given: Mapping[str, Any], items: list[Item], vpc: Any, _public: list[str], prefix_lists: Mapping[str, str]
) -> None:
    def add(role: str, summary: str, rules: set[tuple[str, Any]]) -> Ref:
        items.append(
            Item(
                "security_group",
                f"group_{role}",
                f"{given['name']}-{role}",
                role,
                {"vpc": vpc, "rules": frozenset(rules)},
                summary,
            )
        )
        return Ref(f"group_{role}")

    balancer, controller = given["balancer"], given["controller_sources"]
    backend_port = str(given["backend_port"])
    signs_in = {("22", source) for source in controller}
    monitoring = add(
        "monitoring",
        "What watches: its own pages and sign-in, for the team",
        signs_in | {(port, source) for port in ("3000", "9090", "9093") for source in controller},
    )
    watched = {(port, monitoring) for port in EXPORTERS}
    backend_rules: set[tuple[str, Any]] = signs_in | watched | {(port, monitoring) for port in METRICS["backend"]}
    if balancer:
        ports = (
            ["443"] if balancer.get("only_cloudfront") else ["80", *(["443"] if balancer.get("certificate") else [])]
        )
        sources = [prefix_lists[CLOUDFRONT_LIST]] if balancer.get("only_cloudfront") else balancer["sources"]
        edge = add(
            "balancer",
            "The load balancer, for CloudFront or for clients",
            {(port, source) for port in ports for source in sources},
        )
        backend_rules.add((backend_port, edge))
    backend_rules |= {(backend_port, source) for source in given["backend_sources"]}
    # The probes ask as clients do.
    backend_rules.add((backend_port, monitoring))
    backend = add("backend", "The backend, for the load balancer and Prometheus", backend_rules)
    host = any(one["role"] == "postgresql" for one in given["instances"])
    if given["database"] or host:
        reached: set[tuple[str, Any]] = {("5432", backend), ("5432", monitoring)}
        if host:
            reached |= signs_in | watched | {(port, monitoring) for port in METRICS["postgresql"]}
        # What signs in to RDS to prepare it is the controller.
        reached |= {("5432", source) for source in given["database_sources"]}
        add("postgresql", "PostgreSQL, for the backend and what watches", reached)


def _hosts(given: Mapping[str, Any], items: list[Item], public: list[Any], private: list[Any]) -> None:
    name = given["name"]
    if given["key"]:
        key = given["key"]
        items.append(Item("key_pair", "key", key["name"], "network", {"public_key": key["public_key"]}))
    # A host that needs nothing of AWS has no identity there.
    policies = {role: document for role, document in given["instance_policies"].items() if document}
    for role, document in policies.items():
        items.append(Item("role", f"role_{role}", f"{name}-{role}", role, {"policy": document}, _granted(document)))
        items.append(Item("profile", f"profile_{role}", f"{name}-{role}", role, {"role": Ref(f"role_{role}")}))
    count: dict[str, int] = {}
    for one in given["instances"]:
        role, place = one["role"], one.get("network", "private")
        # One after the other into another zone, as they are listed.
        subnets = public if place == "public" else private
        turn = count[role] = count.get(role, -1) + 1
        subnet = subnets[one.get("zone", turn) % len(subnets)]
        wanted = {
            "type": one["type"],
            "subnet": subnet,
            "groups": frozenset({Ref(f"group_{role}")}),
            "key": Ref("key"),
            "profile": Ref(f"profile_{role}") if role in policies else "",
            "metadata": "required",
        }
        making = {"image": one["image"], "disk": one.get("disk", 20), "public": place == "public"}
        summary = f"{one['type']}, {making['disk']} GB, {place}, {one['image']}"
        items.append(Item("instance", f"instance_{one['name']}", one["name"], role, wanted, summary, making))


def _granted(document: Mapping[str, Any]) -> str:
    actions = [action for statement in document["Statement"] for action in statement["Action"]]
    return ", ".join(sorted(actions))


def _database(given: Mapping[str, Any], items: list[Item], private: list[Any]) -> None:
    name, database = given["name"], given["database"]
    major = str(database["version"]).partition(".")[0]
    items.append(
        Item(
            "database_subnets",
            "database_subnets",
            f"{name}-database",
            "postgresql",
            {"subnets": frozenset(private)},
            "private subnets of two zones",
        )
    )
    parameters = {"rds.force_ssl": "1", **{key: str(value) for key, value in database["parameters"].items()}}
    items.append(
        Item(
            "parameters",
            "parameters",
            f"{name}-postgresql{major}",
            "postgresql",
            {"family": f"postgres{major}", "parameters": parameters},
            ", ".join(f"{key}={value}" for key, value in parameters.items()),
        )
    )
    wanted = {
        "class": database["class"],
        "storage": database["storage"],
        "storage_limit": database["storage_limit"],
        "version": str(database["version"]),
        "multi_az": database["multi_az"],
        "deletion_protection": database["deletion_protection"],
        "backup_days": database["backup_days"],
        "ca": database["ca"],
        "copy_tags": True,
        "minor_upgrades": database["minor_upgrades"],
        "encrypted": True,
        "public": False,
        "subnet_group": Ref("database_subnets"),
        "parameter_group": Ref("parameters"),
        "groups": frozenset({Ref("group_postgresql")}),
        "logs": frozenset(database["logs"]),
    }
    zones = "in two zones" if database["multi_az"] else "in one zone"
    summary = f"PostgreSQL {database['version']}, {database['class']}, {database['storage']} GB, {zones}, backups of {database['backup_days']} days"
    making = {"master_user": database["master_user"], "apply_immediately": database["apply_immediately"]}
    items.append(Item("database", "database", database.get("name") or name, "postgresql", wanted, summary, making))


def _bucket(given: Mapping[str, Any], items: list[Item]) -> None:
    bucket = given["bucket"]
    key = bucket.get("kms_key") or ""
    wanted = {
        "public_access_blocked": True,
        "owner": "BucketOwnerEnforced",
        "versioning": "Enabled",
        "encryption": f"aws:kms {key}" if key else "AES256",
        "policy": tls_only(bucket["name"]),
        # What a killed upload left is in no listing, and costs.
        "abort_days": 7,
    }
    summary = "versions kept, encrypted, not public, by TLS only"
    items.append(Item("bucket", "bucket", bucket["name"], "artifacts", wanted, summary))


def _balancer(given: Mapping[str, Any], items: list[Item], vpc: Any, public: list[Any]) -> None:
    name, balancer = given["name"], given["balancer"]
    hosts = [one["name"] for one in given["instances"] if one["role"] == "backend"]
    certificate = balancer.get("certificate") or ""
    behind = balancer.get("only_cloudfront", False)
    secrets = list(balancer.get("origin_secrets") or []) if behind else []
    items.append(
        Item(
            "target_group",
            "target_group",
            f"{name}-backend",
            "balancer",
            {
                "vpc": vpc,
                "port": given["backend_port"],
                "health_path": given["backend_health_path"],
                "drain_seconds": balancer.get("drain_seconds", 75),
                "targets": frozenset(Ref(f"instance_{host}") for host in hosts),
            },
            f"{', '.join(hosts) or 'nobody'} at {given['backend_port']}, healthy when {given['backend_health_path']} says 200",
        )
    )
    items.append(
        Item(
            "balancer",
            "balancer",
            name,
            "balancer",
            {
                "scheme": "internet-facing",
                "subnets": frozenset(public),
                "groups": frozenset({Ref("group_balancer")}),
                "deletion_protection": balancer.get("deletion_protection", False),
                "drop_invalid_headers": True,
            },
            "for CloudFront alone" if behind else f"for {', '.join(balancer.get('sources', []))}",
        )
    )

    def listener(port: int, summary: str, default: str, secured: bool, target: Any, secret: str = "") -> None:
        wanted = {
            "balancer": Ref("balancer"),
            "certificate": certificate if secured else "",
            "tls_policy": TLS_POLICY if secured else "",
            "default": default,
            "secret": secret,
            "target": target,
        }
        making = {"port": port, "secrets": secrets}
        items.append(Item("listener", f"listener_{port}", f"{name}-{port}", "balancer", wanted, summary, making))

    if behind:
        listener(
            443,
            "forwards what CloudFront has signed, refuses all else",
            "fixed-response",
            True,
            Ref("target_group"),
            digest(secrets),
        )
    elif certificate:
        listener(80, "redirects to 443", "redirect", False, "")
        listener(443, "forwards", "forward", True, Ref("target_group"))
    else:
        listener(80, "forwards, without TLS", "forward", False, Ref("target_group"))


def edge(given: Mapping[str, Any]) -> list[Item]:
    """Return what stands before the load balancer, which is there already."""
    name = given["name"]
    balancer = Item("balancer", "balancer", name, "balancer", existing=True)
    regional = acl_rules(given["regional_rules"], 0, "block")
    everywhere = acl_rules(given["global_rules"], given["rate"], given["rate_action"])
    distribution = {
        "enabled": True,
        "aliases": frozenset(given["aliases"]),
        "price_class": given["price_class"],
        "web_acl": Ref("global_web_acl"),
        "log_bucket": given["log_bucket"],
        "origin": given["origin"],
        "secret": digest([given["origin_secret"]]),
        "origin_protocol": "https-only",
        "viewers": "redirect-to-https",
        "compress": True,
        "cache_policy": given["cache_policy"],
        "request_policy": given["request_policy"],
        "certificate": given["certificate"],
        "tls": "TLSv1.2_2021",
    }
    return [
        balancer,
        Item(
            "web_acl",
            "web_acl",
            f"{name}-regional",
            "edge",
            {"rules": regional, "protects": frozenset({Ref("balancer")})},
            ", ".join(said(regional)),
        ),
        Item(
            "global_web_acl",
            "global_web_acl",
            f"{name}-edge",
            "edge",
            {"rules": everywhere},
            ", ".join(said(everywhere)),
        ),
        Item(
            "distribution",
            "distribution",
            name,
            "edge",
            distribution,
            f"{', '.join(given['aliases'])} to {given['origin']}",
            {"secret": given["origin_secret"], "reference": given["environment"]},
        ),
    ]
