"""A CloudWatch for tests: moto, spoken to in every way that a released exporter speaks to AWS.

    python tests/cloudwatch/cloudwatch.py --seconds 600 --folder /tmp/cloudwatch

runs it alone, fed with metrics of RDS, EC2, an Application Load Balancer, WAF and CloudFront, prints what an exporter
needs to find it, and ends by itself. tools/cloudwatch runs it beside the local hosts, as a stand-in for AWS.

The AWS SDK in the jar decides how it must be met:

- SDK 2.27.7 (exporter 0.16.0) does not look at AWS_ENDPOINT_URL, and speaks the Query protocol, as moto does.
  It comes through Java's proxy settings (http.proxyHost: the SDK does not look at https.proxyHost), to the tunnel
  below, which ends its TLS with a certificate of an authority made for the test.
- SDK 2.46 (exporter 0.17.0 and later) looks at AWS_ENDPOINT_URL, and speaks CBOR (Smithy RPC v2), which moto does not:
  its requests are turned into JSON, which moto understands, and the answers back.

The tunnel serves both.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import io
import ipaddress
import json
import math
import os
import re
import select
import signal
import socket
import socketserver
import ssl
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import cbor2
import cloudwatch_answers
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from moto.cloudwatch.models import cloudwatch_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

HOME_REGION, EDGE_REGION = "sa-east-1", "us-east-1"
# moto takes any; the exporter's SDK refuses to sign without.
ACCESS_KEY, SECRET_KEY = "AKIATESTTESTTESTTEST", "test-secret"
TRUST_PASSWORD = "changeit"
CBOR_PATH = re.compile(r"/service/GraniteServiceVersion20100801/operation/(\w+)$")
TIMES = {"StartTime", "EndTime", "Timestamp", "Timestamps"}
REGION_OF_SIGNATURE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")
SECONDS = 600
# What the stand-in keeps: the exporter looks back 20 minutes.
KEPT_SECONDS = 3600
DAY = 86400


@dataclass(frozen=True)
class Call:
    """One request that reached us."""

    action: str
    region: str
    protocol: str
    status: int = 200


@dataclass(frozen=True)
class Fed:
    """One metric of one resource, and the values that its samples of a minute have."""

    region: str
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    values: tuple[float, ...]
    unit: str = "None"


def _fed(region: str, namespace: str, dimensions: dict[str, str], values: dict[str, Iterable[float]]) -> list[Fed]:
    return [Fed(region, namespace, name, tuple(dimensions.items()), tuple(samples)) for name, samples in values.items()]


DATABASE, REPLICA = "plano-prod", "plano-prod-replica"
INSTANCE = "i-0123456789abcdef0"
BALANCER = "app/plano-prod/50dc6c495c0c9188"
TARGETS = "targetgroup/plano-backend/943f017f100becff"
WEB_ACL, EDGE_WEB_ACL = "plano-regional", "plano-edge"
DISTRIBUTION = "E2EXAMPLE1PLANO"
GIB = 1024.0**3

_DATABASE = {
    "CPUUtilization": [41.5],
    "FreeableMemory": [2.5 * GIB],
    "FreeStorageSpace": [37.25 * GIB],
    "DatabaseConnections": [23],
    "ReadIOPS": [120.5],
    "WriteIOPS": [80.25],
    "ReadLatency": [0.0007],
    "WriteLatency": [0.0011],
    "DiskQueueDepth": [0.4],
    "CPUCreditBalance": [576],
    "TransactionLogsDiskUsage": [0.5 * GIB],
    "BurstBalance": [99],
    "MaximumUsedTransactionIDs": [123456789],
}
METRICS: tuple[Fed, ...] = (
    *_fed(HOME_REGION, "AWS/RDS", {"DBInstanceIdentifier": DATABASE}, _DATABASE),
    *_fed(HOME_REGION, "AWS/RDS", {"DBInstanceIdentifier": REPLICA}, {**_DATABASE, "ReplicaLag": [1.5]}),
    # RDS also publishes sums over all instances: one dimension fewer, so the exporter must not mix them up.
    *_fed(HOME_REGION, "AWS/RDS", {"EngineName": "postgres"}, {"CPUUtilization": [39]}),
    *_fed(
        HOME_REGION,
        "AWS/EC2",
        {"InstanceId": INSTANCE},
        {"StatusCheckFailed_Instance": [0], "StatusCheckFailed_System": [0], "CPUCreditBalance": [288]},
    ),
    *_fed(
        HOME_REGION,
        "AWS/ApplicationELB",
        {"LoadBalancer": BALANCER},
        {
            "RequestCount": [1] * 60,
            "HTTPCode_ELB_5XX_Count": [1],
            "HTTPCode_Target_5XX_Count": [1] * 2,
            "HTTPCode_Target_4XX_Count": [1] * 5,
            "RejectedConnectionCount": [1],
            "TargetConnectionErrorCount": [1],
            "TargetResponseTime": [index / 100 for index in range(1, 101)],
        },
    ),
    *_fed(
        HOME_REGION,
        "AWS/ApplicationELB",
        {"TargetGroup": TARGETS, "LoadBalancer": BALANCER},
        {"HealthyHostCount": [2, 1], "UnHealthyHostCount": [0, 1]},
    ),
    *_fed(
        HOME_REGION,
        "AWS/WAFV2",
        {"Region": HOME_REGION, "Rule": "ALL", "WebACL": WEB_ACL},
        {"AllowedRequests": [55], "BlockedRequests": [5], "CountedRequests": [1]},
    ),
    *_fed(
        EDGE_REGION,
        "AWS/WAFV2",
        {"Rule": "ALL", "WebACL": EDGE_WEB_ACL},
        {"AllowedRequests": [550], "BlockedRequests": [50], "CountedRequests": [10]},
    ),
    *_fed(
        EDGE_REGION,
        "AWS/CloudFront",
        {"DistributionId": DISTRIBUTION, "Region": "Global"},
        {"Requests": [600], "BytesDownloaded": [7.5e6], "4xxErrorRate": [1.25], "5xxErrorRate": [0.5]},
    ),
)

# What is published while all is well: no alert of ours comes of it.
_WELL: dict[str, tuple[float, ...] | None] = {
    "RequestCount": (1,) * 300,
    "HTTPCode_Target_5XX_Count": (1,),
    "RejectedConnectionCount": None,
    "TargetConnectionErrorCount": None,
    "HealthyHostCount": (2,),
    "UnHealthyHostCount": (0,),
    "BlockedRequests": (5,),
    "TargetResponseTime": tuple(index / 500 for index in range(1, 101)),
}
WELL = tuple(
    replace(item, values=_WELL.get(item.name, item.values)) for item in METRICS if _WELL.get(item.name, ()) is not None
)

# What does not come and go with the load; what shrinks within minutes would be taken to run out.
_STEADY = (
    "BurstBalance",
    "CPUCreditBalance",
    "FreeStorageSpace",
    "FreeableMemory",
    "MaximumUsedTransactionIDs",
    "TransactionLogsDiskUsage",
)


def swung(values: Iterable[float], share: float) -> list[float]:
    """Return what *values* are at this *share* of the usual load: more or fewer ones, and whole numbers stay whole."""
    usual = [float(value) for value in values]
    if set(usual) == {1.0}:
        return [1.0] * max(1, round(len(usual) * share))
    return [float(round(value * share)) if value.is_integer() else value * share for value in usual]


# -- CBOR <-> JSON -------------------------------------------------------------------------------------------------


def from_cbor(body: bytes) -> bytes:
    """Turn a request's body from CBOR into JSON, in which a time is a number of seconds."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime.datetime):
            return value.timestamp()
        raise TypeError(f"{value!r} is not expected in a request")

    return json.dumps(cbor2.loads(body) if body else {}, default=plain).encode()


def to_cbor(body: bytes) -> bytes:
    """Turn an answer's body from JSON into CBOR, in which a time is tagged as one."""

    def tagged(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: tagged(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [tagged(item, name) for item in value]
        if name in TIMES and isinstance(value, (int, float)):
            return cbor2.CBORTag(1, value)
        return value

    return cbor2.dumps(tagged(json.loads(body or b"{}")))


class Translator:
    """A WSGI application before moto's: it notes every request and translates those that are CBOR."""

    def __init__(self, application: Callable[..., Iterable[bytes]], calls: list[Call]) -> None:
        self.application = application
        self.calls = calls

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        named = CBOR_PATH.match(environ["PATH_INFO"])
        answer: dict[str, Any] = {}

        def remember(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            answer.update(status=status, headers=headers)

        # The answer's head comes with the first part of its body, at the latest.
        received = b"".join(self.application(self._plain(environ, body, named), remember))
        self._note(environ, body, named, int(answer["status"].split()[0]))
        if named is None:
            start_response(answer["status"], answer["headers"])
            return [received]
        shown = to_cbor(received)
        headers = [
            ("Content-Type", "application/cbor"),
            ("smithy-protocol", "rpc-v2-cbor"),
            ("Content-Length", str(len(shown))),
        ]
        start_response(answer["status"], headers)
        return [shown]

    def _plain(self, environ: dict[str, Any], body: bytes, named: re.Match[str] | None) -> dict[str, Any]:
        if named is None:
            return {**environ, "wsgi.input": io.BytesIO(body)}
        sent = from_cbor(body)
        return {
            **environ,
            "PATH_INFO": "/",
            "RAW_URI": "/",
            "REQUEST_URI": "/",
            "CONTENT_TYPE": "application/x-amz-json-1.0",
            "CONTENT_LENGTH": str(len(sent)),
            "HTTP_X_AMZ_TARGET": f"GraniteServiceVersion20100801.{named.group(1)}",
            "wsgi.input": io.BytesIO(sent),
        }

    def _note(self, environ: dict[str, Any], body: bytes, named: re.Match[str] | None, status: int) -> None:
        signed = REGION_OF_SIGNATURE.search(environ.get("HTTP_AUTHORIZATION", ""))
        if signed is None:
            return
        if named:
            action, protocol = named.group(1), "cbor"
        elif environ.get("HTTP_X_AMZ_TARGET"):
            action, protocol = environ["HTTP_X_AMZ_TARGET"].rpartition(".")[2], "json"
        else:
            action, protocol = parse_qs(body.decode()).get("Action", ["?"])[0], "query"
        self.calls.append(Call(action, signed.group(1), protocol, status))


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, kind: str, message: str, *args: Any) -> None:
        if kind == "error":
            super().log(kind, message, *args)


# -- the tunnel ----------------------------------------------------------------------------------------------------


def serving(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def kept(folder: Path) -> ssl.SSLContext | None:
    """Return the certificate of an earlier run while it is good for another day: hosts that trust it need not learn anew."""
    pem = folder / "server.pem"
    if not all((folder / name).is_file() for name in ("server.pem", "authority.pem", "trust.p12")):
        return None
    certificate = x509.load_pem_x509_certificate(pem.read_bytes())
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
    return serving(pem) if left.total_seconds() > DAY else None


def authority(folder: Path, regions: Iterable[str], seconds: float) -> ssl.SSLContext:
    """Make an authority that lives as long as the test, a certificate for AWS's names, and a trust store for Java."""
    now = datetime.datetime.now(datetime.timezone.utc)
    end = now + datetime.timedelta(seconds=seconds + 3600)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "server")}
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plano test authority")])

    def certificate(subject: x509.Name, key: str) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(keys[key].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(end)
        )

    root = (
        certificate(issuer, "authority")
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(keys["authority"], hashes.SHA256())
    )
    names = [f"*.{region}.amazonaws.com" for region in regions]
    leaf = (
        certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aws for tests")]), "server")
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(keys["authority"], hashes.SHA256())
    )
    store = pkcs12.serialize_java_truststore(
        [pkcs12.PKCS12Certificate(root, b"plano")], serialization.BestAvailableEncryption(TRUST_PASSWORD.encode())
    )
    (folder / "trust.p12").write_bytes(store)
    (folder / "authority.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    key = keys["server"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = folder / "server.pem"
    pem.touch(mode=0o600)
    pem.write_bytes(key + leaf.public_bytes(serialization.Encoding.PEM))
    return serving(pem)


class Tunnel(socketserver.ThreadingTCPServer):
    """An HTTP proxy that only knows CONNECT, to names of AWS, and answers for all of them."""

    allow_reuse_address = True
    daemon_threads = True
    context: ssl.SSLContext
    target: tuple[str, int]


class Tunnelled(socketserver.StreamRequestHandler):
    server: Tunnel
    rbufsize = 0
    timeout = 60

    def handle(self) -> None:
        words = self.rfile.readline(1000).split()
        while self.rfile.readline(1000).strip():
            pass
        if len(words) != 3 or words[0] != b"CONNECT" or not re.match(rb"[a-z0-9.-]+\.amazonaws\.com:443$", words[1]):
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        # Whoever hangs up in the middle has what they wanted.
        with contextlib.suppress(OSError):
            client = self.server.context.wrap_socket(self.request, server_side=True)
            with client, socket.create_connection(self.server.target) as inner:
                pump(client, inner)


def pump(client: ssl.SSLSocket, inner: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    while True:
        # What TLS has decrypted already is not readable on the socket any more.
        ready = [client] if client.pending() else select.select([client, inner], [], [], 60)[0]
        if not ready:
            return
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (inner if source is client else client).sendall(data)


# -- the whole -----------------------------------------------------------------------------------------------------


@dataclass
class Cloudwatch:
    """Where it listens, what an exporter needs to find it, and what it was asked."""

    folder: Path
    address: str
    port: int
    proxy_port: int
    calls: list[Call] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def credentials(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def endpoint_environment(self) -> dict[str, str]:
        """For SDK 2.28.1 and later, exporter 0.17.0 and later."""
        return {**self.credentials, "AWS_ENDPOINT_URL": self.url}

    @property
    def proxy_options(self) -> list[str]:
        """Java's options for any SDK: all requests to AWS go through the tunnel, and its authority is trusted."""
        return [
            f"-Dhttp.proxyHost={self.address}",
            f"-Dhttp.proxyPort={self.proxy_port}",
            f"-Djavax.net.ssl.trustStore={self.folder / 'trust.p12'}",
            "-Djavax.net.ssl.trustStoreType=PKCS12",
            f"-Djavax.net.ssl.trustStorePassword={TRUST_PASSWORD}",
        ]

    def client(self, service: str, region: str) -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=20),
        )

    def check_rights(self, checked: bool) -> None:
        """Let moto check the rights of every request from now on, or of none."""
        count = b"0" if checked else b"inf"
        more = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.url}/moto-api/reset-auth", count, more, method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200

    def feed(
        self, metrics: Iterable[Fed] = METRICS, minutes: Iterable[int] = range(30), *, lively: bool = False
    ) -> None:
        """Write one sample of each metric for each of the last *minutes*, counted back from now.

        Where it is *lively* the load swings by a tenth within half an hour.
        """
        now = int(time.time()) // 60 * 60
        stamps = [datetime.datetime.fromtimestamp(now - 60 * minute, datetime.timezone.utc) for minute in minutes]
        batches: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for item in metrics:
            dimensions = [{"Name": name, "Value": value} for name, value in item.dimensions]
            for stamp in stamps:
                swings = lively and item.name not in _STEADY
                share = 1 + 0.1 * math.sin(stamp.timestamp() * math.tau / 1800)
                values = swung(item.values, share) if swings else list(item.values)
                batches.setdefault((item.region, item.namespace), []).append(
                    {
                        "MetricName": item.name,
                        "Dimensions": dimensions,
                        "Timestamp": stamp,
                        "Values": values,
                        "Counts": [1.0] * len(values),
                        "Unit": item.unit,
                    }
                )
        for (region, namespace), data in batches.items():
            client = self.client("cloudwatch", region)
            for start in range(0, len(data), 500):
                client.put_metric_data(Namespace=namespace, MetricData=data[start : start + 500])

    def forget(self, seconds: float = KEPT_SECONDS) -> None:
        """Drop samples, and calls, that nobody asks for any more."""
        del self.calls[:-1000]
        # moto takes the times of some requests without their zone, which is UTC.
        oldest = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - datetime.timedelta(seconds=seconds)
        for regions in cloudwatch_backends.values():
            for backend in regions.values():
                backend.metric_data[:] = [
                    one for one in backend.metric_data if one.timestamp.replace(tzinfo=None) >= oldest
                ]

    @contextlib.contextmanager
    def asked(self) -> Iterator[list[Call]]:
        """Collect the requests that come in while the block runs."""
        found: list[Call] = []
        before = len(self.calls)
        yield found
        found.extend(self.calls[before:])


@contextlib.contextmanager
def cloudwatch(
    folder: Path,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    proxy_port: int = 0,
    regions: Iterable[str] = (HOME_REGION, EDGE_REGION),
    seconds: float = SECONDS,
    keep: bool = False,
) -> Iterator[Cloudwatch]:
    """Run a CloudWatch on *address* while the block runs; port 0 takes a free one. With *keep* a certificate serves again."""
    cloudwatch_answers.install()
    calls: list[Call] = []
    server = make_server(
        address,
        port,
        Translator(DomainDispatcherApplication(create_backend_app), calls),
        threaded=True,
        request_handler=Quiet,
    )
    tunnel = Tunnel((address, proxy_port), Tunnelled)
    tunnel.context = (kept(folder) if keep else None) or authority(folder, regions, seconds)
    tunnel.target = (address, server.server_port)
    threads = [threading.Thread(target=one.serve_forever, daemon=True) for one in (server, tunnel)]
    for thread in threads:
        thread.start()
    try:
        yield Cloudwatch(folder, address, server.server_port, tunnel.server_address[1], calls)
    finally:
        for one in (server, tunnel):
            one.shutdown()
            one.server_close()


def is_mine(address: str) -> bool:
    with socket.socket() as one:
        try:
            one.bind((address, 0))
        except OSError:
            return False
    return True


def only_one(folder: Path) -> bool:
    """Hold the lock of *folder* until this process ends, with its number in it; say whether nobody else does."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return True


def minute() -> int:
    return int(time.time()) // 60


def stand_in(args: argparse.Namespace) -> None:
    """Run beside hosts, for as long as the network exists in which they are: its address is theirs to reach AWS by."""
    address = str(args.address)
    if not only_one(args.folder):
        sys.exit(f"one is running already, its number is in {args.folder / 'lock'}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with cloudwatch(
        args.folder, address=address, port=args.port, proxy_port=args.proxy_port, seconds=90 * DAY, keep=True
    ) as found:
        fed, gone = minute(), 0
        found.feed(WELL, lively=True)
        show(found)
        while gone < 3:
            time.sleep(60 - time.time() % 60)
            # Hosts that restart are away for a moment.
            gone = 0 if is_mine(address) else gone + 1
            now = minute()
            # Each minute once, or its sums would be larger.
            found.feed(WELL, minutes=range(now - fed), lively=True)
            found.forget()
            fed = now


def show(found: Cloudwatch) -> None:
    print(json.dumps({"environment": found.endpoint_environment, "java": found.proxy_options}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the certificate and the trust store")
    parser.add_argument("--address", type=ipaddress.ip_address, default=ipaddress.ip_address("127.0.0.1"))
    parser.add_argument("--port", type=int, default=0, help="for AWS_ENDPOINT_URL")
    parser.add_argument("--proxy-port", type=int, default=0, help="for Java's proxy settings")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="it ends by itself after so long")
    parser.add_argument(
        "--stand-in", action="store_true", help="it ends when its address is gone, and keeps its certificate"
    )
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.stand_in:
        stand_in(args)
        return
    with cloudwatch(
        args.folder, address=str(args.address), port=args.port, proxy_port=args.proxy_port, seconds=args.seconds
    ) as found:
        found.feed()
        show(found)
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            time.sleep(max(0.0, min(60.0, end - time.monotonic())))
            found.feed(minutes=range(2))


if __name__ == "__main__":
    sys.exit(main())
