"""Who a caller is when Envoy says so: certificates, and headers that callers make up."""

import datetime
import os
import tempfile
import unittest

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from callers import verdict
from proxy import Envoy, downstream_tls, listener
from rowlift.v1 import import_service_pb2 as pb
from rowlift.v1 import import_service_pb2_grpc as rpc
from service import Postgres, Service, messages, result_of, wait_until_serving

SHOP = "spiffe://mesh/ns/shop/sa/importer"
ADMIN = "spiffe://mesh/ns/ops/sa/admin"
STRANGER = "spiffe://mesh/ns/else/sa/where"
# As an Istio sidecar does it: it has an address of its own.
PROXY = "127.0.0.6"
POLICY = f"""
[[callers]]
principals = ["{SHOP}"]
owner = "shop"
tables = ["people"]
verbs = ["import", "read"]

[[callers]]
principals = ["{ADMIN}"]
owner = "ops"
tables = ["*.*"]
verbs = ["import", "read", "inspect", "cancel", "delete"]
"""
# What a caller may claim to be the admin, also by swallowing what the proxy appends.
SPOOFED = [
    f"URI={ADMIN}",
    f"By=spiffe://mesh/x;Hash=ab;Subject=\"\";URI={ADMIN}",
    f"URI={ADMIN},URI={ADMIN}",
    f"URI={ADMIN};Subject=\"",
    f"URI={ADMIN};Subject=\"\\",
    f"URI={ADMIN};Subject=\"\"\"",
]
XFCC = "x-forwarded-client-cert"
KEY = ec.SECP256R1()


class Authority:
    """A CA whose certificate, and that of the proxy, lie in a folder as PEM."""

    def __init__(self, folder):
        self.key = ec.generate_private_key(KEY)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        certificate = self._builder(self.name, self.key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = pem(certificate.sign(self.key, hashes.SHA256()))
        chain, key = self.issue(x509.DNSName("localhost"), "proxy")
        for name, data in (("ca.crt", self.pem), ("proxy.crt", chain), ("proxy.key", key)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)

    def issue(self, san, common_name):
        """A certificate with this name, and its key."""
        key = ec.generate_private_key(KEY)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = self._builder(subject, key.public_key()).add_extension(
            x509.SubjectAlternativeName([san]), critical=False).sign(self.key, hashes.SHA256())
        return pem(certificate), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption())

    def _builder(self, subject, public_key):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
                .public_key(public_key).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(hours=1)))


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def methods():
    """Every method of the contract, by its path."""
    service = pb.DESCRIPTOR.services_by_name["ImportService"]
    return [f"/{service.full_name}/{method.name}" for method in service.methods]


class XfccTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="rowlift-xfcc-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.authority = Authority(cls.folder.name)
        policy = os.path.join(cls.folder.name, "policy.toml")
        with open(policy, "w", encoding="utf-8") as file:
            file.write(POLICY)
        cls.database = Postgres()
        cls.addClassCleanup(cls.database.drop)
        cls.database.query("create table people (name text); create table secrets (name text)")
        cls.service = Service(
            cls.database.url, ['tables = [{name = "people"}, {name = "secrets"}]'],
            identity="xfcc", trusted_proxies=f"{PROXY}/32", policy_file=policy)
        cls.addClassCleanup(cls.service.stop)
        wait_until_serving(cls.service)
        # Istio's choice of details, and all that there are.
        details = {"subject": True, "uri": True, "dns": True}
        ways = {
            name: listener(tls=downstream_tls(cls.folder.name),
                           forward_client_cert_details=name.upper(),
                           set_current_client_cert_details=details)
            for name in ("append_forward", "sanitize_set")}
        cls.envoy = Envoy([cls.service.address], ways, source=PROXY)
        cls.addClassCleanup(cls.envoy.stop)

    def channel(self, way, uri, common_name="caller"):
        """A connection through the proxy with a certificate of this name."""
        chain, key = self.authority.issue(x509.UniformResourceIdentifier(uri), common_name)
        credentials = grpc.ssl_channel_credentials(self.authority.pem, key, chain)
        port = self.envoy.address(way).rsplit(":", 1)[1]
        return grpc.secure_channel(f"localhost:{port}", credentials)

    def refused_in_every_method(self, channel, metadata, code, reason):
        for method in methods():
            call = channel.stream_stream(method)(iter([b""]), metadata=metadata, timeout=30)
            with self.assertRaises(grpc.RpcError, msg=method) as caught:
                list(call)
            self.assertEqual(caught.exception.code(), code, method)
            self.assertEqual(verdict(caught.exception), reason, method)

    def test_a_caller_is_who_its_certificate_says_whatever_it_sends(self):
        # Their own subject may hold quotes too, which a proxy writes as they are escaped.
        names = ["caller", 'quo"ted', 'back\\slash', 'a\\"']
        for way in ("append_forward", "sanitize_set"):
            for n_name, name in enumerate(names):
                with self.channel(way, SHOP, name) as channel:
                    stub = rpc.ImportServiceStub(channel)
                    for n, spoofed in enumerate([None, *SPOOFED]):
                        metadata = [(XFCC, spoofed)] if spoofed else []
                        listed = stub.ListTables(pb.ListTablesRequest(), metadata=metadata,
                                                 timeout=30)
                        self.assertEqual([it.name for it in listed.tables],
                                         ["public.people"], spoofed)
                        if n_name == 0:
                            self.imports_as_shop(stub, f"{way}-{n}".replace("_", "-"), metadata)
        owners = self.database.query("select distinct owner from rowlift.imports")
        self.assertEqual(owners, "shop")

    def imports_as_shop(self, stub, import_id, metadata):
        header = pb.ImportHeader(import_id=import_id, table="people",
                                 row_source=pb.RowSource(column_names=["name"]))
        row = pb.Row(values=[pb.Value(string_value=import_id)])
        payloads = [pb.ImportRequest(rows=pb.RowBatch(rows=[row]))]
        events = list(stub.Import(messages(header, payloads), metadata=metadata, timeout=60))
        self.assertEqual(result_of(events).stats.inserted_row_count, 1)

    def test_a_stranger_s_claim_opens_no_method(self):
        for way in ("append_forward", "sanitize_set"):
            with self.channel(way, STRANGER) as channel:
                for spoofed in SPOOFED:
                    self.refused_in_every_method(channel, [(XFCC, spoofed)],
                                                 grpc.StatusCode.PERMISSION_DENIED,
                                                 "PERMISSION_DENIED")

    def test_who_comes_past_the_proxy_is_refused_in_every_method(self):
        with grpc.insecure_channel(self.service.address) as channel:
            for metadata in ([], [(XFCC, f"URI={SHOP}")], [(XFCC, f"URI={ADMIN}")]):
                self.refused_in_every_method(channel, metadata,
                                             grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


if __name__ == "__main__":
    unittest.main()
