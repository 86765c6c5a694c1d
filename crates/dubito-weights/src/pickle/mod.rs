//! A pickle machine that knows tensors and nothing else: no name is looked up, nothing is run.
//!
//! Python's `pickletools` documents the opcodes. What a pickle builds are nodes in an arena, named by their number, so
//! that cycles, sharing and depth cost nothing. Every opcode makes one node at most: memory grows with the pickle's
//! length alone. A global is a word in a table ([`known`]); another one ends the reading, by name.

mod build;

use std::collections::HashMap;

use self::build::known;
pub(crate) use self::build::{Node, Storage, View};

/// The longest pickle that is read, in bytes (a ResNet-152's has 0.1 MB).
pub(crate) const MAX_PICKLE: usize = 64 << 20;
/// The most nodes that one makes.
const MAX_NODES: usize = 8 << 20;
/// The longest line of the opcodes that end in a line feed.
const MAX_LINE: usize = 4096;

/// The number of a node.
pub(crate) type Id = u32;

/// Why a pickle is not read.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is broken, or uses what weights don't need.
    Broken(String),
    /// It names a global that is no part of a tensor.
    Refused(String),
}

fn broken<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Broken(reason.into()))
}

/// What running a pickle left.
pub(crate) struct Pickled {
    pub nodes: Vec<Node>,
    /// The node on top when it stopped.
    pub root: Id,
    /// Bytes that were read.
    pub length: usize,
}

impl Pickled {
    pub fn node(&self, id: Id) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&Node::None)
    }
}

/// Reads the pickle at the beginning of `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Result<Pickled, Fault> {
    let mut machine = Machine { bytes: &bytes[..bytes.len().min(MAX_PICKLE)], ..Machine::default() };
    let root = machine.run()?;
    if let Some(name) = machine.suspects.values().min() {
        return Err(Fault::Refused(name.clone()));
    }
    Ok(Pickled { nodes: machine.nodes, root, length: machine.at })
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Pairs that were copied from lists into dictionaries.
    copied: usize,
    /// Classes that nothing has made harmless yet.
    suspects: HashMap<Id, String>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, Fault> {
        loop {
            let at = self.at;
            match self.take(1)?[0] {
                b'.' => return self.pop(),
                b'\x80' => {
                    let version = self.take(1)?[0];
                    if version > 5 {
                        return broken(format!("pickle protocol {version}; 0 to 5 are read"));
                    }
                }
                b'\x95' => _ = self.take(8)?,
                b'(' => self.marks.push(self.stack.len()),
                b'0' => _ = self.pop()?,
                b'1' => _ = self.pop_mark()?,
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                b'N' => self.push(Node::None)?,
                b'\x88' => self.push(Node::Int(1))?,
                b'\x89' => self.push(Node::Int(0))?,
                b'I' | b'L' => {
                    let line = self.line()?;
                    match line.trim_end_matches('L').parse() {
                        Ok(value) => self.push(Node::Int(value))?,
                        Err(_) => return broken(format!("at byte {at}: {line:?} is no number")),
                    }
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.word()?);
                    self.push(Node::Int(value.into()))?;
                }
                b'K' => {
                    let value = self.take(1)?[0];
                    self.push(Node::Int(value.into()))?;
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.word()?);
                    self.push(Node::Int(value.into()))?;
                }
                b'\x8a' => {
                    let length = self.take(1)?[0].into();
                    self.long(length)?;
                }
                b'\x8b' => {
                    let length = self.length4()?;
                    self.long(length)?;
                }
                b'F' => {
                    self.line()?;
                    self.push(Node::Inert)?;
                }
                b'G' => {
                    self.take(8)?;
                    self.push(Node::Inert)?;
                }
                b'U' | b'\x8c' | b'C' => {
                    let length = self.take(1)?[0].into();
                    self.text(length)?;
                }
                b'X' | b'T' | b'B' => {
                    let length = self.length4()?;
                    self.text(length)?;
                }
                b'\x8d' | b'\x8e' | b'\x96' => {
                    let length = u64::from_le_bytes(self.word()?);
                    self.text(usize::try_from(length).unwrap_or(usize::MAX))?;
                }
                b'S' | b'V' => {
                    let line = self.line()?;
                    self.push(Node::Text(line.trim_matches(['\'', '"']).to_owned()))?;
                }
                b')' => self.push(Node::Tuple(Vec::new()))?,
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Tuple(items))?;
                }
                code @ b'\x85'..=b'\x87' => {
                    let items = self.pop_many((code - b'\x84').into())?;
                    self.push(Node::Tuple(items))?;
                }
                b']' => self.push(Node::List(Vec::new()))?,
                b'l' => {
                    let items = self.pop_mark()?;
                    self.push(Node::List(items))?;
                }
                b'}' => self.push(Node::Dict(Vec::new()))?,
                b'd' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Dict(pairs(&items)?))?;
                }
                b'\x8f' => self.push(Node::Inert)?,
                b'\x91' => {
                    self.pop_mark()?;
                    self.push(Node::Inert)?;
                }
                b'\x90' | b'e' => {
                    let items = self.pop_mark()?;
                    self.append(items)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b's' => {
                    let items = self.pop_many(2)?;
                    self.set_items(&items)?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set_items(&items)?;
                }
                b'p' => {
                    let line = self.line()?;
                    self.put(index(line)?)?;
                }
                b'q' => {
                    let index = self.take(1)?[0].into();
                    self.put(index)?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.word()?);
                    self.put(index)?;
                }
                b'\x94' => self.put(self.memo.len() as u32)?,
                b'g' => {
                    let line = self.line()?;
                    self.get(index(line)?)?;
                }
                b'h' => {
                    let index = self.take(1)?[0].into();
                    self.get(index)?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.word()?);
                    self.get(index)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(module, name)?;
                }
                b'\x93' => {
                    let [module, name] = self.pop_many(2)?.try_into().unwrap_or_default();
                    let (Node::Text(module), Node::Text(name)) = (self.node(module), self.node(name)) else {
                        return broken("a global whose name is no text");
                    };
                    if module.len() + name.len() > MAX_LINE {
                        return broken("a global with a very long name");
                    }
                    let (module, name) = (module.clone(), name.clone());
                    self.global(&module, &name)?;
                }
                b'R' | b'\x81' => {
                    let [callee, arguments] = self.pop_many(2)?.try_into().unwrap_or_default();
                    let made = self.call(callee, arguments)?;
                    self.stack.push(made);
                }
                b'\x92' => {
                    let [class, _, _] = self.pop_many(3)?.try_into().unwrap_or_default();
                    let made = self.make(class, &[])?;
                    self.stack.push(made);
                }
                b'b' => {
                    let state = self.pop()?;
                    let object = self.top()?;
                    match self.nodes.get_mut(object as usize) {
                        Some(Node::Module(attributes)) => *attributes = Some(state),
                        // An OrderedDict's `_metadata`, a parameter's or a NumPy number's own state.
                        Some(Node::Dict(_) | Node::Tensor(_) | Node::Inert) => {}
                        _ => return broken("attributes for what has none"),
                    }
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.persistent(id)?;
                }
                code => {
                    let shown = char::from(code).escape_default();
                    return broken(format!("opcode `{shown}` at byte {at}, which no file of weights needs"));
                }
            }
        }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            let end = if self.bytes.len() == MAX_PICKLE { "is longer than 64 MiB" } else { "ends in the middle" };
            return broken(format!("its pickle {end}"));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn word<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut word = [0; N];
        word.copy_from_slice(self.take(N)?);
        Ok(word)
    }

    fn length4(&mut self) -> Result<usize, Fault> {
        Ok(u32::from_le_bytes(self.word()?) as usize)
    }

    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().take(MAX_LINE).position(|b| *b == b'\n') else {
            return broken("a line in its pickle does not end");
        };
        self.at += length + 1;
        std::str::from_utf8(&rest[..length]).or_else(|_| broken("a line in its pickle is no text"))
    }

    /// Text, or bytes, of which only what is text can matter.
    fn text(&mut self, length: usize) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.push(Node::Text(text))
    }

    fn long(&mut self, length: usize) -> Result<(), Fault> {
        let bytes = self.take(length)?;
        if length > 16 {
            return self.push(Node::Inert);
        }
        let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 16];
        wide[..length].copy_from_slice(bytes);
        self.push(Node::Int(i128::from_le_bytes(wide)))
    }

    fn add(&mut self, node: Node) -> Result<Id, Fault> {
        if self.nodes.len() >= MAX_NODES {
            return broken(format!("its pickle builds more than {MAX_NODES} things"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() as Id - 1)
    }

    fn push(&mut self, node: Node) -> Result<(), Fault> {
        let id = self.add(node)?;
        self.stack.push(id);
        Ok(())
    }

    fn node(&self, id: Id) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&Node::None)
    }

    fn top(&self) -> Result<Id, Fault> {
        self.stack.last().copied().map_or_else(|| broken("its pickle takes from an empty stack"), Ok)
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, n: usize) -> Result<Vec<Id>, Fault> {
        match self.stack.len().checked_sub(n) {
            Some(from) => Ok(self.stack.split_off(from)),
            None => broken("its pickle takes from an empty stack"),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Fault> {
        match self.marks.pop() {
            Some(from) if from <= self.stack.len() => Ok(self.stack.split_off(from)),
            _ => broken("its pickle has a mark too few"),
        }
    }

    fn put(&mut self, index: u32) -> Result<(), Fault> {
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn get(&mut self, index: u32) -> Result<(), Fault> {
        let Some(id) = self.memo.get(&index) else {
            return broken(format!("its pickle asks for number {index}, which it never kept"));
        };
        self.stack.push(*id);
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), Fault> {
        let list = self.top()?;
        match self.nodes.get_mut(list as usize) {
            Some(Node::List(list)) => list.extend(items),
            Some(Node::Inert) => {}
            _ => return broken("its pickle appends to what is no list"),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), Fault> {
        let dict = self.top()?;
        let pairs = pairs(items)?;
        match self.nodes.get_mut(dict as usize) {
            Some(Node::Dict(dict)) => dict.extend(pairs),
            Some(Node::Inert) => {}
            _ => return broken("its pickle sets an item of what is no dictionary"),
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), Fault> {
        match known(module, name) {
            Some(known) => self.push(Node::Global(known)),
            None => {
                let name = format!("{module}.{name}");
                let id = self.add(Node::Unknown(name.clone()))?;
                self.suspects.insert(id, name);
                self.stack.push(id);
                Ok(())
            }
        }
    }
}

fn index(line: &str) -> Result<u32, Fault> {
    line.parse().or_else(|_| broken(format!("{line:?} as a number in its memo")))
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, Fault> {
    if !items.len().is_multiple_of(2) {
        return broken("a dictionary with a key that has no value");
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
