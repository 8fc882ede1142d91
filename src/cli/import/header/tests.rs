use std::time::Duration;

use super::of;
use crate::cli::args::Command;
use crate::cli::tests::parse;
use crate::proto::{
    CommitMode, ConflictAction, DisconnectPolicy, DuplicateFilePolicy, ErrorPolicy, ImportHeader,
    MissingAction, UnmappedSource, WriteMethod, import_header,
};

fn header(line: &str) -> ImportHeader {
    let Ok(Command::Import(args)) = parse(line) else {
        panic!("{line}");
    };
    of(&args, Duration::from_millis(1500))
}

#[test]
fn what_is_not_asked_for_is_left_to_the_server() {
    let header = header("import dir/f.xlsx --table crm.t");
    let Some(import_header::Source::File(file)) = &header.source else {
        panic!("{header:?}");
    };
    assert_eq!(file.file_name, "f.xlsx");
    assert_eq!((file.header_row_number, &file.csv), (None, &None));
    let progress_interval = header.progress_interval.unwrap();
    assert_eq!(
        (progress_interval.seconds, progress_interval.nanos),
        (1, 500_000_000)
    );
    let expected = ImportHeader {
        table: String::from("crm.t"),
        source: header.source.clone(),
        progress_interval: header.progress_interval,
        ..ImportHeader::default()
    };
    assert_eq!(header, expected);
}

#[test]
fn every_option_reaches_the_header() {
    let header = header(
        "import f.csv --table t --import-id i --resume --sheet S --header-row 0 --method batch \
         --on-conflict skip --key a,b --on-error abort --max-rejected 7 --atomic --dry-run \
         --ignore-unmapped --label a=b --delimiter tab --encoding windows-1252 --null-token NA \
         --time-zone Europe/Berlin --decimal-separator , --date-order dmy --tenant acme \
         --refuse-duplicate --reject-retention 2d",
    );
    assert_eq!(header.tenant, "acme");
    assert_eq!(header.duplicate_file(), DuplicateFilePolicy::Refuse);
    assert_eq!(header.reject_retention.unwrap().seconds, 2 * 24 * 60 * 60);
    assert_eq!(header.import_id, "i");
    assert!(header.resume && header.validate_only);
    assert_eq!(header.write_method(), WriteMethod::Batch);
    assert_eq!(header.on_conflict(), ConflictAction::Skip);
    assert_eq!(header.conflict_columns, ["a", "b"]);
    assert_eq!(header.error_policy(), ErrorPolicy::Abort);
    assert_eq!(header.max_rejected_row_count, Some(7));
    assert_eq!(header.commit_mode(), CommitMode::Atomic);
    assert_eq!(header.unmapped_source(), UnmappedSource::Ignore);
    assert_eq!(header.labels["a"], "b");
    let Some(import_header::Source::File(file)) = header.source else {
        panic!("no file");
    };
    assert_eq!(
        (file.sheet.as_str(), file.header_row_number),
        ("S", Some(0))
    );
    assert_eq!(
        (file.time_zone.as_str(), file.decimal_separator.as_str()),
        ("Europe/Berlin", ",")
    );
    let csv = file.csv.unwrap();
    assert_eq!(
        (csv.delimiter.as_str(), csv.encoding.as_str()),
        ("\t", "windows-1252")
    );
    assert_eq!(csv.null_tokens, ["NA"]);
}

#[test]
fn an_update_names_its_key_and_what_missing_rows_do() {
    let by_columns = header("import f --table t --on-conflict update --key email,city");
    assert_eq!(by_columns.on_conflict(), ConflictAction::Update);
    assert_eq!(by_columns.conflict_columns, ["email", "city"]);
    assert_eq!(by_columns.on_missing(), MissingAction::Unspecified);
    let line = "import f --table t --on-conflict update --conflict-key t_lower_idx";
    assert_eq!(header(line).conflict_key, "t_lower_idx");
    assert_eq!(header(line).conflict_columns, [""; 0]);
    for (word, action) in [
        ("insert", MissingAction::Insert),
        ("reject", MissingAction::Reject),
        ("skip", MissingAction::Skip),
    ] {
        let header = header(&format!("{line} --on-missing {word}"));
        assert_eq!(header.on_missing(), action);
    }
}

#[test]
fn settings_and_the_lost_caller_reach_the_header() {
    let header = header("import f --table t --continue --set app.tenant_id=7 --set app.user=a=b");
    assert_eq!(
        header.disconnect_policy(),
        DisconnectPolicy::ContinueAfterFinish
    );
    assert_eq!(header.settings["app.tenant_id"], "7");
    assert_eq!(header.settings["app.user"], "a=b");
}
