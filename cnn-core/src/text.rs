//! Names in files and messages: one line of text that shows what it holds.

/// Whether `text` stays on its line and shows in the order of its characters: no control characters, no separators of
/// lines or paragraphs, and none of the marks that turn the direction of writing
/// ([UAX #9](https://www.unicode.org/reports/tr9/), `Bidi_Control`).
pub fn is_one_line(text: &str) -> bool {
    !text.contains(breaks_line)
}

/// Whether a character ends or leaves the line, or reorders it.
pub fn breaks_line(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_script_are_one_line() {
        for text in ["", "MNIST", "größe 3×3 – ½", "数字/手書き", "ספרות", "🙂", "synthetic digits (seed 0)"]
        {
            assert!(is_one_line(text), "{text}");
        }
    }

    #[test]
    fn what_ends_leaves_or_reorders_a_line_is_none() {
        let others = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}'];
        let controls = ('\0'..' ').chain('\u{7f}'..'\u{a0}');
        for character in controls.chain(others).chain('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            assert!(breaks_line(character) && !is_one_line(character.encode_utf8(&mut [0; 4])), "{character:?}");
        }
    }
}
