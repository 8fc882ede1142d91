//! Migrations after the first only add, so that the program of the version before runs on.
//!
//! What may be in one: a new table that lets the older program delete what its rows refer to; a new
//! column that may be NULL or has a default; an index that refuses nothing. All else takes two
//! versions, see docs/OPERATIONS.md.

use std::path::Path;

/// Up to here the first release: the ledger had no users.
const FIRST_RELEASE: [(&str, u32); 2] = [("postgres", 4), ("sqlite", 5)];

/// Why an older program could not go on after the migration; `None`: it can.
fn fault(sql: &str) -> Option<String> {
    let lines = sql
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default());
    let sql = lines.collect::<Vec<_>>().join(" ").to_uppercase();
    let statements = sql
        .split(';')
        .map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    statements
        .filter(|it| !it.is_empty())
        .find_map(|statement| {
            let is_fine = if let Some(rest) = statement.strip_prefix("ALTER TABLE ") {
                let (_, clauses) = rest.split_once(' ').unwrap_or_default();
                clauses_of(clauses).iter().all(|it| adds_a_column(it))
            } else if let Some(rest) = statement.strip_prefix("CREATE TABLE ") {
                let (_, body) = rest.split_once('(').unwrap_or_default();
                clauses_of(body).iter().all(|it| lets_go(it))
            } else {
                statement.starts_with("CREATE INDEX ")
            };
            (!is_fine).then_some(statement)
        })
}

/// Split at commas outside of brackets.
fn clauses_of(text: &str) -> Vec<String> {
    let mut clauses = vec![String::new()];
    let mut depth = 0;
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                clauses.push(String::new());
                continue;
            }
            _ => {}
        }
        clauses.last_mut().unwrap().push(letter);
    }
    clauses
}

fn adds_a_column(clause: &str) -> bool {
    let clause = clause.trim();
    let refuses = ["UNIQUE", "PRIMARY KEY", "REFERENCES", "CHECK", "GENERATED"];
    clause.starts_with("ADD COLUMN ")
        && !refuses.iter().any(|it| clause.contains(it))
        && (!clause.contains("NOT NULL") || clause.contains(" DEFAULT "))
}

/// Whether rows that this column or constraint of a new table refers to may be deleted by a program
/// that does not know the table.
fn lets_go(clause: &str) -> bool {
    let mut references = clause.split("REFERENCES ").skip(1);
    references.all(|it| it.contains("ON DELETE CASCADE"))
}

#[test]
fn migrations_only_add() {
    for (database, first_release) in FIRST_RELEASE {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("migrations")
            .join(database);
        let mut n_files = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (version, _) = name.split_once('_').unwrap();
            let version: u32 = version.parse().unwrap();
            n_files += 1;
            if version > first_release {
                let sql = std::fs::read_to_string(&path).unwrap();
                assert_eq!(fault(&sql), None, "{database}/{name}");
            }
        }
        assert!(n_files > first_release, "{database}");
    }
}

#[test]
fn what_an_older_program_cannot_bear_is_found() {
    for bad in [
        "DROP TABLE rowlift.sessions;",
        "ALTER TABLE rowlift.imports DROP COLUMN tenant;",
        "ALTER TABLE rowlift.imports ADD COLUMN a text, DROP COLUMN tenant;",
        "ALTER TABLE rowlift.imports RENAME COLUMN tenant TO customer;",
        "ALTER TABLE rowlift.imports ALTER COLUMN tenant TYPE varchar(9);",
        "ALTER TABLE rowlift.imports ALTER COLUMN tenant SET NOT NULL;",
        "ALTER TABLE rowlift.imports ADD COLUMN a text NOT NULL;",
        "ALTER TABLE rowlift.imports ADD COLUMN a text NOT NULL DEFAULT '' UNIQUE;",
        "ALTER TABLE rowlift.imports ADD CONSTRAINT positive CHECK (id > 0);",
        "CREATE UNIQUE INDEX one ON rowlift.imports (import_id);",
        "CREATE TRIGGER t BEFORE INSERT ON rowlift.imports EXECUTE FUNCTION f();",
        "UPDATE rowlift.imports SET tenant = 'x';",
        "CREATE TABLE rowlift.new (import bigint REFERENCES rowlift.imports);",
        "CREATE TABLE rowlift.new (import bigint REFERENCES rowlift.imports (id) ON DELETE RESTRICT,
         other bigint REFERENCES rowlift.imports (id) ON DELETE CASCADE);",
        "CREATE TABLE rowlift.new (a bigint, b bigint, FOREIGN KEY (a, b) REFERENCES
         rowlift.import_batches (import, first_ordinal));",
    ] {
        assert!(fault(bad).is_some(), "{bad}");
    }
    for good in [
        "-- DROP nothing;\nALTER TABLE rowlift.imports\n ADD COLUMN a numeric(3, 2), -- a comment
         ADD COLUMN b text NOT NULL DEFAULT '';",
        "CREATE TABLE rowlift.new (a text NOT NULL PRIMARY KEY);",
        "CREATE TABLE rowlift.new (import bigint NOT NULL
         REFERENCES rowlift.imports (id) ON DELETE CASCADE, a numeric(3, 2));",
        "CREATE INDEX fast ON rowlift.imports (owner, id);",
    ] {
        assert_eq!(fault(good), None, "{good}");
    }
}
