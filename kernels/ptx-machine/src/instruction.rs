//! The instructions of PTX that the kernels use, with their operands resolved.
//!
//! Registers live in three files: words (`.b16`, `.b32`, `.f32`), longs (`.b64`) and predicates. A [`Slot`] is a place
//! in the file that the operation implies.

use std::fmt;

/// A register's place in its file.
pub type Slot = u16;

/// A word: a register or a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Register(Slot),
    Constant(u32),
}

/// A 64-bit value: a register or a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Long {
    Register(Slot),
    Constant(u64),
}

/// One instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    pub operation: Operation,
    /// Line of the PTX text, from 1.
    pub line: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Move {
        to: Slot,
        from: Word,
    },
    ReadSpecial {
        to: Slot,
        register: Special,
    },
    Unary {
        op: Unary,
        to: Slot,
        a: Word,
    },
    Binary {
        op: Binary,
        to: Slot,
        a: Word,
        b: Word,
    },
    /// `mad.lo`: a · b + c in integers.
    MultiplyAdd {
        to: Slot,
        a: Word,
        b: Word,
        c: Word,
    },
    /// `bfi`: b with `length` bits from `position` on replaced by those of a.
    InsertBits {
        to: Slot,
        a: Word,
        b: Word,
        position: Word,
        length: Word,
    },
    MoveLong {
        to: Slot,
        from: Long,
    },
    AddLong {
        to: Slot,
        a: Long,
        b: Long,
    },
    MultiplyLong {
        to: Slot,
        a: Long,
        b: Long,
    },
    ShiftLong {
        left: bool,
        to: Slot,
        a: Long,
        by: Word,
    },
    MultiplyWide {
        signed: bool,
        to: Slot,
        a: Word,
        b: Word,
    },
    Widen {
        signed: bool,
        to: Slot,
        from: Word,
    },
    Narrow {
        to: Slot,
        from: Long,
    },
    Compare {
        comparison: Comparison,
        kind: Kind,
        to: Slot,
        a: Word,
        b: Word,
    },
    Select {
        to: Slot,
        a: Word,
        b: Word,
        predicate: Slot,
    },
    SelectLong {
        to: Slot,
        a: Long,
        b: Long,
        predicate: Slot,
    },
    SetPredicate {
        to: Slot,
        value: bool,
    },
    NotPredicate {
        to: Slot,
        a: Slot,
    },
    AndPredicate {
        to: Slot,
        a: Slot,
        b: Slot,
    },
    OrPredicate {
        to: Slot,
        a: Slot,
        b: Slot,
    },
    LoadParameter {
        to: Vec<Slot>,
        offset: usize,
    },
    LoadLongParameter {
        to: Slot,
        offset: usize,
    },
    Load {
        space: Space,
        volatile: bool,
        width: Width,
        to: Loaded,
        from: Address,
    },
    Store {
        space: Space,
        width: Width,
        to: Address,
        from: Vec<Word>,
    },
    /// An atomic operation on a word of global memory; `to` takes what was there.
    Atomic {
        op: Binary,
        to: Slot,
        at: Address,
        value: Word,
    },
    Branch {
        guard: Option<Guard>,
        target: usize,
    },
    Return,
    /// `bar.sync 0`
    BlockBarrier,
    /// `bar.warp.sync`
    WarpBarrier {
        members: Word,
    },
    Ballot {
        to: Slot,
        predicate: Slot,
        members: Word,
    },
    Shuffle {
        mode: Shuffle,
        to: Slot,
        valid: Option<Slot>,
        value: Word,
        lane: Word,
        bounds: Word,
        members: Word,
    },
    /// `fence.acq_rel.gpu`
    Fence,
    Sleep,
    /// An instruction that a test left out.
    Nothing,
}

impl Operation {
    /// Whether it orders memory or the threads: what a race may come from if it is missing.
    pub fn synchronizes(&self) -> bool {
        matches!(self, Operation::BlockBarrier | Operation::WarpBarrier { .. } | Operation::Fence)
    }

    /// The threads of a warp that must be together for it, if it is such an operation.
    pub fn members(&self) -> Option<Word> {
        match *self {
            Operation::WarpBarrier { members }
            | Operation::Ballot { members, .. }
            | Operation::Shuffle { members, .. } => Some(members),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    Not,
    CountOnes,
    AbsoluteFloat,
    /// `cvt.rn.f32.s32`
    IntegerToFloat,
    /// `cvt.u16.u32`
    LowHalf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    /// The upper half of the signed product.
    MultiplyHigh,
    DivideUnsigned,
    MaxSigned,
    MinSigned,
    MaxUnsigned,
    MinUnsigned,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    ShiftRightSigned,
    AddFloat,
    SubtractFloat,
    MultiplyFloat,
    DivideFloat,
    MaxFloat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// How the operands of a comparison are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Signed,
    Unsigned,
    /// False if an operand is NaN.
    Float,
    /// True if an operand is NaN.
    FloatOrUnordered,
}

/// A branch's condition: the predicate has this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    pub predicate: Slot,
    pub value: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// `%tid.x`
    Thread,
    /// `%ctaid.x`
    Block,
    /// `%ntid.x`
    Threads,
    /// `%nctaid.x`
    Blocks,
}

/// A kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// The device's.
    Global,
    /// A block's own.
    Shared,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Space::Global => "global",
            Space::Shared => "shared",
        })
    }
}

/// How much of memory one value of a load or store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Byte,
    Word,
}

impl Width {
    pub fn bytes(self) -> usize {
        match self {
            Width::Byte => 1,
            Width::Word => 4,
        }
    }
}

/// Where loaded values go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    Words(Vec<Slot>),
    /// One value to a register of 64 bits.
    Long {
        to: Slot,
        signed: bool,
    },
}

impl Loaded {
    /// Number of values.
    pub fn count(&self) -> usize {
        match self {
            Loaded::Words(to) => to.len(),
            Loaded::Long { .. } => 1,
        }
    }
}

/// `[base + offset]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub base: Long,
    pub offset: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shuffle {
    /// From the lane of this index.
    Index,
    /// From the lane this far below.
    Up,
}
