//! PTX text, as NVRTC writes it, to kernels.
//!
//! One statement stands on one line. What the machine does not know is an error, never passed over.

use std::collections::HashMap;

use crate::fault::ParseError;
use crate::instruction::{
    Address, Binary, Comparison, Guard, Instruction, Kind, Loaded, Long, Operation, Shuffle, Slot, Space, Special,
    Unary, Width, Word,
};

/// A kernel (`.entry`), ready to run.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(crate) name: String,
    pub(crate) instructions: Vec<Instruction>,
    pub(crate) parameters: Vec<Parameter>,
    /// Registers of the three files.
    pub(crate) words: usize,
    pub(crate) longs: usize,
    pub(crate) predicates: usize,
    /// The most threads of a block (`.maxntid`), if the text says so.
    pub(crate) most_threads: Option<u32>,
}

/// One argument of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub bytes: usize,
    /// Where it lies among the arguments.
    pub offset: usize,
}

impl Entry {
    /// Finds the kernel `name` in a PTX text.
    ///
    /// # Errors
    /// If the text has no such kernel, or one with a statement that the machine does not know.
    pub fn parse(text: &str, name: &str) -> Result<Self, ParseError> {
        let mut lines = Lines { text: text.lines(), number: 0 };
        let entry = format!(".visible .entry {name}(");
        let mut shared = Vec::new();
        while let Some(line) = lines.next() {
            if let Some(symbol) =
                line.strip_prefix(".extern .shared .align 16 .b8 ").and_then(|s| s.strip_suffix("[];"))
            {
                shared.push(symbol.to_owned());
            }
            if line == entry {
                return KernelParser::new(name, shared).parse(&mut lines);
            }
        }
        Err(lines.error("the text has no such kernel", name))
    }

    /// The line of the last instruction: the return.
    pub(crate) fn last_line(&self) -> u32 {
        self.instructions.last().map_or(0, |last| last.line)
    }

    /// The lines of the text whose instructions order memory or the threads: barriers and fences.
    pub fn synchronizing_lines(&self) -> Vec<u32> {
        self.instructions.iter().filter(|i| i.operation.synchronizes()).map(|i| i.line).collect()
    }

    /// Leaves the instruction of `line` out: for tests that show what it is there for.
    pub fn without_line(mut self, line: u32) -> Self {
        for instruction in self.instructions.iter_mut().filter(|instruction| instruction.line == line) {
            instruction.operation = Operation::Nothing;
        }
        self
    }
}

/// The lines of a text without comments and surrounding space.
struct Lines<'a> {
    text: std::str::Lines<'a>,
    number: u32,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.text.next()?;
        self.number += 1;
        Some(line.split("//").next().unwrap_or_default().trim())
    }

    fn error(&self, what: &'static str, text: &str) -> ParseError {
        ParseError { line: self.number, what, text: text.to_owned() }
    }
}

/// Why a statement was refused; the line is added by the caller.
type Refused = &'static str;

struct KernelParser {
    kernel: Entry,
    /// Names of shared memory, all of which starts at 0.
    shared: Vec<String>,
    labels: HashMap<String, usize>,
    /// Branches whose target's index is still to come.
    branches: Vec<(usize, String, u32)>,
    /// First slots of `%r`, `%f` and `%rs` among the words.
    registers: HashMap<&'static str, (usize, usize)>,
}

impl KernelParser {
    fn new(name: &str, shared: Vec<String>) -> Self {
        let kernel = Entry {
            name: name.to_owned(),
            instructions: Vec::new(),
            parameters: Vec::new(),
            words: 0,
            longs: 0,
            predicates: 0,
            most_threads: None,
        };
        Self { kernel, shared, labels: HashMap::new(), branches: Vec::new(), registers: HashMap::new() }
    }

    fn parse(mut self, lines: &mut Lines<'_>) -> Result<Entry, ParseError> {
        while let Some(line) = lines.next() {
            match line {
                "" | ")" | "{" => {}
                "}" => return self.finish(),
                _ => self.line(line, lines.number).map_err(|what| lines.error(what, line))?,
            }
        }
        Err(lines.error("the kernel has no end", &self.kernel.name))
    }

    fn line(&mut self, line: &str, number: u32) -> Result<(), Refused> {
        if let Some(label) = line.strip_suffix(':') {
            self.labels.insert(label.to_owned(), self.kernel.instructions.len());
            return Ok(());
        }
        if line.starts_with('.') {
            return self.directive(line);
        }
        let statement = line.strip_suffix(';').ok_or("no statement on one line")?;
        let operation = self.statement(statement, number)?;
        self.kernel.instructions.push(Instruction { operation, line: number });
        Ok(())
    }

    fn directive(&mut self, line: &str) -> Result<(), Refused> {
        let words: Vec<&str> = line.trim_end_matches([';', ',']).split_whitespace().collect();
        match words[..] {
            [".param", kind, name] => self.parameter(name, type_bytes(kind)?, type_bytes(kind)?),
            [".param", ".align", align, ".b8", array] => {
                let (name, bytes) = array.strip_suffix(']').and_then(|a| a.split_once('[')).ok_or("no array")?;
                self.parameter(name, number(bytes)?, number(align)?)
            }
            [".reg", kind, range] => self.declare(kind, range),
            [".maxntid", threads, "1,", "1"] => {
                self.kernel.most_threads = Some(number(threads.trim_end_matches(','))?);
                Ok(())
            }
            [".minnctapersm", _] | [".pragma", "\"nounroll\""] => Ok(()),
            _ => Err("a directive that the machine does not know"),
        }
    }

    fn parameter(&mut self, name: &str, bytes: usize, align: usize) -> Result<(), Refused> {
        let end = self.kernel.parameters.last().map_or(0, |last| last.offset + last.bytes);
        let offset = end.next_multiple_of(align);
        self.kernel.parameters.push(Parameter { name: name.to_owned(), bytes, offset });
        Ok(())
    }

    /// `.reg .f32 %f<513>`
    fn declare(&mut self, kind: &str, range: &str) -> Result<(), Refused> {
        let (name, count) = range.strip_suffix('>').and_then(|r| r.split_once('<')).ok_or("no range of registers")?;
        let count: usize = number(count)?;
        let (name, file) = match (kind, name) {
            (".pred", "%p") => ("%p", &mut self.kernel.predicates),
            (".b64", "%rd") => ("%rd", &mut self.kernel.longs),
            (".b32", "%r") => ("%r", &mut self.kernel.words),
            (".b16", "%rs") => ("%rs", &mut self.kernel.words),
            (".f32", "%f") => ("%f", &mut self.kernel.words),
            _ => return Err("registers that the machine does not know"),
        };
        self.registers.insert(name, (*file, count));
        *file += count;
        if *file > usize::from(Slot::MAX) { Err("too many registers") } else { Ok(()) }
    }

    fn finish(mut self) -> Result<Entry, ParseError> {
        for (index, label, line) in self.branches {
            let Some(&place) = self.labels.get(&label) else {
                return Err(ParseError { line, what: "no such label", text: label });
            };
            let Operation::Branch { target, .. } = &mut self.kernel.instructions[index].operation else {
                unreachable!("only branches were noted")
            };
            *target = place;
        }
        match self.kernel.instructions.last() {
            Some(Instruction { operation: Operation::Return | Operation::Branch { guard: None, .. }, .. }) => {
                Ok(self.kernel)
            }
            last => {
                let line = last.map_or(0, |last| last.line);
                Err(ParseError { line, what: "the kernel does not end with a return", text: self.kernel.name })
            }
        }
    }

    fn statement(&mut self, statement: &str, line: u32) -> Result<Operation, Refused> {
        let (guard, statement) = self.guard(statement)?;
        let (name, operands) = statement.split_once(char::is_whitespace).unwrap_or((statement, ""));
        if let "bra" | "bra.uni" = name {
            self.branches.push((self.kernel.instructions.len(), operands.trim().to_owned(), line));
            return Ok(Operation::Branch { guard, target: 0 });
        }
        if guard.is_some() {
            return Err("a condition on something else than a branch");
        }
        let operands = split_operands(operands);
        let parts: Vec<&str> = name.split('.').collect();
        match parts[0] {
            "ld" => self.load(&parts[1..], &operands),
            "st" => self.store(&parts[1..], &operands),
            "atom" | "shfl" | "vote" | "bar" | "fence" | "nanosleep" | "ret" => self.together(name, &operands),
            "setp" => self.comparison(&parts[1..], &operands),
            _ => self.arithmetic(name, &operands),
        }
    }

    /// `@%p1 ` or `@!%p1 ` before a statement.
    fn guard<'a>(&self, statement: &'a str) -> Result<(Option<Guard>, &'a str), Refused> {
        let Some(guarded) = statement.strip_prefix('@') else { return Ok((None, statement)) };
        let (name, rest) = guarded.split_once(' ').ok_or("a condition without a statement")?;
        let value = !name.starts_with('!');
        let predicate = self.slot("%p", name.trim_start_matches('!'))?;
        Ok((Some(Guard { predicate, value }), rest.trim_start()))
    }

    fn arithmetic(&self, name: &str, operands: &[&str]) -> Result<Operation, Refused> {
        if let Some(op) = binary(name) {
            let [to, a, b] = operands else { return Err("three operands") };
            return Ok(Operation::Binary { op, to: self.word_slot(to)?, a: self.word(a)?, b: self.word(b)? });
        }
        match (name, operands) {
            ("mov.u32" | "mov.f32" | "mov.b32" | "mov.u16", [to, from]) => {
                let to = self.word_slot(to)?;
                Ok(match special(from) {
                    Some(register) => Operation::ReadSpecial { to, register },
                    None => Operation::Move { to, from: self.word(from)? },
                })
            }
            // A 16-bit register keeps zeros above its bits, so widening is a move.
            ("cvt.u32.u16", [to, from]) => Ok(Operation::Move { to: self.word_slot(to)?, from: self.word(from)? }),
            ("mov.u64" | "cvta.to.global.u64", [to, from]) => {
                Ok(Operation::MoveLong { to: self.long_slot(to)?, from: self.long(from)? })
            }
            ("not.b32", [to, a]) => self.unary(Unary::Not, to, a),
            ("popc.b32", [to, a]) => self.unary(Unary::CountOnes, to, a),
            ("abs.f32", [to, a]) => self.unary(Unary::AbsoluteFloat, to, a),
            ("cvt.rn.f32.s32", [to, a]) => self.unary(Unary::IntegerToFloat, to, a),
            ("cvt.u16.u32", [to, a]) => self.unary(Unary::LowHalf, to, a),
            ("mad.lo.s32", [to, a, b, c]) => Ok(Operation::MultiplyAdd {
                to: self.word_slot(to)?,
                a: self.word(a)?,
                b: self.word(b)?,
                c: self.word(c)?,
            }),
            ("bfi.b32", [to, a, b, position, length]) => Ok(Operation::InsertBits {
                to: self.word_slot(to)?,
                a: self.word(a)?,
                b: self.word(b)?,
                position: self.word(position)?,
                length: self.word(length)?,
            }),
            ("selp.f32" | "selp.b32" | "selp.u32" | "selp.b16" | "selp.u16", [to, a, b, predicate]) => {
                Ok(Operation::Select {
                    to: self.word_slot(to)?,
                    a: self.word(a)?,
                    b: self.word(b)?,
                    predicate: self.slot("%p", predicate)?,
                })
            }
            _ => self.long_arithmetic(name, operands),
        }
    }

    fn unary(&self, op: Unary, to: &str, a: &str) -> Result<Operation, Refused> {
        Ok(Operation::Unary { op, to: self.word_slot(to)?, a: self.word(a)? })
    }

    fn long_arithmetic(&self, name: &str, operands: &[&str]) -> Result<Operation, Refused> {
        match (name, operands) {
            ("add.s64", [to, a, b]) => {
                Ok(Operation::AddLong { to: self.long_slot(to)?, a: self.long(a)?, b: self.long(b)? })
            }
            ("mul.lo.s64", [to, a, b]) => {
                Ok(Operation::MultiplyLong { to: self.long_slot(to)?, a: self.long(a)?, b: self.long(b)? })
            }
            ("shl.b64" | "shr.u64", [to, a, by]) => Ok(Operation::ShiftLong {
                left: name == "shl.b64",
                to: self.long_slot(to)?,
                a: self.long(a)?,
                by: self.word(by)?,
            }),
            ("mul.wide.s32" | "mul.wide.u32", [to, a, b]) => Ok(Operation::MultiplyWide {
                signed: name == "mul.wide.s32",
                to: self.long_slot(to)?,
                a: self.word(a)?,
                b: self.word(b)?,
            }),
            ("cvt.s64.s32" | "cvt.u64.u32", [to, from]) => {
                Ok(Operation::Widen { signed: name == "cvt.s64.s32", to: self.long_slot(to)?, from: self.word(from)? })
            }
            ("cvt.u32.u64", [to, from]) => Ok(Operation::Narrow { to: self.word_slot(to)?, from: self.long(from)? }),
            ("selp.b64", [to, a, b, predicate]) => Ok(Operation::SelectLong {
                to: self.long_slot(to)?,
                a: self.long(a)?,
                b: self.long(b)?,
                predicate: self.slot("%p", predicate)?,
            }),
            _ => self.logic(name, operands),
        }
    }

    fn logic(&self, name: &str, operands: &[&str]) -> Result<Operation, Refused> {
        let predicate = |text| self.slot("%p", text);
        match (name, operands) {
            ("mov.pred", [to, value @ ("0" | "1" | "-1")]) => {
                Ok(Operation::SetPredicate { to: predicate(to)?, value: *value != "0" })
            }
            ("not.pred", [to, a]) => Ok(Operation::NotPredicate { to: predicate(to)?, a: predicate(a)? }),
            ("and.pred", [to, a, b]) => {
                Ok(Operation::AndPredicate { to: predicate(to)?, a: predicate(a)?, b: predicate(b)? })
            }
            ("or.pred", [to, a, b]) => {
                Ok(Operation::OrPredicate { to: predicate(to)?, a: predicate(a)?, b: predicate(b)? })
            }
            _ => Err("an operation that the machine does not know"),
        }
    }

    fn comparison(&self, parts: &[&str], operands: &[&str]) -> Result<Operation, Refused> {
        let ([comparison, kind], [to, a, b]) = (parts, operands) else { return Err("a comparison of another form") };
        let (comparison, unordered) = match (*kind, comparison.strip_suffix('u')) {
            ("f32", Some(ordered)) => (ordered, true),
            _ => (*comparison, false),
        };
        let kind = match (*kind, unordered) {
            ("s32", _) => Kind::Signed,
            ("u32", _) => Kind::Unsigned,
            // Only compared for equality: what the sign is does not matter.
            ("s16" | "b32", _) if matches!(comparison, "eq" | "ne") => Kind::Unsigned,
            ("f32", false) => Kind::Float,
            ("f32", true) => Kind::FloatOrUnordered,
            _ => return Err("operands that the machine does not compare"),
        };
        let comparison = match comparison {
            "eq" => Comparison::Equal,
            "ne" => Comparison::NotEqual,
            "lt" => Comparison::Less,
            "le" => Comparison::LessOrEqual,
            "gt" => Comparison::Greater,
            "ge" => Comparison::GreaterOrEqual,
            _ => return Err("a comparison that the machine does not know"),
        };
        Ok(Operation::Compare { comparison, kind, to: self.slot("%p", to)?, a: self.word(a)?, b: self.word(b)? })
    }

    fn load(&self, parts: &[&str], operands: &[&str]) -> Result<Operation, Refused> {
        let [to, from] = operands else { return Err("two operands") };
        if let ["param", rest @ ..] = parts {
            return self.load_parameter(rest, to, from);
        }
        let (volatile, parts) = match parts {
            ["volatile", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (space, width) = place(parts)?;
        if volatile && (space, width, vector_length(parts)) != (Space::Global, Width::Word, 1) {
            return Err("a volatile load that the machine does not know");
        }
        let to = match parts {
            [_, kind @ ("s32" | "u32" | "u8")] if to.starts_with("%rd") => {
                Loaded::Long { to: self.long_slot(to)?, signed: *kind == "s32" }
            }
            _ => Loaded::Words(list(to).map(|register| self.word_slot(register)).collect::<Result<_, _>>()?),
        };
        if to.count() != vector_length(parts) {
            return Err("as many registers as the load has values");
        }
        Ok(Operation::Load { space, volatile, width, to, from: self.address(from)? })
    }

    fn load_parameter(&self, parts: &[&str], to: &str, from: &str) -> Result<Operation, Refused> {
        match parts {
            ["u64"] => {
                Ok(Operation::LoadLongParameter { to: self.long_slot(to)?, offset: self.parameter_offset(from, 8)? })
            }
            ["u32" | "f32"] | ["v2", "u32" | "f32"] => {
                let to: Vec<_> = list(to).map(|register| self.word_slot(register)).collect::<Result<_, _>>()?;
                let offset = self.parameter_offset(from, 4 * to.len())?;
                Ok(Operation::LoadParameter { to, offset })
            }
            _ => Err("a load that the machine does not know"),
        }
    }

    fn store(&self, parts: &[&str], operands: &[&str]) -> Result<Operation, Refused> {
        let [to, from] = operands else { return Err("two operands") };
        let (space, width) = place(parts)?;
        let from: Vec<_> = list(from).map(|value| self.word(value)).collect::<Result<_, _>>()?;
        if from.len() != vector_length(parts) {
            return Err("as many values as the store has places");
        }
        Ok(Operation::Store { space, width, to: self.address(to)?, from })
    }

    /// What threads do together, and the end.
    fn together(&self, name: &str, operands: &[&str]) -> Result<Operation, Refused> {
        match (name, operands) {
            ("ret", []) => Ok(Operation::Return),
            ("bar.sync", ["0"]) => Ok(Operation::BlockBarrier),
            ("bar.warp.sync", [members]) => Ok(Operation::WarpBarrier { members: self.word(members)? }),
            ("fence.acq_rel.gpu", []) => Ok(Operation::Fence),
            ("nanosleep.u32", [_]) => Ok(Operation::Sleep),
            ("vote.sync.ballot.b32", [to, predicate, members]) => Ok(Operation::Ballot {
                to: self.word_slot(to)?,
                predicate: self.slot("%p", predicate)?,
                members: self.word(members)?,
            }),
            ("shfl.sync.idx.b32" | "shfl.sync.up.b32", [to, value, lane, bounds, members]) => {
                let mode = if name == "shfl.sync.up.b32" { Shuffle::Up } else { Shuffle::Index };
                let (to, valid) = match to.split_once('|') {
                    Some((to, valid)) => (to, Some(self.slot("%p", valid)?)),
                    None => (*to, None),
                };
                Ok(Operation::Shuffle {
                    mode,
                    to: self.word_slot(to)?,
                    valid,
                    value: self.word(value)?,
                    lane: self.word(lane)?,
                    bounds: self.word(bounds)?,
                    members: self.word(members)?,
                })
            }
            ("atom.global.add.u32" | "atom.global.min.u32", [to, at, value]) => Ok(Operation::Atomic {
                op: if name == "atom.global.add.u32" { Binary::Add } else { Binary::MinUnsigned },
                to: self.word_slot(to)?,
                at: self.address(at)?,
                value: self.word(value)?,
            }),
            _ => Err("an operation that the machine does not know"),
        }
    }

    fn slot(&self, file: &str, name: &str) -> Result<Slot, Refused> {
        let index: usize = name.strip_prefix(file).ok_or("a register of another kind").and_then(number)?;
        let &(first, count) = self.registers.get(file).ok_or("a register that is not declared")?;
        if index >= count {
            return Err("a register that is not declared");
        }
        // Checked where the registers were declared.
        Ok((first + index) as Slot)
    }

    fn word_slot(&self, name: &str) -> Result<Slot, Refused> {
        let file = match name.get(..2) {
            Some("%f") => "%f",
            Some("%r") if name.starts_with("%rs") => "%rs",
            _ => "%r",
        };
        self.slot(file, name)
    }

    fn long_slot(&self, name: &str) -> Result<Slot, Refused> {
        self.slot("%rd", name)
    }

    fn word(&self, text: &str) -> Result<Word, Refused> {
        if text.starts_with('%') {
            return self.word_slot(text).map(Word::Register);
        }
        if let Some(bits) = text.strip_prefix("0f") {
            return u32::from_str_radix(bits, 16).map(Word::Constant).map_err(|_| "no number");
        }
        let value: i64 = number(text)?;
        // PTX takes −1 and 4294967295 for the same bits.
        if (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&value) {
            Ok(Word::Constant(value as u32))
        } else {
            Err("a constant of more than 32 bits")
        }
    }

    fn long(&self, text: &str) -> Result<Long, Refused> {
        if text.starts_with('%') {
            return self.long_slot(text).map(Long::Register);
        }
        if self.shared.iter().any(|symbol| symbol == text) {
            return Ok(Long::Constant(0));
        }
        number::<i64>(text).map(|value| Long::Constant(value as u64))
    }

    fn address(&self, text: &str) -> Result<Address, Refused> {
        let (base, offset) = base_and_offset(text)?;
        Ok(Address { base: self.long(base)?, offset })
    }

    /// Where so many bytes of a parameter lie among the arguments.
    fn parameter_offset(&self, text: &str, bytes: usize) -> Result<usize, Refused> {
        let (name, offset) = base_and_offset(text)?;
        let parameter = self.kernel.parameters.iter().find(|p| p.name == name).ok_or("no such parameter")?;
        let offset = usize::try_from(offset).map_err(|_| "before the parameter")?;
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= parameter.bytes);
        if inside { Ok(parameter.offset + offset) } else { Err("behind the parameter") }
    }
}

fn binary(name: &str) -> Option<Binary> {
    Some(match name {
        "add.s32" => Binary::Add,
        "sub.s32" => Binary::Subtract,
        "mul.lo.s32" => Binary::Multiply,
        "mul.hi.s32" => Binary::MultiplyHigh,
        "div.u32" => Binary::DivideUnsigned,
        "max.s32" => Binary::MaxSigned,
        "min.s32" => Binary::MinSigned,
        "max.u32" => Binary::MaxUnsigned,
        "min.u32" => Binary::MinUnsigned,
        "and.b32" => Binary::And,
        "or.b32" => Binary::Or,
        "xor.b32" => Binary::Xor,
        "shl.b32" => Binary::ShiftLeft,
        "shr.u32" => Binary::ShiftRight,
        "shr.s32" => Binary::ShiftRightSigned,
        "add.rn.f32" => Binary::AddFloat,
        "sub.rn.f32" => Binary::SubtractFloat,
        "mul.rn.f32" => Binary::MultiplyFloat,
        "div.rn.f32" => Binary::DivideFloat,
        "max.f32" => Binary::MaxFloat,
        _ => return None,
    })
}

fn special(name: &str) -> Option<Special> {
    Some(match name {
        "%tid.x" => Special::Thread,
        "%ctaid.x" => Special::Block,
        "%ntid.x" => Special::Threads,
        "%nctaid.x" => Special::Blocks,
        _ => return None,
    })
}

/// Space and width of `global.v4.u32`, `shared.u8` and the like.
fn place(parts: &[&str]) -> Result<(Space, Width), Refused> {
    let (space, kind) = match parts {
        [space, kind] | [space, "v2" | "v4", kind] => (*space, *kind),
        _ => return Err("an access that the machine does not know"),
    };
    let space = match space {
        "global" => Space::Global,
        "shared" => Space::Shared,
        _ => return Err("memory that the machine does not have"),
    };
    match kind {
        "u8" => Ok((space, Width::Byte)),
        "u32" | "s32" | "f32" => Ok((space, Width::Word)),
        _ => Err("values that the machine does not load or store"),
    }
}

fn vector_length(parts: &[&str]) -> usize {
    match parts {
        [_, "v2", _] => 2,
        [_, "v4", _] => 4,
        _ => 1,
    }
}

fn type_bytes(kind: &str) -> Result<usize, Refused> {
    match kind {
        ".u64" => Ok(8),
        ".u32" | ".f32" => Ok(4),
        _ => Err("a parameter that the machine does not know"),
    }
}

/// Splits at the commas outside braces.
fn split_operands(text: &str) -> Vec<&str> {
    let (mut operands, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                operands.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        operands.push(last);
    }
    operands
}

/// The values of `{a, b}`, or a single one.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.trim_start_matches('{').trim_end_matches('}').split(',').map(str::trim)
}

/// The parts of `[base+offset]`.
fn base_and_offset(text: &str) -> Result<(&str, i64), Refused> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or("no address")?;
    match inner.split_once('+') {
        Some((base, offset)) => Ok((base, number(offset)?)),
        None => Ok((inner, 0)),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| "no number")
}
