//! CSV and its kin: cells cut by a comma, tab, semicolon, bar or space, with a header.
//!
//! A chunk without a quotation mark is cut at delimiters and line ends directly, several chunks at a time. One with
//! quotation marks goes record by record, and holds to what they mean: a cell that a mark opens ends with a mark, right
//! before the next delimiter or line end. What does not is an error with its row, never a guess: a mark that stays open
//! would swallow the rows behind it.

use std::borrow::Cow;
use std::io::Read;

use crate::MOST_COLUMNS;
use crate::block::{Block, Fault, Kind, Wanted};
use crate::error::TableError;
use crate::source::Source;
use crate::spelling::{is_missing, number, tidy};
use crate::text::{Chunks, as_text, not_utf8};

/// The delimiters that are looked for. A space only where there is no other.
const DELIMITERS: [u8; 5] = [b',', b'\t', b';', b'|', b' '];

/// As much as a header may take.
const LONGEST_HEADER: u64 = 1 << 20;

/// Records by which the delimiter is told.
const SAMPLE: usize = 1000;

/// What a header, and the first rows, say.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub delimiter: u8,
    pub names: Vec<String>,
    /// Numbers have a decimal comma.
    pub decimal_comma: bool,
    /// Bytes before the first row, and lines.
    length: u64,
    lines: u64,
    /// What is worth to be known of how the file was understood.
    pub remarks: Vec<String>,
}

/// A delimiter, and what the first records are with it.
struct Cut<'a> {
    delimiter: u8,
    records: Vec<Vec<Cow<'a, str>>>,
    /// The place behind the first record.
    end: usize,
    /// Cells of the line that names the columns.
    width: usize,
    /// Whether a comment names the columns, and all records are rows.
    is_named_by_comment: bool,
}

impl<'a> Cut<'a> {
    fn of(text: &'a str, comment: Option<&str>, delimiter: u8) -> Self {
        let mut splitter = Splitter::new(text, delimiter);
        let (mut records, mut end) = (Vec::new(), 0);
        while records.len() <= SAMPLE {
            match splitter.next() {
                Some(Ok(_)) if splitter.is_no_row(2) => {}
                Some(Ok(record)) => {
                    if records.is_empty() {
                        end = record.end;
                    }
                    records.push(splitter.cells.clone());
                }
                Some(Err(_)) | None => break,
            }
        }
        let width = records.first().map_or(0, Vec::len);
        let mut cut = Self { delimiter, records, end, width, is_named_by_comment: false };
        if let Some(names) = comment.map(|comment| cut.names_of(comment)) {
            // A comment names the columns where it has a word for each, and the line below it is a row of numbers.
            let words = names.iter().all(|name| !name.is_empty() && !name.contains(char::is_whitespace));
            let is_row = cut.records.first().is_some_and(|cells| cells.iter().any(|cell| is_number(cell)));
            if words && is_row && names.len() == cut.width {
                cut.is_named_by_comment = true;
            }
        }
        cut
    }

    fn names_of(&self, line: &str) -> Vec<String> {
        let line = line.trim_start_matches(['#', ' ']);
        let mut splitter = Splitter::new(line, self.delimiter);
        let _ = splitter.next();
        splitter.cells.iter().map(|cell| tidy(cell).to_owned()).collect()
    }

    fn rows(&self) -> &[Vec<Cow<'a, str>>] {
        &self.records[usize::from(!self.is_named_by_comment).min(self.records.len())..]
    }

    /// Rows of so many cells.
    fn rows_of(&self, width: usize) -> usize {
        self.rows().iter().filter(|row| row.len() == width).count()
    }

    /// Whether all rows have a cell more than the header, as R writes them (the first is the row's name) and as programs
    /// do that end each row with a delimiter.
    fn has_one_more(&self) -> bool {
        !self.rows().is_empty() && self.rows_of(self.width + 1) == self.rows().len()
    }

    fn ends_with_delimiter(&self) -> bool {
        self.has_one_more() && self.rows().iter().all(|row| row.last().is_some_and(|cell| tidy(cell).is_empty()))
    }

    fn fits_all(&self) -> bool {
        let rows = self.rows().len();
        rows == self.rows_of(self.width)
            || self.ends_with_delimiter()
            || (self.delimiter != b',' && self.has_one_more())
    }
}

fn is_number(cell: &str) -> bool {
    let cell = tidy(cell);
    matches!(number(cell, false).or_else(|| number(cell, true)), Some(Some(_)))
}

/// Read the header of a file, and what its first rows tell: the delimiter is the one that cuts all of them alike.
pub(crate) fn header(source: &Source) -> Result<Header, TableError> {
    let path = &source.path;
    let failed = |source| TableError::Read { path: path.clone(), source };
    let bad = |line: u64, problem: String| TableError::BadRow { path: path.clone(), row: 0, line: Some(line), problem };
    let mut head = Vec::new();
    source.text()?.take(LONGEST_HEADER).read_to_end(&mut head).map_err(failed)?;
    let is_whole = (head.len() as u64) < LONGEST_HEADER;
    // What is no text among the rows is an error of its row.
    let valid = std::str::from_utf8(&head).map_or_else(|error| error.valid_up_to(), str::len);
    let text = std::str::from_utf8(&head[..valid]).unwrap_or_default();
    let foreign = || format!("the header {}", not_utf8(&head[valid..]));
    let line_at = |at: usize| lines(&text[..at]) + 1;
    let (mut start, mut comment, mut forced, mut remarks) = (0, None, None, Vec::new());
    loop {
        let line = &text[start..][..line_length(&text[start..])];
        let content = line.trim();
        if line.is_empty() {
            break;
        }
        if let Some(delimiter) = said_delimiter(content).filter(|_| forced.is_none() && comment.is_none()) {
            forced = Some(delimiter);
        } else if content.starts_with('#') {
            comment = Some((start, content));
        } else if !content.is_empty() {
            break;
        }
        start += line.len();
    }
    let rest = &text[start..];
    if rest.is_empty() {
        return match comment {
            _ if valid < head.len() => Err(bad(1, foreign())),
            Some(_) if is_whole => {
                Err(bad(line_at(start), "holds comments alone, expected the names of the columns".into()))
            }
            _ if !is_whole => Err(bad(1, too_long())),
            _ => Err(TableError::Empty { path: path.clone() }),
        };
    }
    // The last record of a part may be cut: it is no witness.
    let sample = match (is_whole && valid == head.len(), rest.rfind(['\n', '\r'])) {
        (false, Some(end)) => &rest[..=end],
        _ => rest,
    };
    let comment_text = comment.map(|(_, text)| text);
    let cuts: Vec<Cut> = match forced {
        Some(delimiter) => vec![Cut::of(sample, comment_text, delimiter)],
        None => DELIMITERS.iter().map(|&delimiter| Cut::of(sample, comment_text, delimiter)).collect(),
    };
    let cut = chosen(&cuts).map_err(|problem| bad(line_at(start), problem))?;
    let (names, end) = match comment_text.filter(|_| cut.is_named_by_comment) {
        Some(comment) => {
            remarks.push("the columns are named by the comment above the rows".to_string());
            (cut.names_of(comment), 0)
        }
        None => {
            let names = cut.records.first().map(|cells| cells.iter().map(|cell| tidy(cell).to_owned()).collect());
            (names.unwrap_or_default(), cut.end)
        }
    };
    let mut names: Vec<String> = names;
    let has_end = (is_whole && valid == head.len()) || rest.contains(['\n', '\r']);
    if names.is_empty() || !has_end {
        let mut splitter = Splitter::new(rest, cut.delimiter);
        return Err(match splitter.next() {
            Some(Err(broken)) if has_end && valid == head.len() => bad(line_at(start), broken.in_words(&splitter, &[])),
            _ if valid < head.len() => bad(line_at(start), foreign()),
            _ => bad(line_at(start), too_long()),
        });
    }
    if names.len() > MOST_COLUMNS {
        return Err(bad(line_at(start), format!("has {} columns, expected at most {MOST_COLUMNS}", names.len())));
    }
    if names.len() == cut.width && cut.rows_of(cut.width) == 0 {
        if cut.ends_with_delimiter() {
            remarks.push("each row ends with a delimiter".into());
            names.push(String::new());
        } else if cut.delimiter != b',' && cut.has_one_more() {
            remarks.push("the first cell of each row has no name in the header: a row's name, as R writes it".into());
            names.insert(0, String::new());
        }
    }
    if forced.is_some() {
        remarks.push("the first line says what cuts the cells".into());
    }
    let decimal_comma = cut.delimiter != b',' && has_decimal_commas(cut.rows());
    if decimal_comma {
        remarks.push("numbers have a decimal comma".into());
    }
    let length = start + end;
    let delimiter = cut.delimiter;
    Ok(Header { delimiter, names, decimal_comma, length: length as u64, lines: lines(&text[..length]), remarks })
}

fn too_long() -> String {
    format!("is longer than {} MiB: expected the names of the columns", LONGEST_HEADER >> 20)
}

/// The bytes of the first line, its end among them.
fn line_length(text: &str) -> usize {
    match memchr::memchr2(b'\n', b'\r', text.as_bytes()) {
        Some(at) if text[at..].starts_with("\r\n") => at + 2,
        Some(at) => at + 1,
        None => text.len(),
    }
}

/// Line ends: `\n`, `\r\n`, or `\r` alone.
fn lines(text: &str) -> u64 {
    let lone = |&at: &usize| text.as_bytes()[at] == b'\n' || text.as_bytes().get(at + 1) != Some(&b'\n');
    memchr::memchr2_iter(b'\n', b'\r', text.as_bytes()).filter(lone).count() as u64
}

/// The delimiter of a line `sep=;`, as Excel understands it.
fn said_delimiter(line: &str) -> Option<u8> {
    let said = line.trim_matches('"');
    let said = said.get(..4).filter(|key| key.eq_ignore_ascii_case("sep=")).map(|_| &said[4..])?;
    match said.as_bytes() {
        [byte] if byte.is_ascii_punctuation() && !matches!(byte, b'"' | b'#') => Some(*byte),
        [] => Some(b'\t'), // a tab that was trimmed
        _ => None,
    }
}

/// The cut by which the rows have as many cells as the header.
fn chosen<'c, 'a>(cuts: &'c [Cut<'a>]) -> Result<&'c Cut<'a>, String> {
    let cuts_something = |cut: &&Cut| cut.width >= 2;
    let by_space = |cut: &&Cut| cut.delimiter == b' ';
    let mut fitting: Vec<&Cut> =
        cuts.iter().filter(cuts_something).filter(|cut| !by_space(cut) && cut.fits_all()).collect();
    fitting.sort_by_key(|cut| std::cmp::Reverse((!cut.rows().is_empty(), cut.width)));
    if let [first, second, ..] = fitting.as_slice()
        && first.width == second.width
        && !first.rows().is_empty()
    {
        let name = |cut: &Cut| {
            if cut.delimiter == b'\t' { "tabs".into() } else { format!("\"{}\"", char::from(cut.delimiter)) }
        };
        let (first, second) = (name(first), name(second));
        return Err(format!(
            "cells may be cut by {first} or by {second}: write the table with one of them, or quote the cells"
        ));
    }
    if let Some(best) = fitting.first() {
        return Ok(best);
    }
    // Rows that differ: an error of theirs, with the delimiter that fits most.
    let best = cuts
        .iter()
        .filter(cuts_something)
        .filter(|cut| !by_space(cut))
        .max_by_key(|cut| (cut.rows_of(cut.width), cut.width));
    if let Some(best) = best {
        return Ok(best);
    }
    let spaced = cuts.iter().filter(cuts_something).find(by_space);
    match spaced {
        Some(cut) if cut.fits_all() && cut.records.iter().flatten().all(|cell| !cell.is_empty()) => Ok(cut),
        Some(cut) if cut.records.iter().flatten().any(|cell| cell.is_empty()) => {
            Err("cells seem to be cut by several spaces: write the table with commas or tabs between them".into())
        }
        _ => cuts.first().ok_or_else(too_long),
    }
}

/// Whether the numbers of some rows have a decimal comma: one that can't be a mark between thousands is there, and no
/// column of numbers has a point.
fn has_decimal_commas(rows: &[Vec<Cow<str>>]) -> bool {
    let mut proven = false;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut has_point = false;
    for column in 0..columns {
        let cells =
            || rows.iter().filter_map(|row| row.get(column)).map(|cell| tidy(cell)).filter(|cell| !is_missing(cell));
        let with_comma = |cell: &&str| cell.contains(',') && matches!(number(cell, true), Some(Some(_)));
        let is_of_numbers = cells().all(|cell| number(cell, true).is_some() || number(cell, false).is_some());
        if !is_of_numbers {
            continue;
        }
        has_point |= cells().any(|cell| cell.contains('.'));
        proven |= cells().filter(with_comma).any(|cell| {
            let digits = cell.trim_start_matches(['-', '+']);
            digits.starts_with("0,") || digits.split_once(',').is_some_and(|(_, fraction)| fraction.len() != 3)
        });
    }
    proven && !has_point
}

/// The chunks of a file's rows.
pub(crate) fn chunks(source: &Source, header: &Header) -> Result<Chunks, TableError> {
    let mut reader = source.text()?;
    std::io::copy(&mut reader.by_ref().take(header.length), &mut std::io::sink())
        .map_err(|error| TableError::Read { path: source.path.clone(), source: error })?;
    Ok(Chunks::new(reader))
}

/// The place behind the last line end that is not inside quotation marks.
pub(crate) fn last_end(chunk: &[u8], delimiter: u8) -> Option<usize> {
    if memchr::memchr(b'"', chunk).is_none() {
        let last = memchr::memrchr(b'\n', chunk).map(|at| at + 1);
        // Old Macs end lines with `\r` alone; the last byte may be half of `\r\n`.
        return last.or_else(|| memchr::memrchr(b'\r', &chunk[..chunk.len() - 1]).map(|at| at + 1));
    }
    let (mut at, mut end) = (0, None);
    loop {
        // At the start of a cell.
        let opening = chunk[at..].iter().take_while(|&&byte| byte == b' ' && delimiter != b' ').count();
        if chunk.get(at + opening) == Some(&b'"') {
            at += opening + 1;
            loop {
                let Some(mark) = memchr::memchr(b'"', &chunk[at..]) else { return end };
                at += mark + 1;
                if chunk.get(at) != Some(&b'"') {
                    break;
                }
                at += 1;
            }
        }
        let Some(next) = memchr::memchr3(delimiter, b'\n', b'\r', &chunk[at..]) else { return end };
        at += next + 1;
        match chunk[at - 1] {
            b'\n' => end = Some(at),
            b'\r' if at < chunk.len() && chunk[at] != b'\n' => end = Some(at),
            _ => {}
        }
    }
}

/// Which of the wanted columns each column of the file is.
pub(crate) fn slots(columns: usize, wanted: &[Wanted]) -> Vec<Option<usize>> {
    let mut slots = vec![None; columns];
    wanted.iter().enumerate().for_each(|(slot, w)| slots[w.column] = Some(slot));
    slots
}

/// The rows of a chunk.
pub(crate) fn parse(chunk: &[u8], header: &Header, slots: &[Option<usize>], wanted: &[Wanted]) -> Result<Block, Fault> {
    let delimiter = header.delimiter;
    let text = as_text(chunk, |before| whole_records(before, delimiter, slots.len()))?;
    let has_lone_cr = || memchr::memchr_iter(b'\r', chunk).any(|at| chunk.get(at + 1) != Some(&b'\n'));
    if memchr::memchr(b'"', chunk).is_some() || has_lone_cr() {
        return parse_quoted(text, header, slots, wanted);
    }
    let mut block = Block::new(wanted);
    let (mut start, mut column) = (0, 0);
    let ends = memchr::memchr2_iter(delimiter, b'\n', chunk).chain((!chunk.ends_with(b"\n")).then_some(chunk.len()));
    for end in ends {
        let cell = &text[start..end];
        let ends_row = chunk.get(end) != Some(&delimiter);
        start = end + 1;
        if ends_row && column == 0 && is_no_row(cell, slots.len()) {
            continue;
        }
        if let Some(Some(slot)) = slots.get(column) {
            block.put(*slot, cell, &wanted[*slot], header.decimal_comma)?;
        }
        column += 1;
        if ends_row {
            if column != slots.len() {
                return Err(ragged(block.rows, column, header, end == chunk.len()));
            }
            block.rows += 1;
            column = 0;
        }
    }
    Ok(block)
}

/// Whether a line that has one cell is none of a table: empty, or a comment.
#[inline]
fn is_no_row(cell: &str, columns: usize) -> bool {
    let cell = cell.trim_ascii();
    cell.is_empty() || (columns > 1 && cell.starts_with('#'))
}

fn parse_quoted(text: &str, header: &Header, slots: &[Option<usize>], wanted: &[Wanted]) -> Result<Block, Fault> {
    let mut block = Block::new(wanted);
    let mut splitter = Splitter::new(text, header.delimiter);
    while let Some(record) = splitter.next() {
        let record = record.map_err(|broken| Fault::row(block.rows, broken.in_words(&splitter, &header.names)))?;
        if splitter.is_no_row(slots.len()) {
            continue;
        }
        if record.is_long
            && let Some(lines) = swallowed(&text[record.start..record.end], header, slots, wanted)
        {
            let problem = format!(
                "a quotation mark opens a cell that goes on over {lines} lines, and these are rows: close the cell in its \
                 line, or double a mark that is meant"
            );
            return Err(Fault::row(block.rows, problem));
        }
        if splitter.cells.len() != slots.len() {
            let is_cut = record.end == text.len() && !text.ends_with(['\n', '\r']);
            return Err(ragged(block.rows, splitter.cells.len(), header, is_cut));
        }
        for (cell, slot) in splitter.cells.iter().zip(slots) {
            if let Some(slot) = *slot {
                block.put(slot, cell, &wanted[slot], header.decimal_comma)?;
            }
        }
        block.rows += 1;
    }
    Ok(block)
}

/// How many lines a record has, where they are rows of their own: a mark that was left open, and closed by a later one.
/// All lines have as many cells as the header; or one inside has, and numbers where numbers are wanted.
fn swallowed(record: &str, header: &Header, slots: &[Option<usize>], wanted: &[Wanted]) -> Option<usize> {
    let record = record.replace("\r\n", "\n");
    let lines: Vec<Vec<&str>> = record
        .trim_end_matches(['\r', '\n'])
        .split(['\n', '\r'])
        .map(|line| line.split(char::from(header.delimiter)).collect())
        .collect();
    let is_wide = |line: &Vec<&str>| line.len() == slots.len();
    let is_row = |line: &Vec<&str>| {
        let numbers = line.iter().zip(slots).filter_map(|(cell, slot)| {
            let is_number = matches!(wanted[(*slot)?].kind, Kind::Number | Kind::Whole);
            is_number.then(|| matches!(number(tidy(cell), header.decimal_comma), Some(Some(_))))
        });
        let numbers: Vec<bool> = numbers.collect();
        is_wide(line) && !numbers.is_empty() && numbers.iter().all(|is_number| *is_number)
    };
    let inside = lines.get(1..lines.len() - 1).unwrap_or_default();
    (slots.len() > 1 && lines.len() > 1 && (lines.iter().all(is_wide) || inside.iter().any(is_row)))
        .then_some(lines.len())
}

fn ragged(row: usize, found: usize, header: &Header, is_cut: bool) -> Fault {
    let expected = header.names.len();
    let why = if is_cut && found < expected {
        " (the file ends within this row: it is cut off)"
    } else if found > expected && header.delimiter == b',' {
        " (a cell with a comma needs quotation marks; numbers with decimal commas need cells cut by semicolons or tabs)"
    } else {
        ""
    };
    let cells = if found == 1 { "cell" } else { "cells" };
    Fault::row(row, format!("{found} {cells}, expected {expected} as in the header{why}"))
}

/// Whole records of a text that is cut somewhere.
fn whole_records(text: &str, delimiter: u8, columns: usize) -> usize {
    let mut splitter = Splitter::new(text, delimiter);
    let mut count = 0;
    while let Some(Ok(record)) = splitter.next() {
        let is_whole = record.end < text.len() || text.ends_with(['\n', '\r']);
        count += usize::from(is_whole && !splitter.is_no_row(columns));
    }
    count
}

/// In which line of the file a row begins, from 1: found by reading again. `None` where it can't be.
pub(crate) fn line_of(source: &Source, header: &Header, row: u64) -> Option<u64> {
    let mut chunks = chunks(source, header).ok()?;
    let (mut line, mut left) = (header.lines + 1, row);
    loop {
        let chunk = match chunks.next(|chunk| last_end(chunk, header.delimiter)) {
            Ok(chunk) => chunk?,
            // A row that is too long to be one.
            Err(_) => return (left == 1).then_some(line),
        };
        let valid = std::str::from_utf8(&chunk).map_or_else(|error| error.valid_up_to(), str::len);
        let text = std::str::from_utf8(&chunk[..valid]).unwrap_or_default();
        let mut splitter = Splitter::new(text, header.delimiter);
        loop {
            let start = splitter.at;
            match splitter.next() {
                None => break,
                Some(Ok(_)) if splitter.is_no_row(header.names.len()) => {}
                found => {
                    left -= 1;
                    if left == 0 {
                        return Some(line + lines(&text[..start]));
                    }
                    found.and_then(Result::ok)?;
                }
            }
        }
        // A row that begins where the text ends to be one.
        if valid < chunk.len() {
            return (left == 1).then(|| line + lines(text));
        }
        line += lines(text);
    }
}

/// A record's place in the text.
struct Record {
    start: usize,
    end: usize,
    /// Whether a cell holds line ends.
    is_long: bool,
}

/// How a cell breaks the rules.
enum Broken {
    /// A mark opens it, and none closes it.
    Open,
    /// Something stands behind the mark that closes it.
    Behind(String),
}

impl Broken {
    fn in_words(&self, splitter: &Splitter, names: &[String]) -> String {
        let at = splitter.cells.len();
        let cell = match names.get(at).filter(|name| !name.is_empty()) {
            Some(name) => format!("the cell of column {name}"),
            None => format!("cell {}", at + 1),
        };
        match self {
            Self::Open => format!("the quotation mark that opens {cell} is never closed"),
            Self::Behind(found) => format!(
                "\"{found}\" stands behind the quotation mark that closes {cell}: was the mark that opens it left open, or \
                 one inside not doubled?"
            ),
        }
    }
}

/// Cuts a text into records.
struct Splitter<'a> {
    text: &'a str,
    at: usize,
    delimiter: u8,
    /// The cells of the last record; of a broken one, those before it.
    cells: Vec<Cow<'a, str>>,
    /// Whether a quotation mark opens one of them.
    is_quoted: bool,
}

impl<'a> Splitter<'a> {
    fn new(text: &'a str, delimiter: u8) -> Self {
        Self { text, at: 0, delimiter, cells: Vec::new(), is_quoted: false }
    }

    /// Whether the last record is an empty line, or a comment in a table of so many columns.
    fn is_no_row(&self, columns: usize) -> bool {
        !self.is_quoted && matches!(self.cells.as_slice(), [cell] if is_no_row(cell, columns))
    }

    fn next(&mut self) -> Option<Result<Record, Broken>> {
        let (text, bytes) = (self.text, self.text.as_bytes());
        let mut record = Record { start: self.at, end: self.at, is_long: false };
        if self.at >= bytes.len() {
            return None;
        }
        self.cells.clear();
        self.is_quoted = false;
        loop {
            let spaces = bytes[self.at..].iter().take_while(|&&byte| byte == b' ' && self.delimiter != b' ').count();
            if bytes.get(self.at + spaces) == Some(&b'"') {
                self.is_quoted = true;
                self.at += spaces + 1;
                match self.quoted() {
                    Ok(is_long) => record.is_long |= is_long,
                    Err(broken) => return Some(Err(broken)),
                }
            } else {
                let rest = &bytes[self.at..];
                let end = memchr::memchr3(self.delimiter, b'\n', b'\r', rest).map_or(bytes.len(), |end| self.at + end);
                self.cells.push(Cow::Borrowed(&text[self.at..end]));
                self.at = end;
            }
            match bytes.get(self.at) {
                Some(&byte) if byte == self.delimiter => self.at += 1,
                Some(b'\r') if bytes.get(self.at + 1) == Some(&b'\n') => self.at += 2,
                Some(_) => self.at += 1,
                None => {}
            }
            let goes_on = self.at > record.start && bytes[self.at - 1] == self.delimiter;
            if goes_on && self.at == bytes.len() {
                self.cells.push(Cow::Borrowed(""));
            }
            if !goes_on || self.at == bytes.len() {
                record.end = self.at;
                return Some(Ok(record));
            }
        }
    }

    /// The cell behind an opening mark, up to its delimiter or line end; says whether it holds line ends.
    fn quoted(&mut self) -> Result<bool, Broken> {
        let (text, bytes) = (self.text, self.text.as_bytes());
        let start = self.at;
        let mut has_doubled = false;
        let end = loop {
            let Some(mark) = memchr::memchr(b'"', &bytes[self.at..]) else { return Err(Broken::Open) };
            self.at += mark + 1;
            if bytes.get(self.at) != Some(&b'"') {
                break self.at - 1;
            }
            has_doubled = true;
            self.at += 1;
        };
        let cell = &text[start..end];
        if self.delimiter != b' ' {
            self.at += bytes[self.at..].iter().take_while(|&&byte| byte == b' ').count();
        }
        match bytes.get(self.at) {
            None | Some(b'\n' | b'\r') => {}
            Some(&byte) if byte == self.delimiter => {}
            Some(_) => {
                let line = &text[self.at..][..line_length(&text[self.at..])];
                return Err(Broken::Behind(line.trim_end().chars().take(20).collect()));
            }
        }
        self.cells.push(if has_doubled { Cow::Owned(cell.replace("\"\"", "\"")) } else { Cow::Borrowed(cell) });
        Ok(memchr::memchr2(b'\n', b'\r', cell.as_bytes()).is_some())
    }
}
