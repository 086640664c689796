"""Each way in which an exporter can be led to the CloudWatch of the tests, with the SDK for which it works."""

from __future__ import annotations

import datetime
import io
import json
import subprocess
import sys
from pathlib import Path

import boto3
import cbor2
import pytest
from cloudwatch import DATABASE, EDGE_REGION, HOME_REGION, REPLICA, Call, Translator, from_cbor, to_cbor
from cloudwatch_jar import exporter

ASKS = {
    "region": HOME_REGION,
    "metrics": [
        {
            "aws_namespace": "AWS/RDS",
            "aws_metric_name": "FreeStorageSpace",
            "aws_dimensions": ["DBInstanceIdentifier"],
            "aws_statistics": ["Average"],
        },
        {
            "aws_namespace": "AWS/ApplicationELB",
            "aws_metric_name": "TargetResponseTime",
            "aws_dimensions": ["LoadBalancer"],
            "aws_extended_statistics": ["p95", "p99"],
        },
        {
            "aws_namespace": "AWS/RDS",
            "aws_metric_name": "CPUUtilization",
            "aws_dimensions": ["DBInstanceIdentifier"],
            "aws_statistics": ["Minimum", "Average"],
            "use_get_metric_data": True,
        },
    ],
}


def prove(found, calls, protocol):
    """All three calls were made, in the *protocol*, and what they brought is what was fed."""
    assert found.error == 0
    assert {call.action for call in calls} == {"ListMetrics", "GetMetricStatistics", "GetMetricData"}
    assert {(call.protocol, call.region) for call in calls} == {(protocol, HOME_REGION)}
    space = found.of("aws_rds_free_storage_space_average")
    assert {one.label("dbinstance_identifier"): one.value for one in space} == dict.fromkeys(
        (DATABASE, REPLICA), 37.25 * 1024**3
    )
    # CloudWatch's own times: whole minutes, at least the delay of ten minutes ago.
    now = datetime.datetime.now(datetime.timezone.utc).timestamp()
    for one in found.samples:
        if one.name.startswith("aws_"):
            assert one.timestamp % 60_000 == 0
            assert 600 <= now - one.timestamp / 1000 < 1260
    assert found.value("aws_applicationelb_target_response_time_p95") == 0.95
    assert found.value("aws_applicationelb_target_response_time_p99") == 0.99
    assert found.value("aws_rds_cpuutilization_minimum", dbinstance_identifier=DATABASE) == 41.5


def test_the_tunnel_leads_the_released_jar(jar, jar_sdk, aws, tmp_path):
    with exporter(jar, tmp_path, ASKS, aws) as running, aws.asked() as calls:
        found = running.scrape()
    prove(found, calls, "cbor" if jar_sdk >= [2, 40, 6] else "query")


def test_the_endpoint_variable_leads_an_sdk_since_2_28_1_only(jar, jar_sdk, aws, tmp_path):
    more = {"options": [], "environment": aws.endpoint_environment}
    with exporter(jar, tmp_path, ASKS, aws, **more) as running, aws.asked() as calls:
        found = running.scrape()
    if jar_sdk >= [2, 28, 1]:
        prove(found, calls, "cbor")
    else:
        assert (found.error, found.families, calls) == (1, [], [])
        assert "UnknownHostException" in running.said


def test_javas_setting_for_https_proxies_leads_nowhere(jar, jar_sdk, aws, tmp_path):
    options = [one.replace("-Dhttp.proxy", "-Dhttps.proxy") for one in aws.proxy_options]
    with exporter(jar, tmp_path, ASKS, aws, options=options) as running, aws.asked() as calls:
        found = running.scrape()
    assert (found.error, calls) == (1, [])


@pytest.mark.parametrize("way", ["tunnel", "endpoint"])
def test_both_ways_lead_a_newer_sdk_which_speaks_cbor(jar, newer_sdk, aws, tmp_path, way):
    more = {} if way == "tunnel" else {"options": [], "environment": aws.endpoint_environment}
    with exporter(jar, tmp_path, ASKS, aws, sdk=newer_sdk, **more) as running, aws.asked() as calls:
        found = running.scrape()
    prove(found, calls, "cbor")


def test_it_runs_alone_for_exporters_elsewhere_and_ends_by_itself(tmp_path):
    script = Path(__file__).with_name("cloudwatch.py")
    argv = [sys.executable, script, "--folder", tmp_path, "--seconds", "10"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        said = json.loads(process.stdout.readline())
        seen = boto3.client(
            "cloudwatch",
            region_name=EDGE_REGION,
            endpoint_url=said["environment"]["AWS_ENDPOINT_URL"],
            aws_access_key_id=said["environment"]["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=said["environment"]["AWS_SECRET_ACCESS_KEY"],
        ).list_metrics(Namespace="AWS/CloudFront")
        assert process.wait(timeout=60) == 0
    assert len(seen["Metrics"]) == 4
    [store] = [one.partition("=")[2] for one in said["java"] if one.startswith("-Djavax.net.ssl.trustStore=")]
    assert Path(store).is_file()


# -- the translation by itself -------------------------------------------------------------------------------------


def test_times_are_numbers_in_json_and_tagged_in_cbor():
    noon = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.timezone.utc)
    sent = json.loads(from_cbor(cbor2.dumps({"StartTime": noon, "Period": 60})))
    assert sent == {"StartTime": 1767355200.0, "Period": 60}
    answer = {"Datapoints": [{"Timestamp": 1767355200, "Average": 1.5}], "MetricDataResults": [{"Timestamps": [1.5]}]}
    found = cbor2.loads(to_cbor(json.dumps(answer).encode()))
    assert found["Datapoints"] == [{"Timestamp": noon, "Average": 1.5}]
    assert found["MetricDataResults"][0]["Timestamps"][0].timestamp() == 1.5
    assert json.loads(from_cbor(b"")) == cbor2.loads(to_cbor(b"")) == {}


def test_what_no_request_has_is_an_error():
    with pytest.raises(TypeError, match="not expected in a request"):
        from_cbor(cbor2.dumps({"Period": b"60"}))


def test_an_answer_that_is_an_error_stays_one():
    calls = []

    def refuses(environ, start_response):
        assert environ["HTTP_X_AMZ_TARGET"] == "GraniteServiceVersion20100801.ListMetrics"
        assert json.loads(environ["wsgi.input"].read()) == {"Namespace": "AWS/RDS"}
        start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.0")])
        return [b'{"__type": "InvalidParameterValue", "message": "no"}']

    said = {}
    body = cbor2.dumps({"Namespace": "AWS/RDS"})
    environ = {
        "PATH_INFO": "/service/GraniteServiceVersion20100801/operation/ListMetrics",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=AKIA/20260102/sa-east-1/monitoring/aws4_request, Signed",
        "wsgi.input": io.BytesIO(body),
    }
    answer = Translator(refuses, calls)(
        environ, lambda status, headers: said.update(status=status, headers=dict(headers))
    )
    assert cbor2.loads(b"".join(answer)) == {"__type": "InvalidParameterValue", "message": "no"}
    assert said["status"] == "400 Bad Request"
    assert said["headers"]["smithy-protocol"] == "rpc-v2-cbor"
    assert calls == [Call("ListMetrics", HOME_REGION, "cbor", 400)]
