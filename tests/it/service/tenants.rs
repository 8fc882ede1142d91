//! Tenants and labels: set once, then a filter and a scope.

use futures::StreamExt;
use rowlift::proto::import_request::Payload;
use rowlift::proto::{self, State};
use tonic::{Code, Status};

use crate::service::PEOPLE;
use crate::support::service::{Service, file_header, file_messages, finish, rows, rows_header};

async fn start() -> Service {
    let service = Service::sqlite(PEOPLE).await;
    for (id, tenant, team) in [("a", "acme", "x"), ("b", "acme", "y"), ("c", "", "x")] {
        let mut header = file_header(id, "people");
        tenant.clone_into(&mut header.tenant);
        header.labels.insert("team".to_owned(), team.to_owned());
        let data = format!("name,age\n{id},1\n,2\n");
        service
            .import(file_messages(header, data.as_bytes()))
            .await
            .ok();
    }
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_name_another_tenant_find_nothing() {
    let service = start().await;
    let id = || "a".to_owned();
    for (tenant, found) in [("acme", true), ("", true), ("evil", false), ("ACME", false)] {
        let tenant = || tenant.to_owned();
        let mut client = service.client.clone();
        let get = proto::GetImportRequest {
            import_id: id(),
            tenant: tenant(),
        };
        let rejects = proto::ListRejectedRowsRequest {
            import_id: id(),
            tenant: tenant(),
            ..Default::default()
        };
        let watch = proto::WatchImportRequest {
            import_id: id(),
            tenant: tenant(),
            ..Default::default()
        };
        let delete = proto::DeleteImportRequest {
            import_id: id(),
            tenant: tenant(),
        };
        let answers: [Result<(), Status>; 4] = [
            client.get_import(get).await.map(|_| ()),
            client.list_rejected_rows(rejects).await.map(|_| ()),
            match client.watch_import(watch).await {
                Ok(stream) => stream.into_inner().next().await.unwrap().map(|_| ()),
                Err(status) => Err(status),
            },
            client.delete_import(delete).await.map(|_| ()),
        ];
        for answer in answers {
            match answer {
                Ok(()) => assert!(found),
                Err(status) => {
                    assert!(!found, "{status:?}");
                    assert_eq!(status.code(), Code::NotFound);
                }
            }
        }
        // A cancel that is let through finds an import that has succeeded.
        let cancel = proto::CancelImportRequest {
            import_id: id(),
            tenant: tenant(),
            ..Default::default()
        };
        let wanted = if found {
            Code::FailedPrecondition
        } else {
            Code::NotFound
        };
        let status = client.cancel_import(cancel).await.unwrap_err();
        assert_eq!(status.code(), wanted);
    }
    assert_eq!(service.job("a").await.tenant, "acme");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_for_another_tenant_stops_nothing() {
    let service = Service::sqlite(PEOPLE).await;
    let mut header = rows_header("half", "people", &["name"]);
    "acme".clone_into(&mut header.tenant);
    let cut = vec![Payload::Header(header.clone()), rows(&[&[Some("Ann")]])];
    service.import(cut).await;
    let cancel = |tenant: &str| proto::CancelImportRequest {
        import_id: "half".to_owned(),
        tenant: tenant.to_owned(),
        ..Default::default()
    };
    let mut client = service.client.clone();
    let refused = client.cancel_import(cancel("evil")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(service.job("half").await.state(), State::Suspended);
    // A resume is a call like any other; it need not repeat the tenant.
    header.resume = true;
    for (tenant, found) in [("evil", false), ("", true)] {
        tenant.clone_into(&mut header.tenant);
        let mut again = rows(&[&[Some("Ann")]]);
        if let Payload::Rows(batch) = &mut again {
            batch.offset = Some(0);
        }
        let messages = vec![Payload::Header(header.clone()), again, finish()];
        let ended = service.import(messages).await;
        if found {
            assert_eq!(ended.ok().inserted_row_count, 1);
        } else {
            let wanted = (Code::NotFound, "IMPORT_NOT_FOUND".to_owned());
            assert_eq!(ended.refusal(), wanted);
        }
    }
    assert_eq!(service.job("half").await.tenant, "acme");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenant_and_labels_filter_the_list() {
    let service = start().await;
    let rows = proto::ImportRowsRequest {
        import_id: "d".to_owned(),
        table: "people".to_owned(),
        column_names: vec!["name".to_owned()],
        rows: vec![proto::Row {
            values: vec![proto::Value {
                kind: Some(proto::value::Kind::StringValue("Di".to_owned())),
            }],
            ..Default::default()
        }],
        tenant: "acme".to_owned(),
        ..Default::default()
    };
    let mut client = service.client.clone();
    client.import_rows(rows.clone()).await.unwrap();
    let other = proto::ImportRowsRequest {
        tenant: "evil".to_owned(),
        ..rows
    };
    let refused = client.import_rows(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    for (tenant, team, wanted) in [
        ("", None, "d c b a"),
        ("acme", None, "d b a"),
        ("acme", Some("x"), "a"),
        ("", Some("x"), "c a"),
        ("evil", None, ""),
    ] {
        let mut ids: Vec<String> = Vec::new();
        let mut request = proto::ListImportsRequest {
            page_size: 1,
            tenant: tenant.to_owned(),
            ..Default::default()
        };
        if let Some(team) = team {
            request.labels.insert("team".to_owned(), team.to_owned());
        }
        loop {
            let page = client.list_imports(request.clone()).await.unwrap();
            let page = page.into_inner();
            ids.extend(page.jobs.into_iter().map(|job| job.import_id));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(ids.join(" "), wanted, "{tenant:?} {team:?}");
    }
    // A page belongs to its tenant.
    let first = proto::ListImportsRequest {
        page_size: 1,
        tenant: "acme".to_owned(),
        ..Default::default()
    };
    let token = client.list_imports(first.clone()).await.unwrap();
    let stolen = proto::ListImportsRequest {
        page_token: token.into_inner().next_page_token,
        tenant: "evil".to_owned(),
        ..first
    };
    let refused = client.list_imports(stolen).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    service.stop().await;
}
