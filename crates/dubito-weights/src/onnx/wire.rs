//! The wire format of Protocol Buffers, as far as reading needs it: fields, borrowed from the bytes.

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Content<'a> {
    /// An integer, a boolean, an enum.
    Varint(u64),
    /// A `float`.
    Four([u8; 4]),
    /// A `double`.
    Eight([u8; 8]),
    /// A text, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Content<'a> {
    /// The bytes, if it is of that kind.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, if it is one; what is no UTF-8 is no name of anything.
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The integer, if it is of that kind; negative ones take ten bytes.
    pub fn int(self) -> Option<i64> {
        match self {
            Self::Varint(value) => Some(value as i64),
            _ => None,
        }
    }
}

/// The fields of a message, one by one.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    /// Whether every byte was a field's; false where the bytes are cut or no message.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Content<'a>);

    /// The next field; none where the bytes end or are no message.
    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.0;
        let key = varint(&mut rest)?;
        let content = match key & 7 {
            0 => Content::Varint(varint(&mut rest)?),
            1 => Content::Eight(*take(&mut rest)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (content, after) = rest.split_at_checked(length)?;
                rest = after;
                Content::Bytes(content)
            }
            5 => Content::Four(*take(&mut rest)?),
            _ => return None,
        };
        self.0 = rest;
        Some((key >> 3, content))
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

/// The next variable-length integer.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
