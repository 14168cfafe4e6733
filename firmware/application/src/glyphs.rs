//! Digits for lights in five rows and five columns.

/// Of every digit its rows, from the top; bit 4 is the leftmost light.
#[rustfmt::skip]
pub const GLYPHS: [[u8; 5]; 10] = [
    [0b01100, 0b10010, 0b10010, 0b10010, 0b01100],
    [0b00100, 0b01100, 0b00100, 0b00100, 0b01110],
    [0b11100, 0b00010, 0b01100, 0b10000, 0b11110],
    [0b11110, 0b00010, 0b00100, 0b10010, 0b01100],
    [0b00110, 0b01010, 0b10010, 0b11111, 0b00010],
    [0b11111, 0b10000, 0b11110, 0b00001, 0b11110],
    [0b00010, 0b00100, 0b01110, 0b10001, 0b01110],
    [0b11111, 0b00010, 0b00100, 0b01000, 0b10000],
    [0b01110, 0b10001, 0b01110, 0b10001, 0b01110],
    [0b01110, 0b10001, 0b01110, 0b00100, 0b01000],
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A light of any digit that fails makes no other digit of it.
    #[test]
    fn digits_differ_in_more_than_a_light() {
        for (i, one) in GLYPHS.iter().enumerate() {
            for other in &GLYPHS[..i] {
                let differing: u32 = one.iter().zip(other).map(|(one, other)| (one ^ other).count_ones()).sum();
                assert!(differing >= 2, "{one:?} and {other:?}");
            }
            assert!(one.iter().all(|&row| row > 0 && row < 1 << 5), "five rows of five lights");
        }
    }
}
