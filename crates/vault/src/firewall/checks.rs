//! Checksums and measures that tell a number that means something from one that only looks like it.

/// Luhn (ISO/IEC 7812-1), over digits alone.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0') << (at % 2);
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    digits.len() > 1 && sum.is_multiple_of(10)
}

/// Whether digits are a payment card's number: an issuer's range, its length, and the checksum.
pub(super) fn is_card(digits: &[u8]) -> bool {
    if !(13..=19).contains(&digits.len()) {
        return false;
    }
    let leading =
        |count: usize| digits[..count].iter().fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    let (two, three, four) = (leading(2), leading(3), leading(4));
    let known = match digits.len() {
        13 | 19 if digits[0] == b'4' => true,
        14 => matches!(three, 300..=305) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37),
        16 => {
            digits[0] == b'4'
                || matches!(two, 51..=55 | 62 | 65)
                || matches!(four, 2221..=2720 | 6011 | 3528..=3589)
                || matches!(three, 644..=649)
                || matches!(four, 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763)
        }
        17..=19 => matches!(two, 62) || matches!(four, 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763),
        _ => false,
    };
    known && luhn(digits)
}

/// Lengths of IBANs, by country (ISO 13616 register).
const IBAN_LENGTHS: &str = concat!(
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29",
    "ES24FI18FO18FR27GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20",
    "LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MR27MT31MU30NL18NO15PK24PL28PS29PT25",
    "QA29RO24RS22SA24SC31SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29VA22",
);

/// Whether an IBAN begins at `at`: a country, its length, and 1 modulo 97. Groups may be apart by a space or hyphen.
pub(super) fn iban_at(text: &[u8], at: usize) -> bool {
    let Some(country) = text.get(at..at + 2) else { return false };
    let country = [country[0].to_ascii_uppercase(), country[1].to_ascii_uppercase()];
    let Some(entry) = IBAN_LENGTHS.as_bytes().chunks_exact(4).find(|entry| entry[..2] == country) else { return false };
    let length = usize::from(entry[2] - b'0') * 10 + usize::from(entry[3] - b'0');
    let mut letters = [0_u8; 34];
    let (mut found, mut place) = (0, at);
    while found < length {
        match text.get(place) {
            Some(byte) if byte.is_ascii_alphanumeric() => {
                letters[found] = byte.to_ascii_uppercase();
                found += 1;
            }
            Some(b' ' | b'-') if text.get(place + 1).is_some_and(u8::is_ascii_alphanumeric) => {}
            _ => return false,
        }
        place += 1;
    }
    if text.get(place).is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    let moved = letters[4..length].iter().chain(&letters[..4]);
    let rest = moved.fold(0_u32, |rest, letter| match letter {
        b'0'..=b'9' => (rest * 10 + u32::from(letter - b'0')) % 97,
        _ => (rest * 100 + u32::from(letter - b'A') + 10) % 97,
    });
    rest == 1
}

/// DNI (8 digits) or NIE (X, Y or Z and 7 digits) with its control letter.
pub(super) fn is_spanish_id(id: &str) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let bytes: Vec<u8> = id.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_uppercase()).collect();
    let [first, middle @ .., letter] = bytes.as_slice() else { return false };
    let lead = match first {
        b'X' | b'Y' | b'Z' => u32::from(first - b'X'),
        b'0'..=b'9' => u32::from(first - b'0'),
        _ => return false,
    };
    if middle.len() != 7 || !middle.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let number = middle.iter().fold(lead, |number, digit| number * 10 + u32::from(digit - b'0'));
    LETTERS[(number % 23) as usize] == *letter
}

/// A codice fiscale with its check character; sixteen letters and digits.
pub(super) fn is_codice_fiscale(code: &str) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let bytes = code.as_bytes();
    if bytes.len() != 16 || !code.is_ascii() {
        return false;
    }
    let sum: u32 = bytes[..15]
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            let place = match byte {
                b'0'..=b'9' => usize::from(byte - b'0'),
                _ => usize::from(byte.to_ascii_uppercase().wrapping_sub(b'A')).min(25),
            };
            // Places count from one: the first is odd.
            if at % 2 == 0 { ODD[place] } else { place as u32 }
        })
        .sum();
    b'A' + (sum % 26) as u8 == bytes[15].to_ascii_uppercase()
}

/// Social security numbers as they are given out.
pub(super) fn is_social_security_number(digits: &[u8]) -> bool {
    digits.len() == 9
        && &digits[..3] != b"000"
        && &digits[..3] != b"666"
        && digits[0] != b'9'
        && &digits[3..5] != b"00"
        && &digits[5..] != b"0000"
}

/// Whether a long token is random: many different characters, of which neighbours seldom are of one kind. Words run
/// together (`getAccountOverviewForMember2`) have runs of small letters; hexadecimal has too few characters.
pub(super) fn is_random(token: &[u8]) -> bool {
    let mut counts = [0_u32; 256];
    let mut kinds = [0_u32; 4];
    let (mut turns, mut numbers) = (0_usize, 0_usize);
    let mut last = usize::MAX;
    for byte in token {
        counts[usize::from(*byte)] += 1;
        let kind = match byte {
            b'a'..=b'z' => 0,
            b'A'..=b'Z' => 1,
            b'0'..=b'9' => 2,
            _ => 3,
        };
        kinds[kind] += 1;
        turns += usize::from(last != kind);
        numbers += usize::from(last != kind && kind == 2);
        last = kind;
    }
    // Six in ten neighbours of a random token differ in kind, and it has digits in several places; short words with
    // capitals, and a number at the end, come near five.
    let share = turns * 100 / token.len().max(1);
    if kinds[..3].contains(&0) || share < 35 || (share < 55 && numbers < 2) {
        return false;
    }
    let all = token.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / all;
            -share * share.log2()
        })
        .sum();
    // A random token of 32 has about 4.6 bits, and one in ten has less than 4.5.
    bits >= if token.len() < 40 { 4.25 } else { 4.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_their_standards() {
        assert!(is_card(b"4111111111111111") && is_card(b"378282246310005") && is_card(b"5555555555554444"));
        assert!(!is_card(b"4111111111111112") && !is_card(b"1697041234567890") && !is_card(b"9999999999999995"));
        let iban = |text: &str| iban_at(text.as_bytes(), 0);
        assert!(
            iban("ES9121000418450200051332")
                && iban("IT60 X054 2811 1010 0000 0123 456")
                && iban("gb82west12345698765432")
        );
        assert!(
            !iban("ES9121000418450200051333") && !iban("ES912100041845020005133") && !iban("ZZ9121000418450200051332")
        );
        assert!(is_spanish_id("12345678Z") && is_spanish_id("X1234567L") && is_spanish_id("12345678-z"));
        assert!(!is_spanish_id("12345678A") && !is_spanish_id("1234567Z"));
        assert!(is_codice_fiscale("RSSMRA85T10A562S") && !is_codice_fiscale("RSSMRA85T10A562T"));
    }

    #[test]
    fn random_strings_are_told_from_words_and_hashes() {
        assert!(is_random(b"wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12"));
        assert!(is_random(b"k7Qm2VxZ9pLr4TnB8wYc1HsD6fGj3KaE"));
        assert!(!is_random(b"getAccountOverviewForMemberOfOrganisation2"));
        assert!(!is_random(b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"));
        assert!(!is_random(b"getLampMesaForMesaByWorkspaceAndRole7"));
        assert!(!is_random(b"SpringSummer2024CollectionLandingPageVariantB"));
    }
}
