//! What an ONNX file says of itself: the operator that its output comes from.

/// Operators that pass on what they are given, in another shape or under another name.
const PASSING: [&str; 8] = ["Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Transpose", "Dropout"];

/// One field of a message: its number and its content, where it has one of some length.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    /// The next field; none where the bytes end or are no message.
    fn next(&mut self) -> Option<Self::Item> {
        let key = varint(&mut self.0)?;
        let length = match key & 7 {
            0 => {
                varint(&mut self.0)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut self.0)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (content, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some((key >> 3, content))
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
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

/// The content of the first field `number` of a message.
fn field(message: &[u8], number: u64) -> Option<&[u8]> {
    Fields(message).find(|(found, _)| *found == number).map(|(_, content)| content)
}

/// The operator (e.g. `Softmax`) that output number `output` of an ONNX model comes from, past operators that only
/// reshape; `None` where there is no such output or the bytes are no model.
pub fn last_operator(model: &[u8], output: usize) -> Option<&str> {
    let graph = field(model, 7)?;
    let info = Fields(graph).filter(|(number, _)| *number == 12).nth(output)?.1;
    let mut wanted = field(info, 1)?;
    let mut kind = None;
    // In a graph without cycles the nodes stand in their order, so one pass from the end is enough.
    let nodes: Vec<&[u8]> = Fields(graph).filter(|(number, _)| *number == 1).map(|(_, node)| node).collect();
    for node in nodes.into_iter().rev() {
        if Fields(node).any(|(number, name)| number == 2 && name == wanted) {
            kind = std::str::from_utf8(field(node, 4)?).ok();
            if !kind.is_some_and(|kind| PASSING.contains(&kind)) {
                break;
            }
            wanted = field(node, 1)?;
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::super::{Dim, Graph};
    use super::*;

    #[test]
    fn what_only_reshapes_is_looked_through() {
        let mut graph = Graph::new("g", "test");
        let x = graph.input("x", &[Dim::Fixed(1), Dim::Fixed(2)]);
        let y = graph.relu(&x);
        let z = graph.softmax(&y);
        let flat = graph.flatten(&z);
        graph.output(&flat, "z", &[]);
        graph.output(&y, "y", &[]);
        let bytes = graph.to_bytes();
        assert_eq!(last_operator(&bytes, 0), Some("Softmax"));
        assert_eq!(last_operator(&bytes, 1), Some("Relu"));
        assert_eq!(last_operator(&bytes, 2), None);
        for n in 0..bytes.len() {
            let _ = last_operator(&bytes[..n], 0);
        }
        assert_eq!(last_operator(b"not a model", 0), None);
    }
}
