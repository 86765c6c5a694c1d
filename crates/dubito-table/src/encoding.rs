//! Text of other encodings as UTF-8, told by the byte order mark.

use std::io::Read;

/// How a text is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    Utf16 {
        big_endian: bool,
    },
    Utf32 {
        big_endian: bool,
    },
}

impl Encoding {
    /// That which the byte order mark says; without one, UTF-8.
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0xff, 0xfe, 0, 0, ..] => Self::Utf32 { big_endian: false },
            [0, 0, 0xfe, 0xff, ..] => Self::Utf32 { big_endian: true },
            [0xff, 0xfe, ..] => Self::Utf16 { big_endian: false },
            [0xfe, 0xff, ..] => Self::Utf16 { big_endian: true },
            _ => Self::Utf8,
        }
    }

    /// The name of what a text without a byte order mark seems to be, by the places of its zeros: text is mostly ASCII.
    pub fn by_zeros(head: &[u8]) -> Option<&'static str> {
        let part = |at: usize| {
            let (zeros, all) =
                head.iter().skip(at).step_by(4).fold((0, 0), |(zeros, all), &b| (zeros + usize::from(b == 0), all + 1));
            zeros as f64 / f64::from(all.max(1))
        };
        let is_zero = [0, 1, 2, 3].map(|at| part(at) > 0.7);
        let is_full = [0, 1, 2, 3].map(|at| part(at) < 0.3);
        match (is_zero, is_full) {
            ([_, true, true, true], [true, ..]) => Some("UTF-32 (little-endian)"),
            ([true, true, true, _], [_, _, _, true]) => Some("UTF-32 (big-endian)"),
            ([_, true, _, true], [true, _, true, _]) => Some("UTF-16 (little-endian)"),
            ([true, _, true, _], [_, true, _, true]) => Some("UTF-16 (big-endian)"),
            _ => None,
        }
    }

    /// In words; `None` for UTF-8, as every text is expected to be.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Utf8 => None,
            Self::Utf16 { big_endian: false } => Some("UTF-16 (little-endian)"),
            Self::Utf16 { big_endian: true } => Some("UTF-16 (big-endian)"),
            Self::Utf32 { big_endian: false } => Some("UTF-32 (little-endian)"),
            Self::Utf32 { big_endian: true } => Some("UTF-32 (big-endian)"),
        }
    }

    /// Bytes of a unit.
    fn width(self) -> usize {
        match self {
            Self::Utf8 => 1,
            Self::Utf16 { .. } => 2,
            Self::Utf32 { .. } => 4,
        }
    }

    /// A unit's value.
    fn unit(self, bytes: &[u8]) -> u32 {
        let fold = |value: u32, &byte: &u8| value << 8 | u32::from(byte);
        match self {
            Self::Utf16 { big_endian: true } | Self::Utf32 { big_endian: true } => bytes.iter().fold(0, fold),
            _ => bytes.iter().rev().fold(0, fold),
        }
    }
}

/// A text as UTF-8, without its byte order mark.
pub(crate) struct Transcoded<R> {
    inner: R,
    encoding: Encoding,
    /// Bytes read and not yet transcoded.
    raw: Vec<u8>,
    /// Text not yet handed on, from `at`.
    text: Vec<u8>,
    at: usize,
    is_begun: bool,
}

impl<R: Read> Transcoded<R> {
    pub fn new(inner: R, encoding: Encoding) -> Self {
        Self { inner, encoding, raw: Vec::new(), text: Vec::new(), at: 0, is_begun: false }
    }

    /// Read on; says whether there was something.
    fn fill(&mut self) -> std::io::Result<bool> {
        const PART: u64 = 1 << 16;
        let invalid = |problem: String| std::io::Error::new(std::io::ErrorKind::InvalidData, problem);
        let name = self.encoding.name().unwrap_or("UTF-8");
        self.text.clear();
        self.at = 0;
        if self.inner.by_ref().take(PART).read_to_end(&mut self.raw)? == 0 {
            return match self.raw.is_empty() {
                true => Ok(false),
                false => Err(invalid(format!("{name}: the text ends within a character: the file is cut off"))),
            };
        }
        let is_wide = matches!(self.encoding, Encoding::Utf16 { .. });
        let units = self.raw.chunks_exact(self.encoding.width()).map(|unit| self.encoding.unit(unit));
        let mut units: Vec<u32> = units.collect();
        // Half of a pair waits for the other half.
        if is_wide && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            units.pop();
        }
        self.raw.drain(..units.len() * self.encoding.width());
        let mut push = |character: Option<char>| match character {
            Some(character) => {
                self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                Ok(())
            }
            None => Err(invalid(format!("{name}: a number that is no character: copy or write the file again"))),
        };
        if is_wide {
            let units = units.iter().map(|&unit| unit as u16);
            char::decode_utf16(units).try_for_each(|character| push(character.ok()))?;
        } else {
            units.iter().try_for_each(|&unit| push(char::from_u32(unit)))?;
        }
        if !self.is_begun {
            self.is_begun = !self.text.is_empty();
            if self.text.starts_with("\u{feff}".as_bytes()) {
                self.at = 3;
            }
        }
        Ok(true)
    }
}

impl<R: Read> Read for Transcoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.encoding == Encoding::Utf8 && self.is_begun && self.at == self.text.len() {
            return self.inner.read(buffer);
        }
        if self.encoding == Encoding::Utf8 && !self.is_begun {
            self.inner.by_ref().take(3).read_to_end(&mut self.text)?;
            self.is_begun = true;
            self.at = if self.text == "\u{feff}".as_bytes() { 3 } else { 0 };
            return self.read(buffer);
        }
        while self.at == self.text.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.text.len() - self.at);
        buffer[..count].copy_from_slice(&self.text[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> std::io::Result<String> {
        let mut text = String::new();
        Transcoded::new(bytes, Encoding::of(bytes)).read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn every_byte_order_mark() {
        let text = format!("a,ü,{}\n", "😀".repeat(40_000));
        let with = |mark: char| format!("{mark}{text}");
        let units: Vec<u16> = with('\u{feff}').encode_utf16().collect();
        let characters: Vec<u32> = with('\u{feff}').chars().map(u32::from).collect();
        for bytes in [
            text.clone().into_bytes(),
            with('\u{feff}').into_bytes(),
            units.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
            units.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
            characters.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
            characters.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        ] {
            assert!(read(&bytes).unwrap() == text, "{:?}", Encoding::of(&bytes));
        }
        assert!(read(b"\xff\xfea").unwrap_err().to_string().contains("cut off"));
        assert!(read(b"\xff\xfe\x00\xdca\x00").unwrap_err().to_string().contains("no character"));
    }

    #[test]
    fn what_has_no_mark_is_named() {
        let text = "item,label,p_fake\nä,real,0.5\n";
        let units: Vec<u16> = text.encode_utf16().collect();
        let le: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let be: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let wide: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        let of = |bytes: &[u8]| Encoding::by_zeros(bytes).unwrap_or("none");
        assert_eq!(
            [of(&le), of(&be), of(&wide), of(text.as_bytes())],
            ["UTF-16 (little-endian)", "UTF-16 (big-endian)", "UTF-32 (big-endian)", "none"]
        );
    }
}
