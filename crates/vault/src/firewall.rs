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

use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use cofferdam_model::{Action, Class};
use regex::Regex;
use rustc_hash::FxHashMap;
use serde_json::Value;

/// What is to be done with one property.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) class: Class,
    pub(crate) action: Action,
    /// For `Reduced`: the coarser value; `None` when nothing is left.
    pub(crate) reduced: Option<String>,
}

impl Verdict {
    fn new(class: Class, action: Action) -> Verdict {
        Verdict { class, action, reduced: None }
    }
}

static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)[\p{L}\p{N}._%+'-]+(?:@|%40)[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.[\p{L}]{2,}"));
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b(?:sk|pk|rk)[-_](?:live_|test_|proj-|ant-)?[A-Za-z0-9_-]{16,}",
        r"|\bAKIA[0-9A-Z]{16}\b|\bASIA[0-9A-Z]{16}\b",
        r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{20,}",
        r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"|\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,}",
        r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY",
    ))
});
static PHONE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|[^\w.+-])(?:\+|00)[1-9](?:[ ().-]{0,2}[0-9]){7,14}(?:$|[^\w])"));
static IPV4: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|[^\w.-])((?:[0-9]{1,3}\.){3}[0-9]{1,3})(?:$|[^\w.-])"));
static SECRET_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:^|_)(?:pass|password|passwd|passphrase|pwd|secret|token|otp|cvv|cvc|api_?key|apikey|access_?key|private_?key|credentials?|authorization|contrasena|contraseña|contrase_a|parola|parola_chiave|clave)(?:$|_)",
    )
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that its tests compile")
}

const ADDRESS_NAMES: [&str; 6] = ["ip", "ip_address", "ipaddress", "remote_addr", "client_ip", "x_forwarded_for"];

const JOIN_NAMES: [&str; 24] = [
    "user_id",
    "userid",
    "uid",
    "account_id",
    "accountid",
    "org_id",
    "orgid",
    "organization_id",
    "organisation_id",
    "organizationid",
    "company_id",
    "companyid",
    "customer_id",
    "customerid",
    "workspace_id",
    "team_id",
    "tenant_id",
    "group_id",
    "member_id",
    "external_id",
    "subscriber_id",
    "employee_id",
    "contact_id",
    "stripe_customer_id",
];

const IDENTITY_NAMES: [&str; 40] = [
    "email",
    "e_mail",
    "mail",
    "email_address",
    "user_email",
    "contact_email",
    "phone",
    "phone_number",
    "mobile",
    "telephone",
    "tel",
    "name",
    "first_name",
    "firstname",
    "last_name",
    "lastname",
    "middle_name",
    "full_name",
    "fullname",
    "display_name",
    "nickname",
    "surname",
    "given_name",
    "family_name",
    "username",
    "user_name",
    "login",
    "avatar",
    "photo",
    "address",
    "street",
    "street_address",
    "postal_address",
    "zip",
    "zip_code",
    "postal_code",
    "birthday",
    "date_of_birth",
    "ssn",
    "nif",
];

/// Parts of a page address that hold what a visitor typed.
const ADDRESS_PARTS: [&str; 4] = ["current_url_search", "current_url_hash", "url_query", "url_hash"];

/// A name as it is compared: no leading `$`, lower case, words joined by `_`.
fn canonical(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut previous_lower = false;
    for character in name.trim_start_matches('$').chars() {
        if character.is_uppercase() {
            if previous_lower {
                out.push('_');
            }
            out.extend(character.to_lowercase());
            previous_lower = false;
        } else if character.is_alphanumeric() {
            out.push(character);
            previous_lower = character.is_lowercase();
        } else {
            if !out.ends_with('_') {
                out.push('_');
            }
            previous_lower = false;
        }
    }
    out.trim_matches('_').to_owned()
}

/// What a name alone says.
#[derive(Clone, Copy)]
enum NameSays {
    Secret,
    Address,
    Join,
    Identity,
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

fn name_says(name: &str) -> NameSays {
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
    if SECRET_NAME.is_match(key) {
        NameSays::Secret
    } else if ADDRESS_NAMES.contains(&key) {
        NameSays::Address
    } else if JOIN_NAMES.contains(&key) {
        NameSays::Join
    } else if IDENTITY_NAMES.contains(&key) {
        NameSays::Identity
    } else if ADDRESS_PARTS.contains(&key) {
        NameSays::AddressPart
    } else if key.contains("referrer") || key.contains("referer") {
        NameSays::Referrer
    } else if key.contains("version") {
        NameSays::Version
    } else if DEVICE_OR_PLACE.contains(&key) || key.starts_with("browser_") || key.starts_with("os_") {
        NameSays::DeviceOrPlace
    } else {
        NameSays::Nothing
    }
}

/// Decides about one property.
pub(crate) fn judge(name: &str, value: &Value) -> Verdict {
    let says = name_says(name);
    let secret_name = matches!(says, NameSays::Secret) && any_text(value, &|text| !text.is_empty());
    if secret_name || any_text(value, &has_secret) {
        return Verdict::new(Class::C5, Action::Dropped);
    }
    match says {
        NameSays::Address => return Verdict::new(Class::C3, Action::Dropped),
        NameSays::Join if value.is_string() || value.is_number() => {
            return Verdict::new(Class::C3, Action::Pseudonymised);
        }
        NameSays::Join | NameSays::Identity => return Verdict::new(Class::C3, Action::Sealed),
        NameSays::AddressPart if value.is_string() => return Verdict::new(Class::C3, Action::Dropped),
        _ => {}
    }
    if let Value::String(text) = value
        && let Some(reduced) = reduce_url(matches!(says, NameSays::Referrer), text)
    {
        return Verdict { class: Class::C2, action: Action::Reduced, reduced: Some(reduced) };
    }
    if let Some(verdict) = judge_nested(value) {
        return verdict;
    }
    let version = matches!(says, NameSays::Version);
    if any_text(value, &|text| has_identity(text, version)) {
        return Verdict::new(Class::C3, Action::Sealed);
    }
    let class = if matches!(says, NameSays::DeviceOrPlace) { Class::C2 } else { Class::C1 };
    Verdict::new(class, Action::Kept)
}

/// Decides about a list or object by the strictest of what it holds; taking out single values would leave the
/// rest without its meaning.
fn judge_nested(value: &Value) -> Option<Verdict> {
    let mut strictest: Option<Verdict> = None;
    let mut consider = |name: &str, inner: &Value| {
        if inner.is_null() || inner.is_boolean() {
            return;
        }
        let verdict = judge(name, inner);
        let personal = match verdict.action {
            Action::Kept => return,
            Action::Dropped if verdict.class == Class::C5 => Verdict::new(Class::C5, Action::Dropped),
            // A URL that loses nothing stays where it is.
            Action::Reduced if inner.as_str() == verdict.reduced.as_deref() => return,
            _ => Verdict::new(Class::C3, Action::Sealed),
        };
        if strictest.as_ref().is_none_or(|strictest| strictest.class < personal.class) {
            strictest = Some(personal);
        }
    };
    match value {
        Value::Array(items) => items.iter().for_each(|item| consider("", item)),
        Value::Object(object) => object.iter().for_each(|(key, inner)| consider(key, inner)),
        _ => {}
    }
    strictest
}

fn any_text(value: &Value, test: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => test(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, test)),
        Value::Object(object) => object.iter().any(|(key, value)| test(key) || any_text(value, test)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn has_secret(text: &str) -> bool {
    // Each alternative holds one of these; most texts hold none and cost a few byte searches.
    const HINTS: [&str; 13] =
        ["sk-", "sk_", "pk_", "rk_", "KIA", "SIA", "gh", "glpat-", "xox", "AIza", "ya29.", "eyJ", "-----"];
    text.len() >= 14 && HINTS.iter().any(|hint| text.contains(hint)) && SECRET.is_match(text)
}

fn has_identity(text: &str, version: bool) -> bool {
    if (text.contains('@') || text.contains("%40")) && EMAIL.is_match(text) {
        return true;
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits >= 8 && PHONE.is_match(text) {
        return true;
    }
    // A link in a sentence: what follows its question mark is as good as a password now and then.
    if text.contains("://") && text.split_whitespace().any(|word| word.contains("://") && word.contains('?')) {
        return true;
    }
    !version && has_address(text, digits)
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
fn reduce_url(referrer: bool, text: &str) -> Option<String> {
    if text.starts_with('/') && !text.contains(char::is_whitespace) && text.contains(['?', '#']) {
        return Some(mask_name(&text[..text.find(['?', '#']).unwrap_or(text.len())]));
    }
    let (scheme, rest) = text.split_once("://")?;
    if scheme.is_empty()
        || scheme.len() > 10
        || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
    {
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
pub(crate) fn mask_name(name: &str) -> String {
    let mut name = name.to_owned();
    if name.contains('@') || name.contains("%40") {
        name = EMAIL.replace_all(&name, "[email]").into_owned();
    }
    if has_secret(&name) {
        name = SECRET.replace_all(&name, "[secret]").into_owned();
    }
    if has_identity(&name, false) {
        name = PHONE.replace_all(&name, " [phone] ").trim().to_owned();
        if has_identity(&name, false) {
            name = "[address]".to_owned();
        }
    }
    name
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
            ("note", json!(["https://x.io/a?who=ada"]), Sealed),
            ("note", json!(["https://x.io/a"]), Kept),
            ("cart", json!([{"sku": "a1", "price": 3}]), Kept),
            ("note", json!("call +34 612 345 678 now"), Sealed),
            ("note", json!("from 192.168.1.20"), Sealed),
            ("note", json!("2001:db8::1"), Sealed),
            ("note", json!("12:30:45"), Kept),
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
        let reduce = |name: &str, url: &str| judge(name, &json!(url)).reduced.unwrap();
        assert_eq!(reduce("$current_url", "https://u:p@x.io:8080/docs/a?mail=b@c.de#top"), "https://x.io:8080/docs/a");
        assert_eq!(reduce("$current_url", "https://x.io/u/ada%40example.com/edit"), "https://x.io/u/[email]/edit");
        assert_eq!(reduce("$referrer", "https://www.google.com/search?q=ada"), "www.google.com");
        assert_eq!(reduce("$current_url", "http://127.0.0.1:8080/a?b"), "http://127.0.0.1:8080/a");
        assert_eq!(reduce("page", "/reset/now?code=1#x"), "/reset/now");
        assert_eq!(reduce("$initial_referrer", "https://10.0.0.7/x"), "[address]");
    }

    #[test]
    fn names_are_masked() {
        assert_eq!(mask_name("Signed up ada@example.com today"), "Signed up [email] today");
        assert_eq!(mask_name("Page Viewed"), "Page Viewed");
        assert_eq!(mask_name("key sk-abcdefghijklmnopqrst"), "key [secret]");
    }
}
