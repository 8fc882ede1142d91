//! The one place that prints: results on standard output, everything else on standard error.
//!
//! In: lines, which may hold what a file or server says. Out: the same with everything escaped
//! that a terminal would act on or that would make text read as other text: control characters,
//! bidirectional controls, invisible characters.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

/// Where a command writes.
pub(super) struct Terminal {
    output: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
    is_watched: bool,
    /// Whether a person sees the output as it is written.
    is_shown: bool,
}

impl Terminal {
    /// The process's own streams.
    pub(super) fn standard() -> Terminal {
        Terminal {
            output: Box::new(io::stdout()),
            notes: Box::new(io::stderr()),
            is_watched: io::stderr().is_terminal(),
            is_shown: io::stdout().is_terminal(),
        }
    }

    /// Streams of a test; never a terminal.
    #[cfg(test)]
    pub(super) fn to(
        output: impl Write + Send + 'static,
        notes: impl Write + Send + 'static,
    ) -> Terminal {
        Terminal {
            output: Box::new(output),
            notes: Box::new(notes),
            is_watched: false,
            is_shown: false,
        }
    }

    /// Whether a person sees the notes as they are written, so that a bar may be drawn.
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// A line of the result.
    pub(super) fn line(&mut self, line: impl fmt::Display) -> io::Result<()> {
        let line = line.to_string();
        writeln!(self.output, "{}", escape(&line))
    }

    /// Whole lines of data, which another program may read: as they are, except on a terminal.
    pub(super) fn data(&mut self, lines: &str) -> io::Result<()> {
        if !self.is_shown {
            return self.output.write_all(lines.as_bytes());
        }
        lines
            .lines()
            .try_for_each(|line| writeln!(self.output, "{}", escape(line)))
    }

    /// A line of JSON as a result. What a terminal would act on is escaped as JSON does it.
    pub(super) fn json(&mut self, json: &str) -> io::Result<()> {
        writeln!(self.output, "{}", escape_json(json))?;
        self.output.flush()
    }

    /// A remark; that it cannot be written stops nothing.
    pub(super) fn note(&mut self, line: impl fmt::Display) {
        let line = line.to_string();
        let _ignored = writeln!(self.notes, "{}", escape(&line));
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal")
            .field("is_watched", &self.is_watched)
            .finish_non_exhaustive()
    }
}

/// `text` in one line that shows what is in it: `\n`, `\t` and `\u{202e}` stand for the
/// characters themselves.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    escape_with(text, |escaped, character| {
        escaped.extend(character.escape_default());
        Ok(())
    })
}

/// JSON in which such characters are written as `\uXXXX`; they can only stand inside texts.
fn escape_json(json: &str) -> Cow<'_, str> {
    escape_with(json, |escaped, character| {
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            write!(escaped, "\\u{unit:04x}")?;
        }
        Ok(())
    })
}

fn escape_with(
    text: &str,
    mut write_escaped: impl FnMut(&mut String, char) -> fmt::Result,
) -> Cow<'_, str> {
    if !text.chars().any(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_deceptive(character) {
            write_escaped(&mut escaped, character).expect("writing to a String cannot fail");
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Whether a terminal acts on the character, or shows nothing or something else for it.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Line and paragraph separators.
            '\u{2028}' | '\u{2029}'
            // Bidirectional marks, embeddings, overrides and isolates.
            | '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}'
            // Nothing to see: soft hyphen, zero-width space, word joiner and its relatives, byte
            // order mark, interlinear marks, tags. The joiners U+200C and U+200D are part of words.
            | '\u{00ad}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests;
