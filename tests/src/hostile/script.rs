//! An input read as a script: numbers and bytes that say what to build. A script that ends goes on with zeros, so that
//! every input is one.

/// What is left of an input.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    bytes: &'a [u8],
}

impl<'a> Script<'a> {
    /// All of an input.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// The next two bytes as a number, least significant first.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// The next four bytes as a number, least significant first.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// The next bytes, filled up with zeros.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// The next `len` bytes, or as many as are left.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    /// Damages `file` as the rest of the script says, in steps of a kind and a place:
    /// a bit flips, bytes are overwritten, inserted or removed, the file ends, or it goes on.
    ///
    /// Places are counted from both ends of the file, where headers and checksums are, or anywhere.
    pub fn damage(&mut self, file: &mut Vec<u8>) {
        while !self.is_empty() {
            let kind = self.byte();
            let place = self.place(file.len());
            match kind % 6 {
                0 => {
                    if let Some(byte) = file.get_mut(place) {
                        *byte ^= 1 << (kind / 6 % 8);
                    }
                }
                1 => {
                    let len = usize::from(self.byte() % 16) + 1;
                    let bytes = self.take(len);
                    let end = file.len().min(place + bytes.len());
                    file[place..end].copy_from_slice(&bytes[..end - place]);
                }
                2 => {
                    let len = usize::from(self.byte());
                    file.splice(place..place, self.take(len).iter().copied());
                }
                3 => {
                    let end = file.len().min(place + usize::from(self.byte()));
                    file.drain(place..end);
                }
                4 => file.truncate(place),
                _ => {
                    let len = usize::from(self.byte());
                    file.extend_from_slice(self.take(len));
                }
            }
        }
    }

    /// A place in a file of `len` bytes, its end included.
    fn place(&mut self, len: usize) -> usize {
        match self.byte() {
            near @ ..=99 => usize::from(near).min(len),
            near @ 100..=149 => len.saturating_sub(usize::from(near - 100)),
            150..=219 => usize::from(self.u16()).min(len),
            220.. => self.u32() as usize % (len + 1),
        }
    }
}
