//! From a TOML value, or the text of a variable or flag, to a typed value.
//!
//! Variables and flags arrive as texts, so every parser takes both forms. An error says what is
//! expected; the caller adds key and origin.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::SignedDuration;
use toml::Value;

use crate::config::LogFormat;
use crate::config::database_url::DatabaseUrl;
use crate::config::identity::IdentityKind;
use crate::store::allow::AllowedTable;
use crate::store::copying::{CopyFormat, Copying};

type Parsed<T> = Result<T, String>;

/// Puts a parsed value in its place.
pub(super) fn put<T>(place: &mut T, parsed: Parsed<T>) -> Parsed<()> {
    *place = parsed?;
    Ok(())
}

/// A text as it is.
pub(super) fn text(value: &Value) -> Parsed<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(format!("a text is expected, not {}", kind(other))),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Parsed<bool> {
    match value {
        Value::Boolean(boolean) => Ok(*boolean),
        Value::String(text) if text == "true" || text == "1" => Ok(true),
        Value::String(text) if text == "false" || text == "0" => Ok(false),
        _ => Err(String::from("true or false is expected")),
    }
}

/// A whole number that is not negative.
pub(super) fn number<T: TryFrom<u64>>(value: &Value) -> Parsed<T> {
    let number = match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| String::from("a whole number of 0 or more is expected"))
}

/// A number of bytes, or a text with a unit such as `256MiB`.
pub(crate) fn bytes<T: TryFrom<u64>>(value: &Value) -> Parsed<T> {
    const UNITS: [(&str, u64); 4] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    let Value::String(text) = value else {
        return number(value).map_err(|_| size_expected());
    };
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| text.strip_suffix(name).map(|digits| (digits, *unit)))
        .unwrap_or((text, 1));
    digits
        .trim()
        .parse::<u64>()
        .ok()
        .and_then(|digits| digits.checked_mul(unit))
        .and_then(|size| T::try_from(size).ok())
        .ok_or_else(size_expected)
}

/// A duration such as `30s`, `1m 30s`, `7d` or `PT30S`; days alone, of 24 hours each.
pub(super) fn duration(value: &Value) -> Parsed<Duration> {
    match value {
        Value::String(text) => parse_duration(text),
        _ => Err(duration_expected()),
    }
}

/// As [`duration`], from a flag's text.
pub(crate) fn parse_duration(text: &str) -> Parsed<Duration> {
    if let Some(days) = text.trim().strip_suffix('d') {
        let days: Option<u64> = days.parse().ok();
        let seconds = days.and_then(|days| days.checked_mul(24 * 60 * 60));
        return seconds
            .map(Duration::from_secs)
            .ok_or_else(duration_expected);
    }
    SignedDuration::from_str(text.trim())
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(duration_expected)
}

/// An IP address with a port.
pub(super) fn address(value: &Value) -> Parsed<SocketAddr> {
    text(value)?
        .parse()
        .map_err(|_| String::from("an IP address and a port such as 127.0.0.1:50051 are expected"))
}

/// A database's URL.
pub(super) fn database_url(value: &Value) -> Parsed<DatabaseUrl> {
    DatabaseUrl::parse(&text(value)?)
}

/// A path.
pub(super) fn path(value: &Value) -> Parsed<Option<PathBuf>> {
    text(value).map(PathBuf::from).map(Some)
}

/// A list of networks such as `10.0.0.0/8`, or single addresses.
pub(super) fn networks(value: &Value) -> Parsed<Vec<IpNet>> {
    let network = |name: &String| {
        let network = name.parse::<IpNet>();
        let network = network.or_else(|_| name.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| format!("{name:?} is no network such as 10.0.0.0/8"))
    };
    names(value)?.iter().map(network).collect()
}

/// `none`, `mtls`, `xfcc`, `jwt` or `token`.
pub(super) fn identity_kind(value: &Value) -> Parsed<IdentityKind> {
    match text(value)?.as_str() {
        "none" => Ok(IdentityKind::None),
        "mtls" => Ok(IdentityKind::Mtls),
        "xfcc" => Ok(IdentityKind::Xfcc),
        "jwt" => Ok(IdentityKind::Jwt),
        "token" => Ok(IdentityKind::Token),
        other => Err(format!(
            "{other:?} is none of none, mtls, xfcc, jwt and token"
        )),
    }
}

/// `auto`, `binary`, `text` or `off`: the form, and whether the engine's version may change it.
pub(super) fn copy_format(value: &Value) -> Parsed<(Option<CopyFormat>, bool)> {
    match text(value)?.as_str() {
        "auto" => Ok((Copying::default().format, true)),
        "binary" => Ok((Some(CopyFormat::Binary), false)),
        "text" => Ok((Some(CopyFormat::Text), false)),
        "off" => Ok((None, false)),
        _ => Err(String::from("auto, binary, text or off is expected")),
    }
}

/// `auto`, `json` or `text`.
pub(super) fn log_format(value: &Value) -> Parsed<LogFormat> {
    match text(value)?.as_str() {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err(String::from("auto, json or text is expected")),
    }
}

/// A list of names; from a variable, separated by commas.
pub(super) fn names(value: &Value) -> Parsed<Vec<String>> {
    match value {
        Value::String(names) => Ok(split(names).map(str::to_owned).collect()),
        Value::Array(names) => names.iter().map(text).collect(),
        other => Err(format!("a list of names is expected, not {}", kind(other))),
    }
}

fn split(names: &str) -> impl Iterator<Item = &str> {
    names.split(',').map(str::trim).filter(|it| !it.is_empty())
}

/// `[[tables]]` entries; from a variable, names separated by commas.
pub(super) fn tables(value: &Value) -> Parsed<Vec<AllowedTable>> {
    let Value::String(names) = value else {
        return value
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| error.message().to_owned());
    };
    Ok(split(names)
        .map(|name| AllowedTable {
            name: name.to_owned(),
            importable: None,
            assignable: Vec::new(),
            aliases: std::collections::BTreeMap::new(),
        })
        .collect())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

fn size_expected() -> String {
    String::from("a number of bytes, or a text such as \"256MiB\", is expected")
}

fn duration_expected() -> String {
    String::from("a duration such as \"30s\" or \"500ms\" is expected")
}
