//! Recovery codes: for the day when phone and passkeys are lost. There is no other way back in: no message, no link, and
//! nobody who can let somebody in.
//!
//! A list is shown once, and only hashes of it are kept. A code works once, with the password, and opens no personal
//! value; what is new after it is young for a day.

use cofferdam_ledger::Kind;
use cofferdam_model::{Class, limits};

use super::{Caller, SteppedUp};
use crate::{Engine, Result, random};

/// Letters and digits that do not look alike.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
const LETTERS_OF_A_CODE: usize = 16;

impl Engine {
    /// Makes a new list for the caller; an older one is void. It is shown once.
    pub async fn make_recovery_codes(&self, caller: &Caller, stepped_up: SteppedUp) -> Result<Vec<String>> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        let codes: Vec<String> = (0..limits::RECOVERY_CODES).map(|_| random_code()).collect();
        let prints: Vec<[u8; 32]> = codes.iter().map(|code| self.recovery_print(caller.member.id, code)).collect();
        self.meta.set_recovery_codes(caller.member.id, &prints).await?;
        self.ledger.append_async(caller.entry(self, Kind::RecoveryCodesMade)).await?;
        Ok(codes)
    }

    /// How many codes of the caller's list are left.
    pub async fn recovery_codes_left(&self, caller: &Caller) -> Result<u64> {
        Ok(self.meta.recovery_codes(caller.member.id).await?)
    }

    /// Uses a code up, if it is one of the member's.
    pub(crate) async fn use_recovery_code(&self, member: u32, code: &str) -> Result<bool> {
        let print = self.recovery_print(member, code);
        let used = self.meta.use_recovery_code(member, &print, self.now_us()).await?;
        if used {
            self.record_object(Kind::RecoveryCodeUsed, member, 0).await?;
        }
        Ok(used)
    }

    fn recovery_print(&self, member: u32, code: &str) -> [u8; 32] {
        let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
        let text = [&member.to_le_bytes()[..], plain.to_ascii_lowercase().as_bytes()].concat();
        self.vault.fingerprint("recovery code", &text)
    }
}

/// Whether somebody typed a recovery code and not one of an authenticator app.
pub(crate) fn is_recovery_code(code: &str) -> bool {
    let letters = code.chars().filter(char::is_ascii_alphanumeric).count();
    letters == LETTERS_OF_A_CODE && code.len() <= 2 * LETTERS_OF_A_CODE
}

/// Eighty bits, in groups of four.
fn random_code() -> String {
    let letters: Vec<String> = random::<LETTERS_OF_A_CODE>()
        .chunks(4)
        .map(|group| group.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
        .collect();
    letters.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_from_those_of_an_app_however_they_are_typed() {
        let code = random_code();
        assert_eq!(code.len(), 19);
        assert_ne!(code, random_code());
        assert!(is_recovery_code(&code) && is_recovery_code(&code.replace('-', "").to_uppercase()));
        assert!(!is_recovery_code("123456") && !is_recovery_code("123 456") && !is_recovery_code(""));
    }
}
