//! What the shape of a text says, whatever it is called: secrets, and what identifies somebody.
//!
//! A first pass over the bytes notes which characters that matter there are ([`Marks`]); every shape needs some of
//! them, and most texts hold none. What is then looked for is looked for anywhere in the text, and once more in what
//! its percent-encoding or base 64 hides.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use cofferdam_model::{Detector, sabotage};
use regex::Regex;

use super::checks;
use super::names::NameSays;
use super::pattern;

/// Which characters that matter a text holds.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    kinds: u32,
    digits: u32,
    /// The longest stretch of letters, digits and `+/_-=`.
    stretch: u32,
    /// Looked for everywhere, whatever the marks: what a test compares with.
    thorough: bool,
}

pub(super) const AT: u32 = 1;
pub(super) const PERCENT: u32 = 1 << 1;
pub(super) const COLON: u32 = 1 << 2;
pub(super) const SLASH: u32 = 1 << 3;
pub(super) const DOT: u32 = 1 << 4;
pub(super) const QUERY: u32 = 1 << 5;
pub(super) const PLUS: u32 = 1 << 6;
pub(super) const DASH: u32 = 1 << 7;
pub(super) const UNDERSCORE: u32 = 1 << 8;
const SPACE: u32 = 1 << 9;
const EQUALS: u32 = 1 << 10;
const UPPER: u32 = 1 << 11;
const LOWER: u32 = 1 << 12;
const DIGIT: u32 = 1 << 13;
/// Part of a stretch.
const JOINS: u32 = UPPER | LOWER | DIGIT | PLUS | SLASH | DASH | UNDERSCORE | EQUALS;

const KINDS: [u16; 256] = {
    let mut kinds = [0_u16; 256];
    kinds[b'@' as usize] = AT as u16;
    kinds[b'%' as usize] = PERCENT as u16;
    kinds[b':' as usize] = COLON as u16;
    kinds[b'/' as usize] = SLASH as u16;
    kinds[b'.' as usize] = DOT as u16;
    kinds[b'?' as usize] = QUERY as u16;
    kinds[b'#' as usize] = QUERY as u16;
    kinds[b'+' as usize] = PLUS as u16;
    kinds[b'-' as usize] = DASH as u16;
    kinds[b'_' as usize] = UNDERSCORE as u16;
    kinds[b' ' as usize] = SPACE as u16;
    kinds[b'=' as usize] = EQUALS as u16;
    let mut at = 0;
    while at < 26 {
        kinds[b'A' as usize + at] = UPPER as u16;
        kinds[b'a' as usize + at] = LOWER as u16;
        at += 1;
    }
    let mut at = 0;
    while at < 10 {
        kinds[b'0' as usize + at] = DIGIT as u16;
        at += 1;
    }
    kinds
};

impl Marks {
    pub(super) fn of(text: &str) -> Marks {
        let (mut kinds, mut digits, mut run, mut stretch) = (0, 0, 0, 0);
        for byte in text.bytes() {
            let kind = u32::from(KINDS[usize::from(byte)]);
            kinds |= kind;
            digits += u32::from(kind == DIGIT);
            run = if kind & JOINS != 0 { run + 1 } else { 0 };
            stretch = stretch.max(run);
        }
        Marks { kinds, digits, stretch, thorough: false }
    }

    pub(super) fn any(self, kinds: u32) -> bool {
        self.kinds & kinds != 0
    }

    pub(super) fn all(self, kinds: u32) -> bool {
        self.kinds & kinds == kinds
    }

    /// Nothing in the text can be of interest: no digit, and none of the characters that shapes are made of.
    fn is_plain(self) -> bool {
        self.digits == 0 && !self.any(AT | PERCENT | COLON | EQUALS | QUERY) && self.stretch < 8
    }
}

// Secrets.

/// Each shape of [`KEYS`] holds one of these.
static KEY_HINT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        "AKIA|ASIA|AROA|AIDA|gh[pousr]_|github_pat_|gl[pdfr]?t[a-z]?-|glpat-|xox|xapp-|hooks\\.slack|AIza|ya29\\.|GOCSPX",
        "|eyJ|-----|whsec_|SG\\.|shp|npm_|hf_|dop_v1_|earer |EARER |asic |ASIC |sk-|sk_|pk-|pk_|rk-|rk_|AC[0-9a-f]|SK[0-9a-f]",
        "|-us[0-9]|key-|:AA|discord|sq0|AGE-SECRET|pypi-|Key=|8Q~|sig=|LTAI|dckr_|lin_api|xkeysib|SK\\.|r8_|gsk_|nvapi-",
    ))
});

/// Keys and tokens of providers.
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}\b|\bLTAI[0-9A-Za-z]{12,24}\b",
        r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bgl(?:pat|dt|rt|ptt|ft|soat)-[A-Za-z0-9_-]{20,}",
        r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[0-9]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/\S+",
        r"|\bdiscord(?:app)?\.com/api/webhooks/[0-9]+/\S+",
        r"|\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,}|\bGOCSPX-[0-9A-Za-z_-]{20,}",
        r"|\b(?:Account|SharedAccess)Key=[A-Za-z0-9+/]{40,}={0,2}|[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,}",
        r"|[?&]sig=[A-Za-z0-9%+/]{40,}",
        r"|\bwhsec_[A-Za-z0-9+/=]{16,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
        r"|\bxkeysib-[0-9a-f]{32,}|\bsq0(?:atp|csp)-[0-9A-Za-z_-]{22,}|\bkey-[0-9a-f]{32}\b|\b[0-9a-f]{32}-us[0-9]{1,2}\b",
        r"|\b(?:AC|SK)[0-9a-f]{32}\b|\b[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}",
        r"|\bnpm_[A-Za-z0-9]{36}|\bpypi-[A-Za-z0-9_-]{40,}|\bdckr_pat_[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{30,}",
        r"|\bdop_v1_[0-9a-f]{64}|\blin_api_[A-Za-z0-9]{32,}|\br8_[A-Za-z0-9]{30,}|\bgsk_[A-Za-z0-9]{30,}|\bnvapi-[A-Za-z0-9_-]{40,}",
        r"|\bAGE-SECRET-KEY-1[0-9A-Z]{40,}",
    ))
});
/// Keys of payment and model providers; a slug of words has the same shape but no digit.
static PREFIXED_KEY: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"));
static JWT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_.-]+)?"));
static PRIVATE_KEY: LazyLock<Regex> = LazyLock::new(|| pattern(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY"));
static BEARER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i:\bbearer) [A-Za-z0-9._~+/-]{16,}"));
static BASIC: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i:\bbasic) ([A-Za-z0-9+/_-]{8,}={0,2})"));
/// `scheme://user:password@`, in a sentence or of any scheme.
static URL_PASSWORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z][\w+.-]{1,31}://[^\s/@:]*:[^\s/@]+@"));

static SECRET_WORD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)pass|pwd|contrase|clave|parola|segret|secret|token|api.?key|otp|pin|cvv|cvc|c[oó]d[ei]|chiave|credential",
    )
});
/// A word for a secret, and what is said to be it.
static SECRET_ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)(?:^|[^\p{L}])(?:password|passwort|passwd|passphrase|passcode|pwd|pass|contraseña|contrasena|clave|parola d'ordine|parola|segreto|secreto",
        r#"|(?:client|access|shared|app|api)?[ _-]?secret(?:[ _-]?key)?|(?:access|auth|refresh|session|api)?[ _-]?token|(?:api|access|secret|private)[ _-]?key|chiave (?:api|segreta)|credentials?)"?"#,
        r#"(?: (?:is|was|es|era|è|e')|(?: ?nueva| ?new| ?nuova)? ?[:=]>?) ?["'`«]?([^\s"'`»,;&]{4,})"#,
    ))
});
/// A short code, and the digits that it is.
static CODE_ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)(?:^|[^\p{L}])(?:otp|pin|cvv2?|cvc2?|(?:one[- ]time|verification|security|login|access|sms|2fa) (?:code|password|pin)",
        r"|(?:your|tu|su|il tuo|il suo) (?:code|c[oó]digo|codice)|c[oó]digo (?:de (?:verificaci[oó]n|seguridad|acceso|un solo uso)|sms|otp)|codice (?:di (?:verifica|sicurezza|accesso)|otp|sms|pin))",
        r"(?: (?:code|number|is|es|è|was|e'|del?|sms))*(?: ?[:=#])? ?([0-9]{3,8})(?:$|[^\w-])",
    ))
});

/// The secret in a text, if there is one.
pub(super) fn secret(text: &str, marks: Marks, says: NameSays) -> Option<Detector> {
    if sabotage::is_out(69) || (marks.is_plain() && !marks.thorough) {
        return None;
    }
    secret_as_is(text, marks, says).or_else(|| {
        hidden(text, marks)
            .iter()
            .find_map(|inner| secret_as_is(inner, Marks { thorough: marks.thorough, ..Marks::of(inner) }, says))
    })
}

fn secret_as_is(text: &str, marks: Marks, says: NameSays) -> Option<Detector> {
    let thorough = marks.thorough;
    // The shortest shape has 15 bytes and a dash in it.
    if thorough || (text.len() >= 14 && KEY_HINT.is_match(text)) {
        if JWT.is_match(text) {
            return Some(Detector::Jwt);
        }
        if PRIVATE_KEY.is_match(text) {
            return Some(Detector::PrivateKey);
        }
        if BEARER.is_match(text) || BASIC.captures_iter(text).any(|found| is_basic(&found[1])) {
            return Some(Detector::Authorization);
        }
        let prefixed =
            || PREFIXED_KEY.find_iter(text).any(|key| key.as_str().bytes().any(|byte| byte.is_ascii_digit()));
        if KEY.is_match(text) || prefixed() {
            return Some(Detector::ApiKey);
        }
    }
    if marks.all(AT | COLON | SLASH) && text.contains("://") && URL_PASSWORD.is_match(text) && !is_page(text) {
        return Some(Detector::ConnectionString);
    }
    if marks.digits >= 13 && has_card(text, says) {
        return Some(Detector::PaymentCard);
    }
    if (thorough || (text.len() >= 7 && (marks.digits > 0 || marks.any(EQUALS | COLON | SPACE))))
        && has_written_secret(text)
    {
        return Some(Detector::SecretInText);
    }
    let may_be_random = marks.stretch >= RANDOM_BYTES_MIN as u32 && marks.all(UPPER | LOWER) && marks.digits > 0;
    if may_be_random && says != NameSays::Id && has_random(text) {
        return Some(Detector::HighEntropy);
    }
    None
}

/// A page's address alone: it loses its user info instead.
fn is_page(text: &str) -> bool {
    text.starts_with("http") && !text.contains(char::is_whitespace)
}

/// Whether base 64 holds a user and a password.
fn is_basic(encoded: &str) -> bool {
    decoded(encoded).is_some_and(|text| text.contains(':'))
}

fn has_written_secret(text: &str) -> bool {
    if !SECRET_WORD.is_match(text) {
        return false;
    }
    CODE_ASSIGNED.is_match(text)
        || SECRET_ASSIGNED.captures_iter(text).any(|found| {
            let sign = &text[found.get(0).map_or(0, |all| all.start())..found.get(1).map_or(0, |value| value.start())];
            is_like_a_password(found[1].trim_end_matches(['.', ')', '!', '?']), sign.contains('='))
        })
}

/// What stands after "password:" is one, and not a word about it. After an equals sign any word is.
fn is_like_a_password(value: &str, assigned: bool) -> bool {
    const WORDS: [&str; 24] = [
        "true",
        "false",
        "null",
        "none",
        "undefined",
        "required",
        "missing",
        "invalid",
        "incorrect",
        "wrong",
        "expired",
        "changed",
        "optional",
        "hidden",
        "redacted",
        "enabled",
        "disabled",
        "empty",
        "reset",
        "weak",
        "strong",
        "valid",
        "string",
        "number",
    ];
    let lower = value.to_lowercase();
    if value.chars().count() < 4 || WORDS.contains(&lower.as_str()) {
        return false;
    }
    let masked = value
        .chars()
        .all(|character| matches!(character, '*' | '•' | 'x' | 'X' | '.' | '-' | '_' | '<' | '>' | '[' | ']'));
    if masked || value.starts_with(['[', '<', '{', '$', '%']) {
        return false;
    }
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.chars().filter(|character| character.is_alphabetic()).count();
    let signs = value
        .chars()
        .any(|character| !character.is_alphanumeric() && !matches!(character, '-' | '/' | '.' | '_' | ':'));
    assigned || (digits > 0 && letters > 0) || digits >= 6 || (signs && letters > 0)
}

/// Digits that are a card's number, in one piece or in groups.
fn has_card(text: &str, says: NameSays) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let mut digits = [0_u8; 20];
        let (mut count, mut end, mut groups) = (0, at, false);
        while let Some(&byte) = bytes.get(end) {
            if byte.is_ascii_digit() {
                if count < digits.len() {
                    digits[count] = byte;
                }
                count += 1;
            } else if matches!(byte, b' ' | b'-') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
                groups = true;
            } else {
                break;
            }
            end += 1;
        }
        let joined = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let apart = !joined(at.checked_sub(1).and_then(|before| bytes.get(before))) && !joined(bytes.get(end));
        // One in ten numbers passes the checksum: bare digits that are named as an id are one.
        let is_id = says == NameSays::Id && !groups;
        if count <= 19 && apart && !is_id && checks::is_card(&digits[..count]) {
            return true;
        }
        at = end.max(at + 1);
    }
    false
}

/// The same of a number that was sent as one.
pub(super) fn is_card_number(number: u64) -> bool {
    number >= 1_000_000_000_000 && checks::is_card(number.to_string().as_bytes())
}

const RANDOM_BYTES_MIN: usize = 32;

fn has_random(text: &str) -> bool {
    // Addresses and paths are words between slashes; base 64 has slashes too.
    let is_path = text.contains("://") || text.starts_with('/') || text.starts_with("./");
    let splits = |character: char| {
        let joins = character.is_ascii_alphanumeric() || matches!(character, '+' | '_' | '-' | '=');
        !(joins || (character == '/' && !is_path))
    };
    // Pictures and checksums of files are written in base 64.
    if text.contains(";base64,") {
        return false;
    }
    if text.starts_with('/') && is_base64_with_slash(text) {
        return true;
    }
    text.split(splits).any(|token| {
        let checksum = ["sha256-", "sha384-", "sha512-"].iter().any(|kind| token.starts_with(kind));
        let token = token.trim_end_matches('=');
        let token = token.rsplit_once('=').map_or(token, |(_, value)| value);
        let is_random = token.len() >= RANDOM_BYTES_MIN && !checksum && checks::is_random(token.as_bytes());
        // What is readable in base 64 is judged by what it says.
        is_random && decoded(token).is_none()
    })
}

/// A random string in base 64 that begins with a slash, as one in 64 does: few slashes, far apart, and what is between
/// them no words.
fn is_base64_with_slash(text: &str) -> bool {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '/' | '+' | '='));
    let token = text[..end.unwrap_or(text.len())].trim_end_matches('=');
    let bare: Vec<u8> = token.bytes().filter(|byte| *byte != b'/').collect();
    let longest = token.split('/').map(str::len).max().unwrap_or(0);
    let is_dense = bare.len() + 4 >= token.len() && longest * 2 >= RANDOM_BYTES_MIN;
    is_dense && bare.len() >= RANDOM_BYTES_MIN && checks::is_random(&bare)
}

// Identity.

pub(super) static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)[\p{L}\p{N}._%+'-]+(?:@|%40)[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.([\p{L}]{2,})"));
/// E.164, with a plus or two zeros.
pub(super) static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?:^|[^\w.+-])(?:\+[1-9]|00[1-9][0-9]{0,2}[ .-])(?:[ ().-]{0,2}[0-9]){7,14}(?:$|[^\w])")
});
/// As written at home, in groups: Spain, Italy, North America. Without groups any order number would be one.
static PHONE_AT_HOME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?:^|[^\w.#/+-])(?:",
        r"[679][0-9]{2}(?:(?: [0-9]{3}){2}|(?:-[0-9]{3}){2}|(?:[ -][0-9]{2}){3})|9[0-9][ -][0-9]{3}[ -][0-9]{2}[ -][0-9]{2}",
        r"|3[0-9]{2}[ ./-](?:[0-9]{6,7}|[0-9]{3}[ .-][0-9]{3,4})",
        r"|\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[ -][0-9]{4}|(?:1[-. ])?[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}|[2-9][0-9]{2}\.[2-9][0-9]{2}\.[0-9]{4}",
        r")(?:$|[^\w/-])",
    ))
});
/// Digits after a word for a telephone.
static PHONE_NAMED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i)(?:^|[^\p{L}])(?:tel|tlf|telf|tfno|phone|call|mobile|cell|whatsapp|text me|tel[eé]fono|m[oó]vil|ll[aá]m\p{L}*|chiam\p{L}*|cellulare|cell|ring me)",
        r"[^\w\n]{0,3}(?:(?:me|al|at|on|il|mi|number|n[uú]mero|es|is|è)[^\w\n]{1,3}){0,3}[0-9](?:[ ().-]?[0-9]){8,10}(?:$|[^\w-])",
    ))
});
static IPV4: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|[^0-9.])((?:[0-9]{1,3}\.){3}[0-9]{1,3})(?:$|[^0-9.]|\.(?:$|[^0-9]))"));
static SPANISH_ID: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?:^|[^\w-])((?:[XYZxyz][ -]?[0-9]{7}|[0-9]{8}|[0-9]{2}\.[0-9]{3}\.[0-9]{3})[ -]?[A-Za-z])(?:$|[^\w-])")
});
static CODICE_FISCALE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)\b[a-z]{6}[0-9lmnpqrstuv]{2}[abcdehlmprst][0-9lmnpqrstuv]{2}[a-z][0-9lmnpqrstuv]{3}[a-z]\b")
});
static SOCIAL_SECURITY: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|[^\w-])([0-9]{3}-[0-9]{2}-[0-9]{4})(?:$|[^\w-])"));

/// What in a text identifies somebody, if anything does.
pub(super) fn identity(text: &str, marks: Marks, says: NameSays) -> Option<Detector> {
    if marks.is_plain() && !marks.thorough {
        return None;
    }
    identity_as_is(text, marks, says).or_else(|| {
        hidden(text, marks)
            .iter()
            .find_map(|inner| identity_as_is(inner, Marks { thorough: marks.thorough, ..Marks::of(inner) }, says))
    })
}

fn identity_as_is(text: &str, marks: Marks, says: NameSays) -> Option<Detector> {
    let thorough = marks.thorough;
    if (thorough || marks.any(AT) || (marks.any(PERCENT) && text.contains("%40")))
        && EMAIL.captures_iter(text).any(|found| is_domain_end(&found[1]))
    {
        return Some(Detector::Email);
    }
    // The fewest are those of a NIE.
    if marks.digits >= 7 {
        let grouped = marks.any(PLUS | SPACE | DASH | DOT | SLASH);
        if (thorough || grouped) && (PHONE.is_match(text) || PHONE_AT_HOME.is_match(text))
            || (thorough || marks.any(LOWER | UPPER)) && PHONE_NAMED.is_match(text)
        {
            return Some(Detector::Phone);
        }
        if (thorough || (text.len() >= 15 && marks.any(UPPER | LOWER))) && has_iban(text) {
            return Some(Detector::Iban);
        }
        let spanish = || SPANISH_ID.captures_iter(text).any(|found| checks::is_spanish_id(&found[1]));
        let american = || {
            SOCIAL_SECURITY.captures_iter(text).any(|found| {
                let digits: Vec<u8> = found[1].bytes().filter(u8::is_ascii_digit).collect();
                checks::is_social_security_number(&digits)
            })
        };
        if (thorough || marks.any(UPPER | LOWER)) && spanish() || (thorough || marks.any(DASH)) && american() {
            return Some(Detector::NationalId);
        }
    }
    if (thorough || (text.len() >= 16 && marks.stretch >= 16 && marks.any(UPPER | LOWER)))
        && CODICE_FISCALE.find_iter(text).any(|code| checks::is_codice_fiscale(code.as_str()))
    {
        return Some(Detector::NationalId);
    }
    // A link in a sentence: what follows its question mark is as good as a password now and then.
    if marks.all(COLON | SLASH | QUERY)
        && text.split_whitespace().any(|word| word.contains("://") && word.contains(['?', '#']))
    {
        return Some(Detector::Url);
    }
    let is_address = says != NameSays::Version && marks.any(DOT | COLON) && has_address(text, marks.digits as usize);
    is_address.then_some(Detector::IpAddress)
}

/// `logo@2x.png` is a file.
pub(super) fn is_domain_end(end: &str) -> bool {
    const FILES: [&str; 12] = ["png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "css", "js", "mjs", "json", "html"];
    !FILES.iter().any(|file| file.eq_ignore_ascii_case(end))
}

fn has_iban(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(4).enumerate().any(|(at, start)| {
        start[0].is_ascii_alphabetic()
            && start[1].is_ascii_alphabetic()
            && start[2].is_ascii_digit()
            && start[3].is_ascii_digit()
            && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric())
            && checks::iban_at(bytes, at)
    })
}

pub(super) fn has_address(text: &str, digits: usize) -> bool {
    if digits >= 4 && text.bytes().filter(|byte| *byte == b'.').count() >= 3 {
        let found = IPV4.captures_iter(text).any(|captures| {
            captures.get(1).is_some_and(|address| {
                address.as_str().parse::<Ipv4Addr>().is_ok() && !is_version_after(&text[..address.start()])
            })
        });
        if found {
            return true;
        }
    }
    text.bytes().filter(|byte| *byte == b':').count() >= 2
        && text
            .split(|character: char| !(character.is_ascii_hexdigit() || character == ':' || character == '.'))
            .any(|token| token.len() >= 6 && token.parse::<Ipv6Addr>().is_ok())
}

/// Four numbers after `v`, `version ` or the name of a program and a slash are its version.
fn is_version_after(before: &str) -> bool {
    let lower = before.get(before.len().saturating_sub(12)..).unwrap_or(before).to_ascii_lowercase();
    let program = lower.strip_suffix('/').is_some_and(|name| name.ends_with(|last: char| last.is_ascii_alphabetic()));
    program || ["version ", "versión ", "versione ", "release ", "build "].iter().any(|word| lower.ends_with(word)) || {
        lower.strip_suffix('v').is_some_and(|before| !before.ends_with(|last: char| last.is_alphanumeric()))
    }
}

// What an encoding hides.

/// The same text without percent-encoding, and what is readable in base 64: once, not again in what comes out.
fn hidden(text: &str, marks: Marks) -> Vec<String> {
    let mut inner = Vec::new();
    if marks.any(PERCENT)
        && let Cow::Owned(plain) = percent_decoded(text)
    {
        inner.push(plain);
    }
    // A mail address is ten bytes or so, and 16 in base 64.
    if marks.stretch >= 16 && marks.all(UPPER | LOWER) {
        let tokens = text.split(|character: char| {
            !(character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '-' | '_' | '='))
        });
        // `name=value` is two.
        let value = |token: &'_ str| -> usize { token.trim_end_matches('=').rfind('=').map_or(0, |at| at + 1) };
        inner.extend(tokens.map(|token| &token[value(token)..]).filter(|token| token.len() >= 16).filter_map(decoded));
    }
    inner
}

/// Base 64 of either alphabet, if it is text that somebody could read.
fn decoded(token: &str) -> Option<String> {
    let mut out = Vec::with_capacity(token.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in token.trim_end_matches('=').bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            let byte = (bits >> held) as u8;
            // Nearly everything that is not text ends here, after a few bytes.
            if byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r') || byte == 0x7f {
                return None;
            }
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

pub(super) fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%'
            && let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2))
        {
            out.push((high * 16 + low) as u8);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

// Masking.

/// A text with what identifies replaced by a word for it.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let marks = Marks::of(text);
    let harmless =
        secret(text, marks, NameSays::Nothing).is_none() && identity(text, marks, NameSays::Nothing).is_none();
    // A mail address may be masked in part only, so that its own test would not find it again.
    if harmless && !marks.any(AT | PERCENT) {
        return Cow::Borrowed(text);
    }
    let is_secret = |text: &str| secret(text, Marks::of(text), NameSays::Nothing).is_some();
    let is_identity = |text: &str| identity(text, Marks::of(text), NameSays::Nothing).is_some();
    let mut text = text.to_owned();
    if text.contains('@') || text.contains("%40") {
        let mask = |found: &regex::Captures<'_>| {
            if is_domain_end(&found[1]) { "[email]".to_owned() } else { found[0].to_owned() }
        };
        text = EMAIL.replace_all(&text, mask).into_owned();
    }
    if is_secret(&text) {
        for shape in [&JWT, &KEY, &PREFIXED_KEY] {
            text = shape.replace_all(&text, "[secret]").into_owned();
        }
        if is_secret(&text) {
            text = "[secret]".to_owned();
        }
    }
    if is_identity(&text) {
        text = PHONE.replace_all(&text, " [phone] ").trim().to_owned();
        if is_identity(&text) {
            text = "[address]".to_owned();
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// What a text is looked at for at all must not depend on where in it, or beside what, a shape stands.
        #[test]
        fn looking_at_characters_first_only_saves_work(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "AKIAIOSFODNN7EXAMPLE", "ghp_abcdefghijklmnopqrst", "xoxb-1234567890", "eyJhbGciOi.eyJzdWIiOi.",
                "Bearer abcdefghijklmnop", "Basic dXNlcjpwYXNz", "whsec_abcdefghijklmnop", "key-0123456789abcdef0123456789abcdef",
                "SG.abcdefghijklmnop.abcdefghijklmnop", "-----BEGIN PRIVATE KEY", "AIzaabcdefghijklmnopqrstuvwxyzabcdefghi",
                "hooks.slack.com/services/x", "npm_abcdefghijklmnopqrstuvwxyzabcdefghij", "sk-abcdefghijklmno1",
                "pk_live_abcdefghijk2lmnop", "sk-", "AC0123456789abcdef0123456789abcdef", "glpat-abcdefghijklmnopqrst",
                "123456789:AAabcdefghijklmnopqrstuvwxyz0123456", "password=hunter2", "la clave es x9k2ab", "pin 4821",
                "4111 1111 1111 1111", "ES9121000418450200051332", "12345678Z", "RSSMRA85T10A562S", "078-05-1120",
                "postgres://a:b@c", "https://", "a@b.io", "ada%40example.com", "@", "%40", "+34 612 345 678", "+1",
                "612 345 678", "(212) 555-0123", "tel 612345678", "123456789", "1.2.3.4", "10.2.", "2001:db8::1",
                "12:30:45", ":", ".", " ", "?", "#a=b", "/", "plan", "ñ", "x", "_", "-",
            ]), 0..5),
        ) {
            let text = parts.concat();
            let (marks, thorough) = (Marks::of(&text), Marks { thorough: true, ..Marks::of(&text) });
            for says in [NameSays::Nothing, NameSays::Id, NameSays::Version] {
                proptest::prop_assert_eq!(secret(&text, marks, says), secret(&text, thorough, says), "{}", text);
                proptest::prop_assert_eq!(identity(&text, marks, says), identity(&text, thorough, says), "{}", text);
            }
        }
    }

    #[test]
    fn a_random_string_is_found_when_it_begins_with_a_slash_and_a_path_is_none() {
        let random = |text: &str| secret(text, Marks::of(text), NameSays::Nothing) == Some(Detector::HighEntropy);
        assert!(random("/Jalr+XUtnFEM7K7MDENGbPxR4iCYEX8MPLEKEY1"));
        assert!(random("/Jalr+XUtnFEM7K7MD/NGbPxR4iCYEX8MPL/KEY1 was refused"));
        for path in [
            "/orders/2024/getAccountOverviewForMember2/Edit/Items/B7",
            "/app/Workspace12/SpringSummer2024CollectionLandingPageVariantB",
            "/a1/B2/c3/D4/e5/F6/g7/H8/i9/J0/k1/L2/m3/N4/o5/P6/q7/R8",
            "/files/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ] {
            assert!(!random(path), "{path}");
        }
    }

    #[test]
    fn what_an_encoding_hides_is_found() {
        let found = |text: &str| {
            let marks = Marks::of(text);
            (secret(text, marks, NameSays::Nothing), identity(text, marks, NameSays::Nothing))
        };
        assert_eq!(found("bWFpbCBhZGFAZXhhbXBsZS5jb20gbm93").1, Some(Detector::Email));
        assert_eq!(found("token%3Dghp_abcdefghijklmnopqrst0123").0, Some(Detector::ApiKey));
        assert_eq!(found("%2B34%20612%20345%20678").1, Some(Detector::Phone));
        assert_eq!(found("eyJwbGFuIjoiZ29sZCIsInN0ZXAiOjN9"), (None, None));
    }
}
