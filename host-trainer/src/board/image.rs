//! Files to drag onto a board's drive, of the program that was built for it and a model.
//!
//! A program's ELF file says where everything goes, the model's place too (`__model_start`). The same ELF and model give the
//! same file, byte for byte.

use std::fmt::Write;

use object::read::elf::{ElfFile32, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, elf};

/// No flash of a board is longer.
const MAX_FLASH: u32 = 16 * 1024 * 1024;
/// What blank flash reads as.
const BLANK: u8 = 0xff;

/// Why an ELF file makes no image, or not of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Not an ELF file of a microcontroller's program.
    #[error(
        "it is no program for a 32-bit microcontroller: give the ELF file that 'cargo build --release' makes in a folder of firmware/boards"
    )]
    NotElf,
    /// Some other program.
    #[error("it is not this project's firmware: it has no model area (no symbol __model_start)")]
    NotOurs,
    /// A program whose boot loader takes an image of its own kind.
    #[error(
        "it is for an ESP32-C3, which no file is dragged onto: espflash makes its image and flashes it (firmware/README.md)"
    )]
    Espressif,
    /// Pieces that do not fit each other.
    #[error("its pieces overlap, or lie more than 16 MB apart")]
    Pieces,
    /// Nothing to write.
    #[error("it has no model linked in: name one with --model")]
    NoModel,
    /// The format belongs to other boards.
    #[error(
        "a .uf2 file is for the Raspberry Pi Pico and Pico 2, and this program is for neither: write a .hex or a .bin file"
    )]
    NotUf2,
    /// A file that begins where flash begins.
    #[error(
        "a .bin file has no addresses: a drive would write the model over the program; write a .hex or a .uf2 file"
    )]
    NotBin,
}

/// What of a program and its model goes into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Both.
    All,
    /// The program, which leaves the model in flash as it is.
    Program,
    /// The model, which leaves the program as it is.
    Model,
}

/// A boot ROM that takes UF2 files, by the family that it looks for: <https://github.com/microsoft/uf2>, `utils/uf2families.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Family {
    Rp2040 = 0xe48b_ff56,
    Rp2350ArmSecure = 0xe48b_ff59,
}

/// Bytes that belong at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    address: u32,
    bytes: Vec<u8>,
}

impl Piece {
    fn end(&self) -> Option<u32> {
        self.address.checked_add(u32::try_from(self.bytes.len()).ok()?)
    }
}

/// What goes into a board's flash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlashImage {
    /// In the order of their addresses, without overlap.
    pieces: Vec<Piece>,
    has_program: bool,
    family: Option<Family>,
}

impl FlashImage {
    /// The image of a program's ELF file: `contents` of it, with `model` in the place of the model that is linked in.
    ///
    /// # Errors
    /// If the ELF file is none of this project's firmware, or there is no model to write.
    pub fn of_elf(file: &[u8], model: Option<&[u8]>, contents: Contents) -> Result<Self, ImageError> {
        let elf = ElfFile32::<Endianness>::parse(file).map_err(|_| ImageError::NotElf)?;
        if elf.elf_header().e_machine.get(elf.endian()) == elf::EM_RISCV {
            return Err(ImageError::Espressif);
        }
        let model_start = elf.symbols().find(|symbol| symbol.name() == Ok("__model_start"));
        let model_start =
            model_start.and_then(|symbol| u32::try_from(symbol.address()).ok()).ok_or(ImageError::NotOurs)?;
        let mut pieces = vec![];
        for segment in elf.elf_program_headers() {
            let bytes = segment.data(elf.endian(), file).map_err(|()| ImageError::NotElf)?;
            if segment.p_type(elf.endian()) == elf::PT_LOAD && !bytes.is_empty() {
                pieces.push(Piece { address: segment.p_paddr(elf.endian()), bytes: bytes.to_vec() });
            }
        }
        let is_model = |piece: &Piece| piece.address >= model_start;
        let linked = pieces.iter().any(is_model);
        match (contents, model) {
            (Contents::Program, _) => pieces.retain(|piece| !is_model(piece)),
            (_, Some(model)) => {
                pieces.retain(|piece| !is_model(piece) && contents == Contents::All);
                pieces.push(Piece { address: model_start, bytes: model.to_vec() });
            }
            (Contents::Model, None) if !linked => return Err(ImageError::NoModel),
            (Contents::Model, None) => pieces.retain(is_model),
            (Contents::All, None) => {}
        }
        let has = |name| elf.section_by_name(name).is_some_and(|section| section.size() > 0);
        let family = match (has(".boot2"), has(".start_block")) {
            (true, false) => Some(Family::Rp2040),
            (false, true) => Some(Family::Rp2350ArmSecure),
            _ => None,
        };
        Self { pieces, has_program: contents != Contents::Model, family }.in_order()
    }

    /// Sorts the pieces and looks whether they lie side by side in one flash.
    fn in_order(mut self) -> Result<Self, ImageError> {
        self.pieces.sort_by_key(|piece| piece.address);
        let ends: Option<Vec<u32>> = self.pieces.iter().map(Piece::end).collect();
        let ends = ends.ok_or(ImageError::Pieces)?;
        let overlap = self.pieces.iter().skip(1).zip(&ends).any(|(next, &end)| next.address < end);
        let (Some(first), Some(&last)) = (self.pieces.first(), ends.last()) else { return Err(ImageError::NotElf) };
        if overlap || last - first.address > MAX_FLASH { Err(ImageError::Pieces) } else { Ok(self) }
    }

    /// All bytes from the first to the last, blank in between.
    fn flat(&self) -> (u32, Vec<u8>) {
        let start = self.pieces.first().map_or(0, |piece| piece.address);
        let mut flat = vec![];
        for piece in &self.pieces {
            flat.resize((piece.address - start) as usize, BLANK);
            flat.extend(&piece.bytes);
        }
        (start, flat)
    }

    /// For drives of debug probes that write from the start of flash on.
    ///
    /// # Errors
    /// [`ImageError::NotBin`] for a model without its program.
    pub fn bin(&self) -> Result<Vec<u8>, ImageError> {
        if self.has_program { Ok(self.flat().1) } else { Err(ImageError::NotBin) }
    }

    /// Intel HEX, with 16 bytes a line: <https://archive.org/details/IntelHEXStandard>.
    pub fn hex(&self) -> Vec<u8> {
        let mut text = String::new();
        let mut upper = None;
        for piece in &self.pieces {
            let mut address = piece.address;
            let mut rest = &piece.bytes[..];
            while !rest.is_empty() {
                if upper != Some(address >> 16) {
                    upper = Some(address >> 16);
                    hex_record(&mut text, 0, 4, &((address >> 16) as u16).to_be_bytes());
                }
                // No record crosses a border of 64 KB, nor of 16 bytes.
                let (record, behind) = rest.split_at(rest.len().min(16 - address as usize % 16));
                hex_record(&mut text, address as u16, 0, record);
                address = address.wrapping_add(record.len() as u32);
                rest = behind;
            }
        }
        hex_record(&mut text, 0, 1, &[]);
        text.into_bytes()
    }

    /// For the drive of a Pico's boot ROM: <https://github.com/microsoft/uf2>.
    ///
    /// # Errors
    /// [`ImageError::NotUf2`] for other boards.
    pub fn uf2(&self) -> Result<Vec<u8>, ImageError> {
        const PAGE: usize = 256;
        const FAMILY_IS_NAMED: u32 = 0x2000;
        let family = self.family.ok_or(ImageError::NotUf2)?;
        // Pages that hold something, whole.
        let mut pages = std::collections::BTreeMap::<u32, [u8; PAGE]>::new();
        for piece in &self.pieces {
            for (address, &byte) in (piece.address..).zip(&piece.bytes) {
                let page = pages.entry(address & !(PAGE as u32 - 1)).or_insert([BLANK; PAGE]);
                page[address as usize % PAGE] = byte;
            }
        }
        let count = pages.len() as u32;
        let mut file = Vec::with_capacity(512 * pages.len());
        for (number, (address, page)) in (0..).zip(&pages) {
            let words =
                [0x0a32_4655, 0x9e5d_5157, FAMILY_IS_NAMED, *address, PAGE as u32, number, count, family as u32];
            file.extend(words.into_iter().flat_map(u32::to_le_bytes));
            file.extend(page);
            file.extend([0; 512 - 32 - PAGE - 4]);
            file.extend(0x0ab1_6f30_u32.to_le_bytes());
        }
        Ok(file)
    }
}

/// A line of Intel HEX: length, address, type, data, and what makes the sum of all bytes 0.
fn hex_record(text: &mut String, address: u16, kind: u8, data: &[u8]) {
    let [high, low] = address.to_be_bytes();
    let head = [data.len() as u8, high, low, kind];
    let sum = head.iter().chain(data).fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    text.push(':');
    for byte in head.iter().chain(data).chain(&[sum.wrapping_neg()]) {
        // A string takes everything.
        let _ = write!(text, "{byte:02X}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL_START: u32 = 0x1002_0000;

    /// An ELF file with these pieces, these sections of 4 bytes and the symbols that firmware has.
    fn elf_of(pieces: &[(u32, &[u8])], sections: &[&str]) -> Vec<u8> {
        let word = u32::to_le_bytes;
        let half = u16::to_le_bytes;
        let mut data = vec![];
        let mut headers = vec![];
        let data_at = 52 + 32 * pieces.len() as u32;
        for (address, bytes) in pieces {
            let len = bytes.len() as u32;
            // Loaded into RAM from flash, as variables are: the flash address counts.
            for value in [1, data_at + data.len() as u32, 0x2000_0000, *address, len, len, 4, 4] {
                headers.extend(word(value));
            }
            data.extend_from_slice(bytes);
        }
        let mut names = b"\0.symtab\0.strtab\0__model_start\0".to_vec();
        let symbol_name = 17;
        let names_of: Vec<u32> = sections
            .iter()
            .map(|section| {
                let at = names.len() as u32;
                names.extend(section.bytes().chain([0]));
                at
            })
            .collect();
        let symbols_at = data_at + data.len() as u32;
        // The first symbol is none.
        let symbols =
            [vec![0; 16], [word(symbol_name), word(MODEL_START), word(0), [0x10, 0, 0xf1, 0xff]].concat()].concat();
        let names_at = symbols_at + symbols.len() as u32;
        let sections_at = names_at + names.len() as u32;
        let mut table = vec![0; 40];
        // Name, kind, flags, address, offset, size, link, information, alignment, size of an entry.
        let mut section = |values: [u32; 10]| table.extend(values.into_iter().flat_map(word));
        section([1, 2, 0, 0, symbols_at, 32, 2, 1, 4, 16]);
        section([9, 3, 0, 0, names_at, names.len() as u32, 0, 0, 1, 0]);
        for name in names_of {
            section([name, 1, 2, 0, 52, 4, 0, 0, 1, 0]);
        }
        let ident = [0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut file =
            [&ident[..], &half(2), &half(40), &word(1), &word(0), &word(52), &word(sections_at), &word(0)].concat();
        for value in [52, 32, pieces.len() as u16, 40, 3 + sections.len() as u16, 2] {
            file.extend(half(value));
        }
        [file, headers, data, symbols, names, table].concat()
    }

    const PROGRAM: &[(u32, &[u8])] = &[(0x1000_0000, &[1; 256]), (0x1000_0100, &[2; 300])];

    fn with_model(model: &'static [u8]) -> Vec<(u32, &'static [u8])> {
        [PROGRAM, &[(MODEL_START, model)]].concat()
    }

    /// What Intel HEX says of each address.
    fn bytes_of_hex(text: &[u8]) -> Vec<(u32, u8)> {
        let mut bytes = vec![];
        let mut upper = 0;
        for line in std::str::from_utf8(text).unwrap().lines() {
            let record = hex::decode(line.strip_prefix(':').unwrap()).unwrap();
            assert_eq!(record.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)), 0, "{line}");
            let (len, address) = (usize::from(record[0]), u32::from_be_bytes([0, 0, record[1], record[2]]));
            let data = &record[4..4 + len];
            match record[3] {
                0 => bytes.extend((upper + address..).zip(data.iter().copied())),
                1 => assert_eq!(line, ":00000001FF"),
                4 => upper = u32::from_be_bytes([data[0], data[1], 0, 0]),
                kind => panic!("record {kind}"),
            }
        }
        bytes
    }

    #[test]
    fn a_drive_gets_every_byte_of_program_and_model_at_its_address() {
        let file = elf_of(&with_model(&[3; 70_000]), &[".boot2"]);
        let image = FlashImage::of_elf(&file, None, Contents::All).unwrap();
        let all = with_model(&[3; 70_000]);
        let expected: Vec<(u32, u8)> =
            all.iter().flat_map(|(address, bytes)| (*address..).zip(bytes.iter().copied())).collect();
        assert_eq!(bytes_of_hex(&image.hex()), expected);
        let bin = image.bin().unwrap();
        assert_eq!(bin.len(), 0x2_0000 + 70_000);
        assert!(expected.iter().all(|&(address, byte)| bin[(address - 0x1000_0000) as usize] == byte));
        assert!(bin[556..0x2_0000].iter().all(|&byte| byte == BLANK), "between program and model flash is blank");
    }

    #[test]
    fn uf2_has_whole_pages_of_its_board_in_order() {
        for (section, family) in [(".boot2", 0xe48b_ff56_u32), (".start_block", 0xe48b_ff59)] {
            let file = elf_of(&with_model(&[3; 257]), &[section]);
            let uf2 = FlashImage::of_elf(&file, None, Contents::All).unwrap().uf2().unwrap();
            let (blocks, rest) = uf2.as_chunks::<512>();
            assert!(rest.is_empty());
            let word = |block: &[u8; 512], at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
            let addresses: Vec<u32> = blocks.iter().map(|block| word(block, 12)).collect();
            assert_eq!(addresses, [0x1000_0000, 0x1000_0100, 0x1000_0200, MODEL_START, MODEL_START + 256]);
            for (number, block) in blocks.iter().enumerate() {
                let head: Vec<u32> = [0, 4, 8, 16, 20, 24, 28].map(|at| word(block, at)).to_vec();
                assert_eq!(head, [0x0a32_4655, 0x9e5d_5157, 0x2000, 256, number as u32, 5, family]);
                assert_eq!(word(block, 508), 0x0ab1_6f30);
            }
            assert_eq!(blocks[2][32..32 + 256], [vec![2; 44], vec![BLANK; 212]].concat());
            assert_eq!(blocks[4][32..32 + 256], [vec![3; 1], vec![BLANK; 255]].concat());
        }
        let other = FlashImage::of_elf(&elf_of(PROGRAM, &[]), None, Contents::All).unwrap();
        assert_eq!(other.uf2(), Err(ImageError::NotUf2));
    }

    #[test]
    fn a_model_takes_the_place_of_the_linked_one_and_goes_alone() {
        let file = elf_of(&with_model(&[3; 500]), &[".boot2"]);
        let of = |model: Option<&[u8]>, contents| FlashImage::of_elf(&file, model, contents).unwrap();
        let model: &[u8] = &[7; 100];
        let all = of(Some(model), Contents::All).bin().unwrap();
        assert_eq!((all.len(), all[0x2_0000]), (0x2_0000 + 100, 7), "nothing of the longer one stays");
        assert_eq!(
            bytes_of_hex(&of(Some(model), Contents::Model).hex()),
            (MODEL_START..).zip([7; 100]).collect::<Vec<_>>()
        );
        assert_eq!(bytes_of_hex(&of(None, Contents::Model).hex()).len(), 500);
        assert_eq!(of(Some(model), Contents::Model).bin(), Err(ImageError::NotBin));
        assert_eq!(of(None, Contents::Program).bin().unwrap().len(), 556);
        let without = elf_of(PROGRAM, &[".boot2"]);
        assert_eq!(FlashImage::of_elf(&without, None, Contents::Model), Err(ImageError::NoModel));
        assert_eq!(FlashImage::of_elf(&without, Some(model), Contents::All).unwrap(), of(Some(model), Contents::All));
    }

    #[test]
    fn what_is_no_firmware_is_refused_and_cut_or_changed_files_do_no_harm() {
        let file = elf_of(&with_model(&[3; 500]), &[".boot2"]);
        let parse = |file: &[u8]| FlashImage::of_elf(file, None, Contents::All);
        assert_eq!(parse(b"not ELF"), Err(ImageError::NotElf));
        assert_eq!(parse(&elf_of(&[(0x1000_0000, &[1; 9]), (0x1000_0008, &[2; 9])], &[])), Err(ImageError::Pieces));
        assert_eq!(parse(&elf_of(&[(0, &[1; 9]), (0x2000_0000, &[2; 9])], &[])), Err(ImageError::Pieces));
        assert_eq!(parse(&elf_of(&[(u32::MAX, &[1; 9])], &[])), Err(ImageError::Pieces));
        let name = file.windows(13).position(|window| window == b"__model_start").unwrap();
        let mut other = file.clone();
        other[name] = b'x';
        assert_eq!(parse(&other), Err(ImageError::NotOurs));
        // The ELF header's number of the processor.
        other[18..20].copy_from_slice(&elf::EM_RISCV.to_le_bytes());
        assert_eq!(parse(&other), Err(ImageError::Espressif));
        for at in 0..file.len() {
            let _ = parse(&file[..at]);
            let mut changed = file.clone();
            changed[at] ^= 0xff;
            if let Ok(image) = parse(&changed) {
                let _ = (image.hex(), image.bin(), image.uf2());
            }
        }
    }
}
