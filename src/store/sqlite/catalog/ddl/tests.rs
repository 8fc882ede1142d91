use super::{Ddl, DeclaredIndex, columns_read, default_expression, has_conflict_clause};

fn check_names(ddl: &Ddl) -> Vec<(&str, Vec<&str>)> {
    let checks = ddl.checks.iter();
    let check = checks.map(|check| {
        let columns = check.columns.iter().map(String::as_str).collect();
        (check.name.as_str(), columns)
    });
    check.collect()
}

#[test]
fn checks_have_names_or_their_text() {
    let sql = "CREATE TABLE t (a int CHECK (a > 0), \"b c\" text, -- it's, a comment (\n\
               c text DEFAULT (upper('x')) CONSTRAINT short CHECK( length(c) < 3 ),\n\
               CONSTRAINT \"both, of them\" CHECK (a < length(\"b c\") /* c ) */))";
    let ddl = Ddl::parse(sql, &["a", "b c", "c"]);
    let expected = vec![
        ("a > 0", vec!["a"]),
        ("short", vec!["c"]),
        ("both, of them", vec!["a", "b c"]),
    ];
    assert_eq!(check_names(&ddl), expected);
}

#[test]
fn name_of_another_constraint_is_not_the_checks() {
    let ddl = Ddl::parse(
        "CREATE TABLE t(a int CONSTRAINT nn NOT NULL CHECK(a>0))",
        &["a"],
    );
    assert_eq!(check_names(&ddl), vec![("a>0", vec!["a"])]);
}

#[test]
fn deferred_foreign_keys_are_told_apart() {
    let sql = "create table t (
        a int references p,
        b int constraint named references p (id) on delete cascade deferrable initially deferred,
        c int references p not deferrable initially deferred,
        d int references p deferrable initially immediate,
        constraint pair foreign key (a, b) references q (a, b) deferrable initially deferred)";
    let ddl = Ddl::parse(sql, &["a", "b", "c", "d"]);
    let keys = ddl.foreign_keys.iter();
    let keys: Vec<(Option<&str>, bool)> = keys
        .map(|key| (key.name.as_deref(), key.deferred))
        .collect();
    let expected = vec![
        (None, false),
        (Some("named"), true),
        (None, false),
        (None, false),
        (Some("pair"), true),
    ];
    assert_eq!(keys, expected);
}

#[test]
fn named_keys_are_found_by_their_columns() {
    let sql = "CREATE TABLE t (a int CONSTRAINT one UNIQUE, b int, c int UNIQUE,
        CONSTRAINT two PRIMARY KEY (c, a), CONSTRAINT three UNIQUE ([b], `c`) ON CONFLICT IGNORE)";
    let ddl = Ddl::parse(sql, &["a", "b", "c"]);
    let name = |columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|it| (*it).to_owned()).collect();
        ddl.key_name(&columns).map(str::to_owned)
    };
    assert_eq!(name(&["a"]).as_deref(), Some("one"));
    assert_eq!(name(&["c", "a"]).as_deref(), Some("two"));
    assert_eq!(name(&["b", "c"]).as_deref(), Some("three"));
    assert_eq!(name(&["c"]), None);
}

#[test]
fn conflict_clauses_are_seen_outside_of_names_only() {
    let table = [
        ("CREATE TABLE t(a UNIQUE ON CONFLICT REPLACE)", true),
        (
            "CREATE TABLE t(a UNIQUE /* ON */ on\nconflict ignore)",
            true,
        ),
        (
            "CREATE TABLE t(\"on conflict\" UNIQUE, b DEFAULT 'ON CONFLICT')",
            false,
        ),
        ("CREATE TABLE t(a -- ON CONFLICT\n)", false),
    ];
    for (sql, expected) in table {
        assert_eq!(has_conflict_clause(sql), expected, "{sql}");
    }
}

#[test]
fn expression_indexes_read_columns() {
    let sql = "CREATE UNIQUE INDEX i ON t (lower(\"E\"), a + 1) WHERE b IS NULL";
    assert_eq!(columns_read(sql, &["a", "b", "c", "e"]), ["a", "b", "e"]);
}

#[test]
fn indexes_are_taken_apart() {
    let table = [
        (
            "CREATE UNIQUE INDEX i ON t (lower(\"E, (x\") desc, a + 1 /* , */ ASC, asc) \
             WHERE b IS NULL -- none\n",
            vec!["lower(\"E, (x\")", "a + 1", "asc"],
            "b IS NULL",
        ),
        (
            "CREATE UNIQUE INDEX \"i (j)\" ON \"t)\"(name COLLATE nocase)",
            vec!["name COLLATE nocase"],
            "",
        ),
        ("", vec![], ""),
        ("CREATE UNIQUE INDEX i ON t (a", vec![], ""),
    ];
    for (sql, terms, predicate) in table {
        let index = DeclaredIndex::parse(sql);
        assert_eq!(index.terms, terms, "{sql}");
        assert_eq!(index.predicate, predicate, "{sql}");
    }
}

#[test]
fn defaults_become_expressions() {
    let table = [
        ("7", "(7\n)"),
        ("-1.5", "(-1.5\n)"),
        ("'it''s'", "('it''s'\n)"),
        ("current_timestamp", "(current_timestamp\n)"),
        ("none", "'none'"),
        ("\"a'b\"", "'a''b'"),
        ("datetime('now')", "(datetime('now')\n)"),
    ];
    for (sql, expected) in table {
        assert_eq!(default_expression(sql), expected, "{sql}");
    }
}

#[test]
fn broken_sql_does_no_harm() {
    for sql in [
        "",
        "(",
        "CREATE TABLE t(a CHECK (",
        "CREATE TABLE t(a CONSTRAINT",
        "'",
        "/*",
        ")(",
    ] {
        let _ = Ddl::parse(sql, &["a"]);
        let _ = DeclaredIndex::parse(sql);
    }
}
