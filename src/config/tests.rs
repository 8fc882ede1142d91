use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::database_url::DatabaseUrl;
use super::error::ConfigError;
use super::{Config, LogFormat, ServeFlags};
use crate::store::copying::CopyFormat;

fn resolve(
    file: &str,
    variables: &[(&str, &str)],
    mut flags: ServeFlags,
) -> Result<Config, ConfigError> {
    let file_on_disk = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file_on_disk.path(), file).unwrap();
    flags.config = Some(file_on_disk.path().to_owned());
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let resolved = Config::resolve(&flags, |name| variables.get(name).map(OsString::from));
    resolved.map(|(config, _)| config)
}

fn refusal(file: &str, variables: &[(&str, &str)]) -> String {
    resolve(file, variables, ServeFlags::default())
        .expect_err(&format!("{file:?} {variables:?} is accepted"))
        .to_string()
}

#[test]
fn flags_win_over_variables_over_file_over_defaults() {
    let file = "listen = \"127.0.0.1:1\"\nimports_max = 2\nqueue_wait = \"7s\"\n";
    let variables = [
        ("ROWLIFT_LISTEN", "127.0.0.1:3"),
        ("ROWLIFT_IMPORTS_MAX", "4"),
    ];
    let flags = ServeFlags {
        listen: Some("127.0.0.1:5".parse().unwrap()),
        ..ServeFlags::default()
    };
    let config = resolve(file, &variables, flags).unwrap();
    assert_eq!(config.listen.port(), 5);
    assert_eq!(config.imports_max, 4);
    assert_eq!(config.queue_wait, Duration::from_secs(7));
    assert_eq!(config.header_timeout, Duration::from_secs(10));
}

#[test]
fn nothing_set_is_safe_and_local() {
    let (config, _) = Config::resolve(&ServeFlags::default(), |_| None).unwrap();
    assert!(config.listen.ip().is_loopback());
    assert_eq!(config.database_url.expose(), "sqlite://rowlift.db?mode=rwc");
    assert_eq!(config.tables.len(), 1);
    let importable = config.tables[0].importable.as_ref().unwrap();
    assert_eq!(importable.len(), 9);
    assert!(
        !importable
            .iter()
            .any(|name| name == "id" || name.ends_with("_at"))
    );
    assert!(config.writers_per_import <= config.writers_max);
}

#[test]
fn every_section_and_unit_is_understood() {
    let file = r#"
        admin_listen = "127.0.0.1:9090"
        bytes_in_flight_max = "64MiB"
        batch_bytes_max = 1048576
        idle_timeout = "1m 30s"
        max_ack_delay = "50ms"
        settings_allowed = ["app.tenant_id", "app.user"]
        log_format = "json"
        [limits]
        csv_bytes_max = "1GiB"
        csv_row_bytes_max = "32MiB"
        columns_max = 100
        [[tables]]
        name = "tenant_*.contacts"
        importable = ["email"]
        assignable = ["tenant_id"]
        aliases = { email = ["E-Mail-Adresse"] }
    "#;
    let config = resolve(
        file,
        &[("ROWLIFT_LIMITS_COLUMNS_MAX", "200")],
        ServeFlags::default(),
    )
    .unwrap();
    assert_eq!(config.admin_listen.unwrap().port(), 9090);
    assert_eq!(config.bytes_in_flight_max, 64 << 20);
    assert_eq!(config.batch_bytes_max, 1 << 20);
    assert_eq!(config.idle_timeout, Duration::from_secs(90));
    assert_eq!(config.max_ack_delay, Duration::from_millis(50));
    assert_eq!(config.settings_allowed, ["app.tenant_id", "app.user"]);
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.limits.csv_bytes_max, 1 << 30);
    assert_eq!(config.limits.csv_row_bytes_max, 32 << 20);
    assert_eq!(config.limits.columns_max, 200);
    assert_eq!(config.tables[0].assignable, ["tenant_id"]);
    assert_eq!(config.tables[0].aliases["email"], ["E-Mail-Adresse"]);
}

#[test]
fn every_key_of_the_file_is_reachable_as_a_variable() {
    let config = resolve(
        "",
        &[
            ("ROWLIFT_TABLES", "contacts, crm.leads"),
            ("ROWLIFT_SETTINGS_ALLOWED", "app.tenant_id, app.user"),
            ("DATABASE_URL", "postgres://h/d"),
        ],
        ServeFlags::default(),
    )
    .unwrap();
    assert_eq!(config.tables.len(), 2);
    assert_eq!(config.tables[1].name, "crm.leads");
    assert_eq!(config.settings_allowed, ["app.tenant_id", "app.user"]);
    assert_eq!(config.database_url.expose(), "postgres://h/d");
}

#[test]
fn own_variable_wins_over_its_stand_in() {
    let variables = [
        ("DATABASE_URL", "postgres://other/d"),
        ("ROWLIFT_DATABASE_URL", "sqlite::memory:"),
    ];
    let config = resolve("", &variables, ServeFlags::default()).unwrap();
    assert_eq!(config.database_url.expose(), "sqlite::memory:");
}

#[test]
fn variables_that_kubernetes_makes_are_ignored() {
    let variables = [
        ("ROWLIFT_PORT", "tcp://10.0.0.1:50051"),
        ("ROWLIFT_SERVICE_HOST", "10.0.0.1"),
        ("ROWLIFT_LISTEN", ""),
    ];
    assert!(resolve("", &variables, ServeFlags::default()).is_ok());
}

/// File, variables, the key at fault and what else the message says.
type Refusal = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

const REFUSALS: &[Refusal] = &[
    ("listen = 5", &[], "listen", "not a number"),
    (
        "listen = \"nowhere\"",
        &[],
        "listen",
        "an IP address and a port",
    ),
    ("imports_max = -1", &[], "imports_max", "0 or more"),
    ("imports_max = 0", &[], "imports_max", "at least 1"),
    ("idle_timeout = 30", &[], "idle_timeout", "such as \"30s\""),
    (
        "idle_timeout = \"-3s\"",
        &[],
        "idle_timeout",
        "such as \"30s\"",
    ),
    (
        "idle_timeout = \"0s\"",
        &[],
        "idle_timeout",
        "longer than 0",
    ),
    (
        "progress_interval = \"99ms\"",
        &[],
        "progress_interval",
        "100ms",
    ),
    (
        "batch_rows_first = 30000",
        &[],
        "batch_rows_first",
        "batch_rows_max",
    ),
    (
        "writers_max = 1\nwriters_per_import = 2",
        &[],
        "writers_per_import",
        "writers_max",
    ),
    (
        "bytes_in_flight_max = \"1MiB\"",
        &[],
        "batch_bytes_max",
        "bytes_in_flight_max",
    ),
    (
        "spool_bytes_max = \"511MiB\"",
        &[],
        "limits.workbook_bytes_max",
        "half of spool_bytes_max",
    ),
    (
        "message_bytes_max = 1000",
        &[],
        "message_bytes_max",
        "between",
    ),
    (
        "database_url = \"mysql://h/d\"",
        &[],
        "database_url",
        "postgres://",
    ),
    (
        "log_format = \"xml\"",
        &[],
        "log_format",
        "auto, json or text",
    ),
    ("[[tables]]\nname = \"a.b.c\"", &[], "tables", "a.b.c"),
    (
        "[[tables]]\nname = \"a\"\n[[tables]]\nname = \"a\"",
        &[],
        "tables",
        "twice",
    ),
    ("[[tables]]\nnam = \"a\"", &[], "tables", "nam"),
    (
        "settings_allowed = [\"app.\"]",
        &[],
        "settings_allowed",
        "app.tenant_id",
    ),
    (
        "settings_allowed = 5",
        &[],
        "settings_allowed",
        "not a number",
    ),
    (
        "limits = { csv_bytes_max = \"1XB\" }",
        &[],
        "limits.csv_bytes_max",
        "256MiB",
    ),
    (
        "",
        &[("ROWLIFT_INSECURE", "maybe")],
        "insecure",
        "ROWLIFT_INSECURE",
    ),
    (
        "",
        &[("ROWLIFT_QUEUE_WAIT", "soon")],
        "queue_wait",
        "ROWLIFT_QUEUE_WAIT",
    ),
];

#[test]
fn refusals_name_the_key_and_where_it_was_set() {
    for (file, variables, key, rest) in REFUSALS {
        let message = refusal(file, variables);
        assert!(message.starts_with(key), "{message}");
        assert!(message.contains(rest), "{message} lacks {rest}");
    }
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    assert!(refusal("listn = \"127.0.0.1:1\"", &[]).contains("did you mean \"listen\"?"));
    assert!(
        refusal("[limits]\ncolumn_max = 1", &[]).contains("did you mean \"limits.columns_max\"?")
    );
    assert!(!refusal("zzz = 1", &[]).contains("did you mean"));
}

#[test]
fn files_that_are_missing_or_no_toml_are_named() {
    let flags = ServeFlags {
        config: Some(PathBuf::from("/nonexistent/rowlift.toml")),
        ..ServeFlags::default()
    };
    let error = Config::resolve(&flags, |_| None).map(|_| ()).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
    let error = resolve("listen =", &[], ServeFlags::default()).unwrap_err();
    assert!(matches!(error, ConfigError::Syntax { .. }), "{error}");
}

#[test]
fn the_form_of_a_copy_is_found_out_or_told() {
    for (file, format, detected) in [
        ("", Some(CopyFormat::Binary), true),
        ("database_copy = \"auto\"", Some(CopyFormat::Binary), true),
        (
            "database_copy = \"binary\"",
            Some(CopyFormat::Binary),
            false,
        ),
        ("database_copy = \"text\"", Some(CopyFormat::Text), false),
        ("database_copy = \"off\"", None, false),
    ] {
        let config = resolve(file, &[], ServeFlags::default()).unwrap();
        assert_eq!(config.copying.format, format, "{file}");
        assert_eq!(config.copy_detected, detected, "{file}");
        assert!(config.copying.behind_savepoints);
    }
    let file = "database_copy_savepoints = false";
    let config = resolve(file, &[], ServeFlags::default()).unwrap();
    assert!(!config.copying.behind_savepoints);
    assert!(refusal("database_copy = \"csv\"", &[]).starts_with("database_copy"));
}

#[test]
fn listening_beyond_loopback_needs_insecure() {
    let wide = "listen = \"0.0.0.0:50051\"";
    assert!(refusal(wide, &[]).starts_with("listen"));
    let flags = ServeFlags {
        insecure: true,
        ..ServeFlags::default()
    };
    assert!(resolve(wide, &[], flags).is_ok());
    assert!(resolve("listen = \"[::1]:50051\"", &[], ServeFlags::default()).is_ok());
}

#[test]
fn passwords_are_not_shown() {
    for (url, shown) in [
        ("postgres://u:secret@h:5432/d", "postgres://u:***@h:5432/d"),
        ("postgres://u:se/cr@et@h/d", "postgres://u:***@h/d"),
        ("postgres://u@h/d", "postgres://u@h/d"),
        (
            "postgres://h/d?user=u&password=secret",
            "postgres://h/d?user=u&password=***",
        ),
        (
            "postgres://h/d?sslpassword=secret&x=1",
            "postgres://h/d?sslpassword=***&x=1",
        ),
        ("postgres://u:what?secret@h/d", "postgres://u:***@h/d"),
        (
            "sqlite://rowlift.db?mode=rwc",
            "sqlite://rowlift.db?mode=rwc",
        ),
        ("sqlite::memory:", "sqlite::memory:"),
    ] {
        let url = DatabaseUrl::parse(url).unwrap();
        assert_eq!(url.to_string(), shown);
        assert!(!format!("{url:?}").contains("secret"));
    }
    let message = refusal("database_url = \"mysql://u:secret@h/d\"", &[]);
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn a_service_in_this_process_allows_the_named_table() {
    let mut config = Config::in_process("sqlite::memory:").unwrap();
    assert_eq!(config.listen.port(), 0);
    config.allow(&["businesses", "contacts"]);
    let names: Vec<&str> = config
        .tables
        .iter()
        .map(|table| table.name.as_str())
        .collect();
    assert_eq!(names, ["businesses", "contacts"]);
}

#[test]
fn values_are_forgotten_before_their_import() {
    let config = resolve("", &[], ServeFlags::default()).unwrap();
    let days = |n_days: u64| Duration::from_secs(n_days * 24 * 60 * 60);
    assert_eq!(config.reject_retention, days(7));
    assert_eq!(config.id_retention, days(90));
    let variables = [
        ("ROWLIFT_REJECT_RETENTION", "0s"),
        ("ROWLIFT_ID_RETENTION", "30d"),
    ];
    let config = resolve("", &variables, ServeFlags::default()).unwrap();
    assert_eq!(config.reject_retention, Duration::ZERO);
    assert_eq!(config.id_retention, days(30));
    for (file, key) in [
        ("reject_retention = \"91d\"", "reject_retention"),
        ("id_retention = \"0s\"", "id_retention"),
        ("id_retention = \"36501d\"", "id_retention"),
        ("id_retention = \"xd\"", "id_retention"),
        ("id_retention = \"99999999999999999999d\"", "id_retention"),
    ] {
        let message = refusal(file, &[]);
        assert!(message.contains(key), "{message}");
    }
}
