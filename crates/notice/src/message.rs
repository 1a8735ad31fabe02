//! A mail, as bytes: two forms of the same text, no link, no image, no attachment.
//!
//! Header values are made here and nowhere else, and none has a line break in it but our own folding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::code::{NoticeKey, Recipient};
use crate::dkim::Keys;
use crate::names::Name;
use crate::smtp::Mailbox;
use crate::text::{CODE_MARK, Wording};
use crate::{Error, Result};

/// Who notices are from.
pub struct From {
    pub mailbox: Mailbox,
    pub name: Name,
}

/// What all mails of one wording share.
pub struct Letter {
    subject: String,
    text: String,
    html: String,
    version: u32,
}

impl Letter {
    pub fn new(wording: &Wording, version: u32) -> Letter {
        Letter::of_parts(&wording.subject, &wording.text(), &wording.html(), version)
    }

    /// From the forms of a wording that were kept.
    pub fn of_parts(subject: &str, text: &str, html: &str, version: u32) -> Letter {
        Letter { subject: encoded_words(subject), text: text.to_owned(), html: html.to_owned(), version }
    }

    /// The mail to one recipient, signed.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn to(
        &self,
        mailbox: &Mailbox,
        recipient: Recipient,
        from: &From,
        key: &NoticeKey,
        dkim: &Keys,
        now_us: i64,
    ) -> Result<Vec<u8>> {
        let code = key.code(recipient, self.version);
        let domain = from.mailbox.domain();
        let id = key.message_id(recipient, self.version, domain);
        // Not to be met in a body: quoted-printable writes no `=_`.
        let boundary = format!("=_{}", id.split('@').next().unwrap_or_default());
        let time = jiff::Timestamp::from_microsecond(now_us).map_err(|_| Error::Text("no such time".to_owned()))?;
        let headers = [
            ("From", format!("{} <{}>", phrase(&from.name.text), from.mailbox)),
            ("To", format!("<{mailbox}>")),
            ("Subject", self.subject.clone()),
            ("Date", time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()),
            ("Message-ID", format!("<{id}>")),
            ("MIME-Version", "1.0".to_owned()),
            ("Content-Type", format!("multipart/alternative; boundary=\"{boundary}\"")),
            ("Auto-Submitted", "auto-generated".to_owned()),
        ];
        let html = format!(
            "<!doctype html>\n<html><head><meta charset=\"utf-8\"></head><body>\n{}</body></html>\n",
            self.html.replace(CODE_MARK, &code)
        );
        let mut body = String::with_capacity(2 * (self.text.len() + html.len()));
        for (kind, part) in [("plain", &self.text.replace(CODE_MARK, &code)), ("html", &html)] {
            body.push_str(&format!(
                "--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
            ));
            quoted_printable(part, &mut body);
            body.push_str("\r\n");
        }
        body.push_str(&format!("--{boundary}--\r\n"));
        let mut out = dkim.sign(domain, time.as_second(), &headers, body.as_bytes())?;
        for (name, value) in &headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("\r\n");
        out.push_str(&body);
        Ok(out.into_bytes())
    }
}

/// A text as a header's value (RFC 2047): itself where it is short ASCII, encoded words otherwise.
fn encoded_words(text: &str) -> String {
    if text.is_ascii() && text.len() <= 60 && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for letter in text.chars() {
        let last = words.last_mut().expect("there is one");
        if last.len() + letter.len_utf8() > 45 {
            words.push(letter.to_string());
        } else {
            last.push(letter);
        }
    }
    let words: Vec<String> = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\r\n ")
}

/// A display name (RFC 5322): quoted where it is ASCII, encoded otherwise.
fn phrase(name: &str) -> String {
    match name.is_ascii() && name.len() <= 60 {
        true => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
        false => encoded_words(name),
    }
}

/// RFC 2045, 6.7: lines of at most 76 characters.
fn quoted_printable(text: &str, out: &mut String) {
    const WIDTH: usize = 75;
    for line in text.trim_end_matches('\n').split('\n') {
        let bytes = line.as_bytes();
        let mut column = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let is_last = at + 1 == bytes.len();
            let is_plain = matches!(byte, 33..=60 | 62..=126) || (matches!(byte, b' ' | b'\t') && !is_last);
            let width = if is_plain { 1 } else { 3 };
            if column + width > WIDTH {
                out.push_str("=\r\n");
                column = 0;
            }
            match is_plain {
                true => out.push(char::from(*byte)),
                false => out.push_str(&format!("={byte:02X}")),
            }
            column += width;
        }
        out.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_stays_within_a_lines_width() {
        let mut out = String::new();
        quoted_printable(&format!("{}\nñ={} \n.\n", "x".repeat(200), "é".repeat(60)), &mut out);
        assert!(out.split("\r\n").all(|line| line.len() <= 76), "{out}");
        assert!(out.contains("=C3=B1=3D") && out.contains("=20\r\n.\r\n"), "{out}");
        let subject = encoded_words(&"Corrección: datos ".repeat(10));
        assert!(subject.split("\r\n ").all(|word| word.len() <= 75 && word.starts_with("=?utf-8?B?")), "{subject}");
    }
}
