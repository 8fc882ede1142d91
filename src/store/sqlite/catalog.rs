//! Tables as SQLite's catalogue describes them.
//!
//! In: the pragmas as table-valued functions, so that names are parameters, and the SQL of
//! `sqlite_master` for what no pragma tells: names of constraints, checks, deferred keys. Out:
//! [`Table`]s before the allow-list is applied. Bounded by the schema; one read transaction.
//!
//! Constraints without a name of their own get the one that PostgreSQL would give (`t_pkey`,
//! `t_email_key`, `t_owner_id_fkey`), unnamed checks the text that SQLite shows for them.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use self::ddl::{Ddl, DeclaredIndex};
use super::sql::{fetch_all, fetch_optional};
use crate::model::table::{Column, ForeignKey, Meets, Table, TableName, UniqueKey};
use crate::store::StoreError;
use crate::store::identifier::Identifier;

mod ddl;
mod declared;

pub(super) use self::ddl::{default_expression, has_conflict_clause};

/// The one schema that Rowlift writes to.
pub(super) const SCHEMA: &str = "main";

/// Ordinary tables that callers could be allowed to see, by name.
pub(super) async fn table_names(
    connection: &mut SqliteConnection,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
               ORDER BY name";
    let names = fetch_all(connection, sqlx::query(sql)).await?.into_iter();
    let names = names.map(|row| row.get::<String, _>(0));
    Ok(names.filter(|name| !is_internal(name)).collect())
}

/// One table by its exact name; `None` if there is none, or if it is not for callers. SQLite lets
/// names be empty, which none is elsewhere: such tables are not for callers.
pub(super) async fn table(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Option<Table>, StoreError> {
    if name.is_empty() || is_internal(name) {
        return Ok(None);
    }
    let sql = "SELECT l.wr, m.sql FROM pragma_table_list l \
               JOIN sqlite_master m ON m.type = 'table' AND m.name = l.name \
               WHERE l.schema = 'main' AND l.type = 'table' AND l.name = ?";
    let query = sqlx::query(sql).bind(name);
    let Some(row) = fetch_optional(connection, query).await? else {
        return Ok(None);
    };
    let without_rowid = row.get::<i64, _>(0) != 0;
    let create_sql: String = row.get(1);
    let facts = columns(connection, name).await?;
    if facts.iter().any(|it| it.name.is_empty()) {
        return Ok(None);
    }
    let names: Vec<&str> = facts.iter().map(|it| it.name.as_str()).collect();
    let ddl = Ddl::parse(&create_sql, &names);

    let mut primary: Vec<&ColumnFacts> = facts.iter().filter(|it| it.primary > 0).collect();
    primary.sort_by_key(|it| it.primary);
    let primary: Vec<String> = primary.iter().map(|it| it.name.clone()).collect();
    let indexes = indexes(connection, name).await?;
    // An INTEGER PRIMARY KEY that needs no index is the rowid itself.
    let is_rowid =
        !without_rowid && primary.len() == 1 && !indexes.iter().any(|index| index.origin == "pk");
    let is_key = |it: &ColumnFacts| it.primary > 0 && (is_rowid || without_rowid);
    let columns = facts.iter().map(|it| Column {
        name: it.name.clone(),
        ty: declared::column_type(&it.declared),
        type_name: it.declared.clone(),
        nullable: !it.not_null && !is_key(it),
        has_default: it.has_default || (is_rowid && it.primary > 0),
        generated: it.generated,
        importable: false,
        assignable: false,
        aliases: Vec::new(),
    });
    let columns = columns.collect();
    let unique_keys = unique_keys(connection, name, &names, &ddl, primary, indexes).await?;
    Ok(Some(Table {
        name: TableName {
            schema: SCHEMA.to_owned(),
            name: name.to_owned(),
        },
        columns,
        unique_keys,
        foreign_keys: foreign_keys(connection, name, &ddl).await?,
        checks: ddl.checks,
        row_security: false,
        excluded_columns: Vec::new(),
        order_shows_on_insert: true,
        order_shows_on_update: true,
    }))
}

/// Rowlift's own tables, SQLx's and SQLite's.
fn is_internal(name: &str) -> bool {
    ["rowlift_", "sqlite_", "_sqlx_"].iter().any(|prefix| {
        let start = name.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    })
}

struct ColumnFacts {
    name: String,
    declared: String,
    not_null: bool,
    has_default: bool,
    generated: bool,
    /// Place in the primary key, from 1; 0: not part of it.
    primary: i64,
}

async fn columns(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Vec<ColumnFacts>, StoreError> {
    let sql = "SELECT name, type, \"notnull\", dflt_value, hidden, pk \
               FROM pragma_table_xinfo(?, 'main') WHERE hidden <> 1 ORDER BY cid";
    let rows = fetch_all(connection, sqlx::query(sql).bind(table)).await?;
    let facts = |row: SqliteRow| {
        let default: Option<String> = row.get(3);
        ColumnFacts {
            name: row.get(0),
            declared: row.get(1),
            not_null: row.get::<i64, _>(2) != 0,
            has_default: default.is_some_and(|sql| !sql.eq_ignore_ascii_case("null")),
            generated: row.get::<i64, _>(4) != 0,
            primary: row.get(5),
        }
    };
    Ok(rows.into_iter().map(facts).collect())
}

struct IndexFacts {
    name: String,
    /// `c`: CREATE INDEX, `u`: UNIQUE, `pk`: PRIMARY KEY.
    origin: String,
    partial: bool,
    sql: Option<String>,
}

async fn indexes(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Vec<IndexFacts>, StoreError> {
    let sql = "SELECT l.name, l.origin, l.partial, m.sql FROM pragma_index_list(?, 'main') l \
               LEFT JOIN sqlite_master m ON m.type = 'index' AND m.name = l.name \
               WHERE l.\"unique\" ORDER BY l.name";
    let rows = fetch_all(connection, sqlx::query(sql).bind(table)).await?;
    let facts = |row: SqliteRow| IndexFacts {
        name: row.get(0),
        origin: row.get(1),
        partial: row.get::<i64, _>(2) != 0,
        sql: row.get(3),
    };
    Ok(rows.into_iter().map(facts).collect())
}

async fn unique_keys(
    connection: &mut SqliteConnection,
    table: &str,
    names: &[&str],
    ddl: &Ddl,
    primary: Vec<String>,
    indexes: Vec<IndexFacts>,
) -> Result<Vec<UniqueKey>, StoreError> {
    let mut keys = Vec::new();
    if !primary.is_empty() && !indexes.iter().any(|index| index.origin == "pk") {
        let name = ddl.key_name(&primary);
        keys.push(UniqueKey {
            name: name.map_or_else(|| format!("{table}_pkey"), str::to_owned),
            definition: format!("PRIMARY KEY ({})", primary.join(", ")),
            terms: primary.iter().map(|name| quoted(name)).collect(),
            predicate: String::new(),
            arbiter: true,
            columns: primary,
            primary: true,
            plain: true,
            meets: Meets::Untold,
        });
    }
    let mut keyed = Vec::new();
    for index in indexes {
        let terms = index_terms(connection, &index.name).await?;
        keyed.push((index, terms));
    }
    // A term without a collation is the column's own, which may then not be the index's.
    let spell_collations = ddl.has_collations
        || keyed
            .iter()
            .any(|(_, terms)| terms.iter().any(|term| !term.is_binary()));
    for (index, terms) in keyed {
        keys.push(unique_key(
            table,
            names,
            ddl,
            index,
            &terms,
            spell_collations,
        ));
    }
    keys.sort_by(|a, b| (!a.primary, &a.name).cmp(&(!b.primary, &b.name)));
    Ok(keys)
}

/// One term of an index, as the catalogue has it.
struct IndexTerm {
    /// `None`: an expression.
    column: Option<String>,
    collation: String,
}

impl IndexTerm {
    fn is_binary(&self) -> bool {
        self.collation.eq_ignore_ascii_case("BINARY")
    }
}

async fn index_terms(
    connection: &mut SqliteConnection,
    index: &str,
) -> Result<Vec<IndexTerm>, StoreError> {
    let sql = "SELECT name, coll FROM pragma_index_xinfo(?, 'main') WHERE key ORDER BY seqno";
    let rows = fetch_all(connection, sqlx::query(sql).bind(index)).await?;
    let term = |row: &SqliteRow| IndexTerm {
        column: row.get(0),
        collation: row.get(1),
    };
    Ok(rows.iter().map(term).collect())
}

fn unique_key(
    table: &str,
    names: &[&str],
    ddl: &Ddl,
    index: IndexFacts,
    found: &[IndexTerm],
    spell_collations: bool,
) -> UniqueKey {
    let columns: Option<Vec<String>> = found.iter().map(|term| term.column.clone()).collect();
    let is_binary = found.iter().all(IndexTerm::is_binary);
    let plain = columns.is_some() && is_binary && !index.partial;
    let declared = DeclaredIndex::parse(index.sql.as_deref().unwrap_or_default());
    let spelled = found.iter().enumerate().map(|(at, term)| {
        let Some(column) = &term.column else {
            // Its own collation is part of the expression.
            return declared.terms.get(at).map(|text| format!("({text})"));
        };
        let column = quoted(column);
        Some(if spell_collations {
            format!("{column} COLLATE {}", quoted(&term.collation))
        } else {
            column
        })
    });
    let terms: Option<Vec<String>> = spelled.collect();
    let mut terms = terms.unwrap_or_default();
    if declared.terms.len() != found.len() && columns.is_none()
        || index.partial && declared.predicate.is_empty()
    {
        // Not as the walk over the tokens expected it: not spelled rather than spelled wrongly.
        terms.clear();
    }
    let columns = columns.unwrap_or_else(|| match declared.terms.as_slice() {
        [] => ddl::columns_read(index.sql.as_deref().unwrap_or_default(), names),
        expressions => ddl::columns_read(&expressions.join(", "), names),
    });
    let is_primary = index.origin == "pk";
    let name = match ddl.key_name(&columns) {
        _ if index.origin == "c" => index.name,
        Some(name) => name.to_owned(),
        None if is_primary => format!("{table}_pkey"),
        None => format!("{table}_{}_key", columns.join("_")),
    };
    let definition = match index.sql {
        Some(sql) => sql,
        None if is_primary => format!("PRIMARY KEY ({})", columns.join(", ")),
        None => format!("UNIQUE ({})", columns.join(", ")),
    };
    UniqueKey {
        name,
        arbiter: !terms.is_empty(),
        terms,
        predicate: declared.predicate,
        columns,
        primary: is_primary,
        plain,
        definition,
        meets: Meets::Untold,
    }
}

fn quoted(name: &str) -> String {
    Identifier::new(name).to_string()
}

async fn foreign_keys(
    connection: &mut SqliteConnection,
    table: &str,
    ddl: &Ddl,
) -> Result<Vec<ForeignKey>, StoreError> {
    let sql = "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?, 'main') \
               ORDER BY id, seq";
    let query = sqlx::query(sql).bind(table);
    // Keys are numbered from the last one declared.
    let mut keys: BTreeMap<i64, ForeignKey> = BTreeMap::new();
    for row in fetch_all(connection, query).await? {
        let key = keys
            .entry(-row.get::<i64, _>(0))
            .or_insert_with(|| ForeignKey {
                name: String::new(),
                columns: Vec::new(),
                foreign_table: TableName {
                    schema: SCHEMA.to_owned(),
                    name: row.get(1),
                },
                foreign_columns: Vec::new(),
                deferred: false,
            });
        key.columns.push(row.get(2));
        key.foreign_columns.extend(row.get::<Option<String>, _>(3));
    }
    let mut keys: Vec<ForeignKey> = keys.into_values().collect();
    let declared = (ddl.foreign_keys.len() == keys.len()).then_some(&ddl.foreign_keys);
    for (index, key) in keys.iter_mut().enumerate() {
        let declared = declared.map(|declared| &declared[index]);
        key.deferred = declared.is_some_and(|declared| declared.deferred);
        key.name = declared
            .and_then(|declared| declared.name.clone())
            .unwrap_or_else(|| format!("{table}_{}_fkey", key.columns.join("_")));
        if key.foreign_columns.is_empty() {
            key.foreign_columns = primary_key(connection, &key.foreign_table.name).await?;
        }
    }
    Ok(keys)
}

async fn primary_key(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name FROM pragma_table_info(?, 'main') WHERE pk > 0 ORDER BY pk";
    let rows = fetch_all(connection, sqlx::query(sql).bind(table)).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
