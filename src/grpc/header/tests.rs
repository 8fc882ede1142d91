use super::{import_id, import_spec};
use crate::model::import::Reason;
use crate::proto::{self, import_header::Source};
use crate::session::spec::{DuplicateFile, RejectPolicy};

fn file_header() -> proto::ImportHeader {
    proto::ImportHeader {
        table: "businesses".to_owned(),
        source: Some(Source::File(proto::FileSource::default())),
        ..proto::ImportHeader::default()
    }
}

/// The reason and the path of the first field at fault.
fn refusal(header: proto::ImportHeader) -> (Reason, String) {
    let failure = import_spec(header).expect_err("the header is refused");
    (
        failure.reason,
        failure
            .fields
            .first()
            .map(|(path, _)| path.clone())
            .unwrap_or_default(),
    )
}

#[test]
fn a_plain_header_gets_the_defaults() {
    let spec = import_spec(file_header()).unwrap();
    assert_eq!(spec.import_id.len(), 36);
    assert_eq!(spec.rejects, RejectPolicy::SkipDefault);
    assert_eq!(spec.rejected_samples, 20);
}

#[test]
fn tenants_have_a_bound_and_no_control_characters() {
    let header = |tenant: &str| proto::ImportHeader {
        tenant: tenant.to_owned(),
        ..file_header()
    };
    assert_eq!(
        import_spec(header("caf\u{e9} 7")).unwrap().tenant,
        "caf\u{e9} 7"
    );
    for bad in ["a\nb", "a\0b", &"x".repeat(129)] {
        let wanted = (Reason::InvalidOption, "header.tenant".to_owned());
        assert_eq!(refusal(header(bad)), wanted, "{bad:?}");
    }
}

#[test]
fn retention_and_duplicates_are_the_callers_to_choose() {
    let spec = import_spec(file_header()).unwrap();
    assert_eq!(spec.reject_retention, None);
    assert_eq!(spec.duplicate_file, DuplicateFile::Allow);
    let spec = import_spec(proto::ImportHeader {
        reject_retention: Some(prost_types::Duration::default()),
        duplicate_file: proto::DuplicateFilePolicy::Refuse.into(),
        ..file_header()
    });
    let spec = spec.unwrap();
    assert_eq!(spec.reject_retention, Some(std::time::Duration::ZERO));
    assert_eq!(spec.duplicate_file, DuplicateFile::Refuse);
    let negative = proto::ImportHeader {
        reject_retention: Some(prost_types::Duration {
            seconds: -1,
            nanos: 0,
        }),
        ..file_header()
    };
    let wanted = (Reason::InvalidOption, "header.reject_retention".to_owned());
    assert_eq!(refusal(negative), wanted);
}

#[test]
fn unknown_enum_numbers_are_refused_by_path() {
    let file = proto::FileSource {
        format: 99,
        ..proto::FileSource::default()
    };
    for (header, path) in [
        (
            proto::ImportHeader {
                on_conflict: 99,
                ..file_header()
            },
            "header.on_conflict",
        ),
        (
            proto::ImportHeader {
                write_method: 99,
                ..file_header()
            },
            "header.write_method",
        ),
        (
            proto::ImportHeader {
                error_policy: -1,
                ..file_header()
            },
            "header.error_policy",
        ),
        (
            proto::ImportHeader {
                source: Some(Source::File(file)),
                ..file_header()
            },
            "header.file.format",
        ),
    ] {
        assert_eq!(refusal(header), (Reason::InvalidOption, path.to_owned()));
    }
}

#[test]
fn a_required_feature_that_is_unknown_fails_the_import() {
    let header = |feature: &str| proto::ImportHeader {
        required_features: vec![feature.to_owned()],
        ..file_header()
    };
    assert_eq!(refusal(header("time.travel")).0, Reason::FeatureUnknown);
    assert!(import_spec(header("import.file")).is_ok());
}

#[test]
fn import_ids_have_a_form() {
    for (id, allowed) in [
        ("a", true),
        ("0-a-9", true),
        (&"a".repeat(63), true),
        (&"a".repeat(64), false),
        ("-a", false),
        ("A", false),
        ("a_b", false),
        ("é", false),
    ] {
        assert_eq!(import_id("import_id", id).is_ok(), allowed, "{id}");
    }
}

#[test]
fn the_reject_limit_has_three_forms() {
    let abort = i32::from(proto::ErrorPolicy::Abort);
    for (limit, policy) in [
        (Some(-1), RejectPolicy::Skip(None)),
        (Some(0), RejectPolicy::Skip(Some(0))),
        (Some(5), RejectPolicy::Skip(Some(5))),
    ] {
        let header = proto::ImportHeader {
            max_rejected_row_count: limit,
            ..file_header()
        };
        assert_eq!(import_spec(header).unwrap().rejects, policy);
    }
    let header = proto::ImportHeader {
        max_rejected_row_count: Some(-2),
        ..file_header()
    };
    assert_eq!(refusal(header).1, "header.max_rejected_row_count");
    let header = proto::ImportHeader {
        max_rejected_row_count: Some(1),
        error_policy: abort,
        ..file_header()
    };
    assert_eq!(refusal(header).1, "header.max_rejected_row_count");
}

#[test]
fn the_fingerprint_tells_imports_apart_by_what_decides_their_outcome() {
    let fingerprint = |header: proto::ImportHeader| {
        import_spec(header)
            .unwrap()
            .fingerprint("public.businesses")
    };
    let plain = fingerprint(file_header());
    let named = proto::FileSource {
        file_name: "b.xlsx".to_owned(),
        ..proto::FileSource::default()
    };
    let same = proto::ImportHeader {
        source: Some(Source::File(named)),
        resume: true,
        write_method: 2,
        ..file_header()
    };
    assert_eq!(fingerprint(same), plain);
    let sheet = proto::FileSource {
        sheet: "Q3".to_owned(),
        ..proto::FileSource::default()
    };
    let other = proto::ImportHeader {
        source: Some(Source::File(sheet)),
        ..file_header()
    };
    assert_ne!(fingerprint(other), plain);
    let other = proto::ImportHeader {
        max_rejected_row_count: Some(3),
        ..file_header()
    };
    assert_ne!(fingerprint(other), plain);
}

mod policies;
