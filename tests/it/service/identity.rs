//! Who may call what: credentials of each kind, over TLS where they need it, and the policy.

use std::path::Path;

use futures::StreamExt;
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rowlift::config::Config;
use rowlift::config::identity::{Identity, IdentityKind};
use rowlift::proto::import_request::Payload;
use rowlift::proto::import_service_client::ImportServiceClient;
use rowlift::proto::{
    CancelImportRequest, GetImportRequest, GetTableRequest, ListImportsRequest, ListTablesRequest,
};
use sha2::{Digest, Sha256};
use tonic::client::Grpc;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::service::PEOPLE;
use crate::support::service::{Service, finish, import_request, request, rows, rows_header};
use crate::support::waits::eventually;

pub(crate) const SHOP: &str = "shop-token";
const OTHER: &str = "other-token";
const AUDIT: &str = "audit-token";

const POLICY: &str = r#"
[[callers]]
principals = ["shop", "spiffe://mesh/ns/shop/*"]
owner = "shop"
tables = ["people"]
columns = ["name", "age"]
verbs = ["import", "read", "cancel"]
imports_max = 1

[[callers]]
principals = ["other"]
owner = "other"
tables = ["things"]
verbs = ["import", "read", "cancel"]

[[callers]]
principals = ["audit"]
owner = "shop"
tables = ["*.*"]
verbs = ["read"]
"#;

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn tokens_file(folder: &Path) -> std::path::PathBuf {
    let line = |(principal, token): (&str, &str)| {
        let hash = Sha256::digest(token.as_bytes());
        let hex = hash
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        format!("{principal} sha256:{hex}\n")
    };
    let all = [
        ("shop", SHOP),
        ("other", OTHER),
        ("audit", AUDIT),
        ("nobody", "stray-token"),
    ];
    write(folder, "tokens", &all.map(line).concat())
}

fn by_token(folder: &Path) -> impl FnOnce(&mut Config) + use<> {
    by_token_with(folder, str::to_owned)
}

/// The same with another policy.
pub(crate) fn by_token_with<F>(folder: &Path, policy: F) -> impl FnOnce(&mut Config) + use<F>
where
    F: FnOnce(&str) -> String,
{
    let identity = Identity {
        kind: IdentityKind::Token,
        policy_file: Some(write(folder, "policy.toml", &policy(POLICY))),
        tokens_file: Some(tokens_file(folder)),
        ..Identity::default()
    };
    |config| config.identity = identity
}

pub(crate) fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// The methods of the contract, as the service's reflection names them.
async fn methods(channel: &Channel) -> Vec<String> {
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(
            "rowlift.v1.ImportService".to_owned(),
        )),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let answers = client.server_reflection_info(futures::stream::iter([ask]));
    let mut answers = answers.await.unwrap().into_inner();
    let answer = answers.next().await.unwrap().unwrap();
    let Some(MessageResponse::FileDescriptorResponse(files)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let mut names = Vec::new();
    for file in files.file_descriptor_proto {
        let file = prost_types::FileDescriptorProto::decode(file.as_slice()).unwrap();
        for service in file.service {
            let methods = service.method.iter();
            let prefix = format!("/{}.{}", file.package.clone().unwrap(), service.name());
            names.extend(methods.map(|method| format!("{prefix}/{}", method.name())));
        }
    }
    assert!(names.len() >= 14, "{names:?}");
    names
}

/// The status of a call of any method, with these headers.
async fn call(channel: &Channel, path: &str, headers: &[(&str, &str)]) -> Status {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(futures::stream::iter([()]));
    for (name, value) in headers {
        let name: tonic::metadata::MetadataKey<_> = name.parse().unwrap();
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    let path = path.parse().unwrap();
    let codec = ProstCodec::<(), ()>::default();
    match grpc.streaming(request, path, codec).await {
        Err(status) => status,
        Ok(response) => {
            let mut messages = response.into_inner();
            while let Some(message) = messages.next().await {
                if let Err(status) = message {
                    return status;
                }
            }
            Status::ok("")
        }
    }
}

async fn channel(service: &Service) -> Channel {
    let uri = format!("http://{}", service.app.addr());
    Endpoint::from_shared(uri).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_needs_credentials_and_leave() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::sqlite_with(PEOPLE, by_token(folder.path())).await;
    let channel = channel(&service).await;
    for path in methods(&channel).await {
        let spoofed = ("x-forwarded-client-cert", "URI=spiffe://mesh/ns/shop/a");
        for headers in [
            &[][..],
            &[("authorization", "Bearer wrong")],
            &[("authorization", "Basic c2hvcDp4")],
            &[spoofed],
        ] {
            let status = call(&channel, &path, headers).await;
            assert_eq!(
                status.code(),
                Code::Unauthenticated,
                "{path} {headers:?}: {status:?}"
            );
        }
        let stray = [("authorization", "Bearer stray-token")];
        let status = call(&channel, &path, &stray).await;
        assert_eq!(status.code(), Code::PermissionDenied, "{path}: {status:?}");
    }
    let unknown = "/rowlift.v1.ImportService/Unknown";
    let known = [("authorization", "Bearer shop-token")];
    assert_eq!(
        call(&channel, unknown, &known).await.code(),
        Code::PermissionDenied
    );
    let mut health = HealthClient::new(channel);
    health.check(HealthCheckRequest::default()).await.unwrap();
    service.stop().await;
}

async fn import_as(service: &Service, token: &str, id: &str, table: &str) -> Option<Status> {
    let header = Payload::Header(rows_header(id, table, &["name"]));
    let messages = vec![header, rows(&[&[Some("Ann")]]), finish()];
    let stream = futures::stream::iter(messages.into_iter().map(request));
    let ended = import_request(&mut service.client.clone(), with_token(token, stream)).await;
    ended.status
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_see_their_own_imports_tables_and_columns() {
    let folder = tempfile::tempdir().unwrap();
    let schema = format!("{PEOPLE}; create table things (name text)");
    let service = Service::sqlite_with(&schema, by_token(folder.path())).await;
    let mut client = service.client.clone();

    assert!(import_as(&service, SHOP, "one", "people").await.is_none());
    let hidden = import_as(&service, SHOP, "two", "things").await.unwrap();
    assert_eq!(hidden.code(), Code::NotFound);
    let denied = import_as(&service, AUDIT, "three", "people").await.unwrap();
    assert_eq!(denied.code(), Code::PermissionDenied);
    // The same id of another owner is another import.
    assert!(import_as(&service, OTHER, "one", "things").await.is_none());

    let ask = |id: &str| GetImportRequest {
        import_id: id.to_owned(),
        ..GetImportRequest::default()
    };
    let of_shop = client
        .get_import(with_token(AUDIT, ask("one")))
        .await
        .unwrap();
    assert_eq!(of_shop.into_inner().job.unwrap().table, "main.people");
    let of_other = client
        .get_import(with_token(OTHER, ask("one")))
        .await
        .unwrap();
    assert_eq!(of_other.into_inner().job.unwrap().table, "main.things");
    let list = with_token(OTHER, ListImportsRequest::default());
    assert_eq!(
        client
            .list_imports(list)
            .await
            .unwrap()
            .into_inner()
            .jobs
            .len(),
        1
    );
    let cancel = CancelImportRequest {
        import_id: "one".to_owned(),
        ..CancelImportRequest::default()
    };
    let denied = client
        .cancel_import(with_token(AUDIT, cancel))
        .await
        .unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);

    let tables = with_token(SHOP, ListTablesRequest::default());
    let tables = client
        .list_tables(tables)
        .await
        .unwrap()
        .into_inner()
        .tables;
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["main.people"]);
    let importable = tables[0].columns.iter().filter(|column| column.importable);
    let importable: Vec<&str> = importable.map(|column| column.name.as_str()).collect();
    assert_eq!(importable, ["name", "age"]);
    let things = GetTableRequest {
        table: "things".to_owned(),
    };
    let hidden = client
        .get_table(with_token(SHOP, things))
        .await
        .unwrap_err();
    assert_eq!(hidden.code(), Code::NotFound);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_has_no_more_imports_at_once_than_its_policy_says() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::sqlite_with(PEOPLE, by_token(folder.path())).await;
    let mut client = service.client.clone();
    let (messages, silent) = tokio::sync::mpsc::channel(1);
    let silent = with_token(SHOP, tokio_stream::wrappers::ReceiverStream::new(silent));
    let held = client.import(silent).await.unwrap();
    let refused = import_as(&service, SHOP, "second", "people").await.unwrap();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    drop((messages, held));
    eventually("the place is free again", async || {
        import_as(&service, SHOP, "third", "people").await.is_none()
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_holds_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::sqlite_with(PEOPLE, by_token(folder.path())).await;
    assert!(
        import_as(&service, SHOP, "before", "people")
            .await
            .is_none()
    );
    let narrower = POLICY.replace("\"import\", \"read\", \"cancel\"", "\"read\"");
    let next = write(folder.path(), "next", &narrower);
    std::fs::rename(next, folder.path().join("policy.toml")).unwrap();
    let mut n_imports = 0;
    eventually("the policy holds", async || {
        n_imports += 1;
        let status = import_as(&service, SHOP, &format!("after-{n_imports}"), "people").await;
        status.is_some_and(|status| status.code() == Code::PermissionDenied)
    })
    .await;
    service.stop().await;
}

/// A certificate authority.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key, PEM, for this name.
fn certificate(ca: &CertifiedIssuer<'static, KeyPair>, name: SanType) -> (String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names.push(name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

async fn tls_channel(service: &Service, tls: ClientTlsConfig) -> Result<Channel, String> {
    let uri = format!("https://{}", service.app.addr());
    let endpoint = Endpoint::from_shared(uri).unwrap().tls_config(tls).unwrap();
    endpoint
        .connect()
        .await
        .map_err(|error| format!("{error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_identify_and_are_replaced_while_serving() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority();
    let (cert, key) = certificate(&ca, dns("rowlift.test"));
    let identity = Identity {
        kind: IdentityKind::Mtls,
        policy_file: Some(write(folder.path(), "policy.toml", POLICY)),
        tls_cert_file: Some(write(folder.path(), "tls.crt", &cert)),
        tls_key_file: Some(write(folder.path(), "tls.key", &key)),
        tls_client_ca_file: Some(write(folder.path(), "ca.crt", &ca.pem())),
        ..Identity::default()
    };
    let service = Service::sqlite_with(PEOPLE, |config| config.identity = identity).await;
    let trusting = |ca: &str| {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .domain_name("rowlift.test")
    };
    let as_client = |ca: &CertifiedIssuer<'static, KeyPair>, uri: &str| {
        let name = SanType::URI(uri.try_into().unwrap());
        let (cert, key) = certificate(ca, name);
        trusting(&service_ca(folder.path()))
            .identity(tonic::transport::Identity::from_pem(cert, key))
    };
    let list = async |channel: Channel| {
        let mut client = ImportServiceClient::new(channel);
        client.list_tables(ListTablesRequest::default()).await
    };

    let shop = as_client(&ca, "spiffe://mesh/ns/shop/web");
    let shop = tls_channel(&service, shop).await.unwrap();
    let tables = list(shop).await.unwrap().into_inner().tables;
    assert_eq!(tables.len(), 1);
    let stranger = as_client(&ca, "spiffe://mesh/ns/stranger/web");
    let stranger = tls_channel(&service, stranger).await.unwrap();
    assert_eq!(
        list(stranger).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    // Without a certificate health answers, and nothing of ours.
    let anonymous = tls_channel(&service, trusting(&ca.pem())).await.unwrap();
    let mut health = HealthClient::new(anonymous.clone());
    health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(
        list(anonymous).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    // A certificate of somebody else's authority does not get through the handshake.
    let forged = as_client(&authority(), "spiffe://mesh/ns/shop/web");
    let refused = match tls_channel(&service, forged).await {
        Err(_) => true,
        Ok(channel) => list(channel).await.is_err(),
    };
    assert!(refused);

    // A new authority, certificate and key, in the places of the old.
    let next = authority();
    let (cert, key) = certificate(&next, dns("rowlift.test"));
    for (name, text) in [("tls.crt", cert), ("tls.key", key), ("ca.crt", next.pem())] {
        let from = write(folder.path(), "next", &text);
        std::fs::rename(from, folder.path().join(name)).unwrap();
    }
    eventually("the new certificate is shown", async || {
        let client = as_client(&next, "spiffe://mesh/ns/shop/web");
        match tls_channel(&service, client).await {
            Ok(channel) => list(channel).await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    service.stop().await;
}

/// The authority that vouches for the service now.
fn service_ca(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("ca.crt")).unwrap()
}
