//! JSON Lines: one flat object a line; a key is a column, and a line may lack some. An array of such objects is read as
//! its lines.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::MOST_COLUMNS;
use crate::block::{Block, Fault, Wanted};
use crate::error::TableError;
use crate::source::Source;
use crate::text::{Chunks, as_text};

/// Lines looked at to learn the keys.
const LOOKED_AT: usize = 1000;

/// The keys of the first lines, in the order in which they come.
pub(crate) fn names(source: &Source) -> Result<Vec<String>, TableError> {
    let error = |fault: Fault| fault.into_error(&source.path, 0, |row| line_of(source, row));
    let Some(chunk) = chunks(source)?.next(last_end).map_err(error)? else {
        return Err(TableError::Empty { path: source.path.clone() });
    };
    let text = as_text(&chunk, whole_records).map_err(error)?;
    let (mut names, mut seen) = (Vec::new(), BTreeSet::new());
    for (row, line) in lines(text).take(LOOKED_AT).enumerate() {
        let keys: Keys = parse_line(line, row).map_err(error)?;
        for key in keys.0 {
            if !seen.contains(&key) {
                seen.insert(key.clone());
                names.push(key);
            }
        }
        if names.len() > MOST_COLUMNS {
            return Err(error(Fault::row(row, format!("has more than {MOST_COLUMNS} keys"))));
        }
    }
    Ok(names)
}

/// The chunks of a file.
pub(crate) fn chunks(source: &Source) -> Result<Chunks, TableError> {
    Ok(Chunks::new(source.text()?))
}

/// Whole lines of a text that is cut somewhere.
fn whole_records(text: &str) -> usize {
    text.rfind('\n').map_or(0, |end| lines(&text[..end]).count())
}

/// In which line of the file a row is, from 1: found by reading again. `None` where it can't be, as of an array.
pub(crate) fn line_of(source: &Source, row: u64) -> Option<u64> {
    let mut chunks = if source.is_array { None } else { chunks(source).ok() }?;
    let (mut line, mut left) = (0, row);
    loop {
        let chunk = match chunks.next(last_end) {
            Ok(chunk) => chunk?,
            // A line that is too long to be one.
            Err(_) => return (left == 1).then_some(line + 1),
        };
        for text in chunk.split_inclusive(|&byte| byte == b'\n') {
            line += 1;
            left -= u64::from(!text.trim_ascii().is_empty());
            if left == 0 {
                return Some(line);
            }
        }
    }
}

/// The place behind the last line end. JSON writes line ends inside texts as `\n`.
pub(crate) fn last_end(chunk: &[u8]) -> Option<usize> {
    memchr::memrchr(b'\n', chunk).map(|at| at + 1)
}

/// The rows of a chunk. `known` holds the keys that [`names`] saw.
pub(crate) fn parse(chunk: &[u8], wanted: &[Wanted], known: &BTreeSet<&str>) -> Result<Block, Fault> {
    let text = as_text(chunk, whole_records)?;
    let mut block = Block::new(wanted);
    let slots: HashMap<&str, usize> = wanted.iter().enumerate().map(|(slot, w)| (w.name.as_str(), slot)).collect();
    let mut cells: Vec<Option<Cell>> = Vec::new();
    for line in lines(text) {
        cells.clear();
        cells.resize_with(wanted.len(), || None);
        let mut row = Row { slots: &slots, known, cells: &mut cells };
        let mut json = serde_json::Deserializer::from_str(line);
        (&mut row)
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| Fault::row(block.rows, in_words(line, &error)))?;
        for (slot, (cell, wanted)) in cells.drain(..).zip(wanted).enumerate() {
            match cell {
                None | Some(Cell::Null) => block.put_nothing(slot),
                Some(Cell::Text(text)) => block.put(slot, &text, wanted, false)?,
                Some(Cell::Bool(value)) => block.put(slot, if value { "true" } else { "false" }, wanted, false)?,
                Some(Cell::Whole(value)) => block.put(slot, &value.to_string(), wanted, false)?,
                Some(Cell::Number(value)) => block.put_number(slot, value, wanted)?,
                Some(Cell::Other) => {
                    return Err(Fault::cell(block.rows, &wanted.name, "a list or an object", wanted.expected));
                }
            }
        }
        block.rows += 1;
    }
    Ok(block)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.trim_start_matches('\u{feff}').split('\n').map(str::trim_ascii).filter(|line| !line.is_empty())
}

fn parse_line<'a, T: Deserialize<'a>>(line: &'a str, row: usize) -> Result<T, Fault> {
    serde_json::from_str(line).map_err(|error| Fault::row(row, in_words(line, &error)))
}

fn in_words(line: &str, error: &serde_json::Error) -> String {
    let hint = if line.contains("NaN") || line.contains("Infinity") {
        " (JSON has no NaN or Infinity: write null)"
    } else if line.ends_with(',') {
        " (one object a line, without a comma behind it)"
    } else {
        ""
    };
    // Its line is always 1.
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    match error.is_data() {
        true => said.to_owned(),
        false => format!("is no JSON object: {said}, byte {} of the line{hint}", error.column()),
    }
}

/// One value of an object.
enum Cell<'a> {
    Null,
    Bool(bool),
    Whole(i128),
    Number(f64),
    Text(Cow<'a, str>),
    Other,
}

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Cell<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
                Ok(Cell::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Cell<'de>, E> {
                Ok(Cell::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Cell<'de>, E> {
                Ok(Cell::Whole(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Cell<'de>, E> {
                Ok(Cell::Whole(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Cell<'de>, E> {
                Ok(Cell::Number(value))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
                Ok(Cell::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Cell<'de>, E> {
                Ok(Cell::Text(Cow::Owned(text.to_string())))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Cell<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Cell::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Cell::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_string())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Puts the wanted values of one object into cells.
struct Row<'a, 'de> {
    slots: &'a HashMap<&'a str, usize>,
    known: &'a BTreeSet<&'a str>,
    cells: &'a mut Vec<Option<Cell<'de>>>,
}

impl<'de> DeserializeSeed<'de> for &mut Row<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Row<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        use serde::de::Error;
        while let Some(Key(key)) = map.next_key()? {
            match self.slots.get(&*key) {
                Some(&slot) if self.cells[slot].is_some() => {
                    return Err(A::Error::custom(format!("the key \"{key}\" is there twice")));
                }
                Some(&slot) => self.cells[slot] = Some(map.next_value()?),
                None if !self.known.contains(&*key) => {
                    return Err(A::Error::custom(format!(
                        "the key \"{key}\" is in none of the first lines, which name the columns: write it there too, as null where it has no value"
                    )));
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The keys of an object, in order.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// An array of objects as lines: of each element one.
pub(crate) struct ArrayLines<R> {
    inner: R,
    part: Vec<u8>,
    at: usize,
    /// Brackets that are open; 1 is the array itself.
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    is_over: bool,
}

impl<R: Read> ArrayLines<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, part: Vec::new(), at: 0, depth: 0, in_text: false, is_escaped: false, is_over: false }
    }

    /// A byte of the array as a byte of lines.
    fn line_byte(&mut self, byte: u8) -> std::io::Result<u8> {
        let invalid = |problem: &str| Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
        if self.is_over {
            return match byte.is_ascii_whitespace() {
                true => Ok(b' '),
                false => invalid("JSON: something stands behind the end of the array"),
            };
        }
        if self.in_text {
            self.in_text = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            // A text holds no line end as it is: that is left to the parser, which names its row.
            return Ok(byte);
        }
        match byte {
            b'"' => self.in_text = true,
            b'[' | b'{' => {
                self.depth += 1;
                if self.depth == 1 {
                    return Ok(b' ');
                }
            }
            b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.is_over = true;
                    return Ok(b'\n');
                }
            }
            b',' if self.depth == 1 => return Ok(b'\n'),
            b'\n' | b'\r' => return Ok(b' '),
            _ => {}
        }
        Ok(byte)
    }
}

impl<R: Read> Read for ArrayLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        const PART: u64 = 1 << 16;
        if self.at == self.part.len() {
            let mut part = std::mem::take(&mut self.part);
            part.clear();
            self.at = 0;
            let found = self.inner.by_ref().take(PART).read_to_end(&mut part)?;
            if found == 0 && !self.is_over {
                let problem = "JSON: the array is never closed: the file is cut off";
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
            }
            for byte in &mut part {
                *byte = self.line_byte(*byte)?;
            }
            self.part = part;
        }
        let count = buffer.len().min(self.part.len() - self.at);
        buffer[..count].copy_from_slice(&self.part[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
