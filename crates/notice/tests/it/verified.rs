//! That somebody else's verifier takes our signatures, and none for a mail that was changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use cofferdam_model::PersonalField;
use cofferdam_notice::code::{NoticeKey, Recipient, RecipientKind};
use cofferdam_notice::dkim::Keys;
use cofferdam_notice::message::{From, Letter};
use cofferdam_notice::names::Name;
use cofferdam_notice::smtp::Mailbox;
use cofferdam_notice::text::{Audience, Language, Wording};

use crate::sink::header;
use crate::texts::facts;

const ADA: Recipient = Recipient { kind: RecipientKind::Person, project: 1, number: 7 };

fn mail(keys: &Keys, name: &str, language: Language) -> Vec<u8> {
    let wording = Wording::new(&facts(&PersonalField::ALL, 2), Audience::Person, language).unwrap();
    let from = From { mailbox: Mailbox::parse("privacy@mareas.example").unwrap(), name: Name::of(name) };
    let key = NoticeKey::new(&[7; 32]);
    let to = Mailbox::parse("ada@b.example").unwrap();
    Letter::new(&wording, 1).to(&to, ADA, &from, &key, keys, 1_772_355_900_000_000).unwrap()
}

#[test]
fn both_signatures_are_verified_by_another_implementation_and_a_changed_mail_is_not() {
    let Some(venv) = std::env::var_os("COFFERDAM_VENV").map(PathBuf::from) else {
        return skip("dkimpy is not installed: COFFERDAM_VENV names no virtual environment");
    };
    let keys = Keys::generate().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let records: String =
        keys.records("mareas.example").unwrap().iter().map(|(name, value)| format!("{name}\t{value}\n")).collect();
    std::fs::write(folder.path().join("records"), records).unwrap();
    let whole = mail(&keys, "Peña", Language::Spanish);
    let text = String::from_utf8(whole.clone()).unwrap();
    let changed = [
        text.replacen("Subject: ", "Subject: X", 1),
        text.replacen("MIME-Version", "Subject: another\r\nMIME-Version", 1),
        text.replacen("ada@b.example", "eve@b.example", 1),
        text.replacen("quoted-printable\r\n\r\n", "quoted-printable\r\n\r\nsend us your password\r\n", 1),
    ];
    assert_eq!(verify(&venv, folder.path(), &whole), "ed25519-sha256 True\nrsa-sha256 True\n");
    for changed in changed {
        assert_ne!(changed, text);
        assert_eq!(verify(&venv, folder.path(), changed.as_bytes()), "ed25519-sha256 False\nrsa-sha256 False\n");
    }
}

fn verify(venv: &Path, folder: &Path, mail: &[u8]) -> String {
    let path = folder.join("mail");
    std::fs::write(&path, mail).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/notices/verify.py");
    let output =
        Command::new(venv.join("bin/python")).arg(script).arg(&path).arg(folder.join("records")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn skip(why: &str) {
    use std::io::Write;
    eprintln!("SKIPPED: {why}");
    if let Some(path) = std::env::var_os("COFFERDAM_SKIPS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "SKIPPED: {why}").unwrap();
    }
}

#[test]
fn a_mail_has_two_forms_of_one_text_and_the_same_message_id_whenever_it_is_made() {
    let keys = Keys::generate().unwrap();
    let text = String::from_utf8(mail(&keys, "Mareas", Language::English)).unwrap();
    assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
    assert_eq!(text.matches("Content-Type: text/").count(), 2);
    assert!(header(&text, "Content-Type").is_some_and(|kind| kind.starts_with("multipart/alternative; ")));
    let again = String::from_utf8(mail(&Keys::generate().unwrap(), "Mareas", Language::Italian)).unwrap();
    assert_eq!(header(&text, "Message-ID"), header(&again, "Message-ID"));
    let code = NoticeKey::new(&[7; 32]).code(ADA, 1);
    assert_eq!(text.matches(&code).count(), 2);
}

#[test]
fn no_name_adds_a_header() {
    let keys = Keys::generate().unwrap();
    for name in
        ["Shop\r\nBcc: all@evil.example", "Shop\nBcc: all@evil.example", "x\" <a@b.c>,\r\n \"y", "Peña\r\nBcc: x"]
    {
        let text = String::from_utf8(mail(&keys, name, Language::English)).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split(':').next())
            .collect();
        assert_eq!(
            names,
            [
                "DKIM-Signature",
                "DKIM-Signature",
                "From",
                "To",
                "Subject",
                "Date",
                "Message-ID",
                "MIME-Version",
                "Content-Type",
                "Auto-Submitted"
            ],
            "{name:?}"
        );
    }
}
