//! Files that people write by hand, in TOML or JSON: what is wrong in one is said with its line, its key and what to do.
//!
//! The parsers' own messages tell those who know the format. Most who read them come from a file manager, a spreadsheet
//! or another language: their paths have backslashes, their numbers decimal commas, their `true` a capital letter.

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::{DataError, is_unseen};

/// Longest file that is read, in bytes.
const MOST: u64 = 1 << 20;

/// What is wrong in a file, without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where (line, column, key) and what: expected and found.
    pub message: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
}

/// A part of a file and the keys that belong there.
#[derive(Clone, Debug)]
pub struct Place {
    /// The part in words: `in [optimiser]`, `at the top, before the first [table]`.
    pub name: &'static str,
    /// Its keys.
    pub keys: Vec<String>,
}

impl Fault {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }

    /// The error of a file; `otherwise` is its hint where nothing better is known.
    pub fn of(self, path: &Path, otherwise: &str) -> DataError {
        let hint = self.hint.unwrap_or_else(|| otherwise.to_owned());
        DataError::Written { path: path.into(), message: self.message, hint }
    }
}

/// The text of a file, without a byte order mark.
///
/// # Errors
/// A folder, a file that can't be read or is longer than 1 MiB, and one that is not UTF-8 text.
pub fn read(path: &Path) -> Result<String, DataError> {
    let bad = |message: &str, hint: &str| DataError::Written {
        path: path.into(),
        message: message.to_owned(),
        hint: hint.to_owned(),
    };
    if path.is_dir() {
        return Err(bad("is a folder, expected a file", "name a file in it"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(DataError::io(path))?;
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(DataError::io(path))?;
    if bytes.len() as u64 > MOST {
        return Err(bad(
            "longer than 1 MiB",
            "a file of settings is a few lines of text: is it another one that is meant?",
        ));
    }
    text(bytes).map_err(|fault| fault.of(path, "save it as UTF-8 text"))
}

/// Bytes as text, without a byte order mark.
///
/// # Errors
/// What they are if they are not UTF-8 text.
pub fn text(bytes: Vec<u8>) -> Result<String, Fault> {
    let save =
        "save it as UTF-8: in an editor by \"save as\" with that encoding, in PowerShell by `Out-File -Encoding utf8`";
    let nuls = |parity: usize| bytes.iter().take(64).skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let wide = match bytes.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [_, _, _, _, ..] if nuls(0).max(nuls(1)) * 4 > bytes.len().min(64) => Some("UTF-16"),
        _ => None,
    };
    if let Some(wide) = wide {
        return Err(Fault::new(format!("is {wide} text, expected UTF-8"), save));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..at]);
        let (line, column) = line_and_column(&before, before.len());
        let byte = error.as_bytes()[at];
        let message = format!("line {line}, column {column}: is not UTF-8 text (byte {at} is 0x{byte:02x})");
        Fault::new(message, save)
    })?;
    if let Some(at) = text.find('\0') {
        let (line, column) = line_and_column(&text, at);
        return Err(Fault::new(
            format!("line {line}, column {column}: a NUL byte: this is no text"),
            "give a text file",
        ));
    }
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// Reads TOML. `places` say where keys belong, for whoever wrote one in another part of the file.
///
/// # Errors
/// What is wrong, with line, column, key and, where it is known, what to do.
pub fn from_toml<T: DeserializeOwned>(text: &str, places: &[Place]) -> Result<T, Fault> {
    let text = text.trim_start_matches('\u{feff}');
    toml::from_str(text).map_err(|error| match DeTable::parse(text) {
        Err(error) => syntax(text, &error),
        Ok(document) => meaning(text, document.get_ref(), &error, places),
    })
}

/// What is wrong with a table that did not come from a file as it is, such as one with changes of the command line.
pub fn changed(error: &toml::de::Error, places: &[Place]) -> Fault {
    // The keys are in nothing but the text.
    let text = error.to_string();
    let keys = text.lines().find_map(|line| line.strip_prefix("in `")?.strip_suffix('`')).unwrap_or_default();
    let path: Vec<&str> = keys.split('.').filter(|key| !key.is_empty()).collect();
    let (what, hint) = explained(error.message(), &path, places, &DeTable::new());
    Fault { message: what, hint }
}

/// Reads JSON.
///
/// # Errors
/// What is wrong, with line, column and, where it is known, what to do.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).map_err(|error| {
        let (number, column) = (error.line(), error.column());
        let said = error.to_string();
        let what = said.split(" at line ").next().unwrap_or(&said);
        let line = text.lines().nth(number.saturating_sub(1)).unwrap_or_default();
        Fault { message: format!("line {number}, column {column}: {what}"), hint: json_hint(text, line, what) }
    })
}

/// Line and column in characters of a key of a TOML text, both from 1.
pub fn position(text: &str, path: &[&str]) -> Option<(usize, usize)> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let (last, tables) = path.split_last()?;
    for name in tables {
        table = table.iter().find(|(key, _)| key.get_ref() == name)?.1.get_ref().as_table()?;
    }
    let (key, _) = table.iter().find(|(key, _)| key.get_ref() == last)?;
    Some(line_and_column(text, key.span().start))
}

/// Line and column in characters of a place in a text, both from 1.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..floor(text, at)];
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[begin..].chars().count() + 1)
}

/// The last place at or before `at` where a character begins.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

// ---- what the parser could not take apart

/// Quotation marks that word processors make of straight ones.
const CURLY: [char; 12] = ['“', '”', '„', '‟', '«', '»', '‘', '’', '‚', '‛', '″', '′'];

/// One place of a text that is no TOML.
struct Spot<'a> {
    text: &'a str,
    at: usize,
    /// The line, without its end.
    line: &'a str,
    /// Where in the line it is.
    column: usize,
    /// The word or value there.
    token: &'a str,
}

impl<'a> Spot<'a> {
    fn new(text: &'a str, span: Range<usize>) -> Self {
        let mut at = floor(text, span.start);
        // What is missing at the end of the file is missing in the last line that says something.
        if text[at..].trim().is_empty() {
            at = text[..at].trim_end().len();
        }
        let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        let line = text[begin..end].trim_end_matches('\r');
        let rest = &line[(at - begin).min(line.len())..];
        let long = floor(rest, span.end.saturating_sub(span.start));
        let token = match rest[..long].trim() {
            "" => rest.split([' ', ',', ']', '}', '#']).next().unwrap_or_default(),
            token => token,
        };
        Self { text, at, line, column: (at - begin).min(line.len()), token }
    }

    fn before(&self) -> &'a str {
        &self.line[..self.column]
    }

    fn after(&self) -> &'a str {
        &self.line[self.column..]
    }

    /// The key whose value the place is in, or nothing.
    fn key(&self) -> &'a str {
        let Some(end) = self.before().rfind('=').or_else(|| self.line.find('=')) else { return "" };
        let name = self.line[..end].trim_end();
        let begin = name.rfind(|c: char| !(c.is_alphanumeric() || "_-.\"'".contains(c))).map_or(0, |i| i + 1);
        // Behind a character of several bytes that is no part of a name.
        name.get(begin..).unwrap_or_default()
    }

    /// Digits, a comma, digits, before or at the place, where a list could not be meant.
    fn decimal_comma(&self) -> Option<(&'a str, &'a str)> {
        let begin = self.line.find('=')? + 1;
        let comma = match self.after().starts_with(',') {
            true => self.column,
            false => {
                let head = self.before().trim_end().trim_end_matches(|c: char| c.is_ascii_digit());
                head.strip_suffix(',')?.len()
            }
        };
        let inside = self.line.get(begin..comma)?;
        if inside.matches('[').count() > inside.matches(']').count() || inside.matches('"').count() % 2 == 1 {
            return None;
        }
        let digits = |c: char| c.is_ascii_digit();
        let whole = &inside[inside.trim_end_matches(digits).len()..];
        let rest = &self.line[comma + 1..];
        let part = &rest[..rest.len() - rest.trim_start_matches(digits).len()];
        (!whole.is_empty() && !part.is_empty()).then_some((whole, part))
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> Fault {
    let spot = Spot::new(text, error.span().unwrap_or(0..0));
    let (line, column) = line_and_column(text, spot.at);
    let first = text.trim_start();
    if let Some((what, hint)) = other_format(first) {
        return Fault::new(format!("line 1: {what}"), hint);
    }
    let (what, hint) = spot.explained(error.message());
    let key = match spot.key() {
        "" => String::new(),
        key => format!("`{key}`: "),
    };
    Fault { message: format!("line {line}, column {column}: {key}{what}"), hint }
}

/// What a text is that begins unlike TOML, and what to do.
fn other_format(text: &str) -> Option<(&'static str, &'static str)> {
    let as_toml = "write it as TOML: lines of `key = value` under headings in brackets, [table]";
    let is_list = text.lines().next().is_some_and(|line| line.trim() == "[") || text.starts_with("[{");
    match text {
        _ if text.starts_with('{') || is_list => Some(("this is JSON, expected TOML", as_toml)),
        _ if text.starts_with("---") || text.starts_with("%YAML") => Some(("this is YAML, expected TOML", as_toml)),
        _ if text.starts_with('<') => Some((
            "this is a page of HTML or XML, expected TOML",
            "download the file itself, not the page that shows it",
        )),
        _ => None,
    }
}

impl Spot<'_> {
    /// What is wrong, and what to do, by the parser's message and what stands there.
    fn explained(&self, said: &str) -> (String, Option<String>) {
        let known = |what: String, hint: String| (what, Some(hint));
        let here = self.after().chars().next();
        let key = match self.key() {
            "" => "key",
            key => key,
        };
        let token = self.token;

        if let Some(mark) = here.filter(|c| CURLY.contains(c)) {
            return known(
                format!("the quotation mark {mark} is that of a word processor"),
                "write straight ones: \"text\" or 'text'".into(),
            );
        }
        if let Some(unseen) = here.filter(|c| !c.is_ascii() && (c.is_whitespace() || is_unseen(*c))) {
            return known(
                format!("a character that is not seen, U+{:04X}", u32::from(unseen)),
                "delete it, and type a space where one is needed".into(),
            );
        }
        if said.contains("escape") || said.contains("unicode") {
            return self.escape();
        }
        if let Some((whole, part)) = self.decimal_comma() {
            let thousands =
                if part.len() == 3 { format!(", or without the comma, {whole}{part}") } else { String::new() };
            return known(
                format!("{whole},{part} has a comma, expected a number with a decimal point"),
                format!("write {whole}.{part}{thousands}"),
            );
        }
        if said.starts_with("duplicate key") {
            return self.twice();
        }
        if said.starts_with("key with no value") {
            return self.no_value();
        }
        if said.contains("basic string") || said.contains("literal string, expected") && self.opens_with('\'') {
            let curly = self.line.contains(CURLY);
            return known(
                "the text has no quotation mark at its end".into(),
                match curly {
                    true => "write straight quotation marks, \"text\", on both sides".into(),
                    false => {
                        "close it on the same line; text of several lines stands in \"\"\"three of them\"\"\"".into()
                    }
                },
            );
        }
        if said.starts_with("unclosed table") || self.line.trim_start().starts_with('[') && !self.line.contains('=') {
            return known(
                format!("the heading `{}` is not closed", self.line.trim()),
                "headings look like [table] or [table.name]".into(),
            );
        }
        if said.starts_with("unclosed array") {
            return known("the list is not closed".into(), "put a ] behind its last value".into());
        }
        if said.starts_with("unclosed inline table") {
            return known("the table is not closed".into(), "put a } behind its last value".into());
        }
        if let Some(found) = literal(token) {
            return found;
        }
        if said.contains("leading zero") {
            return known(
                format!("{token} begins with a zero"),
                "write numbers without leading zeros; what is no number, such as a name, stands in quotation marks"
                    .into(),
            );
        }
        if said.contains("mantissa") || said.contains("fraction") || said.contains("must be quoted") {
            return self.unquoted(key);
        }
        if said.starts_with("unexpected key or value") {
            let rest = self.after().trim();
            let value = self.before();
            let hint = match rest {
                ";" | "," => format!("take the {rest} away: a line ends without a sign"),
                _ if rest.starts_with("//") || rest.starts_with(';') => "comments begin with #".into(),
                _ if value.trim_end().ends_with(['"', '\'']) => {
                    "text that has quotation marks of one kind in it stands in those of the other kind: 'a \"b\" c', \"it's\""
                        .into()
                }
                _ => "one value to a key, and each key on a line of its own; several values stand in [brackets]".into(),
            };
            return known(format!("`{rest}` behind the value"), hint);
        }
        if said.contains("unquoted key") || said.contains("invalid key") {
            return known(
                format!("`{}` is no key", self.line.trim()),
                "a line is `key = value`, [table], or a # comment; keys are letters, digits, _ and -, or in quotation marks".into(),
            );
        }
        (said.to_owned(), None)
    }

    fn opens_with(&self, quote: char) -> bool {
        self.before().matches(quote).count() % 2 == 1
    }

    /// A backslash in double quotes.
    fn escape(&self) -> (String, Option<String>) {
        let open = self.before().rfind('"').map_or(0, |quote| quote + 1);
        let close = self.line[self.column..].find('"').map_or(self.line.len(), |quote| self.column + quote);
        let value = self.line.get(open..close).unwrap_or_default();
        let slash = self.before().rfind('\\').unwrap_or(self.column);
        let escape: String = self.line.get(slash..).unwrap_or_default().chars().take(2).collect();
        (
            format!("`{escape}` in \"{value}\": in double quotes a backslash begins an escape"),
            Some(format!(
                "write the path in single quotes, '{value}', or with forward slashes, \"{}\"",
                forward(value)
            )),
        )
    }

    /// A key or heading that is there already.
    fn twice(&self) -> (String, Option<String>) {
        let mut number = line_and_column(self.text, self.at).0;
        let own = self.line.trim();
        let heading = own.starts_with('[');
        let name = |line: &str| line.split('=').next().unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned();
        let mut first = None;
        for line in self.text.lines().take(number.saturating_sub(1)).collect::<Vec<_>>().into_iter().rev() {
            number -= 1;
            let line = line.trim();
            if heading && line == own || !heading && line.contains('=') && name(line) == name(own) {
                first = Some(number);
                break;
            }
            if !heading && line.starts_with('[') {
                break;
            }
        }
        let what = if heading { own.to_owned() } else { format!("`{}`", name(own)) };
        let first = first.map_or_else(String::new, |line| format!(", in line {line}"));
        let hint = if heading { "put the keys of both under the one heading" } else { "keep one of them" };
        (format!("{what} is there already{first}"), Some(hint.into()))
    }

    /// A line without `=`, or one that begins with something else than a key.
    fn no_value(&self) -> (String, Option<String>) {
        let line = self.line.trim();
        let (word, rest) = line.split_once([' ', '\t', ':']).unwrap_or((line, ""));
        let rest = rest.trim().trim_start_matches(':').trim();
        let what;
        let hint = if line.starts_with("//") || line.starts_with(';') || line.starts_with("--") {
            what = format!("`{line}` is no line of TOML");
            "comments begin with #".to_owned()
        } else if line.starts_with("- ") {
            what = format!("`{line}` is no line of TOML");
            "a list is written in brackets: key = [1, 2]".to_owned()
        } else if line.contains('=') {
            what = format!("`{}` is no key", line.split('=').next().unwrap_or_default().trim());
            "a key is one word (letters, digits, _ and -), or stands in quotation marks".to_owned()
        } else if rest.is_empty() {
            what = format!("`{word}` has no value");
            match line.contains(':') {
                true => format!("a table has its name in brackets on a line of its own: [{word}]"),
                false => format!("write {word} = and its value, text in quotation marks"),
            }
        } else {
            what = format!("expected `=` behind `{word}`");
            format!("write {word} = {}", quoted(rest))
        };
        (what, Some(hint))
    }

    /// A value that is nothing that TOML knows: mostly text without quotation marks.
    fn unquoted(&self, key: &str) -> (String, Option<String>) {
        let begin = self.before().rfind(['=', '[', ',']).map_or(0, |i| i + 1);
        let value = self.line.get(begin..).unwrap_or_default();
        let value = match value.find(" #") {
            Some(comment) => &value[..comment],
            None => value,
        };
        let in_list = self.before().rfind('[') > self.before().rfind('=');
        let value = match in_list || self.before().contains('{') {
            true => value.split([',', ']', '}']).next().unwrap_or_default(),
            false => value,
        }
        .trim();
        if let Some((head, mark)) = value.strip_suffix(';').map(|head| (head, ";")).or_else(|| {
            let (head, _) = value.split_once("//")?;
            head.ends_with([' ', '\t']).then_some((head, "//"))
        }) {
            let hint = match mark {
                ";" => "take the ; away: a line ends without a sign",
                _ => "comments begin with #",
            };
            return (format!("`{}` behind the value", value[head.len()..].trim()), Some(hint.into()));
        }
        let number = value.replace(',', ".");
        if value.is_empty() {
            return (
                "there is no value behind the `=`".into(),
                Some(format!("write {key} = and a value, or leave the key out")),
            );
        }
        if let Some(percent) = value.strip_suffix('%').and_then(|n| n.trim().replace(',', ".").parse::<f64>().ok()) {
            return (format!("{value} is no number"), Some(format!("write the fraction: {}", percent / 100.0)));
        }
        if let Ok(number) = number.parse::<f64>() {
            return (
                format!("{value} is no number of TOML"),
                Some(format!("write {number:?}, with digits on both sides of the point")),
            );
        }
        let bare: String = value.chars().filter(|c| !" '_".contains(*c)).collect();
        if bare.chars().all(|c| c.is_ascii_digit()) {
            return match value.contains(' ') {
                true => (
                    format!("no comma between the values in `{value}`"),
                    Some("several values are a list: [1, 2]".into()),
                ),
                false => (format!("{value} is no number of TOML"), Some(format!("write {bare}"))),
            };
        }
        (format!("`{value}` has no quotation marks, and is no number"), Some(format!("write {}", quoted(value))))
    }
}

/// A word of another language.
fn literal(token: &str) -> Option<(String, Option<String>)> {
    let lower = token.to_ascii_lowercase();
    let (expected, hint) = match lower.as_str() {
        "true" | "yes" | "on" => ("true or false", "write true, in lower case and without quotation marks"),
        "false" | "no" | "off" => ("true or false", "write false, in lower case and without quotation marks"),
        "null" | "none" | "nil" | "~" | "undefined" => ("a value", "TOML has no word for nothing: leave the key out"),
        "nan" => ("a number", "TOML's word is nan, in lower case; where nothing is meant leave the key out"),
        "inf" | "infinity" | "+inf" | "+infinity" => ("a number", "TOML's word is inf, in lower case"),
        _ => return None,
    };
    Some((format!("`{token}` is no word of TOML, expected {expected}"), Some(hint.to_owned())))
}

/// A value as TOML has it: as it is where it is one, in quotation marks otherwise.
fn quoted(value: &str) -> String {
    let is_value = toml::from_str::<toml::Table>(&format!("v = {value}")).is_ok();
    match value {
        _ if is_value => value.to_owned(),
        _ if value.contains(['\\', '"']) && !value.contains('\'') => format!("'{value}'"),
        _ => format!("\"{}\"", value.replace('\\', "/").replace('"', "'")),
    }
}

fn forward(path: &str) -> String {
    path.replace("\\\\", "/").replace('\\', "/")
}

/// Why a path out of a double-quoted string is not the one that was meant: `"C:\temp"` holds a tab. `None` for a path
/// without such signs.
pub fn escaped_path(path: &Path) -> Option<Fault> {
    let text = path.to_string_lossy();
    let sign = text.chars().find(|c| c.is_control())?;
    let mut meant = String::new();
    for char in text.chars() {
        match char {
            '\u{8}' => meant += "\\b",
            '\u{c}' => meant += "\\f",
            '\u{1b}' => meant += "\\e",
            char if char.is_control() => meant.extend(char.escape_default()),
            char => meant.push(char),
        }
    }
    let escape = match sign {
        '\t' => "\\t is a tab",
        '\n' => "\\n is a line feed",
        '\r' => "\\r is a carriage return",
        _ => "such a sign is a control character",
    };
    Some(Fault::new(
        format!("\"{meant}\" in double quotes: {escape}"),
        format!("write the path in single quotes, '{meant}', or with forward slashes, \"{}\"", forward(&meant)),
    ))
}

// ---- what is TOML, but not what is expected

fn meaning(text: &str, document: &DeTable, error: &toml::de::Error, places: &[Place]) -> Fault {
    let at = error.span().unwrap_or(0..0).start;
    let mut path = Vec::new();
    let whole = error.message().starts_with("missing field") && at == 0 && !text.starts_with('[');
    if !whole {
        path_at(document, at, &mut path);
        path.extend(value_of(document, &path, error.message()));
    }
    let (what, hint) = explained(error.message(), &path, places, document);
    let (line, column) = line_and_column(text, at);
    // What is missing at the top is missing in no line.
    let message = if whole { what } else { format!("line {line}, column {column}: {what}") };
    Fault { message, hint }
}

/// Puts the names of the innermost key whose name or value is at a place into `path`.
fn path_at<'a>(table: &'a DeTable, at: usize, path: &mut Vec<&'a str>) {
    fn narrowest<'a>(table: &'a DeTable, at: usize, path: &mut Vec<&'a str>, best: &mut (usize, Vec<&'a str>)) {
        for (key, value) in table {
            path.push(key.get_ref());
            let (begin, end) = (key.span().start.min(value.span().start), key.span().end.max(value.span().end));
            if (begin..end.max(begin + 1)).contains(&at) && end - begin <= best.0 {
                *best = (end - begin, path.clone());
            }
            match value.get_ref() {
                DeValue::Table(inner) => narrowest(inner, at, path, best),
                DeValue::Array(list) => {
                    list.iter().filter_map(|item| item.get_ref().as_table()).for_each(|t| narrowest(t, at, path, best));
                }
                _ => {}
            }
            path.pop();
        }
    }
    let mut best = (usize::MAX, Vec::new());
    narrowest(table, at, &mut Vec::new(), &mut best);
    *path = best.1;
}

/// The key in the table at `path` that holds the value which a message is of, where the parser knows the table alone.
fn value_of<'a>(document: &'a DeTable, path: &[&str], said: &str) -> Option<&'a str> {
    let value = said.strip_prefix("invalid ")?.split_once(['`', '"'])?.1;
    let value = &value[..value.rfind("expected ").and_then(|end| value[..end].rfind(['`', '"']))?];
    let holds = |held: &DeValue| match held {
        DeValue::String(text) => text == value,
        DeValue::Integer(number) => number.to_string() == value,
        DeValue::Float(number) => number.to_string() == value,
        DeValue::Boolean(is) => is.to_string() == value,
        _ => false,
    };
    let mut table = document;
    for name in path {
        table = table.iter().find(|(key, _)| key.get_ref() == name)?.1.get_ref().as_table()?;
    }
    let mut keys = table.iter().filter(|(_, held)| holds(held.get_ref())).map(|(key, _)| &**key.get_ref());
    keys.next().filter(|_| keys.next().is_none())
}

/// The table of a key, as `[data.forged]` or nothing at the top.
fn in_table(path: &[&str]) -> String {
    match path {
        [] => String::new(),
        tables => format!(" in [{}]", tables.join(".")),
    }
}

/// Whether a list stands at a path.
fn is_list(document: &DeTable, path: &[&str]) -> bool {
    let Some((last, tables)) = path.split_last() else { return false };
    let mut table = document;
    for name in tables {
        match table.iter().find(|(key, _)| key.get_ref() == name).and_then(|(_, value)| value.get_ref().as_table()) {
            Some(inner) => table = inner,
            None => return false,
        }
    }
    table.iter().any(|(key, value)| key.get_ref() == last && matches!(value.get_ref(), DeValue::Array(_)))
}

/// Where a key stands in a document, if it does.
fn table_of<'a>(table: &'a DeTable, name: &str, path: &mut Vec<&'a str>) -> bool {
    if table.iter().any(|(key, _)| key.get_ref() == name) {
        return true;
    }
    for (key, value) in table {
        if let DeValue::Table(inner) = value.get_ref() {
            path.push(key.get_ref());
            if table_of(inner, name, path) {
                return true;
            }
            path.pop();
        }
    }
    false
}

/// A message of the deserialiser in words, and what to do.
fn explained(said: &str, path: &[&str], places: &[Place], document: &DeTable) -> (String, Option<String>) {
    let mut names = said.split('`').skip(1).step_by(2);
    let (key, tables) = path.split_last().map_or(("", path), |(key, tables)| (*key, tables));
    if said.starts_with("unknown field") {
        let name = names.next().unwrap_or_default();
        let tables = if key == name { tables } else { path };
        let known: Vec<&str> = names.collect();
        let belongs: Vec<&str> =
            places.iter().filter(|place| place.keys.iter().any(|key| key == name)).map(|place| place.name).collect();
        let near = nearest(name, &known);
        let hint = match (near.is_empty(), belongs.is_empty()) {
            (true, false) => format!("`{name}` belongs {}", belongs.join(", or ")),
            (false, false) => format!("`{name}` belongs {}; or {}", belongs.join(", or "), near.trim_end()),
            (_, true) if known.is_empty() => "it takes no key".into(),
            _ => format!("{near}the keys here are {}", known.join(", ")),
        };
        return (format!("unknown field `{name}`{}", in_table(tables)), Some(hint));
    }
    if said.starts_with("unknown variant") {
        let name = names.next().unwrap_or_default();
        let known: Vec<&str> = names.collect();
        let of = if key.is_empty() { String::new() } else { format!("`{key}`{}: ", in_table(tables)) };
        let hint = format!("{}it is one of {}", nearest(name, &known), known.join(", "));
        return (format!("{of}unknown value `{name}`"), Some(hint));
    }
    if said.starts_with("missing field") {
        let name = names.next().unwrap_or_default();
        let mut elsewhere = Vec::new();
        let hint = match table_of(document, name, &mut elsewhere) && elsewhere != path {
            true if path.is_empty() => format!(
                "`{name}` stands{}: what belongs at the top stands before the first [table]",
                in_table(&elsewhere)
            ),
            true => format!(
                "`{name}` stands{}",
                if elsewhere.is_empty() { " at the top".into() } else { in_table(&elsewhere) }
            ),
            false => return (format!("missing field `{name}`{}", in_table(path)), None),
        };
        return (format!("missing field `{name}`{}", in_table(path)), Some(hint));
    }
    let invalid = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: "));
    let Some((found, expected)) = invalid.and_then(|rest| rest.rsplit_once(", expected ")) else {
        let of = if key.is_empty() { String::new() } else { format!("`{key}`{}: ", in_table(tables)) };
        return (format!("{of}{said}"), None);
    };
    let value = found.split_once(['`', '"']).map_or("", |(_, rest)| rest.trim_end_matches(" as i128"));
    let value = value.trim_end_matches(['`', '"']);
    let kind = found.split(' ').next().unwrap_or_default();
    // A list of tables where one is expected is taken for the list of its fields.
    let is_list_of_tables = kind == "map" && is_list(document, path);
    let (kind, expected) = match is_list_of_tables {
        true => ("sequence", Expected::Table),
        false => (kind, Expected::of(expected)),
    };
    let found = match kind {
        "string" => format!("the text \"{value}\""),
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        _ if value.is_empty() => found.to_owned(),
        _ => value.to_owned(),
    };
    let name = path.join(".");
    let what = match key {
        "" => format!("{found}, expected {}", expected.words()),
        key => format!("`{key}`{} is {found}, expected {}", in_table(tables), expected.words()),
    };
    let number = value.replace(',', ".").trim().parse::<f64>().ok();
    let hint = match (kind, &expected) {
        ("string", Expected::Whole | Expected::Number) => match number {
            Some(_) if value.contains(',') => Some(format!("write {key} = {}", value.trim().replace(',', "."))),
            Some(_) => Some(format!("without quotation marks: {key} = {}", value.trim())),
            None => None,
        },
        ("string", Expected::Bool) => Some(format!("write {key} = true or {key} = false, without quotation marks")),
        ("integer", Expected::Bool) => Some(format!("write {key} = {}", value != "0")),
        ("floating", Expected::Whole) => match number {
            Some(n) if n.fract() == 0.0 && n.abs() < 1e15 => {
                Some(format!("write {key} = {n:.0}, without a decimal point"))
            }
            _ => Some("write a whole number, without a decimal point".into()),
        },
        ("integer", Expected::Whole) if value.starts_with('-') => Some("write 0 or more".into()),
        ("integer", Expected::Whole) => Some("the number is too large".into()),
        ("map", Expected::List) => Some(format!("a heading in two brackets begins one of several: [[{name}]]")),
        ("sequence", Expected::Table) => Some(format!("one table has a heading in single brackets: [{name}]")),
        (_, Expected::Table) if !tables.is_empty() => Some(format!(
            "each table here has a name: is `{key}` a key of [{}.NAME], with a name of your choice?",
            tables.join(".")
        )),
        (_, Expected::Table) => Some(format!("it is a table: [{name}], with its keys on the lines below")),
        ("integer" | "floating" | "boolean", Expected::List) => Some(format!("in brackets: {key} = [{value}]")),
        ("string", Expected::List) => Some(format!("in brackets: {key} = [{}]", quoted_text(value))),
        ("integer" | "floating" | "boolean", Expected::Text) => {
            Some(format!("in quotation marks: {key} = \"{value}\""))
        }
        ("sequence", Expected::Whole | Expected::Number | Expected::Text | Expected::Bool) => {
            Some(format!("one value, without brackets; of a number with a decimal comma the point: {key} = 0.5"))
        }
        _ => None,
    };
    (what, hint)
}

fn quoted_text(value: &str) -> String {
    if value.contains(['\\', '"']) { format!("'{value}'") } else { format!("\"{value}\"") }
}

/// What a deserialiser expects, by its word for it.
enum Expected {
    Whole,
    Number,
    Bool,
    Text,
    List,
    Table,
    Other(String),
}

impl Expected {
    fn of(word: &str) -> Self {
        match word {
            "usize" | "u64" | "u32" | "u16" | "u8" | "i64" | "i32" => Self::Whole,
            "f32" | "f64" => Self::Number,
            "a boolean" => Self::Bool,
            "a string" | "string" | "path string" => Self::Text,
            "a sequence" => Self::List,
            "a map" | "map" => Self::Table,
            word if word.starts_with("struct ") || word.starts_with("internally tagged enum") => Self::Table,
            word => Self::Other(word.to_owned()),
        }
    }

    fn words(&self) -> &str {
        match self {
            Self::Whole => "a whole number, 0 or more",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Text => "text in quotation marks",
            Self::List => "a list in [brackets]",
            Self::Table => "a table",
            Self::Other(word) => word,
        }
    }
}

/// `did you mean ...?` where a name is near enough to one that is known.
pub fn nearest(name: &str, known: &[&str]) -> String {
    let distance = |other: &&&str| strsim::damerau_levenshtein(name, other);
    match known.iter().min_by_key(distance) {
        Some(best) if distance(&best) <= 1 + name.len() / 4 => format!("did you mean `{best}`? "),
        _ => String::new(),
    }
}

// ---- JSON

fn json_hint(text: &str, line: &str, what: &str) -> Option<String> {
    let first = text.trim_start();
    Some(match () {
        () if first.is_empty() => "the file is empty".into(),
        () if !first.starts_with(['{', '[']) && first.lines().next().is_some_and(|line| line.contains('=')) => {
            "this is TOML; JSON is written { \"key\": value }".into()
        }
        () if what.contains("invalid escape") => {
            "in JSON a backslash is written twice, or as a forward slash: \"C:/models/net.onnx\"".into()
        }
        () if line.contains(CURLY) => "write straight quotation marks: \"text\"".into(),
        () if decimal_comma(line) => "write numbers with a decimal point: 0.5".into(),
        () if what.contains("trailing comma") => "take away the comma behind the last value".into(),
        () if what.contains("control character") => {
            "text ends on the line that it begins on; a line feed in it is \\n".into()
        }
        () if ["True", "False", "None", "NaN", "Infinity"].iter().any(|word| line.contains(word)) => {
            "JSON's words are true, false and null, in lower case; it has no NaN".into()
        }
        () if line.contains("//") || line.contains("/*") || line.trim_start().starts_with('#') => {
            "JSON has no comments: take them away".into()
        }
        () if line.contains('\'') => "write double quotation marks: \"text\"".into(),
        () if what.contains("key must be a string") => "names stand in double quotation marks: \"key\": value".into(),
        () if what.starts_with("EOF") => {
            "the file ends before everything in it is closed: } or ] or \" is missing".into()
        }
        () if what.contains("trailing characters") => "one object in a file; a decimal comma must be a point".into(),
        () if what.starts_with("unknown field") => {
            let mut names = what.split('`').skip(1).step_by(2);
            let name = names.next().unwrap_or_default();
            let known: Vec<&str> = names.collect();
            format!("{}the keys are {}", nearest(name, &known), known.join(", "))
        }
        () => return None,
    })
}

/// Whether digits, a comma and digits come in a line outside of a list.
fn decimal_comma(line: &str) -> bool {
    let bytes = line.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    !line.contains('[') && (1..bytes.len()).any(|at| bytes[at] == b',' && is_digit(at - 1) && is_digit(at + 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Settings {
        title: Option<String>,
        faces: Option<PathBuf>,
        frames: Option<usize>,
        rate: Option<f32>,
        raw: Option<bool>,
        seeds: Option<Vec<u64>>,
        method: Option<Method>,
        data: Option<BTreeMap<String, Data>>,
        family: Option<Vec<Data>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Data {
        size: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
    #[allow(dead_code)]
    enum Method {
        Swag { epochs: usize },
        Laplace,
    }

    fn refused(text: &str) -> String {
        let places = [
            Place { name: "at the top, before the first [table]", keys: vec!["frames".into(), "title".into()] },
            Place { name: "in [data.NAME]", keys: vec!["size".into()] },
        ];
        let Fault { message, hint } = from_toml::<Settings>(text, &places).unwrap_err();
        format!("{message}\nhint: {}", hint.unwrap_or_default())
    }

    #[test]
    fn what_is_wrong_in_toml_is_said_with_its_place_and_what_to_do() {
        let mut wrong = Vec::new();
        for (text, expected) in [
            // Paths.
            ("faces = \"C:\\Users\\x\"", ["line 1, column 14: `faces`: `\\U`", "'C:\\Users\\x'", "\"C:/Users/x\""]),
            ("title = \"T\"\r\nfaces = \"D:\\data\"", ["line 2, column 13: `faces`: `\\d`", "'D:\\data'", "D:/data"]),
            ("faces = \"\\\\server\\share\"", ["`\\s`", "'\\\\server\\share'", "hint:"]),
            ("faces = C:\\x", ["`faces`: `C:\\x` has no quotation marks", "'C:\\x'", "line 1"]),
            ("faces = /home/x # y", ["`/home/x` has no quotation marks", "write \"/home/x\"", "line 1"]),
            ("faces = videos", ["`videos` has no quotation marks", "write \"videos\"", "line 1"]),
            // Numbers.
            ("rate = 6,0", ["`rate`: 6,0 has a comma", "write 6.0", "line 1, column 9"]),
            ("data = { a = { size = 1,5 } }", ["`size`: 1,5 has a comma", "write 1.5", "line 1"]),
            ("frames = 1,000", ["has a comma", "without the comma, 1000", "line 1"]),
            ("rate = .5", ["`rate`: .5 is no number", "write 0.5", "line 1"]),
            ("rate = 5.", ["`rate`: 5. is no number", "write 5.0", "line 1"]),
            ("rate = 50%", ["50% is no number", "write the fraction: 0.5", "line 1"]),
            ("frames = 1'000", ["1'000 is no number", "write 1000", "line 1"]),
            ("frames = 3 4", ["no comma between the values", "[1, 2]", "line 1"]),
            ("frames = 010", ["begins with a zero", "leading zeros", "line 1"]),
            ("frames = 3.0", ["`frames` is 3.0, expected a whole number", "frames = 3,", "line 1, column 10"]),
            ("frames = 3.5", ["`frames` is 3.5", "a whole number, without", "line 1"]),
            ("frames = \"3\"", ["the text \"3\", expected a whole number", "frames = 3", "line 1"]),
            ("frames = -3", ["is -3, expected a whole number, 0 or more", "hint: write 0", "line 1"]),
            ("rate = \"0,5\"", ["the text \"0,5\", expected a number", "rate = 0.5", "line 1"]),
            ("frames = 99999999999999999999999", ["expected a whole number", "too large", "line 1"]),
            ("title = 3", ["`title` is 3, expected text", "title = \"3\"", "line 1"]),
            // Words of other languages.
            ("raw = True", ["`True` is no word of TOML", "write true", "line 1"]),
            ("raw = yes", ["`yes` is no word of TOML", "write true", "line 1"]),
            ("raw = None", ["`None` is no word", "leave the key out", "line 1"]),
            ("rate = null", ["`null` is no word", "leave the key out", "line 1"]),
            ("rate = NaN", ["`NaN` is no word", "nan, in lower case", "line 1"]),
            ("raw = 1", ["`raw` is 1, expected true or false", "raw = true", "line 1"]),
            ("raw = \"true\"", ["the text \"true\", expected true or false", "without quotation marks", "line 1"]),
            // Signs.
            ("faces = “x”", ["that of a word processor", "straight ones", "line 1, column 9"]),
            ("faces = \"x”\nrate = 1", ["no quotation mark at its end", "straight quotation marks", "line 1"]),
            ("faces = 'x\nrate = 1", ["no quotation mark at its end", "close it", "line 1"]),
            ("faces = 'it's'", ["behind the value", "\"it's\"", "line 1"]),
            ("frames\u{a0}= 3", ["not seen, U+00A0", "delete it", "line 1, column 7"]),
            ("rate = 1\n\u{feff}frames = 3", ["not seen, U+FEFF", "delete it", "line 2, column 1"]),
            ("frames = 3;", ["`;` behind the value", "take the ; away", "line 1"]),
            ("frames = 3 // three", ["behind the value", "comments begin with #", "line 1"]),
            ("// three", ["is no line of TOML", "comments begin with #", "line 1"]),
            ("frames", ["`frames` has no value", "write frames =", "line 1"]),
            ("frames = ", ["no value behind the `=`", "leave the key out", "line 1"]),
            ("frames 3", ["expected `=` behind `frames`", "write frames = 3", "line 1"]),
            ("frames: 3", ["expected `=` behind `frames`", "write frames = 3", "line 1"]),
            ("my frames = 3", ["`my frames` is no key", "one word", "line 1"]),
            ("seeds = [1, 2", ["the list is not closed", "put a ]", "line 1"]),
            ("[data.x\nsize = 3", ["`[data.x` is not closed", "[table.name]", "line 1"]),
            // Other formats.
            ("{\"frames\": 3}", ["this is JSON, expected TOML", "key = value", "line 1"]),
            ("---\nframes: 3", ["this is YAML, expected TOML", "key = value", "line 1"]),
            ("<!doctype html>", ["HTML", "download the file itself", "line 1"]),
            // Keys.
            ("frames = 3\nframes = 4", ["line 2, column 1", "`frames` is there already, in line 1", "keep one"]),
            (
                "[data.x]\nsize = 1\n[data.x]\nsize = 2",
                ["[data.x] is there already, in line 1", "one heading", "line 3"],
            ),
            ("[data.x]\nsize = 1\nframes = 3", ["line 3, column 1", "`frames` in [data.x]", "belongs at the top"]),
            ("size = 3", ["unknown field `size`", "belongs in [data.NAME]", "line 1"]),
            ("frame = 3", ["unknown field `frame`", "did you mean `frames`?", "line 1"]),
            ("[data.x]\n", ["missing field `size` in [data.x]", "line 1", "hint:"]),
            ("size = 1\n[data.x]\n", ["missing field `size` in [data.x]", "`size` stands at the top", "line 2"]),
            ("[data]\nsize = 3", ["`size` in [data] is 3, expected a table", "[data.NAME]", "line 2"]),
            ("[[data.x]]\nsize = 3", ["is a list, expected a table", "[data.x]", "line 1"]),
            ("[family]\nsize = 3", ["is a table, expected a list", "[[family]]", "line 1"]),
            ("seeds = 1", ["expected a list in [brackets]", "seeds = [1]", "line 1"]),
            ("[method]\nname = \"swog\"", ["unknown value `swog`", "did you mean `swag`?", "line 2"]),
            (
                "[method]\nname = \"swag\"\nepochs = \"3\"",
                ["`epochs` in [method] is the text \"3\"", "epochs = 3", "line"],
            ),
        ] {
            let said = refused(text);
            let lacks = expected.into_iter().filter(|part| !said.contains(part));
            wrong.extend(lacks.map(|part| format!("{text:?}: {part:?} is not in {said}")));
            assert_eq!(said.lines().count(), 2, "{text:?}: {said}");
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        let utf16: Vec<u8> = "\u{feff}frames = 3".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "\u{feff}frames = 3".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let bare: Vec<u8> = "frames = 3".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf32: Vec<u8> = "\u{feff}frames".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for (bytes, expected) in [
            (utf16, "is UTF-16 text"),
            (big, "is UTF-16 text"),
            (bare, "is UTF-16 text"),
            (utf32, "is UTF-32 text"),
            (b"title = \"a\nb\xe4\"".to_vec(), "line 2, column 2: is not UTF-8 text (byte 12 is 0xe4)"),
            (b"a = 1\nfaces = \"a long name of a folder\"\nc\0".to_vec(), "line 3, column 2: a NUL byte"),
        ] {
            let fault = text(bytes).unwrap_err();
            assert!(fault.message.contains(expected), "{}", fault.message);
            assert!(fault.hint.is_some());
        }
        assert_eq!(text("\u{feff}frames = 3".into()).unwrap(), "frames = 3");
        assert_eq!(text(Vec::new()).unwrap(), "");
    }

    #[test]
    fn what_is_wrong_in_json_is_said_with_what_to_do() {
        for (text, expected) in [
            ("", "is empty"),
            ("{\n  \"rate\": 0,5\n}", "decimal point"),
            ("{\"raw\": True}", "true, false and null"),
            ("{\"rate\": NaN}", "no NaN"),
            ("{\"frames\": 3,}", "comma behind the last value"),
            ("{'frames': 3}", "double quotation marks"),
            ("{\"frames\": 3 // three\n}", "no comments"),
            ("{“frames”: 3}", "straight"),
            ("{\"faces\": \"C:\\Users\"}", "backslash is written twice"),
            ("{\"frames\": 3", "before everything in it is closed"),
            ("frames = 3", "this is TOML"),
            ("{\"frame\": 3}", "did you mean `frames`?"),
        ] {
            let Fault { message, hint } = from_json::<Settings>(text).unwrap_err();
            assert!(hint.clone().unwrap_or_default().contains(expected), "{text}: {message}; {hint:?}");
            assert!(message.starts_with("line "), "{message}");
        }
    }

    #[test]
    fn a_path_that_an_escape_made_another_one_is_seen() {
        let fault = escaped_path(Path::new("C:\temp\new")).unwrap();
        assert!(fault.message.contains("\"C:\\temp\\new\"") && fault.message.contains("\\t is a tab"), "{fault:?}");
        assert!(fault.hint.unwrap().contains("'C:\\temp\\new'"));
        assert_eq!(escaped_path(Path::new("C:/temp/new")), None);
    }

    #[test]
    fn nothing_that_is_typed_panics() {
        let text = "title = \"“C:\\x\" # ä\n[data.x]\nsize = 6,0\n[[family]]\nsize = [1 2]\n{a: True}\n'é\u{a0}";
        for (at, _) in text.char_indices() {
            for cut in [&text[..at], &text[at..]] {
                let _ = from_toml::<Settings>(cut, &[]);
                let _ = from_json::<Settings>(cut);
            }
        }
    }
}
