//! The database's address: a secret that is shown without its password.

use std::fmt;
use std::path::Path;

/// A PostgreSQL or SQLite URL. `Debug` and `Display` leave passwords out.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

/// The engine that a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// PostgreSQL or compatible.
    Postgres,
    /// Embedded SQLite.
    Sqlite,
}

impl DatabaseUrl {
    /// Takes a URL of a scheme that a store exists for. The error does not repeat the URL: it
    /// may hold a password.
    pub fn parse(url: &str) -> Result<DatabaseUrl, String> {
        let known = ["postgres://", "postgresql://", "sqlite:"];
        if known.iter().any(|scheme| url.starts_with(scheme)) {
            return Ok(DatabaseUrl(url.to_owned()));
        }
        Err(String::from(
            "a URL that begins with postgres://, postgresql:// or sqlite: is expected",
        ))
    }

    /// Reads a file that holds nothing but a URL.
    pub fn read(path: &Path) -> Result<DatabaseUrl, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        DatabaseUrl::parse(text.trim()).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The URL with its password, for the database driver only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Which engine it is.
    pub fn kind(&self) -> DatabaseKind {
        if self.0.starts_with("sqlite:") {
            DatabaseKind::Sqlite
        } else {
            DatabaseKind::Postgres
        }
    }
}

impl Default for DatabaseUrl {
    fn default() -> DatabaseUrl {
        DatabaseUrl(String::from("sqlite://rowlift.db?mode=rwc"))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A raw `?` may stand in a password too, so the query begins after the last `@`.
        let host_at = self.0.rfind('@').unwrap_or(0);
        let (before_host, from_host) = self.0.split_at(host_at);
        let (host, query) = match from_host.split_once('?') {
            Some((host, query)) => (host, Some(query)),
            None => (from_host, None),
        };
        f.write_str(&without_password(&format!("{before_host}{host}")))?;
        let Some(query) = query else {
            return Ok(());
        };
        for (index, pair) in query.split('&').enumerate() {
            f.write_str(if index == 0 { "?" } else { "&" })?;
            let key = pair.split_once('=').map_or(pair, |(key, _)| key);
            if key.to_ascii_lowercase().contains("pass") {
                write!(f, "{key}=***")?;
            } else {
                f.write_str(pair)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// `scheme://user:password@host/...` with `***` for the password. A raw `@` or `/` may stand in
/// a password that nobody escaped, so everything up to the last `@` counts as credentials.
fn without_password(base: &str) -> String {
    let Some((scheme, rest)) = base.split_once("://") else {
        return base.to_owned();
    };
    let Some((credentials, host)) = rest.rsplit_once('@') else {
        return base.to_owned();
    };
    match credentials.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{host}"),
        None => format!("{scheme}://{credentials}@{host}"),
    }
}
