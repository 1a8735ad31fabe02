//! Codes: what shows that a notice is ours, without anything in it being clicked.
//!
//! A code is sixty bits of a keyed hash of incident, recipient and version: it cannot be made without the key, and one
//! that is seen elsewhere leads to the text that was logged, whatever the forgery says. What is stored of it is another
//! keyed hash ([`Tag`]), by which a typed code is found.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use aws_lc_rs::hmac;
use cofferdam_model::{limits, sabotage};

/// Whom a notice is for. Ordered and stored by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Recipient {
    pub kind: RecipientKind,
    /// The project that a person is of; 0 for a member.
    pub project: u32,
    /// Subject number, or member number.
    pub number: u32,
}

/// The numbers are stored: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RecipientKind {
    Person = 1,
    Member = 2,
}

impl RecipientKind {
    pub fn of_number(number: i64) -> Option<RecipientKind> {
        [RecipientKind::Person, RecipientKind::Member].into_iter().find(|kind| *kind as i64 == number)
    }
}

impl Recipient {
    fn bytes(self, version: u32) -> [u8; 13] {
        let mut out = [0; 13];
        out[0] = self.kind as u8;
        out[1..5].copy_from_slice(&self.project.to_be_bytes());
        out[5..9].copy_from_slice(&self.number.to_be_bytes());
        out[9..].copy_from_slice(&version.to_be_bytes());
        out
    }
}

/// What a code is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub i64);

/// The key of one incident's notices. No `Debug`.
pub struct NoticeKey(hmac::Key);

/// Crockford's: no letter looks like a digit, and none makes words.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_LETTERS: usize = 12;

impl NoticeKey {
    pub fn new(bytes: &[u8; 32]) -> NoticeKey {
        NoticeKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    fn mac(&self, domain: &str, bytes: &[u8]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(domain.as_bytes());
        context.update(&[0]);
        context.update(bytes);
        *context.sign().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// A recipient's code, as it is shown.
    pub fn code(&self, recipient: Recipient, version: u32) -> String {
        let mac = self.mac("code", &recipient.bytes(version));
        let bits = u64::from_be_bytes(*mac.first_chunk().expect("it has 16 bytes"));
        let mut out = String::with_capacity(14);
        for at in 0..CODE_LETTERS {
            if at > 0 && at % 4 == 0 {
                out.push('-');
            }
            out.push(char::from(LETTERS[(bits >> (59 - 5 * at) & 31) as usize]));
        }
        out
    }

    /// What a code is stored and found by. Whatever was typed has one: what is no code is looked for all the same, and
    /// takes as long.
    pub fn tag(&self, typed: &str) -> Tag {
        let mut letters = [0; CODE_LETTERS + 1];
        let typed = typed.chars().filter(|letter| !letter.is_whitespace() && !"-–.".contains(*letter));
        for (slot, letter) in letters.iter_mut().zip(typed) {
            *slot = match letter.to_ascii_uppercase() {
                'O' => b'0',
                'I' | 'L' => b'1',
                letter => u8::try_from(letter).unwrap_or(b'?'),
            };
        }
        let mac = self.mac("tag", &letters);
        Tag(i64::from_be_bytes(*mac.first_chunk().expect("it has 16 bytes")))
    }

    /// The Message-ID of a notice, without the angle brackets: the same however often it is sent.
    pub fn message_id(&self, recipient: Recipient, version: u32, domain: &str) -> String {
        let mac = self.mac("message-id", &recipient.bytes(version));
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}@{domain}")
    }
}

/// How often codes may be tried: by one address, and for one incident by everybody.
#[derive(Default)]
pub struct Tries(Mutex<Window>);

#[derive(Default)]
struct Window {
    /// The minute that is counted.
    minute: i64,
    by_address: HashMap<[u8; 8], u32>,
    by_incident: HashMap<u32, u32>,
}

impl Tries {
    /// Counts a try; `false` when there were too many in this minute.
    pub fn admit(&self, address: IpAddr, incident: u32, now_us: i64) -> bool {
        if sabotage::is_out(86) {
            return true;
        }
        let mut window = self.0.lock().expect("never left half changed");
        let minute = now_us.div_euclid(60_000_000);
        if minute != window.minute {
            *window = Window { minute, ..Window::default() };
        }
        let known = network(address);
        // Beyond, addresses share one count: a crowd of them is no way around it, and fills no memory.
        let is_new = !window.by_address.contains_key(&known);
        let key = if is_new && window.by_address.len() >= limits::NOTICE_TRYING_ADDRESSES_MAX { [0; 8] } else { known };
        let own = window.by_address.entry(key).or_default();
        if *own >= limits::NOTICE_TRIES_ADDRESS_MAX {
            return false;
        }
        *own += 1;
        let all = window.by_incident.entry(incident).or_default();
        if *all >= limits::NOTICE_TRIES_INCIDENT_MAX {
            return false;
        }
        *all += 1;
        true
    }
}

/// One client's addresses: of IPv6 that is a network of 64 bits.
fn network(address: IpAddr) -> [u8; 8] {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mut out = [0xff; 8];
            out[..4].copy_from_slice(&address.octets());
            out
        }
        IpAddr::V6(address) => *address.octets().first_chunk().expect("an address has 16 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Recipient = Recipient { kind: RecipientKind::Person, project: 1, number: 7 };

    #[test]
    fn a_code_is_its_recipients_and_its_versions_alone() {
        let key = NoticeKey::new(&[7; 32]);
        let code = key.code(ONE, 1);
        assert_eq!(code.len(), 14);
        assert_eq!(code.matches('-').count(), 2);
        let others = [
            key.code(ONE, 2),
            key.code(Recipient { number: 8, ..ONE }, 1),
            key.code(Recipient { project: 2, ..ONE }, 1),
            key.code(Recipient { kind: RecipientKind::Member, ..ONE }, 1),
            NoticeKey::new(&[8; 32]).code(ONE, 1),
        ];
        assert!(!others.contains(&code), "{code} {others:?}");
    }

    #[test]
    fn a_code_is_found_however_it_is_typed_and_nothing_else_is() {
        let key = NoticeKey::new(&[7; 32]);
        let code = key.code(ONE, 1);
        for typed in [code.to_lowercase(), code.replace('-', ""), format!(" {} ", code.replace('-', " "))] {
            assert_eq!(key.tag(&typed), key.tag(&code), "{typed}");
        }
        assert_eq!(key.tag(&code.replace('0', "o").replace('1', "l")), key.tag(&code));
        for wrong in [format!("{code}0"), code[..13].to_owned(), String::new(), "?".repeat(5_000)] {
            assert_ne!(key.tag(&wrong), key.tag(&code), "{wrong}");
        }
    }

    #[test]
    fn an_address_has_ten_tries_a_minute_and_an_incident_a_hundred() {
        let tries = Tries::default();
        let address = |at: u8| IpAddr::from([192, 0, 2, at]);
        assert_eq!((0..50).filter(|_| tries.admit(address(1), 1, 0)).count(), 10);
        assert_eq!((0..500).filter(|at| tries.admit(address((at % 100) as u8 + 2), 1, 0)).count(), 90);
        assert!(tries.admit(address(200), 2, 0), "another incident has its own");
        assert!(tries.admit(address(1), 1, 60_000_000), "the next minute is new");
        let of_one_network = |at: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, at]);
        assert_eq!((0..50).filter(|at| tries.admit(of_one_network(*at), 3, 60_000_000)).count(), 10);
    }
}
