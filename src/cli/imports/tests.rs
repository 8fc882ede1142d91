use super::{change, print_job, print_list};
use crate::cli::terminal::Terminal;
use crate::cli::tests::Captured;
use crate::proto::{ImportJob, ImportStats, Phase, Progress, State};

fn job() -> ImportJob {
    ImportJob {
        import_id: String::from("a-1"),
        state: State::Running.into(),
        table: String::from("public.t"),
        file_name: String::from("x\u{202e}slx.csv"),
        stats: Some(ImportStats {
            received_row_count: 5,
            inserted_row_count: 4,
            unprocessed_row_count: 1,
            ..ImportStats::default()
        }),
        tenant: String::from("acme"),
        labels: [(String::from("team"), String::from("crm"))].into(),
        validate_only: true,
        ..ImportJob::default()
    }
}

fn printed(print: impl FnOnce(&mut Terminal)) -> String {
    let output = Captured::default();
    print(&mut Terminal::to(output.clone(), Captured::default()));
    output.text()
}

#[test]
fn an_import_is_shown_with_counts_that_add_up() {
    let text = printed(|terminal| print_job(&job(), terminal).unwrap());
    assert_eq!(
        text,
        "\
a-1 into public.t: RUNNING, dry run
  5 rows = 4 inserted + 1 unprocessed
  file \"x\\u{202e}slx.csv\"
  tenant \"acme\"
  label team=crm
"
    );
}

#[test]
fn a_list_is_one_line_an_import() {
    let text = printed(|terminal| print_list(&[job(), job()], false, terminal).unwrap());
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("x\\u{202e}slx.csv"), "{text}");
    assert!(text.contains("RUNNING, dry run"), "{text}");
    let empty = printed(|terminal| print_list(&[], false, terminal).unwrap());
    assert_eq!(empty, "no imports yet\n");
    let empty = printed(|terminal| print_list(&[], true, terminal).unwrap());
    assert_eq!(empty, "no imports of this tenant or with these labels\n");
}

#[test]
fn a_change_tells_progress_while_there_is_some() {
    let mut job = job();
    assert_eq!(
        change(&job),
        "RUNNING, dry run: 5 rows = 4 inserted + 1 unprocessed"
    );
    job.progress = Some(Progress {
        phase: Phase::Committing.into(),
        stats: job.stats,
        ..Progress::default()
    });
    assert_eq!(change(&job), "RUNNING, dry run: 4 rows, committing");
}
