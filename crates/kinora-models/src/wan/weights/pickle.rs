//! The pickle in a file of PyTorch, read as data: nothing that it names is ever called.
//!
//! A pickle is a program for a machine with a stack (Python's `pickletools`). Of its calls three are understood, those
//! that `torch.save` writes for tensors, parameters and ordered dictionaries; what any other would give is left unknown, and
//! only matters where a tensor should be. Values stand in a list and name each other by their places in it, so that neither
//! depth nor rings nor repetition cost more than the bytes that say them.

use std::collections::BTreeMap;

/// Where a value stands.
type Place = usize;

/// What was pickled.
#[derive(Debug, Clone)]
enum Value {
    None,
    Number(i64),
    Text(String),
    /// `module.name`
    Global(String),
    Tuple(Vec<Place>),
    List,
    Dictionary(Vec<(Place, Place)>),
    Storage(Box<Storage>),
    Tensor(Box<Tensor>),
    Unknown,
}

/// Numbers in a file of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// The class, such as `torch.BFloat16Storage`.
    pub(super) class: String,
    /// The name of the file.
    pub(super) key: String,
    /// How many numbers there are.
    pub(super) len: usize,
}

/// A view of a storage, everything counted in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Longer than any name of a class or of a file of numbers, and than any shape of PyTorch: what a few bytes can say again and again
/// is not copied as often.
const LONGEST_NAME: usize = 256;
const MOST_AXES: usize = 64;

/// What people put a dictionary of tensors into.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

/// The named tensors of a pickle: those of the outermost dictionary, or of one inside it that has a usual name.
///
/// # Errors
///
/// Says what is wrong with it.
pub(super) fn tensors(pickle: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let mut machine = Machine {
        rest: pickle,
        ..Machine::default()
    };
    let outermost = machine.run()?;
    let mut entries = machine.entries(outermost);
    if let Some((_, inner)) = entries
        .iter()
        .find(|(name, place)| WRAPPERS.contains(name) && !machine.entries(*place).is_empty())
    {
        entries = machine.entries(*inner);
    }
    let mut tensors = BTreeMap::new();
    for (name, place) in entries {
        if let Value::Tensor(tensor) = &machine.values[place] {
            // As in Python, what is said last counts.
            tensors.insert(name.to_owned(), Tensor::clone(tensor));
        }
    }
    match tensors.is_empty() {
        true => Err("it holds no dictionary of tensors by name".into()),
        false => Ok(tensors),
    }
}

#[derive(Debug, Default)]
struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Place>,
    /// How high the stack was.
    marks: Vec<usize>,
    memo: BTreeMap<usize, Place>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Place, String> {
        loop {
            let opcode = self.byte()?;
            match opcode {
                b'.' => return self.pop(),
                // The version, and how long the next part is.
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.since_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                b'N' => self.push(Value::None),
                0x88 | 0x89 => self.push(Value::Unknown),
                b'K' => self.number::<1>()?,
                b'M' => self.number::<2>()?,
                b'J' => {
                    let number = i32::from_le_bytes(self.array()?);
                    self.push(Value::Number(number.into()));
                }
                0x8a => {
                    let len = usize::from(self.byte()?);
                    let value = whole(self.take(len)?);
                    self.push(value);
                }
                b'G' => {
                    self.skip(8)?;
                    self.push(Value::Unknown);
                }
                0x8c => self.text::<1>()?,
                b'X' => self.text::<4>()?,
                0x8d => self.text::<8>()?,
                b'C' | b'U' => self.bytes::<1>()?,
                b'B' | b'T' => self.bytes::<4>()?,
                0x8e => self.bytes::<8>()?,
                b')' => self.push(Value::Tuple(Vec::new())),
                0x85..=0x87 => self.tuple(usize::from(opcode - 0x84))?,
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Value::Tuple(items));
                }
                b']' | 0x8f => self.push(Value::List),
                b'l' => {
                    self.since_mark()?;
                    self.push(Value::List);
                }
                // What is in lists and sets is of no use here.
                b'a' => drop(self.pop()?),
                b'e' | 0x90 => drop(self.since_mark()?),
                b'}' => self.push(Value::Dictionary(Vec::new())),
                b'd' => {
                    let items = self.since_mark()?;
                    self.push(Value::Dictionary(Vec::new()));
                    self.set(&items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set(&items)?;
                }
                b'c' => {
                    let module = self.line()?;
                    let name = self.line()?;
                    let global = global(module, name)?;
                    self.push(global);
                }
                0x93 => {
                    let name = self.pop()?;
                    let module = self.pop()?;
                    let value = match (&self.values[module], &self.values[name]) {
                        (Value::Text(module), Value::Text(name)) => global(module, name)?,
                        _ => return Err("it names something by what is no text".into()),
                    };
                    self.push(value);
                }
                b'R' => self.call()?,
                0x81 => {
                    self.pop()?;
                    self.pop()?;
                    self.push(Value::Unknown);
                }
                // Attributes, set on what stays where it is.
                b'b' => drop(self.pop()?),
                b'Q' => self.persistent()?,
                b'q' => self.remember::<1>()?,
                b'r' => self.remember::<4>()?,
                0x94 => {
                    let top = self.top()?;
                    self.memo.insert(self.memo.len(), top);
                }
                b'h' => self.recall::<1>()?,
                b'j' => self.recall::<4>()?,
                other => {
                    return Err(format!(
                        "its opcode 0x{other:02x} is not one that torch.save writes"
                    ));
                }
            }
        }
    }

    /// What a dictionary holds under texts; nothing for all else.
    fn entries(&self, place: Place) -> Vec<(&str, Place)> {
        let Value::Dictionary(entries) = &self.values[place] else {
            return Vec::new();
        };
        let named = entries
            .iter()
            .filter_map(|(key, value)| match &self.values[*key] {
                Value::Text(name) => Some((name.as_str(), *value)),
                _ => None,
            });
        named.collect()
    }

    fn call(&mut self) -> Result<(), String> {
        let arguments = self.pop()?;
        let callee = self.pop()?;
        let value = match (&self.values[callee], &self.values[arguments]) {
            (Value::Global(name), Value::Tuple(arguments)) => match name.as_str() {
                "collections.OrderedDict" => Value::Dictionary(Vec::new()),
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" => {
                    Value::Tensor(self.view(arguments)?.into())
                }
                // A parameter is the tensor that it was made of.
                "torch._utils._rebuild_parameter" => match arguments.first() {
                    Some(tensor) => self.values[*tensor].clone(),
                    None => Value::Unknown,
                },
                _ => Value::Unknown,
            },
            _ => Value::Unknown,
        };
        self.push(value);
        Ok(())
    }

    /// `(storage, offset, shape, strides, …)`
    fn view(&self, arguments: &[Place]) -> Result<Tensor, String> {
        let [storage, offset, shape, strides, ..] = arguments else {
            return Err("a tensor in it lacks its shape".into());
        };
        let Value::Storage(storage) = &self.values[*storage] else {
            return Err("a tensor in it is a view of something that holds no numbers".into());
        };
        Ok(Tensor {
            storage: Storage::clone(storage),
            offset: self.size(*offset)?,
            shape: self.sizes(*shape)?,
            strides: self.sizes(*strides)?,
        })
    }

    fn sizes(&self, place: Place) -> Result<Vec<usize>, String> {
        match &self.values[place] {
            Value::Tuple(sizes) if sizes.len() <= MOST_AXES => {
                sizes.iter().map(|size| self.size(*size)).collect()
            }
            _ => Err("the shape of a tensor in it is no short tuple".into()),
        }
    }

    fn size(&self, place: Place) -> Result<usize, String> {
        match self.values[place] {
            Value::Number(number) => usize::try_from(number).ok(),
            _ => None,
        }
        .ok_or_else(|| "a size of a tensor in it is no whole number from 0".to_owned())
    }

    /// `('storage', class, key, device, len)`
    fn persistent(&mut self) -> Result<(), String> {
        let place = self.pop()?;
        let storage = match &self.values[place] {
            Value::Tuple(parts) => match parts[..] {
                [_, class, key, _, len] => match (&self.values[class], &self.values[key]) {
                    (Value::Global(class), Value::Text(key)) if key.len() <= LONGEST_NAME => {
                        Some(Storage {
                            class: class.clone(),
                            key: key.clone(),
                            len: self.size(len)?,
                        })
                    }
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        let storage =
            storage.ok_or("what it says of a file of numbers is not what torch.save writes")?;
        self.push(Value::Storage(storage.into()));
        Ok(())
    }

    fn tuple(&mut self, len: usize) -> Result<(), String> {
        let start = self
            .stack
            .len()
            .checked_sub(len)
            .filter(|start| *start >= self.floor());
        let items = self.stack.split_off(start.ok_or_else(underflow)?);
        self.push(Value::Tuple(items));
        Ok(())
    }

    /// Adds keys and values, one after the other, to the dictionary on top.
    fn set(&mut self, items: &[Place]) -> Result<(), String> {
        let top = self.top()?;
        if let Value::Dictionary(entries) = &mut self.values[top] {
            let pairs = items.chunks_exact(2);
            entries.extend(pairs.map(|pair| (pair[0], pair[1])));
        }
        Ok(())
    }

    fn remember<const N: usize>(&mut self) -> Result<(), String> {
        let key = self.count::<N>()?;
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall<const N: usize>(&mut self) -> Result<(), String> {
        let key = self.count::<N>()?;
        let place = self.memo.get(&key).ok_or("it recalls what it never kept")?;
        self.stack.push(*place);
        Ok(())
    }

    fn number<const N: usize>(&mut self) -> Result<(), String> {
        let number = self.count::<N>()?;
        self.push(Value::Number(number as i64));
        Ok(())
    }

    fn text<const N: usize>(&mut self) -> Result<(), String> {
        let len = self.count::<N>()?;
        let text = self.take(len)?;
        let text = std::str::from_utf8(text).map_err(|_| "a text in it is not UTF-8")?;
        self.push(Value::Text(text.to_owned()));
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<(), String> {
        let len = self.count::<N>()?;
        self.skip(len)?;
        self.push(Value::Unknown);
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Place, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self) -> Result<Place, String> {
        let above = &self.stack[self.floor()..];
        above.last().copied().ok_or_else(underflow)
    }

    /// What belongs to the last mark begins here.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn since_mark(&mut self) -> Result<Vec<Place>, String> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    /// A number of `N` bytes, the lowest first.
    fn count<const N: usize>(&mut self) -> Result<usize, String> {
        let bytes: [u8; N] = self.array()?;
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&bytes);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| ended())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self
            .rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(ended)?;
        let line = self.take(end)?;
        self.skip(1)?;
        std::str::from_utf8(line).map_err(|_| "a name in it is not UTF-8".into())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(ended)?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(ended)?;
        self.rest = rest;
        Ok(taken)
    }

    fn skip(&mut self, len: usize) -> Result<(), String> {
        self.take(len).map(drop)
    }
}

/// A whole number of as many bytes as it takes, the lowest first, with its sign in the last.
fn whole(bytes: &[u8]) -> Value {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    match wide.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return Value::Unknown,
    }
    Value::Number(i64::from_le_bytes(wide))
}

/// # Errors
///
/// Where that is longer than any name.
fn global(module: &str, name: &str) -> Result<Value, String> {
    match module.len() + name.len() <= LONGEST_NAME {
        true => Ok(Value::Global(format!("{module}.{name}"))),
        false => Err("a name in it is longer than any".into()),
    }
}

fn underflow() -> String {
    "it takes more from its stack than there is".into()
}

fn ended() -> String {
    "it ends in the middle".into()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Every part is one that a call with this name was said to make of nothing.
    fn called(name: &str) -> Vec<u8> {
        let mut pickle = b"\x80\x02}X\x01\x00\x00\x00w".to_vec();
        pickle.extend(format!("c{}\n)R", name.replacen('.', "\n", 1)).bytes());
        pickle.extend(b"s.");
        pickle
    }

    #[test]
    fn calls_are_not_made() {
        for name in ["os.system", "builtins.eval", "torch.load"] {
            let error = tensors(&called(name)).unwrap_err();
            assert!(error.contains("no dictionary of tensors"), "{error}");
        }
    }

    #[test]
    fn broken_pickles_are_errors() {
        let deep = [b"\x80\x02N".to_vec(), vec![0x85; 200_000], vec![b'.']].concat();
        let ring = b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.";
        for pickle in [
            &b""[..],
            b".",
            b"\x80",
            b"\x80\x02}",
            b"(\x80\x02.",
            b"N(0.",
            b"N(\x85.",
            b"t.",
            b"h\x00.",
            b"X\xff\xff\xff\xffno.",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffno.",
            b"cno newline",
            b"NNR.",
            b"NQ.",
            b"\xff.",
            &called("torch._utils._rebuild_tensor_v2"),
            &called("torch._utils._rebuild_parameter"),
            &deep,
            ring,
        ] {
            tensors(pickle).unwrap_err();
        }
    }

    /// A pickle of `torch.save` with bytes changed, cut out and put in, always the same ones.
    #[test]
    fn mutated_pickles_do_no_harm() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/wan/formats/saved.pth"
        );
        let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        let mut whole = Vec::new();
        let mut entry = archive.by_name("saved/data.pkl").unwrap();
        std::io::Read::read_to_end(&mut entry, &mut whole).unwrap();
        assert_eq!(tensors(&whole).unwrap().len(), 12);

        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut understood = 0;
        for _ in 0..20_000 {
            let mut pickle = whole.clone();
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(0..pickle.len());
                match random.random_range(0..4) {
                    0 => drop(pickle.remove(place)),
                    1 => pickle.insert(place, random.random()),
                    2 => pickle[place] = random.random(),
                    _ => pickle[place] ^= 1 << random.random_range(0..8),
                }
            }
            understood += usize::from(tensors(&pickle).is_ok());
        }
        assert!((1000..19_000).contains(&understood), "{understood}");
    }

    #[test]
    fn whole_numbers_have_a_sign() {
        for (bytes, expected) in [
            (&[][..], 0),
            (&[0xff][..], -1),
            (&[0xff, 0][..], 255),
            (&[0, 0x80][..], -32768),
            (&[0, 0, 0, 0, 1][..], 1 << 32),
        ] {
            assert!(matches!(whole(bytes), Value::Number(number) if number == expected));
        }
        assert!(matches!(whole(&[1; 9]), Value::Unknown));
    }
}
