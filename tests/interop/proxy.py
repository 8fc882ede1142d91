"""A running Envoy before one or more services, as a mesh or a gateway would configure it."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

START_SECONDS_MAX = 30
API = "type.googleapis.com/envoy.extensions"
HEALTH = "rowlift.v1.ImportService"
# What Istio sends again, and how often, unless told otherwise.
ISTIO_RETRIES = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "retriable_status_codes": [503],
    "retry_host_predicate": [{
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {"@type": f"{API}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
    }],
    "host_selection_retry_max_attempts": 5,
}


def listener(timeout="0s", retries=None, **connection):
    """A way in: bounds of the route, and settings of the connection manager."""
    route = {"cluster": "rowlift", "timeout": timeout}
    if retries:
        route["retry_policy"] = retries
    tls = connection.pop("tls", None)
    manager = {
        "@type": f"{API}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "grpc",
        "codec_type": "HTTP2",
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": route}]}]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": f"{API}.filters.http.router.v3.Router"}}],
        **connection,
    }
    chain = {"filters": [{
        "name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if tls:
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    return {"address": socket("127.0.0.1:0"), "filter_chains": [chain]}


def downstream_tls(folder):
    """Callers must show a certificate of the CA in the folder."""
    return {
        "@type": f"{API}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificates": [{
                "certificate_chain": {"filename": os.path.join(folder, "proxy.crt")},
                "private_key": {"filename": os.path.join(folder, "proxy.key")}}],
            "validation_context": {"trusted_ca": {"filename": os.path.join(folder, "ca.crt")}},
        },
    }


def socket(address):
    host, port = address.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}


class Envoy:
    """Envoy with named ways in to the services at these addresses.

    The services are asked for their health all the time, and those that do not serve get no calls.
    """

    def __init__(self, addresses, listeners, lb_policy="LEAST_REQUEST", source=None):
        self.folder = tempfile.TemporaryDirectory(prefix="rowlift-envoy-")
        config = {
            "admin": {"address": socket("127.0.0.1:0")},
            "static_resources": {
                "listeners": [{"name": name, **it} for name, it in listeners.items()],
                "clusters": [cluster(addresses, lb_policy, source)],
            },
        }
        with open(self._path("envoy.json"), "w", encoding="utf-8") as file:
            json.dump(config, file, indent=1)
        self.process = subprocess.Popen([
            os.path.join(sys.prefix, "bin", "envoy"), "-c", self._path("envoy.json"),
            "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
            "--admin-address-path", self._path("admin"), "--log-path", self._path("log")])
        try:
            self.admin = self._wait_for("its admin port", lambda: self._read("admin"))
            self._listeners = self._wait_for("its listeners", lambda: self._addresses(listeners))
            self._wait_for("healthy services", lambda: self.n_healthy() == len(addresses))
        except BaseException:
            self.stop()
            raise

    def address(self, name):
        """Where a way in is."""
        return self._listeners[name]

    def stat(self, name):
        """A counter or gauge by its whole name."""
        for line in self._ask(f"/stats?filter=^{name}$").splitlines():
            return int(line.rsplit(": ", 1)[1])
        return 0

    def n_healthy(self):
        """Services that get calls."""
        return self.stat("cluster.rowlift.membership_healthy")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        finally:
            # Nothing, once it has ended.
            self.process.kill()
            self.process.wait()
            self.folder.cleanup()

    def _path(self, name):
        return os.path.join(self.folder.name, name)

    def _read(self, name):
        try:
            with open(self._path(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def _ask(self, path):
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=10) as answer:
            return answer.read().decode()

    def _addresses(self, wanted):
        found = {}
        for it in json.loads(self._ask("/listeners?format=json")).get("listener_statuses", []):
            address = it["local_address"]["socket_address"]
            found[it["name"]] = f"{address['address']}:{address['port_value']}"
        return found if len(found) == len(wanted) else None

    def _wait_for(self, what, look):
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                found = look()
            except (OSError, http.client.HTTPException, ValueError):
                # It is not there yet, or only in part.
                found = None
            if found:
                return found
            ended = self.process.poll() is not None
            if ended or time.monotonic() > until:
                raise AssertionError(f"Envoy lacks {what}: " + self._read("log"))
            time.sleep(0.02)


def cluster(addresses, lb_policy, source):
    """The services behind, asked for their health by gRPC five times a second."""
    http2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    made = {
        "name": "rowlift",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": lb_policy,
        "typed_extension_protocol_options": {http2: {
            "@type": f"type.googleapis.com/{http2}",
            "explicit_http_config": {"http2_protocol_options": {}}}},
        "load_assignment": {"cluster_name": "rowlift", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": socket(it)}} for it in addresses]}]},
        "health_checks": [{
            "timeout": "2s", "interval": "0.2s", "no_traffic_interval": "0.2s",
            "unhealthy_threshold": 1, "healthy_threshold": 1,
            "grpc_health_check": {"service_name": HEALTH}}],
        # None healthy is none, not all.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }
    if source:
        made["upstream_bind_config"] = {"source_address": {"address": source, "port_value": 0}}
    return made
