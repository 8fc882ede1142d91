//! What only the SQL of a table tells: names of constraints, checks, deferred foreign keys.
//!
//! In: a CREATE TABLE statement that SQLite has accepted. Out: a [`Ddl`]. Not a parser: it walks
//! the tokens between the outer parentheses and knows nine keywords; what it does not know it
//! skips, and the worst that follows is a constraint without its name.

use std::ops::Range;

use crate::model::table::CheckConstraint;

/// Constraints as declared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ddl {
    /// Named ones by their names, others by their text, which is what SQLite's errors show.
    pub(super) checks: Vec<CheckConstraint>,
    /// In the order of their declaration.
    pub(super) foreign_keys: Vec<DeclaredForeignKey>,
    /// A column or key has a collation of its own.
    pub(super) has_collations: bool,
    /// Name and columns of named UNIQUE and PRIMARY KEY constraints.
    keys: Vec<(String, Vec<String>)>,
}

/// What no pragma tells of an index that has a statement of its own.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DeclaredIndex {
    /// What is indexed, as written, without ASC and DESC.
    pub(super) terms: Vec<String>,
    /// The condition of a partial index; else empty.
    pub(super) predicate: String,
}

/// What no pragma tells of a foreign key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DeclaredForeignKey {
    pub(super) name: Option<String>,
    pub(super) deferred: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    kind: TokenKind,
    /// A word as written, a quoted name without quotes, a symbol.
    text: String,
    span: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    /// A keyword, a plain name or a number.
    Word,
    /// A name in `"`, `[` or backquotes.
    Quoted,
    /// A string.
    Text,
    Symbol,
}

/// Whether a table says itself what to do on a conflict (`UNIQUE ON CONFLICT REPLACE`).
pub(in crate::store::sqlite) fn has_conflict_clause(sql: &str) -> bool {
    let tokens = tokens(sql);
    tokens
        .windows(2)
        .any(|pair| pair[0].is("ON") && pair[1].is("CONFLICT"))
}

/// A column's default as an expression: where it is declared as a bare name, SQLite takes that
/// for a string.
pub(in crate::store::sqlite) fn default_expression(sql: &str) -> String {
    const CONSTANTS: [&str; 6] = [
        "NULL",
        "TRUE",
        "FALSE",
        "CURRENT_TIME",
        "CURRENT_DATE",
        "CURRENT_TIMESTAMP",
    ];
    let is_name = |token: &Token| match token.kind {
        TokenKind::Quoted => true,
        TokenKind::Word => {
            !token.text.starts_with(|first: char| first.is_ascii_digit())
                && !CONSTANTS.iter().any(|it| token.is(it))
        }
        TokenKind::Text | TokenKind::Symbol => false,
    };
    match tokens(sql).as_slice() {
        [token] if is_name(token) => format!("'{}'", token.text.replace('\'', "''")),
        _ => format!("({sql}\n)"),
    }
}

/// The columns among `names` that a piece of SQL mentions, in the order of `names`.
pub(super) fn columns_read(sql: &str, names: &[&str]) -> Vec<String> {
    columns_in(&tokens(sql), names)
}

fn columns_in(tokens: &[Token], names: &[&str]) -> Vec<String> {
    let is_read = |name: &&&str| tokens.iter().any(|token| token.names(name));
    let read = names.iter().filter(is_read);
    read.map(|name| (*name).to_owned()).collect()
}

// === impl Ddl ===

impl Ddl {
    /// Reads a CREATE TABLE statement; `names` are the table's columns.
    pub(super) fn parse(sql: &str, names: &[&str]) -> Ddl {
        let tokens = tokens(sql);
        let mut ddl = Ddl::default();
        let Some(open) = tokens.iter().position(|token| token.is_symbol("(")) else {
            return ddl;
        };
        let body = &tokens[open + 1..matching(&tokens, open)];
        ddl.has_collations = body.iter().any(|token| token.is("COLLATE"));
        let mut name = None;
        let mut item_start = 0;
        let mut at = 0;
        while let Some(token) = body.get(at) {
            let next = body.get(at + 1);
            let next_is = |word: &str| next.is_some_and(|next| next.is(word));
            if token.is_symbol("(") {
                at = matching(body, at);
            } else if token.is_symbol(",") {
                name = None;
                item_start = at + 1;
            }
            if token.is("CONSTRAINT") {
                name = body.get(at + 1).map(|next| next.text.clone());
                at += 1;
            } else if token.is("CHECK") && body.get(at + 1).is_some_and(|it| it.is_symbol("(")) {
                let close = matching(body, at + 1);
                ddl.push_check(
                    sql,
                    &body[at + 1..=close.min(body.len() - 1)],
                    name.take(),
                    names,
                );
                at = close;
            } else if token.is("UNIQUE") || (token.is("PRIMARY") && next_is("KEY")) {
                let columns = key_columns(body, item_start, at, names);
                ddl.keys.extend(name.take().map(|name| (name, columns)));
            } else if token.is("REFERENCES") {
                let name = name.take();
                let deferred = false;
                ddl.foreign_keys.push(DeclaredForeignKey { name, deferred });
            } else if token.is("DEFERRABLE") && next_is("INITIALLY") {
                let is_deferred = body.get(at + 2).is_some_and(|it| it.is("DEFERRED"))
                    && !(at > 0 && body[at - 1].is("NOT"));
                if let Some(key) = ddl.foreign_keys.last_mut() {
                    key.deferred = is_deferred;
                }
            } else if ["NOT", "NULL", "DEFAULT", "COLLATE", "GENERATED"]
                .iter()
                .any(|it| token.is(it))
            {
                name = None;
            }
            at += 1;
        }
        ddl
    }

    /// Name of the UNIQUE or PRIMARY KEY constraint on these columns, if it was given one.
    pub(super) fn key_name(&self, columns: &[String]) -> Option<&str> {
        let key = self.keys.iter().find(|(_, key)| key == columns)?;
        Some(&key.0)
    }

    /// `group` is the check with its parentheses.
    fn push_check(&mut self, sql: &str, group: &[Token], name: Option<String>, names: &[&str]) {
        let (Some(open), Some(close)) = (group.first(), group.last()) else {
            return;
        };
        let text = sql.get(open.span.end..close.span.start).unwrap_or_default();
        self.checks.push(CheckConstraint {
            name: name.unwrap_or_else(|| text.trim().to_owned()),
            columns: columns_in(group, names),
        });
    }
}

// === impl DeclaredIndex ===

impl DeclaredIndex {
    /// Reads a CREATE INDEX statement; of anything else nothing is known.
    pub(super) fn parse(sql: &str) -> DeclaredIndex {
        let tokens = tokens(sql);
        let mut index = DeclaredIndex::default();
        // `CREATE UNIQUE INDEX [IF NOT EXISTS] [schema.]name ON table (`: none is in parentheses.
        let Some(open) = tokens.iter().position(|token| token.is_symbol("(")) else {
            return index;
        };
        let close = matching(&tokens, open);
        let mut start = open + 1;
        let mut at = start;
        while at <= close && at < tokens.len() {
            if tokens[at].is_symbol("(") {
                at = matching(&tokens, at);
            } else if at == close || tokens[at].is_symbol(",") {
                let mut term = &tokens[start..at];
                if let [expression @ .., last] = term
                    && !expression.is_empty()
                    && (last.is("ASC") || last.is("DESC"))
                {
                    term = expression;
                }
                index.terms.extend(text_of(sql, term));
                start = at + 1;
            }
            at += 1;
        }
        if tokens.get(close + 1).is_some_and(|token| token.is("WHERE")) {
            let predicate = text_of(sql, &tokens[close + 2..]);
            index.predicate = predicate.unwrap_or_default();
        }
        index
    }
}

/// The SQL from the first of some tokens to the last: no comment before or after them.
fn text_of(sql: &str, tokens: &[Token]) -> Option<String> {
    let span = tokens.first()?.span.start..tokens.last()?.span.end;
    sql.get(span).map(str::to_owned)
}

/// Columns of the UNIQUE or PRIMARY KEY at `at`: those in the parentheses that follow, else the
/// column that the item declares.
fn key_columns(body: &[Token], item_start: usize, at: usize, names: &[&str]) -> Vec<String> {
    let starts_item = body.get(item_start).is_some_and(|token| {
        ["CONSTRAINT", "UNIQUE", "PRIMARY"]
            .iter()
            .any(|word| token.is(word))
    });
    if !starts_item {
        return columns_in(body.get(item_start..=item_start).unwrap_or_default(), names);
    }
    let Some(open) = (at..body.len()).find(|index| body[*index].is_symbol("(")) else {
        return Vec::new();
    };
    let group = body.get(open..matching(body, open)).unwrap_or_default();
    let in_order = group.iter().filter_map(|token| {
        let name = names.iter().find(|name| token.names(name))?;
        Some((*name).to_owned())
    });
    in_order.collect()
}

/// Index of the symbol that closes the parenthesis at `open`; the length if none does.
fn matching(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth -= 1;
            if depth == 0 {
                return index;
            }
        }
    }
    tokens.len()
}

// === impl Token ===

impl Token {
    fn is(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }

    fn names(&self, name: &str) -> bool {
        let is_name = matches!(self.kind, TokenKind::Word | TokenKind::Quoted);
        is_name && self.text.eq_ignore_ascii_case(name)
    }
}

/// All tokens; comments and spaces left out.
fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql.char_indices().peekable();
    while let Some((start, char)) = rest.next() {
        let tail = &sql.as_bytes()[start..];
        match char {
            _ if char.is_whitespace() => {}
            '-' if tail.starts_with(b"--") => {
                rest.by_ref().find(|(_, char)| *char == '\n');
            }
            '/' if tail.starts_with(b"/*") => {
                let mut last = ' ';
                rest.next();
                rest.by_ref().find(|(_, char)| {
                    let ends = last == '*' && *char == '/';
                    last = *char;
                    ends
                });
            }
            '"' | '`' | '[' | '\'' => {
                let close = if char == '[' { ']' } else { char };
                let mut text = String::new();
                while let Some((_, inner)) = rest.next() {
                    if inner == close
                        && (close == ']' || rest.next_if(|it| it.1 == close).is_none())
                    {
                        break;
                    }
                    text.push(inner);
                }
                let end = rest.peek().map_or(sql.len(), |(at, _)| *at);
                let kind = if char == '\'' {
                    TokenKind::Text
                } else {
                    TokenKind::Quoted
                };
                let span = start..end;
                tokens.push(Token { kind, text, span });
            }
            _ if is_word(char) => {
                while rest.next_if(|(_, char)| is_word(*char)).is_some() {}
                let end = rest.peek().map_or(sql.len(), |(at, _)| *at);
                let text = sql.get(start..end).unwrap_or_default().to_owned();
                let kind = TokenKind::Word;
                let span = start..end;
                tokens.push(Token { kind, text, span });
            }
            _ => tokens.push(Token {
                kind: TokenKind::Symbol,
                text: char.to_string(),
                span: start..start + char.len_utf8(),
            }),
        }
    }
    tokens
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_' || char == '$' || !char.is_ascii()
}

#[cfg(test)]
mod tests;
