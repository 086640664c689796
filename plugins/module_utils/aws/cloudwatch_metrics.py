# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS publishes to CloudWatch, as far as this collection watches it, and which of it is worth watching.

CloudWatch answers a question about a metric that does not exist with an empty result, not with an error: a wrong name
or a wrong set of dimensions is silence for ever. Hence this catalog. Its facts are those of the user guides of the
services (RDS, EC2, Application Load Balancers, WAF, CloudFront), as of 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import FrozenSet, Iterable, Mapping

Dimensions = FrozenSet[str]

RDS, EC2, ALB = "AWS/RDS", "AWS/EC2", "AWS/ApplicationELB"
WAF, CLOUDFRONT = "AWS/WAFV2", "AWS/CloudFront"
# Where the metrics of CloudFront, and of web ACLs with the scope CLOUDFRONT, are; they are nowhere else.
GLOBAL_REGION = "us-east-1"
GLOBAL_VALUE = "Global"


@dataclass(frozen=True)
class Metric:
    """What AWS documents about one metric. None: it does not say, so anything goes."""

    dimensions: frozenset[Dimensions] | None = None
    statistics: frozenset[str] | None = None
    percentiles: bool = True


@dataclass(frozen=True)
class Namespace:
    """The metrics of one service and the names of their dimensions; an open one has more dimensions than are listed."""

    metrics: Mapping[str, Metric]
    dimensions: Dimensions
    open: bool = False


@dataclass(frozen=True)
class Wanted:
    """A metric of a preset: what is asked for, by which dimensions."""

    name: str
    dimensions: tuple[str, ...]
    statistics: tuple[str, ...] = ()
    percentiles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tagged:
    """How the resources behind a dimension are found by their tags."""

    resource_type: str
    # Takes the dimension's value out of the ARN where the exporter's own way does not.
    arn_regexp: str | None = None


@dataclass(frozen=True)
class Preset:
    """What is worth watching of one service."""

    namespace: str
    metrics: tuple[Wanted, ...]
    # Dimensions with only one useful value; REGION stands for the exporter's own region.
    select: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tagged: Mapping[str, Tagged] = field(default_factory=dict)
    # Set where there is only one region to ask.
    region: str | None = None


REGION = "@REGION@"


def _sets(*sets: str) -> frozenset[Dimensions]:
    return frozenset(frozenset(names.split()) for names in sets)


def _all(names: str, metric: Metric) -> dict[str, Metric]:
    return dict.fromkeys(names.split(), metric)


def _only(*statistics: str) -> frozenset[str]:
    return frozenset(statistics)


_INSTANCE = _sets(
    "DBInstanceIdentifier", "DBClusterIdentifier", "DBClusterIdentifier Role", "DatabaseClass", "EngineName", ""
)
_RDS = Namespace(
    dimensions=frozenset(
        [
            "DBClusterIdentifier",
            "DBInstanceIdentifier",
            "DatabaseClass",
            "EndpointName",
            "EngineName",
            "ProxyName",
            "Role",
            "SourceRegion",
            "Target",
            "TargetGroup",
            "TargetRole",
        ]
    ),
    metrics={
        **_all(
            "BurstBalance CPUCreditBalance CPUCreditUsage CPUSurplusCreditBalance CPUSurplusCreditsCharged "
            "CPUUtilization CheckpointLag DatabaseConnections DiskQueueDepth DiskQueueDepthLogVolume EBSByteBalance% "
            "EBSIOBalance% FreeLocalStorage FreeStorageSpace FreeStorageSpaceLogVolume FreeableMemory "
            "MaximumUsedTransactionIDs NetworkReceiveThroughput NetworkTransmitThroughput OldestReplicationSlotLag "
            "ReadIOPS ReadIOPSLogVolume ReadLatency ReadLatencyLogVolume ReadThroughput ReadThroughputLogVolume "
            "ReplicaLag ReplicationSlotDiskUsage SwapUsage TransactionLogsDiskUsage TransactionLogsGeneration "
            "WriteIOPS WriteIOPSLogVolume WriteLatency WriteLatencyLogVolume WriteThroughput WriteThroughputLogVolume",
            Metric(_INSTANCE),
        ),
        # Aurora, proxies, other engines: each with dimensions of its own.
        **_all(
            "ACUUtilization AbortedClients ActiveTransactions AuroraBinlogReplicaLag AuroraDMLRejectedMasterFull "
            "AuroraDMLRejectedWriterFull AuroraEstimatedSharedMemoryBytes AuroraGlobalDBDataTransferBytes "
            "AuroraGlobalDBProgressLag AuroraGlobalDBRPOLag AuroraGlobalDBReplicatedWriteIO "
            "AuroraGlobalDBReplicationLag AuroraMemoryHealthState AuroraMemoryNumDeclinedSqlTotal "
            "AuroraMemoryNumKillConnTotal AuroraMemoryNumKillQueryTotal AuroraMillisecondsSpentInOomRecovery "
            "AuroraNumOomRecoverySuccessful AuroraNumOomRecoveryTriggered AuroraOptimizedReadsCacheHitRatio "
            "AuroraReplicaLag AuroraReplicaLagMaximum AuroraReplicaLagMinimum AuroraSlowConnectionHandleCount "
            "AuroraSlowHandshakeCount AuroraVolumeBytesLeftTotal AvailabilityPercentage "
            "BacktrackChangeRecordsCreationRate BacktrackChangeRecordsStored BacktrackWindowActual "
            "BacktrackWindowAlert BackupRetentionPeriodStorageUsed BinLogDiskUsage BlockedTransactions "
            "BufferCacheHitRatio ClientConnections ClientConnectionsClosed ClientConnectionsNoTLS "
            "ClientConnectionsReceived ClientConnectionsSetupFailedAuth ClientConnectionsSetupSucceeded "
            "ClientConnectionsTLS CommitLatency CommitThroughput ConnectionAttempts DBLoad DBLoadCPU DBLoadNonCPU "
            "DBLoadRelativeToNumVCPUs DDLLatency DDLThroughput DMLLatency DMLThroughput DatabaseConnectionRequests "
            "DatabaseConnectionRequestsWithTLS DatabaseConnectionsBorrowLatency DatabaseConnectionsCurrentlyBorrowed "
            "DatabaseConnectionsCurrentlyInTransaction DatabaseConnectionsCurrentlySessionPinned "
            "DatabaseConnectionsSetupFailed DatabaseConnectionsSetupSucceeded DatabaseConnectionsWithTLS Deadlocks "
            "DeleteLatency DeleteThroughput EngineUptime FailedSQLServerAgentJobsCount FreeEphemeralStorage "
            "InsertLatency InsertThroughput LoginFailures MaxDatabaseConnectionsAllowed NetworkThroughput "
            "NumBinaryLogFiles PurgeBoundary PurgeFinishedPoint Queries QueryDatabaseResponseLatency QueryRequests "
            "QueryRequestsNoTLS QueryRequestsTLS QueryResponseLatency RDSToAuroraPostgreSQLReplicaLag "
            "ReadIOPSEphemeralStorage ReadLatencyEphemeralStorage ReadThroughputEphemeralStorage "
            "ReplicationChannelLag ResultSetCacheHitRatio RollbackSegmentHistoryListLength RowLockTime SelectLatency "
            "SelectThroughput ServerlessDatabaseCapacity SnapshotStorageUsed StorageNetworkReceiveThroughput "
            "StorageNetworkThroughput StorageNetworkTransmitThroughput SumBinaryLogSize TempStorageIOPS "
            "TempStorageThroughput TotalBackupStorageBilled TransactionAgeMaximum TruncateFinishedPoint UpdateLatency "
            "UpdateThroughput VolumeBytesUsed VolumeReadIOPs VolumeWriteIOPs WriteIOPSEphemeralStorage "
            "WriteLatencyEphemeralStorage WriteThroughputEphemeralStorage",
            Metric(),
        ),
    },
)

_EC2 = Namespace(
    dimensions=frozenset(["AutoScalingGroupName", "ImageId", "InstanceId", "InstanceType"]),
    metrics={
        **_all(
            "CPUCreditBalance CPUCreditUsage CPUSurplusCreditBalance CPUSurplusCreditsCharged CPUUtilization "
            "DiskReadBytes DiskReadOps DiskWriteBytes DiskWriteOps EBSByteBalance% EBSIOBalance% EBSReadBytes "
            "EBSReadOps EBSWriteBytes EBSWriteOps GPUPowerUtilization InstanceEBSIOPSExceededCheck "
            "InstanceEBSThroughputExceededCheck MetadataNoToken MetadataNoTokenRejected NetworkIn NetworkOut "
            "NetworkPacketsIn NetworkPacketsOut StatusCheckFailed StatusCheckFailed_AttachedEBS "
            "StatusCheckFailed_Instance StatusCheckFailed_System",
            Metric(_sets("AutoScalingGroupName", "ImageId", "InstanceId", "InstanceType", "")),
        ),
        **_all(
            "DedicatedHostCPUUtilization NetworkAddressUsage NetworkAddressUsagePeered NetworkMirrorIn "
            "NetworkMirrorOut NetworkPacketsMirrorIn NetworkPacketsMirrorOut NetworkPacketsSkipMirrorIn "
            "NetworkPacketsSkipMirrorOut NetworkSkipMirrorIn NetworkSkipMirrorOut",
            Metric(),
        ),
    },
)

_BALANCER = _sets("LoadBalancer", "AvailabilityZone LoadBalancer")
_GROUP = _sets("TargetGroup LoadBalancer", "TargetGroup AvailabilityZone LoadBalancer")
# A request counts 1, so everything but the number of ones is 1 as well.
_COUNT = _only("Sum", "SampleCount")
_GAUGE = _only("Average", "Minimum", "Maximum")
_ALB = Namespace(
    dimensions=frozenset(["AvailabilityZone", "LoadBalancer", "TargetGroup"]),
    metrics={
        **_all(
            "ActiveConnectionCount AppCookieNonStickinessCount ClientTLSNegotiationErrorCount "
            "DesyncMitigationMode_NonCompliant_Request_Count ELBAuthError ELBAuthFailure ELBAuthRefreshTokenSuccess "
            "ELBAuthSuccess ELBAuthUserClaimsSizeExceeded ExcessiveLowReputationPackets HTTPCode_ELB_3XX_Count "
            "HTTPCode_ELB_4XX_Count HTTPCode_ELB_500_Count HTTPCode_ELB_502_Count HTTPCode_ELB_503_Count "
            "HTTPCode_ELB_504_Count HTTPCode_ELB_5XX_Count HTTP_Fixed_Response_Count HTTP_Redirect_Count "
            "HTTP_Redirect_Url_Limit_Exceeded_Count IPv6ProcessedBytes IPv6RequestCount LowReputationPacketsDropped "
            "LowReputationRequestsDenied NewConnectionCount NonStickyRequestCount ProcessedBytes "
            "RejectedConnectionCount TargetControlActiveChannelCount TargetControlChannelErrorCount "
            "TargetControlNewChannelCount TargetControlProcessedBytes TargetControlRequestCount "
            "TargetControlRequestRejectCount TargetControlWorkQueueLength",
            Metric(_BALANCER, _COUNT, percentiles=False),
        ),
        **_all(
            "HTTPCode_Target_2XX_Count HTTPCode_Target_3XX_Count HTTPCode_Target_4XX_Count HTTPCode_Target_5XX_Count "
            "RequestCount TargetConnectionErrorCount TargetTLSNegotiationErrorCount",
            Metric(_BALANCER | _GROUP, _COUNT, percentiles=False),
        ),
        **_all("HealthyHostCount UnHealthyHostCount MitigatedHostCount", Metric(_GROUP, _GAUGE, percentiles=False)),
        **_all("AnomalousHostCount", Metric(_GROUP, _only("Minimum", "Maximum"), percentiles=False)),
        **_all(
            "ActiveZonalShiftHostCount BYoIPUtilPercentage HealthyStateDNS HealthyStateRouting "
            "UnhealthyRoutingRequestCount UnhealthyStateDNS UnhealthyStateRouting",
            Metric(_GROUP),
        ),
        "TargetResponseTime": Metric(_BALANCER | _GROUP),
        "ELBAuthLatency": Metric(_BALANCER),
        "DroppedInvalidHeaderRequestCount": Metric(_BALANCER),
        "ForwardedInvalidHeaderRequestCount": Metric(_BALANCER),
        **_all(
            "RequestCountPerTarget",
            Metric(_GROUP | _sets("TargetGroup", "TargetGroup AvailabilityZone"), _only("Sum"), percentiles=False),
        ),
        "GrpcRequestCount": Metric(
            _GROUP | _sets("TargetGroup", "TargetGroup AvailabilityZone"), _COUNT, percentiles=False
        ),
        **_all("LambdaInternalError LambdaUserError", Metric(_sets("TargetGroup", "TargetGroup LoadBalancer"))),
        **_all(
            "CapacityUtilization ConsumedLCUs LambdaTargetProcessedBytes PeakLCUs ReservedLCUs RuleEvaluations",
            Metric(_sets("LoadBalancer")),
        ),
    },
)

_WAF_SUM = _only("Sum")
_WAF = Namespace(
    # Label, bot and country metrics have further dimensions, and get new ones.
    open=True,
    dimensions=frozenset(["Region", "Rule", "RuleGroup", "WebACL"]),
    metrics={
        **_all(
            "AllowedRequests BlockedRequests CaptchaRequests ChallengeRequests CountedRequests PassedRequests "
            "RequestsWithValidCaptchaToken RequestsWithValidChallengeToken",
            Metric(
                _sets("Region Rule WebACL", "Rule WebACL", "Region Rule RuleGroup", "Rule RuleGroup"),
                _WAF_SUM,
                percentiles=False,
            ),
        ),
        **_all(
            "CaptchasAttempted CaptchasSolved SampleAllowedRequests SampleBlockedRequests",
            Metric(None, _WAF_SUM, percentiles=False),
        ),
    },
)

_DISTRIBUTION = _sets("DistributionId Region")
_FUNCTION = _sets("FunctionName Region", "DistributionId FunctionName Region")
_CLOUDFRONT = Namespace(
    dimensions=frozenset(["DistributionId", "FunctionName", "Region"]),
    metrics={
        **_all("Requests BytesDownloaded BytesUploaded", Metric(_DISTRIBUTION, _only("Sum"), percentiles=False)),
        **_all(
            "401ErrorRate 403ErrorRate 404ErrorRate 4xxErrorRate 502ErrorRate 503ErrorRate 504ErrorRate 5xxErrorRate "
            "TotalErrorRate CacheHitRate",
            Metric(_DISTRIBUTION, _only("Average"), percentiles=False),
        ),
        "OriginLatency": Metric(_DISTRIBUTION, _only()),
        **_all("LambdaExecutionError LambdaLimitExceededErrors LambdaValidationError", Metric(_DISTRIBUTION)),
        **_all(
            "FunctionInvocations FunctionValidationErrors FunctionExecutionErrors FunctionThrottles",
            Metric(_FUNCTION, _only("Sum"), percentiles=False),
        ),
        "FunctionComputeUtilization": Metric(_FUNCTION, _only("Average"), percentiles=False),
    },
)

NAMESPACES: Mapping[str, Namespace] = {RDS: _RDS, EC2: _EC2, ALB: _ALB, WAF: _WAF, CLOUDFRONT: _CLOUDFRONT}


def only_in_global_region(namespace: str, dimensions: Iterable[str]) -> bool:
    """Say whether only us-east-1 has metrics of *namespace* with these dimensions."""
    return namespace == CLOUDFRONT or (namespace == WAF and "Region" not in dimensions)


def _wanted(dimensions: str, statistics: str, names: str) -> tuple[Wanted, ...]:
    return tuple(Wanted(name, tuple(dimensions.split()), tuple(statistics.split())) for name in names.split())


_DB = "DBInstanceIdentifier"
_WAF_REQUESTS = "AllowedRequests BlockedRequests CountedRequests"

PRESETS: Mapping[str, Preset] = {
    # RDS writes one sample a minute, so in a period of a minute the average is the value itself.
    "rds": Preset(
        RDS,
        _wanted(
            _DB,
            "Average",
            "CPUUtilization FreeableMemory FreeStorageSpace DatabaseConnections ReadIOPS WriteIOPS ReadLatency "
            "WriteLatency DiskQueueDepth CPUCreditBalance TransactionLogsDiskUsage ReplicaLag BurstBalance "
            "MaximumUsedTransactionIDs",
        ),
        tagged={_DB: Tagged("rds:db")},
    ),
    # Everything else about a host is node_exporter's, free and without delay.
    "ec2": Preset(
        EC2,
        _wanted("InstanceId", "Maximum", "StatusCheckFailed_Instance StatusCheckFailed_System")
        + _wanted("InstanceId", "Average", "CPUCreditBalance"),
        tagged={"InstanceId": Tagged("ec2:instance")},
    ),
    "alb": Preset(
        ALB,
        (
            *_wanted(
                "LoadBalancer",
                "Sum",
                "RequestCount HTTPCode_ELB_5XX_Count HTTPCode_Target_5XX_Count HTTPCode_Target_4XX_Count "
                "RejectedConnectionCount TargetConnectionErrorCount",
            ),
            Wanted("TargetResponseTime", ("LoadBalancer",), percentiles=("p95", "p99")),
            *_wanted("TargetGroup LoadBalancer", "Average Minimum Maximum", "HealthyHostCount UnHealthyHostCount"),
        ),
        tagged={
            "LoadBalancer": Tagged("elasticloadbalancing:loadbalancer"),
            "TargetGroup": Tagged("elasticloadbalancing:targetgroup", "(targetgroup/.*)$"),
        },
    ),
    "wafv2": Preset(
        WAF,
        _wanted("Region Rule WebACL", "Sum", _WAF_REQUESTS),
        select={"Region": (REGION,), "Rule": ("ALL",)},
        tagged={"WebACL": Tagged("wafv2:regional/webacl", "([^/]+)/[^/]+$")},
    ),
    "wafv2_cloudfront": Preset(
        WAF,
        _wanted("Rule WebACL", "Sum", _WAF_REQUESTS),
        select={"Rule": ("ALL",)},
        tagged={"WebACL": Tagged("wafv2:global/webacl", "([^/]+)/[^/]+$")},
        region=GLOBAL_REGION,
    ),
    "cloudfront": Preset(
        CLOUDFRONT,
        _wanted("DistributionId Region", "Sum", "Requests BytesDownloaded")
        + _wanted("DistributionId Region", "Average", "4xxErrorRate 5xxErrorRate"),
        select={"Region": (GLOBAL_VALUE,)},
        tagged={"DistributionId": Tagged("cloudfront:distribution")},
        region=GLOBAL_REGION,
    ),
    # AWS publishes these only where "additional metrics" are turned on, for money, distribution by distribution.
    "cloudfront_additional": Preset(
        CLOUDFRONT,
        (
            *_wanted("DistributionId Region", "Average", "CacheHitRate"),
            Wanted("OriginLatency", ("DistributionId", "Region"), percentiles=("p95", "p99")),
        ),
        select={"Region": (GLOBAL_VALUE,)},
        tagged={"DistributionId": Tagged("cloudfront:distribution")},
        region=GLOBAL_REGION,
    ),
}
