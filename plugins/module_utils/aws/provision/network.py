# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network: what hosts, databases and load balancers are in, and who may speak with whom."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ..tags import ENVIRONMENT, MANAGED, tag_list, tags_in
from .plan import Cloud, Found, Item, Kind

EVERYWHERE = "0.0.0.0/0"


class Ec2Kind(Kind):
    """What EC2's API finds by tags, so that another's thing of the same name is never in the way."""

    unique = False
    # As EC2 calls it in TagSpecifications.
    resource = ""

    def listed(self, cloud: Cloud, operation: str, key: str, **states: Sequence[str]) -> list[Any]:
        """Return the environment's things, in the given states."""
        filters = [
            {"Name": f"tag:{ENVIRONMENT}", "Values": [cloud.environment]},
            {"Name": f"tag:{MANAGED}", "Values": ["true"]},
            *({"Name": name, "Values": list(values)} for name, values in states.items()),
        ]
        pages = cloud.client("ec2").get_paginator(operation).paginate(Filters=filters)
        return [thing for page in pages for thing in page[key]]

    def found(self, thing: Any, id_key: str, **more: Any) -> Found:
        tags = tags_in(thing.get("Tags"))
        return Found(str(thing[id_key]), tags.get("Name", ""), tags, **more)

    def specification(self, tags: Mapping[str, str]) -> list[dict[str, Any]]:
        return [{"ResourceType": self.resource, "Tags": tag_list(tags)}]

    def tag(self, cloud: Cloud, found: Found, tags: Mapping[str, str]) -> None:
        cloud.client("ec2").create_tags(Resources=[found.id], Tags=tag_list(tags))


class Vpc(Ec2Kind):
    title = "VPC"
    resource = "vpc"
    fixed = {"cidr": "the range of a VPC stays as it is; give the old one, or name another environment"}

    def observe(self, cloud: Cloud) -> list[Found]:
        client = cloud.client("ec2")
        return [
            self.found(
                vpc,
                "VpcId",
                has={
                    "cidr": vpc["CidrBlock"],
                    "dns_hostnames": client.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute="enableDnsHostnames")[
                        "EnableDnsHostnames"
                    ]["Value"],
                },
                busy="" if vpc["State"] == "available" else vpc["State"],
            )
            for vpc in self.listed(cloud, "describe_vpcs", "Vpcs")
        ]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("ec2").create_vpc(CidrBlock=wanted["cidr"], TagSpecifications=self.specification(tags))
        return Found(made["Vpc"]["VpcId"], item.name, tags, {"cidr": wanted["cidr"]})

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        cloud.client("ec2").modify_vpc_attribute(VpcId=found.id, EnableDnsHostnames={"Value": wanted["dns_hostnames"]})

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("ec2").delete_vpc(VpcId=found.id)


class InternetGateway(Ec2Kind):
    title = "internet gateway"
    resource = "internet-gateway"

    def observe(self, cloud: Cloud) -> list[Found]:
        return [
            self.found(
                gateway,
                "InternetGatewayId",
                has={"vpc": next((place["VpcId"] for place in gateway.get("Attachments", [])), "")},
            )
            for gateway in self.listed(cloud, "describe_internet_gateways", "InternetGateways")
        ]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("ec2").create_internet_gateway(TagSpecifications=self.specification(tags))
        return Found(made["InternetGateway"]["InternetGatewayId"], item.name, tags)

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        if found.has.get("vpc"):
            cloud.client("ec2").detach_internet_gateway(InternetGatewayId=found.id, VpcId=found.has["vpc"])
        cloud.client("ec2").attach_internet_gateway(InternetGatewayId=found.id, VpcId=wanted["vpc"])

    def remove(self, cloud: Cloud, found: Found) -> None:
        if found.has["vpc"]:
            cloud.client("ec2").detach_internet_gateway(InternetGatewayId=found.id, VpcId=found.has["vpc"])
        cloud.client("ec2").delete_internet_gateway(InternetGatewayId=found.id)


class Subnet(Ec2Kind):
    title = "subnet"
    resource = "subnet"
    fixed = dict.fromkeys(
        ("vpc", "cidr", "zone"), "a subnet stays where it is; remove it, and what is in it, to move it"
    )

    def observe(self, cloud: Cloud) -> list[Found]:
        return [
            self.found(
                subnet,
                "SubnetId",
                has={"vpc": subnet["VpcId"], "cidr": subnet["CidrBlock"], "zone": subnet["AvailabilityZone"]},
                busy="" if subnet["State"] == "available" else subnet["State"],
            )
            for subnet in self.listed(cloud, "describe_subnets", "Subnets")
        ]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("ec2").create_subnet(
            VpcId=wanted["vpc"],
            CidrBlock=wanted["cidr"],
            AvailabilityZone=wanted["zone"],
            TagSpecifications=self.specification(tags),
        )
        return Found(made["Subnet"]["SubnetId"], item.name, tags, wanted)

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("ec2").delete_subnet(SubnetId=found.id)


class Address(Ec2Kind):
    title = "address"
    resource = "elastic-ip"

    def observe(self, cloud: Cloud) -> list[Found]:
        # Without pages, unlike the others.
        filters = [
            {"Name": f"tag:{ENVIRONMENT}", "Values": [cloud.environment]},
            {"Name": f"tag:{MANAGED}", "Values": ["true"]},
        ]
        found = cloud.client("ec2").describe_addresses(Filters=filters)["Addresses"]
        return [self.found(one, "AllocationId", tells={"address": one["PublicIp"]}) for one in found]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("ec2").allocate_address(Domain="vpc", TagSpecifications=self.specification(tags))
        return Found(made["AllocationId"], item.name, tags, tells={"address": made["PublicIp"]})

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("ec2").release_address(AllocationId=found.id)


class NatGateway(Ec2Kind):
    title = "NAT gateway"
    resource = "natgateway"
    fixed = dict.fromkeys(("subnet", "address"), "a NAT gateway stays where it is; remove it to move it")
    needed_at_once = True

    def observe(self, cloud: Cloud) -> list[Found]:
        states = {"state": ["pending", "available", "deleting"]}
        pages = cloud.client("ec2").get_paginator("describe_nat_gateways")
        filters = [
            {"Name": f"tag:{ENVIRONMENT}", "Values": [cloud.environment]},
            {"Name": f"tag:{MANAGED}", "Values": ["true"]},
        ]
        gateways = [one for page in pages.paginate(Filter=filters) for one in page["NatGateways"]]
        return [
            self.found(
                gateway,
                "NatGatewayId",
                has={
                    "subnet": gateway["SubnetId"],
                    "address": next((one.get("AllocationId") for one in gateway["NatGatewayAddresses"]), ""),
                },
                busy="" if gateway["State"] == "available" else gateway["State"],
            )
            # One that failed or is deleted is shown for an hour more.
            for gateway in gateways
            if gateway["State"] in states["state"]
        ]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("ec2").create_nat_gateway(
            SubnetId=wanted["subnet"], AllocationId=wanted["address"], TagSpecifications=self.specification(tags)
        )
        return Found(made["NatGateway"]["NatGatewayId"], item.name, tags, wanted)

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("ec2").delete_nat_gateway(NatGatewayId=found.id)


class RouteTable(Ec2Kind):
    title = "route table"
    resource = "route-table"
    fixed = {"vpc": "a route table stays in its VPC"}

    def observe(self, cloud: Cloud) -> list[Found]:
        return [
            self.found(
                table,
                "RouteTableId",
                has={
                    "vpc": table["VpcId"],
                    "gateway": next(
                        (_target(r) for r in table["Routes"] if r.get("DestinationCidrBlock") == EVERYWHERE), ""
                    ),
                    "subnets": frozenset(a["SubnetId"] for a in table["Associations"] if a.get("SubnetId")),
                },
                tells={
                    "associations": {
                        a["SubnetId"]: a["RouteTableAssociationId"] for a in table["Associations"] if a.get("SubnetId")
                    }
                },
            )
            for table in self.listed(cloud, "describe_route_tables", "RouteTables")
        ]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("ec2").create_route_table(VpcId=wanted["vpc"], TagSpecifications=self.specification(tags))
        has = {"vpc": wanted["vpc"], "gateway": "", "subnets": frozenset()}
        return Found(made["RouteTable"]["RouteTableId"], item.name, tags, has)

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        client = cloud.client("ec2")
        if "gateway" in names:
            if found.has["gateway"]:
                client.delete_route(RouteTableId=found.id, DestinationCidrBlock=EVERYWHERE)
            if wanted["gateway"]:
                key = "NatGatewayId" if wanted["gateway"].startswith("nat-") else "GatewayId"
                client.create_route(RouteTableId=found.id, DestinationCidrBlock=EVERYWHERE, **{key: wanted["gateway"]})
        for subnet in sorted(wanted["subnets"] - found.has["subnets"]):
            client.associate_route_table(RouteTableId=found.id, SubnetId=subnet)
        for subnet in sorted(found.has["subnets"] - wanted["subnets"]):
            client.disassociate_route_table(AssociationId=found.tells["associations"][subnet])

    def remove(self, cloud: Cloud, found: Found) -> None:
        for association in found.tells["associations"].values():
            cloud.client("ec2").disassociate_route_table(AssociationId=association)
        cloud.client("ec2").delete_route_table(RouteTableId=found.id)


def _target(route: Mapping[str, Any]) -> str:
    return str(route.get("NatGatewayId") or route.get("GatewayId") or "")


class Endpoint(Ec2Kind):
    """S3's own way into the VPC: free, and hosts without a NAT gateway fetch artifacts by it."""

    title = "S3 endpoint"
    resource = "vpc-endpoint"
    fixed = dict.fromkeys(("vpc", "service"), "an endpoint stays what it is; remove it to make another")

    def observe(self, cloud: Cloud) -> list[Found]:
        return [
            self.found(
                one,
                "VpcEndpointId",
                has={
                    "vpc": one["VpcId"],
                    "service": one["ServiceName"],
                    "tables": frozenset(one.get("RouteTableIds", [])),
                },
                busy="" if str(one["State"]).lower() == "available" else str(one["State"]).lower(),
            )
            for one in self.listed(cloud, "describe_vpc_endpoints", "VpcEndpoints")
            if str(one["State"]).lower() not in ("deleted", "failed", "rejected", "expired")
        ]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("ec2").create_vpc_endpoint(
            VpcEndpointType="Gateway",
            VpcId=wanted["vpc"],
            ServiceName=wanted["service"],
            RouteTableIds=sorted(wanted["tables"]),
            TagSpecifications=self.specification(tags),
        )
        return Found(made["VpcEndpoint"]["VpcEndpointId"], item.name, tags, wanted)

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        cloud.client("ec2").modify_vpc_endpoint(
            VpcEndpointId=found.id,
            AddRouteTableIds=sorted(wanted["tables"] - found.has["tables"]),
            RemoveRouteTableIds=sorted(found.has["tables"] - wanted["tables"]),
        )

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[found.id])


class SecurityGroup(Ec2Kind):
    """Who may come in: *rules* are pairs of a port (or first-last) of TCP and a network, a security group or a prefix list."""

    title = "security group"
    resource = "security-group"
    fixed = {"vpc": "a security group stays in its VPC"}

    def observe(self, cloud: Cloud) -> list[Found]:
        return [
            self.found(
                group,
                "GroupId",
                has={
                    "vpc": group["VpcId"],
                    "rules": frozenset(rule for part in group["IpPermissions"] for rule in _rules(part)),
                },
            )
            for group in self.listed(cloud, "describe_security_groups", "SecurityGroups")
        ]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("ec2").create_security_group(
            GroupName=item.name,
            Description=item.summary,
            VpcId=wanted["vpc"],
            TagSpecifications=self.specification(tags),
        )
        return Found(made["GroupId"], item.name, tags, {"vpc": wanted["vpc"], "rules": frozenset()})

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        # First what is new, so that nobody who may come in is shut out in between.
        add, drop = wanted["rules"] - found.has["rules"], found.has["rules"] - wanted["rules"]
        if add:
            cloud.client("ec2").authorize_security_group_ingress(GroupId=found.id, IpPermissions=_permissions(add))
        if drop:
            cloud.client("ec2").revoke_security_group_ingress(GroupId=found.id, IpPermissions=_permissions(drop))

    def remove(self, cloud: Cloud, found: Found) -> None:
        # Groups name each other, and one that is named cannot be removed.
        if found.has["rules"]:
            cloud.client("ec2").revoke_security_group_ingress(
                GroupId=found.id, IpPermissions=_permissions(found.has["rules"])
            )
        cloud.client("ec2").delete_security_group(GroupId=found.id)


def _rules(permission: Mapping[str, Any]) -> list[tuple[str, str]]:
    first, last = permission.get("FromPort", -1), permission.get("ToPort", -1)
    ports = str(first) if first == last else f"{first}-{last}"
    if permission["IpProtocol"] != "tcp":
        ports = f"{permission['IpProtocol']}:{ports}"
    sources = [one["CidrIp"] for one in permission.get("IpRanges", [])]
    sources += [one["CidrIpv6"] for one in permission.get("Ipv6Ranges", [])]
    sources += [one["PrefixListId"] for one in permission.get("PrefixListIds", [])]
    sources += [one["GroupId"] for one in permission.get("UserIdGroupPairs", [])]
    return [(ports, source) for source in sources]


def _permissions(rules: frozenset[tuple[str, str]]) -> list[dict[str, Any]]:
    found = []
    for ports, source in sorted(rules):
        protocol, _colon, numbers = ports.rpartition(":")
        permission: dict[str, Any] = {"IpProtocol": protocol or "tcp"}
        first, _dash, last = numbers.partition("-")
        if first:
            permission.update(FromPort=int(first), ToPort=int(last or first))
        if source.startswith("sg-"):
            permission["UserIdGroupPairs"] = [{"GroupId": source}]
        elif source.startswith("pl-"):
            permission["PrefixListIds"] = [{"PrefixListId": source}]
        elif ":" in source:
            permission["Ipv6Ranges"] = [{"CidrIpv6": source}]
        else:
            permission["IpRanges"] = [{"CidrIp": source}]
        found.append(permission)
    return found
