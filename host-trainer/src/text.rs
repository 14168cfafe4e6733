//! Text from outside - names of files and data sets, what servers, boards and files say - as a terminal may show it.

use std::fmt::Display;

/// The text on one line, and nothing in it that a reader would not see: what moves the cursor, ends the line, turns the
/// direction of writing or shows as nothing becomes its escape, such as `\n` or `\u{202e}`.
pub fn one_line(text: impl Display) -> String {
    let text = text.to_string();
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if is_visible(character) { line.push(character) } else { line.extend(character.escape_default()) }
    }
    line
}

/// Whether a character shows as what it is: a letter, digit, mark or symbol, or the space.
pub fn is_visible(character: char) -> bool {
    match character {
        ' '..='~' => true,
        _ if character.is_ascii() => false,
        // They count as letters, marks or symbols, and show as nothing.
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2065}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{e0000}'..='\u{e0fff}' => false,
        // The standard library knows the rest: control, format, private and unassigned characters, and other spaces
        // have an escape. The letter before it is for combining marks, which have one where they stand alone.
        _ => ['a', character].iter().collect::<String>().escape_debug().count() == 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_any_script_stay() {
        for text in
            ["me.png", "größe 3×3 – ½", "数字/手書き", "мнист", "e\u{301}te", "a\\b 'c' \"d\"", "🙂", "\u{fffd}"]
        {
            assert_eq!(one_line(text), text);
        }
    }

    #[test]
    fn what_moves_the_cursor_or_ends_the_line_is_escaped() {
        assert_eq!(one_line("a\x1b[2J\nb\r\tc\u{7f}"), r"a\u{1b}[2J\nb\r\tc\u{7f}");
        for code in (0..0x20).chain(0x7f..0xa0) {
            let character = char::from_u32(code).expect("a control character");
            assert!(!is_visible(character), "{code:x}");
        }
    }

    #[test]
    fn what_turns_the_direction_or_shows_as_nothing_is_escaped() {
        let turning = ['\u{61c}', '\u{200e}', '\u{200f}'].into_iter().chain('\u{202a}'..='\u{202e}');
        let turning = turning.chain('\u{2066}'..='\u{2069}');
        let hidden = ['\u{ad}', '\u{a0}', '\u{180e}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2028}', '\u{2029}'];
        let hidden = hidden.into_iter().chain(['\u{2060}', '\u{3000}', '\u{3164}', '\u{fe0f}', '\u{feff}', '\u{fff9}']);
        let hidden = hidden.chain(['\u{e000}', '\u{e0001}', '\u{e0041}', '\u{e0100}', '\u{10ffff}', '\u{1d173}']);
        for character in turning.chain(hidden) {
            assert_eq!(one_line(character), character.escape_default().to_string());
        }
    }
}
