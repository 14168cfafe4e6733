//! What one light shows: a digit as that many flashes.

/// A pattern over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Nothing to show.
    Dark,
    /// Quick flashes without end: the board waits for a model.
    NoModel,
    /// As many flashes as the digit says; one long one for 0.
    Digit(u8),
}

const FLASH_MS: u64 = 150;
const PERIOD_MS: u64 = 400;
const ZERO_MS: u64 = 1000;

impl Pattern {
    /// Whether the light is on `elapsed` milliseconds after the pattern's start.
    pub fn is_lit(self, elapsed: u64) -> bool {
        match self {
            Pattern::Dark => false,
            Pattern::NoModel => elapsed % FLASH_MS < FLASH_MS / 2,
            Pattern::Digit(0) => elapsed < ZERO_MS,
            Pattern::Digit(digit) => elapsed < u64::from(digit) * PERIOD_MS && elapsed % PERIOD_MS < FLASH_MS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_as_many_flashes() {
        for digit in 0..10 {
            let lit = |elapsed| Pattern::Digit(digit).is_lit(elapsed);
            let flashes = (0..10_000).filter(|&elapsed| lit(elapsed) && (elapsed == 0 || !lit(elapsed - 1))).count();
            assert_eq!(flashes, usize::from(digit.max(1)));
        }
        assert!(Pattern::Digit(0).is_lit(FLASH_MS + 1) && !Pattern::Digit(1).is_lit(FLASH_MS + 1));
    }
}
