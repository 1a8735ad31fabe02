//! The firewall: what a property is, and what therefore happens to it, before anything is written down.
//!
//! In order, first match wins:
//! 1. Its name says it holds a secret, or its value has the shape of one: dropped and counted.
//! 2. Its name says network address: dropped.
//! 3. Its name says it joins to other systems (an organisation's id, a user's id): goes on as a keyed pseudonym.
//! 4. Its name says identity (mail, phone, name, …): sealed.
//! 5. It is a URL: a referrer keeps its host, others lose user info, query and fragment.
//! 6. Any text in it, however deep, has the shape of a mail address, a phone number or a network address: sealed.
//! 7. Otherwise it goes on as sent.
//!
//! Names of events and properties are masked where they hold such a shape. Detection is by shape and name: free
//! text that names a person without any of these is not recognised, and the data dictionary shows what went on.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use cofferdam_model::{Action, Class};
use regex::Regex;
use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::wire::Sent;

/// What is to be done with one property.
#[derive(Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) class: Class,
    pub(crate) action: Action,
    /// For `Reduced`: the coarser value; `None` when nothing is left.
    pub(crate) reduced: Option<Value>,
}

impl Verdict {
    fn new(class: Class, action: Action) -> Verdict {
        Verdict { class, action, reduced: None }
    }

    fn reduced(text: String) -> Verdict {
        Verdict { class: Class::C2, action: Action::Reduced, reduced: Some(Value::String(text)) }
    }
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that its tests compile")
}

// Shapes of values.

static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)[\p{L}\p{N}._%+'-]+(?:@|%40)[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.[\p{L}]{2,}"));
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\bAKIA[0-9A-Z]{16}\b|\bASIA[0-9A-Z]{16}\b",
        r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{20,}",
        r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/\S+",
        r"|\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,}",
        r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"|\bwhsec_[A-Za-z0-9+/=]{16,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
        r"|\bnpm_[A-Za-z0-9]{36}|\bhf_[A-Za-z0-9]{30,}|\bdop_v1_[0-9a-f]{64}",
        r"|(?i:\bbearer) [A-Za-z0-9._~+/-]{16,}",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY",
    ))
});
/// Keys of payment and model providers; a slug of words has the same shape but no digit.
static PREFIXED_KEY: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"));
/// `scheme://user:password@`, in a sentence or of any scheme.
static URL_PASSWORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z][\w+.-]{1,31}://[^\s/@:]*:[^\s/@]+@"));
static PHONE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|[^\w.+-])\+[1-9](?:[ ().-]{0,2}[0-9]){7,14}(?:$|[^\w])"));
static IPV4: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|[^0-9.])((?:[0-9]{1,3}\.){3}[0-9]{1,3})(?:$|[^0-9.]|\.(?:$|[^0-9]))"));
/// An address without a scheme, with a query: `example.com/reset?code=1`.
static BARE_QUERY: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[\w./%~-]*[?#][\w.%~\[\]-]+="));

// What names say. Compared in the form of `canonical`.

/// Holds a secret whatever its value.
static SECRET_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?:password|passwords|passwd|pwd|passcode|passphrase|secret|secret_?key|api_?key|access_?key|private_?key)[0-9]*(?:$|_)",
        r"|(?:^|_)(?:otp|totp|pin|cvv|cvc|jwt|credentials?|authorization|mnemonic|contrasena|contraseña|contrase_a|cookie)(?:$|_)",
        r"|(?:^|_)(?:verification|mfa|recovery|backup|sms|one_time)_codes?$|(?:^|_)seed_phrase$",
        r"|^(?:user_?|my_?|db_?)?pass$|^(?:clave|clave_acceso|clave_secreta|parola|parola_d_ordine)$",
    ))
});
/// Holds a secret when it holds text: counts of tokens are measured everywhere.
static TOKEN_NAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|_|auth|csrf|xsrf|api|access|refresh|session)tokens?$"));
/// About a secret, not one: `password_strength`, `has_password`, `token_type`.
static ABOUT_SECRET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:has|is|needs|forgot|reset|change|changed|with|show|cookie_banner|cookie_consent)_|_(?:type|status|strength|method|channel|count|length|policy|symbol|name|kind|changed|reset|enabled|set|at|consent|banner|version)$",
    )
});
static ADDRESS_NAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|_)(?:ip|ip_?addr|ip_?address|remote_addr|x_forwarded_for|x_real_ip)$"));
/// Joins to other systems: ids of persons, devices, organisations, ad clicks.
static JOIN_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?:^|_)(?:user|account|customer|member|owner|org|organi[sz]ation|company|workspace|team|tenant|group|subscriber",
        r"|employee|contact|client|visitor|anonymous|device|person|patient|student|stripe|external|lead|profile|installation",
        r"|advertising|distinct)_?(?:id|uuid|guid)$",
        r"|^(?:uid|idf[av]|gaid|aaid|adid|ios_ifa|ios_idf[av]|android_id|created_by)$",
        r"|^(?:initial_)?(?:gclid|fbclid|dclid|msclkid|ttclid|twclid|wbraid|gbraid|li_fat_id|sccid|ko_click_id|igshid|yclid)$",
    ))
});
/// Identifies a person: English, Spanish, Italian.
static IDENTITY_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"^(?:name|mobile|login|address|mail|tel|(?:android|ios)_devices)$",
        r"|(?:^|_)(?:e_?mail|e_?mail_?address|hashed_e?mail|email_hash|correo|correo_electronico)$",
        r"|(?:^|_)(?:phone|phone_?number|mobile_?number|mobile_phone|telephone|telefono|movil|cellulare|whatsapp)$",
        r"|(?:^|_)(?:first|last|middle|full|given|family|maiden|display|nick|user)_?name$|(?:^|_)(?:surname|nombre|nombre_completo|apellidos?|cognome)$",
        r"|(?:^|_)(?:customer|contact|billing|shipping|recipient|author|sender|owner|invitee|member|employee|patient|student|guest|client|lead|person|card_?holder)_name$",
        r"|(?:^|_)(?:birthday|birth_?date|date_of_birth|dob|fecha_de_nacimiento|data_di_nascita)$",
        r"|(?:^|_)(?:street|(?:street|postal|home|billing|shipping|mailing)_address|address_line_?[0-9]?|direccion|domicilio|indirizzo|postal_code|post_?code|zip|zip_?code|codigo_postal|cap)$",
        r"|(?:^|_)(?:ssn|nif|nie|dni|passport|passport_number|tax_id|codice_fiscale|avatar|avatar_url|photo|photo_url)$",
    ))
});
static PRECISE_PLACE_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|_)(?:latitude|longitude|lat|lng|lon)$"));
static VERSION_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|_)version(?:$|_)"));

/// Parts of a page address that hold what a visitor typed.
const ADDRESS_PARTS: [&str; 4] = ["current_url_search", "current_url_hash", "url_query", "url_hash"];

/// A name as it is compared: no leading `$`, lower case, words joined by `_`.
fn canonical(name: &str) -> String {
    let characters: Vec<char> = name.trim_start_matches('$').chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (at, &character) in characters.iter().enumerate() {
        if !character.is_alphanumeric() {
            if !out.ends_with('_') {
                out.push('_');
            }
            continue;
        }
        // `userId` and `CSRFToken` are two words each.
        let lower_before = at > 0 && (characters[at - 1].is_lowercase() || characters[at - 1].is_numeric());
        let lower_after = at > 0
            && characters[at - 1].is_uppercase()
            && characters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if character.is_uppercase() && (lower_before || lower_after) && !out.ends_with('_') {
            out.push('_');
        }
        out.extend(character.to_lowercase());
    }
    out.trim_matches('_').to_owned()
}

/// What a name alone says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameSays {
    Secret,
    Token,
    Address,
    Join,
    Identity,
    PrecisePlace,
    AddressPart,
    Referrer,
    Version,
    DeviceOrPlace,
    Nothing,
}

thread_local! {
    /// Names repeat from event to event; what each says is worked out once per thread.
    static NAMES: RefCell<FxHashMap<String, NameSays>> = RefCell::default();
}

pub(crate) fn name_says(name: &str) -> NameSays {
    const NAMES_MAX: usize = 20_000;
    NAMES.with_borrow_mut(|names| {
        if let Some(says) = names.get(name) {
            return *says;
        }
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        let says = read_name(&canonical(name));
        names.insert(name.to_owned(), says);
        says
    })
}

fn read_name(key: &str) -> NameSays {
    const DEVICE_OR_PLACE: [&str; 16] = [
        "browser",
        "os",
        "device",
        "screen_height",
        "screen_width",
        "city",
        "region",
        "country",
        "country_code",
        "mp_country_code",
        "referring_domain",
        "initial_referring_domain",
        "timezone",
        "model",
        "manufacturer",
        "brand",
    ];
    let about_secret = ABOUT_SECRET.is_match(key);
    if !about_secret && SECRET_NAME.is_match(key) {
        NameSays::Secret
    } else if !about_secret && TOKEN_NAME.is_match(key) {
        NameSays::Token
    } else if ADDRESS_NAME.is_match(key) {
        NameSays::Address
    } else if JOIN_NAME.is_match(key) {
        NameSays::Join
    } else if IDENTITY_NAME.is_match(key) {
        NameSays::Identity
    } else if PRECISE_PLACE_NAME.is_match(key) {
        NameSays::PrecisePlace
    } else if ADDRESS_PARTS.contains(&key) {
        NameSays::AddressPart
    } else if key.contains("referrer") || key.contains("referer") {
        NameSays::Referrer
    } else if VERSION_NAME.is_match(key) {
        NameSays::Version
    } else if DEVICE_OR_PLACE.contains(&key) || key.starts_with("browser_") || key.starts_with("os_") {
        NameSays::DeviceOrPlace
    } else {
        NameSays::Nothing
    }
}

/// Decides about one property.
pub(crate) fn judge(name: &str, value: &Value) -> Verdict {
    judge_value(name, name_says(name), value)
}

/// Decides about one property of an event, of whose name `says` is known.
pub(crate) fn judge_sent(name: &str, says: NameSays, value: &Sent<'_>) -> Verdict {
    match value {
        Sent::Null | Sent::Bool(_) => judge_rest(says),
        Sent::Number(_) => judge_number(says),
        Sent::Text(text) => judge_text(says, text),
        Sent::Nested(value) => judge_value(name, says, value),
    }
}

fn judge_value(name: &str, says: NameSays, value: &Value) -> Verdict {
    match value {
        Value::Null | Value::Bool(_) => judge_rest(says),
        Value::Number(_) => judge_number(says),
        Value::String(text) => judge_text(says, text),
        Value::Array(_) | Value::Object(_) => judge_nested(name, says, value),
    }
}

/// Nothing about the value matters any more.
fn judge_rest(says: NameSays) -> Verdict {
    let class = if says == NameSays::DeviceOrPlace { Class::C2 } else { Class::C1 };
    Verdict::new(class, Action::Kept)
}

fn judge_number(says: NameSays) -> Verdict {
    match says {
        NameSays::Secret => Verdict::new(Class::C5, Action::Dropped),
        NameSays::Address => Verdict::new(Class::C3, Action::Dropped),
        NameSays::Join => Verdict::new(Class::C3, Action::Pseudonymised),
        NameSays::Identity => Verdict::new(Class::C3, Action::Sealed),
        NameSays::PrecisePlace => Verdict::new(Class::C4, Action::Sealed),
        _ => judge_rest(says),
    }
}

fn judge_text(says: NameSays, text: &str) -> Verdict {
    let marks = Marks::of(text);
    if (matches!(says, NameSays::Secret | NameSays::Token) && !text.is_empty()) || has_secret(text, marks) {
        return Verdict::new(Class::C5, Action::Dropped);
    }
    match says {
        NameSays::Address | NameSays::AddressPart => return Verdict::new(Class::C3, Action::Dropped),
        NameSays::Join => return Verdict::new(Class::C3, Action::Pseudonymised),
        NameSays::Identity => return Verdict::new(Class::C3, Action::Sealed),
        NameSays::PrecisePlace => return Verdict::new(Class::C4, Action::Sealed),
        _ => {}
    }
    if text.starts_with(['?', '#']) && text.contains('=') {
        return Verdict::new(Class::C3, Action::Dropped);
    }
    if let Some(reduced) = user_agent_family(text).or_else(|| reduce_url(says == NameSays::Referrer, text, marks)) {
        return Verdict::reduced(reduced);
    }
    if has_identity(text, marks, says == NameSays::Version) {
        return Verdict::new(Class::C3, Action::Sealed);
    }
    judge_rest(says)
}

/// Decides about a list or object: dropped if it holds a secret, sealed if it holds something personal (without it
/// the rest would have lost its meaning), with its URLs reduced where they stand otherwise.
fn judge_nested(name: &str, says: NameSays, value: &Value) -> Verdict {
    let secret = match says {
        NameSays::Secret => true,
        NameSays::Token => any_text(value, &|text| !text.is_empty()),
        _ => false,
    };
    if secret || any_text(value, &|text| has_secret(text, Marks::of(text))) {
        return Verdict::new(Class::C5, Action::Dropped);
    }
    match says {
        NameSays::Address => Verdict::new(Class::C3, Action::Dropped),
        NameSays::Join | NameSays::Identity => Verdict::new(Class::C3, Action::Sealed),
        NameSays::PrecisePlace => Verdict::new(Class::C4, Action::Sealed),
        _ => judge_parts(name, value).unwrap_or_else(|| judge_rest(says)),
    }
}

/// What the parts of a list or object ask for.
fn judge_parts(name: &str, value: &Value) -> Option<Verdict> {
    let mut strictest: Option<Verdict> = None;
    let mut reduced = value.clone();
    let mut consider = |verdict: Verdict, place: &mut Value| match verdict.action {
        Action::Kept => {}
        Action::Reduced if verdict.reduced.as_ref() == Some(&*place) => {}
        Action::Reduced => {
            *place = verdict.reduced.unwrap_or(Value::Null);
            strictest.get_or_insert(Verdict::new(Class::C2, Action::Reduced));
        }
        Action::Dropped if verdict.class == Class::C5 => strictest = Some(Verdict::new(Class::C5, Action::Dropped)),
        Action::Dropped | Action::Sealed | Action::Pseudonymised => {
            if strictest.as_ref().is_none_or(|strictest| strictest.class < Class::C3) {
                strictest = Some(Verdict::new(verdict.class.max(Class::C3), Action::Sealed));
            }
        }
    };
    match &mut reduced {
        Value::Array(items) => {
            for item in items {
                let verdict = judge(name, item);
                consider(verdict, item);
            }
        }
        Value::Object(object) => {
            for (key, inner) in object {
                // A product's name and id identify nobody, a user's do.
                let verdict = match canonical(key).as_str() {
                    "name" | "id" => judge(&format!("{name}_{key}"), inner),
                    _ => judge(key, inner),
                };
                let key_verdict = judge("", &Value::String(key.clone()));
                consider(if key_verdict.class > verdict.class { key_verdict } else { verdict }, inner);
            }
        }
        _ => return None,
    }
    let mut verdict = strictest?;
    if verdict.action == Action::Reduced {
        verdict.reduced = Some(reduced);
    }
    Some(verdict)
}

/// A browser's user agent as family and major version; the rest tells persons apart.
fn user_agent_family(text: &str) -> Option<String> {
    if !text.starts_with("Mozilla/") {
        return None;
    }
    const FAMILIES: [(&str, &str); 6] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Version/", "Safari"),
    ];
    let found = FAMILIES.iter().find_map(|(mark, family)| {
        let version = text.split(mark).nth(1)?;
        let major: String = version.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("{family} {major}"))
    });
    Some(found.unwrap_or_else(|| "other".to_owned()))
}

fn any_text(value: &Value, test: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => test(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, test)),
        Value::Object(object) => object.iter().any(|(key, value)| test(key) || any_text(value, test)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Which characters that matter a text holds: every shape needs some of them, and most texts hold none.
#[derive(Clone, Copy)]
struct Marks {
    kinds: u16,
    digits: u32,
}

const AT: u16 = 1;
const PERCENT: u16 = 1 << 1;
const COLON: u16 = 1 << 2;
const SLASH: u16 = 1 << 3;
const DOT: u16 = 1 << 4;
const QUERY: u16 = 1 << 5;
const PLUS: u16 = 1 << 6;
const DASH: u16 = 1 << 7;
const UNDERSCORE: u16 = 1 << 8;

const KINDS: [u16; 256] = {
    let mut kinds = [0; 256];
    kinds[b'@' as usize] = AT;
    kinds[b'%' as usize] = PERCENT;
    kinds[b':' as usize] = COLON;
    kinds[b'/' as usize] = SLASH;
    kinds[b'.' as usize] = DOT;
    kinds[b'?' as usize] = QUERY;
    kinds[b'#' as usize] = QUERY;
    kinds[b'+' as usize] = PLUS;
    kinds[b'-' as usize] = DASH;
    kinds[b'_' as usize] = UNDERSCORE;
    kinds
};

impl Marks {
    fn of(text: &str) -> Marks {
        let mut marks = Marks { kinds: 0, digits: 0 };
        for byte in text.bytes() {
            marks.kinds |= KINDS[usize::from(byte)];
            marks.digits += u32::from(byte.is_ascii_digit());
        }
        marks
    }

    fn any(self, kinds: u16) -> bool {
        self.kinds & kinds != 0
    }

    fn all(self, kinds: u16) -> bool {
        self.kinds & kinds == kinds
    }
}

/// Each shape of [`SECRET`] holds one of these.
static SECRET_HINT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        "AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox|hooks\\.slack|AIza|ya29\\.|eyJ|-----|whsec_|SG\\.|shp|npm_|hf_|dop_v1_|earer |EARER ",
    )
});
static PREFIXED_KEY_HINT: LazyLock<Regex> = LazyLock::new(|| pattern("sk-|sk_|pk-|pk_|rk-|rk_"));

fn has_secret(text: &str, marks: Marks) -> bool {
    // The shortest shape has 15 bytes and a dash in it, the next has 20.
    let joined = marks.any(DASH | UNDERSCORE);
    let long_enough = text.len() >= 20 || (text.len() >= 14 && joined);
    if long_enough && SECRET_HINT.is_match(text) && SECRET.is_match(text) {
        return true;
    }
    if text.len() >= 19
        && joined
        && marks.digits > 0
        && PREFIXED_KEY_HINT.is_match(text)
        && PREFIXED_KEY.find_iter(text).any(|key| key.as_str().bytes().any(|byte| byte.is_ascii_digit()))
    {
        return true;
    }
    // A page's address loses its user info instead.
    marks.all(AT | COLON | SLASH)
        && text.contains("://")
        && (!text.starts_with("http") || text.contains(char::is_whitespace))
        && URL_PASSWORD.is_match(text)
}

fn has_identity(text: &str, marks: Marks, version: bool) -> bool {
    if marks.any(AT | PERCENT) && (text.contains('@') || text.contains("%40")) && EMAIL.is_match(text) {
        return true;
    }
    if marks.digits >= 8 && marks.any(PLUS) && PHONE.is_match(text) {
        return true;
    }
    // A link in a sentence: what follows its question mark is as good as a password now and then.
    if marks.all(COLON | SLASH | QUERY)
        && text.split_whitespace().any(|word| word.contains("://") && word.contains(['?', '#']))
    {
        return true;
    }
    !version && marks.any(DOT | COLON) && has_address(text, marks.digits as usize)
}

fn has_address(text: &str, digits: usize) -> bool {
    if digits >= 4 && text.bytes().filter(|byte| *byte == b'.').count() >= 3 {
        let found = IPV4
            .captures_iter(text)
            .any(|captures| captures.get(1).is_some_and(|address| address.as_str().parse::<Ipv4Addr>().is_ok()));
        if found {
            return true;
        }
    }
    text.bytes().filter(|byte| *byte == b':').count() >= 2
        && text
            .split(|character: char| !(character.is_ascii_hexdigit() || character == ':' || character == '.'))
            .any(|token| token.len() >= 6 && token.parse::<Ipv6Addr>().is_ok())
}

/// A URL without what may identify; `None` when the text is no URL.
fn reduce_url(referrer: bool, text: &str, marks: Marks) -> Option<String> {
    if !marks.any(QUERY) && !marks.all(COLON | SLASH) {
        return None;
    }
    let relative = text.starts_with('/') && text.contains(['?', '#']);
    if !text.contains("://") && !text.contains(char::is_whitespace) && (relative || BARE_QUERY.is_match(text)) {
        return Some(mask_name(&text[..text.find(['?', '#']).unwrap_or(text.len())]).into_owned());
    }
    let (scheme, rest) = text.split_once("://")?;
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-');
    if scheme.is_empty() || scheme.len() > 32 || !scheme.bytes().all(of_scheme) || rest.contains(char::is_whitespace) {
        return None;
    }
    let authority_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let authority = &rest[..authority_end];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    // A developer's own machine is nobody's address.
    let loopback = name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    let host = if !loopback && (has_address(name, 4) || host.starts_with('[')) { "[address]" } else { host };
    if referrer {
        return Some(host.to_owned());
    }
    let path = &rest[authority_end..];
    let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    Some(format!("{scheme}://{host}{}", mask_name(path)))
}

/// A name with what identifies masked: names are kept in dictionaries and shown to everybody.
pub(crate) fn mask_name(name: &str) -> Cow<'_, str> {
    let marks = Marks::of(name);
    let harmless = !has_secret(name, marks) && !has_identity(name, marks, false);
    // A mail address may be masked in part only, so that its own test would not find it again.
    if harmless && !marks.any(AT | PERCENT) {
        return Cow::Borrowed(name);
    }
    let mut name = name.to_owned();
    let has_secret = |name: &str| has_secret(name, Marks::of(name));
    let has_identity = |name: &str| has_identity(name, Marks::of(name), false);
    if name.contains('@') || name.contains("%40") {
        name = EMAIL.replace_all(&name, "[email]").into_owned();
    }
    if has_secret(&name) {
        name = SECRET.replace_all(&name, "[secret]").into_owned();
        name = PREFIXED_KEY.replace_all(&name, "[secret]").into_owned();
        if has_secret(&name) {
            name = "[secret]".to_owned();
        }
    }
    if has_identity(&name) {
        name = PHONE.replace_all(&name, " [phone] ").trim().to_owned();
        if has_identity(&name) {
            name = "[address]".to_owned();
        }
    }
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn action(name: &str, value: Value) -> Action {
        judge(name, &value).action
    }

    #[test]
    fn judges_by_name_and_shape() {
        use Action::{Dropped, Kept, Pseudonymised, Reduced, Sealed};
        let cases = [
            ("plan", json!("pro"), Kept),
            ("$email", json!("x"), Sealed),
            ("userEmail", json!("x"), Sealed),
            ("First Name", json!("Ada"), Sealed),
            ("organizationId", json!("org_1"), Pseudonymised),
            ("org_id", json!(42), Pseudonymised),
            ("org_id", json!({"a": 1}), Sealed),
            ("$ip", json!("1.2.3.4"), Dropped),
            ("password", json!("hunter2"), Dropped),
            ("api_key", json!("anything"), Dropped),
            ("tokens", json!(512), Kept),
            ("total_tokens", json!(512), Kept),
            ("token", json!(512), Kept),
            ("note", json!("key is sk-proj-abcdefghijklmnop1234"), Dropped),
            ("note", json!("AKIAIOSFODNN7EXAMPLE"), Dropped),
            ("note", json!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc"), Dropped),
            ("note", json!("ask ada@example.com about it"), Sealed),
            ("note", json!("ada%40example.com"), Sealed),
            ("note", json!("josé@españa.es"), Sealed),
            ("note", json!(["a", {"deep": "x@y.org"}]), Sealed),
            ("note", json!({"x@y.org": 1}), Sealed),
            ("note", json!({"deep": {"password": "hunter2"}}), Dropped),
            ("note", json!({"contact": {"name": "Ada"}}), Sealed),
            ("note", json!(["https://x.io/a?who=ada"]), Reduced),
            ("note", json!(["https://x.io/a"]), Kept),
            ("cart", json!([{"sku": "a1", "price": 3}]), Kept),
            ("note", json!("call +34 612 345 678 now"), Sealed),
            ("note", json!("from 192.168.1.20"), Sealed),
            ("note", json!("2001:db8::1"), Sealed),
            ("note", json!("12:30:45"), Kept),
            ("password", json!(123456), Dropped),
            ("password2", json!("x"), Dropped),
            ("newPassword1", json!("x"), Dropped),
            ("CSRFToken", json!("x"), Dropped),
            ("otp", json!(482913), Dropped),
            ("has_password", json!("yes"), Kept),
            ("password_strength", json!("good"), Kept),
            ("token_type", json!("word"), Kept),
            ("token_count", json!("512"), Kept),
            ("parola_chiave", json!("scarpe"), Kept),
            ("season_pass", json!("gold"), Kept),
            ("slug", json!("pk-lahore-fashion-week"), Kept),
            ("error", json!("could not connect to postgres://app:s3cret@db:5432/x"), Dropped),
            ("error", json!("mongodb+srv://app:s3cret@db/x"), Dropped),
            ("link", json!("com.acme.app://oauth#access_token=abc"), Reduced),
            ("note", json!("see https://x/cb#access_token=abc"), Sealed),
            ("search", json!("?token=8f3"), Dropped),
            ("link", json!("example.com/reset?token=abc"), Reduced),
            ("customer_name", json!("Ada"), Sealed),
            ("plan_name", json!("Gold"), Kept),
            ("customer_phone", json!("612 345 678"), Sealed),
            ("nombre", json!("Ana"), Sealed),
            ("lat", json!(40.4168), Sealed),
            ("mobile", json!(true), Kept),
            ("gclid", json!("abc"), Pseudonymised),
            ("mp_original_distinct_id", json!("abc"), Pseudonymised),
            ("user", json!({"id": "cust-8812"}), Sealed),
            ("product", json!({"id": "p-1", "name": "Shirt"}), Kept),
            ("cart", json!([{"name": "Shirt"}]), Kept),
            ("$elements", json!([{"href": "/pricing?plan=pro", "tag": "a"}]), Reduced),
            ("conversion_source", json!("203.0.113.7"), Sealed),
            ("note", json!("from 203.0.113.7."), Sealed),
            ("ua", json!("Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36"), Reduced),
            ("sku", json!("0012345678"), Kept),
            ("auth", json!("Bearer abcdefghijklmnop123"), Dropped),
            ("page", json!("/reset?code=1"), Reduced),
            ("note", json!("see https://x.io/reset?code=1 now"), Sealed),
            ("note", json!("and/or? yes"), Kept),
            ("app_version", json!("10.2.3.4"), Kept),
            ("$current_url", json!("https://u:p@x.io/a?b=c#d"), Reduced),
            ("id", json!("1697041234567"), Kept),
            ("sku", json!("2024-11-05 10:20:30"), Kept),
        ];
        for (name, value, expected) in cases {
            assert_eq!(action(name, value.clone()), expected, "{name}: {value}");
        }
    }

    #[test]
    fn urls_keep_what_identifies_nobody() {
        let reduce = |name: &str, url: &str| judge(name, &json!(url)).reduced.unwrap().as_str().unwrap().to_owned();
        assert_eq!(reduce("$current_url", "https://u:p@x.io:8080/docs/a?mail=b@c.de#top"), "https://x.io:8080/docs/a");
        assert_eq!(reduce("$current_url", "https://x.io/u/ada%40example.com/edit"), "https://x.io/u/[email]/edit");
        assert_eq!(reduce("$referrer", "https://www.google.com/search?q=ada"), "www.google.com");
        assert_eq!(reduce("$current_url", "http://127.0.0.1:8080/a?b"), "http://127.0.0.1:8080/a");
        assert_eq!(judge("l", &json!([{"href": "/a?b=c", "n": 1}])).reduced.unwrap(), json!([{"href": "/a", "n": 1}]));
        assert_eq!(reduce("ua", "Mozilla/5.0 (X11) Chrome/120.0.1.2 Safari/5"), "Chrome 120");
        assert_eq!(reduce("page", "/reset/now?code=1#x"), "/reset/now");
        assert_eq!(reduce("$initial_referrer", "https://10.0.0.7/x"), "[address]");
    }

    proptest::proptest! {
        /// What a text is looked at for at all must not depend on where in it, or beside what, a shape stands.
        #[test]
        fn looking_at_characters_first_only_saves_work(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "AKIAIOSFODNN7EXAMPLE", "ghp_abcdefghijklmnopqrst", "xoxb-1234567890", "eyJhbGciOi.eyJzdWIiOi.",
                "Bearer abcdefghijklmnop", "whsec_abcdefghijklmnop", "SG.abcdefghijklmnop.abcdefghijklmnop",
                "-----BEGIN PRIVATE KEY", "AIzaabcdefghijklmnopqrstuvwxyzabcdefghi", "hooks.slack.com/services/x",
                "npm_abcdefghijklmnopqrstuvwxyzabcdefghij", "sk-abcdefghijklmno1", "pk_live_abcdefghijk2lmnop", "sk-",
                "postgres://a:b@c", "https://", "a@b.io", "ada%40example.com", "@", "%40", "+34 612 345 678", "+1",
                "123456789", "1.2.3.4", "10.2.", "2001:db8::1", "12:30:45", ":", ".", " ", "?", "#a=b", "/", "plan",
                "ñ", "x", "_", "-",
            ]), 0..5),
        ) {
            let text = parts.concat();
            let marks = Marks::of(&text);
            let page = text.starts_with("http") && !text.contains(char::is_whitespace);
            let key = |text: &str| PREFIXED_KEY.find_iter(text).any(|key| key.as_str().bytes().any(|b| b.is_ascii_digit()));
            let secret = SECRET.is_match(&text) || key(&text) || (!page && URL_PASSWORD.is_match(&text));
            proptest::prop_assert_eq!(has_secret(&text, marks), secret, "{}", text);
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            let link = text.split_whitespace().any(|word| word.contains("://") && word.contains(['?', '#']));
            let identity =
                EMAIL.is_match(&text) || (digits >= 8 && PHONE.is_match(&text)) || link || has_address(&text, digits);
            proptest::prop_assert_eq!(has_identity(&text, marks, false), identity, "{}", text);
        }
    }

    #[test]
    fn names_are_masked() {
        assert_eq!(mask_name("Signed up ada@example.com today"), "Signed up [email] today");
        assert_eq!(mask_name("Page Viewed"), "Page Viewed");
        assert_eq!(mask_name("key sk-abcdefghijklmn0pqrst"), "key [secret]");
    }
}
