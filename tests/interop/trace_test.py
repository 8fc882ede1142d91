"""The trace of an import, from a Python client's span through batches to COPY: one tree at a collector."""

import concurrent.futures
import os
import threading
import time
import unittest

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import client_interceptor
from opentelemetry.instrumentation.grpc.grpcext import intercept_channel
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from rowlift.v1 import import_service_pb2 as pb
from rowlift.v1 import import_service_pb2_grpc as rpc
from service import Postgres, Service, chunks, result_of, run_import, wait_until_serving

EXAMPLE = os.path.join(os.path.dirname(__file__), "../../examples/businesses.xlsx")
METHOD = "rowlift.v1.ImportService/Import"
WAIT_SECONDS_MAX = 30


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes OTLP over gRPC and keeps spans, each with the name of the service that made it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.kept = []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"http://127.0.0.1:{port}"
        self.server.start()

    def Export(self, request, context):
        with self.lock:
            for resource in request.resource_spans:
                name = attributes(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    self.kept.extend((name, span) for span in scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self):
        with self.lock:
            return list(self.kept)


def attributes(pairs):
    return {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in pairs}


class TraceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.collector = Collector()
        cls.provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
        exporter = OTLPSpanExporter(endpoint=cls.collector.endpoint, insecure=True)
        cls.provider.add_span_processor(SimpleSpanProcessor(exporter))
        cls.database = Postgres()
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": cls.collector.endpoint,
                       "OTEL_BSP_SCHEDULE_DELAY": "100"}
        cls.service = Service(cls.database.url, ['tables = [{name = "businesses"}]'],
                              environment=environment)
        wait_until_serving(cls.service)

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.provider.shutdown()
        cls.collector.server.stop(None)
        cls.database.drop()

    def import_in_a_trace(self):
        """The id of the trace, and of the caller's own span at its root."""
        channel = intercept_channel(
            self.service.channel, client_interceptor(tracer_provider=self.provider))
        tracer = self.provider.get_tracer("shop.imports")
        header = pb.ImportHeader(import_id="traced", table="businesses", file=pb.FileSource())
        with open(EXAMPLE, "rb") as file, tracer.start_as_current_span("monthly upload") as root:
            events = run_import(rpc.ImportServiceStub(channel), header, chunks(file.read()))
        self.assertEqual(result_of(events).stats.received_row_count, 1000)
        context = root.get_span_context()
        return context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")

    def trace(self, trace_id):
        """All spans of the trace, once the service's outermost one is there, which ends last."""
        until = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < until:
            spans = [(name, it) for name, it in self.collector.spans() if it.trace_id == trace_id]
            kinds = {(name, it.kind) for name, it in spans}
            if {("rowlift", trace_pb2.Span.SPAN_KIND_SERVER),
                    ("shop", trace_pb2.Span.SPAN_KIND_CLIENT)} <= kinds:
                return spans
            time.sleep(0.05)
        raise AssertionError(f"not all spans came: {self.collector.spans()}")

    def test_from_the_callers_span_to_copy_it_is_one_tree(self):
        trace_id, root_id = self.import_in_a_trace()
        spans = self.trace(trace_id)
        by_id = {span.span_id: (name, span) for name, span in spans}
        self.assertEqual(len(by_id), len(spans))
        roots = [span for _, span in spans if not span.parent_span_id]
        self.assertEqual([(it.name, it.span_id) for it in roots], [("monthly upload", root_id)])
        for _, span in spans:
            self.assertEqual(self.chain(by_id, span)[-1][1].span_id, root_id)

        copies = [span for _, span in spans if span.name == "COPY businesses"]
        batches = [span for _, span in spans if span.name == "import.batch"]
        self.assertGreater(len(batches), 1)
        self.assertEqual({it.parent_span_id for it in copies}, {it.span_id for it in batches})
        for copy in copies:
            self.check_chain(self.chain(by_id, copy))
        self.assertEqual(sum(attributes(it.attributes)["rows"] for it in batches), 1000)
        names = {span.name for name, span in spans if name == "rowlift"}
        self.assertLessEqual({"import.admit", "import.receive", "import.decode", "import.commit"},
                             names)

    def chain(self, by_id, span):
        """The span and those around it, innermost first; every parent is there."""
        chain = [by_id[span.span_id]]
        while chain[-1][1].parent_span_id:
            self.assertIn(chain[-1][1].parent_span_id, by_id, chain[-1])
            chain.append(by_id[chain[-1][1].parent_span_id])
        return chain

    def check_chain(self, chain):
        kinds = trace_pb2.Span
        self.assertEqual(
            [(service, span.name.lstrip("/"), span.kind) for service, span in chain],
            [("rowlift", "COPY businesses", kinds.SPAN_KIND_CLIENT),
             ("rowlift", "import.batch", kinds.SPAN_KIND_INTERNAL),
             ("rowlift", METHOD, kinds.SPAN_KIND_SERVER),
             ("shop", METHOD, kinds.SPAN_KIND_CLIENT),
             ("shop", "monthly upload", kinds.SPAN_KIND_INTERNAL)])
        copy, batch, server = (attributes(span.attributes) for _, span in chain[:3])
        self.assertEqual(copy["db.system.name"], "postgresql")
        self.assertEqual(copy["db.operation.name"], "COPY")
        self.assertEqual(copy["db.collection.name"], "public.businesses")
        self.assertGreater(batch["rows"], 0)
        self.assertGreaterEqual(batch["queue_wait"], 0)
        self.assertEqual(server["rpc.system.name"], "grpc")
        self.assertEqual(server["rpc.method"], METHOD)
        self.assertEqual(server["rpc.status_code"], "OK")
        self.assertEqual(server["import.id"], "traced")
        for _, span in chain[1:3]:
            self.assertEqual(span.status.code, trace_pb2.Status.STATUS_CODE_UNSET)


if __name__ == "__main__":
    unittest.main()
