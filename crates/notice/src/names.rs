//! Names that somebody chose, as they may stand in a notice: one line, no marks that hide or turn text, nothing that a
//! mail program makes a link of, and other scripts than Latin said out loud.

use cofferdam_model::{limits, sabotage};
use unicode_normalization::UnicodeNormalization;
use unicode_script::{Script, UnicodeScript};

/// A name that may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub text: String,
    /// Scripts of its letters besides Latin, in the order in which they come: a letter that looks Latin and is not is
    /// how a name is imitated.
    pub scripts: Vec<&'static str>,
}

impl Name {
    pub fn of(raw: &str) -> Name {
        if sabotage::is_out(68) {
            return Name { text: raw.to_owned(), scripts: Vec::new() };
        }
        // Compatibility forms first: a full-width dot is a dot.
        let letters: Vec<char> = raw.chars().take(4 * limits::NOTICE_NAME_CHARS_MAX).nfkc().collect();
        let mut text = String::new();
        for (at, letter) in letters.iter().enumerate() {
            let next = letters.get(at + 1).copied().unwrap_or(' ');
            match letter {
                letter if letter.is_whitespace() || letter.is_control() => text.push(' '),
                letter if is_invisible(*letter) => {}
                // What addresses are made of.
                '/' | '\\' | '@' | ':' => text.push(' '),
                '.' if next.is_alphanumeric() => text.push('·'),
                letter => text.push(*letter),
            }
        }
        let text = text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let text = match text.char_indices().nth(limits::NOTICE_NAME_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        let mut scripts = Vec::new();
        for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
            let script = letter.script();
            let is_plain = matches!(script, Script::Latin | Script::Common | Script::Inherited);
            if !is_plain && !scripts.contains(&script.full_name()) {
                scripts.push(script.full_name());
            }
        }
        Name { text, scripts }
    }
}

/// Zero-width characters, marks that change the direction of text, characters of private use and tags.
fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{e000}'..='\u{f8ff}'
        | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_without_what_a_mail_program_makes_a_link_of() {
        for (raw, shown) in [
            ("Shop", "Shop"),
            ("  Two\r\nBcc: x@y.example ", "Two Bcc x y·example"),
            ("St. Mary & Co.", "St. Mary & Co."),
            ("https://evil.example/login", "https evil·example login"),
            ("evil．example", "evil·example"),
            ("<a href=\"//x.io\">", "<a href=\" x·io\">"),
            ("Sh\u{202e}po\u{200b}", "Shpo"),
        ] {
            assert_eq!(Name::of(raw).text, shown, "{raw:?}");
        }
        assert_eq!(Name::of(&"x".repeat(500)).text.chars().count(), limits::NOTICE_NAME_CHARS_MAX + 1);
    }

    #[test]
    fn letters_that_only_look_latin_are_named() {
        assert_eq!(Name::of("Pаypаl").scripts, ["Cyrillic"]);
        assert_eq!(Name::of("Αpple").scripts, ["Greek"]);
        assert!(Name::of("Café Peña 24").scripts.is_empty());
    }
}
