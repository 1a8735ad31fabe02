//! The firewall: what a property is, and what therefore happens to it, before anything is written down.
//!
//! In order, first match wins:
//! 1. Its name says it holds a secret, or its value has the shape of one: dropped and counted.
//! 2. Its name says network address: dropped.
//! 3. Its name says it joins to other systems (an organisation's id, a user's id): goes on as a keyed pseudonym.
//! 4. Its name says identity (mail, phone, name, …): sealed.
//! 5. It is a URL: a referrer keeps its host, others lose user info, fragment, and all of the query but campaigns.
//! 6. Any text in it, however deep, has the shape of what identifies (a mail address, a phone number, a bank
//!    account, …): sealed.
//! 7. Otherwise it goes on as sent.
//!
//! The tracking plan can then only make it stricter ([`Verdict::at_least`]). Names of events and properties are
//! masked where they hold such a shape. Detection is by shape and name: free text that names a person without any of
//! these is not recognised, and the data dictionary shows what went on.
//!
//! [`names`] knows what names say, [`shapes`] what values do, [`checks`] the checksums, [`reduce`] coarser forms.

use std::borrow::Cow;

use cofferdam_model::{Action, Class, Detector};
use regex::Regex;
use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::wire::Sent;

mod checks;
mod names;
mod reduce;
mod shapes;

pub(crate) use names::{NameSays, name_says};
pub(crate) use shapes::masked as mask_name;

use names::canonical;
use shapes::Marks;

/// Below so many events in a request hardly anything repeats.
const FEW_EVENTS: usize = 16;
/// Verdicts that one request remembers: some hundred kilobytes.
const VERDICTS_KEPT: usize = 4_096;
/// Longer texts hardly repeat, and hashing them costs.
const VERDICT_TEXT_BYTES_MAX: usize = 96;

/// What is to be done with one property.
#[derive(Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) class: Class,
    pub(crate) action: Action,
    /// What decided.
    pub(crate) by: Detector,
    /// For `Reduced`: the coarser value; `None` when nothing is left.
    pub(crate) reduced: Option<Value>,
}

impl Verdict {
    fn new(class: Class, action: Action, by: Detector) -> Verdict {
        Verdict { class, action, by, reduced: None }
    }

    fn reduced(text: String, by: Detector) -> Verdict {
        Verdict { class: Class::C2, action: Action::Reduced, by, reduced: Some(Value::String(text)) }
    }

    /// No less strict than a class of the tracking plan.
    pub(crate) fn at_least(self, class: Class) -> Verdict {
        if class <= self.class {
            return self;
        }
        match class {
            Class::C5 => Verdict::new(class, Action::Dropped, Detector::Plan),
            Class::C3 | Class::C4 => {
                // What is not kept at all stays so.
                let action = if self.action == Action::Dropped { Action::Dropped } else { Action::Sealed };
                Verdict::new(class, action, Detector::Plan)
            }
            Class::C0 | Class::C1 | Class::C2 => Verdict { class, ..self },
        }
    }
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that its tests compile")
}

pub(crate) fn browser_family(user_agent: &str) -> Option<String> {
    reduce::user_agent(user_agent)
}

/// What the detectors find today in a value that was stored: `None` when it may stay.
pub(crate) fn finds(name: &str, value: &Value) -> Option<(Class, Detector)> {
    let verdict = judge(name, value);
    match verdict.action {
        // What is stored under such a name is a pseudonym already.
        Action::Kept | Action::Pseudonymised | Action::Quarantined => None,
        Action::Reduced if verdict.reduced.as_ref() == Some(value) => None,
        Action::Reduced | Action::Sealed | Action::Dropped => Some((verdict.class, verdict.by)),
    }
}

/// Decides about one property.
pub(crate) fn judge(name: &str, value: &Value) -> Verdict {
    judge_value(name, name_says(name), value)
}

/// Decides about one property of an event, of whose name `says` is known.
fn judge_sent(name: &str, says: NameSays, value: &Sent<'_>) -> Verdict {
    match value {
        Sent::Null | Sent::Bool(_) => judge_rest(says),
        Sent::Number(number) => judge_number(says, number),
        Sent::Text(text) => judge_text(says, text),
        Sent::Nested(value) => judge_value(name, says, value),
    }
}

/// Decides about the properties of one request, and about a text that comes again under the same kind of name only
/// once: most texts of a batch do. What is secret or personal is judged each time, and so not kept here.
pub(crate) struct Judge<'a> {
    known: FxHashMap<(NameSays, &'a str), Verdict>,
    /// Verdicts that are remembered at most; none where the request is too small for it to pay.
    known_max: usize,
}

impl<'a> Judge<'a> {
    pub(crate) fn of_events(count: usize) -> Judge<'a> {
        Judge { known: FxHashMap::default(), known_max: if count < FEW_EVENTS { 0 } else { VERDICTS_KEPT } }
    }

    pub(crate) fn judge(&mut self, name: &str, says: NameSays, value: &Sent<'a>) -> Verdict {
        let Sent::Text(Cow::Borrowed(text)) = *value else { return judge_sent(name, says, value) };
        if self.known_max == 0 || text.len() > VERDICT_TEXT_BYTES_MAX {
            return judge_text(says, text);
        }
        if let Some(verdict) = self.known.get(&(says, text)) {
            return verdict.clone();
        }
        let verdict = judge_text(says, text);
        if matches!(verdict.action, Action::Kept | Action::Reduced) && self.known.len() < self.known_max {
            self.known.insert((says, text), verdict.clone());
        }
        verdict
    }
}

fn judge_value(name: &str, says: NameSays, value: &Value) -> Verdict {
    match value {
        Value::Null | Value::Bool(_) => judge_rest(says),
        Value::Number(number) => judge_number(says, number),
        Value::String(text) => judge_text(says, text),
        Value::Array(_) | Value::Object(_) => judge_nested(name, says, value),
    }
}

/// Nothing about the value matters any more.
fn judge_rest(says: NameSays) -> Verdict {
    let class = if says == NameSays::DeviceOrPlace { Class::C2 } else { Class::C1 };
    Verdict::new(class, Action::Kept, Detector::Nothing)
}

fn judge_number(says: NameSays, number: &serde_json::Number) -> Verdict {
    match says {
        NameSays::Secret => Verdict::new(Class::C5, Action::Dropped, Detector::Name),
        NameSays::Address => Verdict::new(Class::C3, Action::Dropped, Detector::Name),
        NameSays::Join => Verdict::new(Class::C3, Action::Pseudonymised, Detector::Name),
        NameSays::Identity => Verdict::new(Class::C3, Action::Sealed, Detector::Name),
        NameSays::Sensitive => Verdict::new(Class::C4, Action::Sealed, Detector::Name),
        NameSays::Id => judge_rest(says),
        _ if number.as_u64().is_some_and(shapes::is_card_number) => {
            Verdict::new(Class::C5, Action::Dropped, Detector::PaymentCard)
        }
        _ => judge_rest(says),
    }
}

fn judge_text(says: NameSays, text: &str) -> Verdict {
    let marks = Marks::of(text);
    if matches!(says, NameSays::Secret | NameSays::Token) && !text.is_empty() {
        return Verdict::new(Class::C5, Action::Dropped, Detector::Name);
    }
    let address = page_address(says, text, marks);
    if let Some(by) = shapes::secret(address.as_deref().unwrap_or(text), marks, says) {
        return Verdict::new(Class::C5, Action::Dropped, by);
    }
    match says {
        NameSays::Address | NameSays::AddressPart => return Verdict::new(Class::C3, Action::Dropped, Detector::Name),
        NameSays::Join => return Verdict::new(Class::C3, Action::Pseudonymised, Detector::Name),
        NameSays::Identity => return Verdict::new(Class::C3, Action::Sealed, Detector::Name),
        NameSays::Sensitive => return Verdict::new(Class::C4, Action::Sealed, Detector::Name),
        _ => {}
    }
    if text.starts_with(['?', '#']) && text.contains('=') {
        return Verdict::new(Class::C3, Action::Dropped, Detector::Url);
    }
    if let Some(family) = reduce::user_agent(text) {
        return Verdict::reduced(family, Detector::UserAgent);
    }
    if let Some(reduced) = address.or_else(|| reduce::url(says == NameSays::Referrer, text, marks)) {
        return Verdict::reduced(reduced, Detector::Url);
    }
    if let Some(by) = shapes::identity(text, marks, says) {
        let class = if by == Detector::Iban { Class::C4 } else { Class::C3 };
        return Verdict::new(class, Action::Sealed, by);
    }
    judge_rest(says)
}

/// The coarser form of a page's address. What it has lost is no secret any more; the address of a service, with a
/// password in it, is one as a whole.
fn page_address(says: NameSays, text: &str, marks: Marks) -> Option<String> {
    let is_service = text.contains("://") && text.contains('@') && !text.starts_with("http");
    if is_service || text.starts_with(['?', '#']) { None } else { reduce::url(says == NameSays::Referrer, text, marks) }
}

/// Decides about a list or object: dropped if it holds a secret, sealed if it holds something personal (without it
/// the rest would have lost its meaning), with its URLs reduced where they stand otherwise.
fn judge_nested(name: &str, says: NameSays, value: &Value) -> Verdict {
    let secret = match says {
        NameSays::Secret => true,
        NameSays::Token => first_text(value, &|text| (!text.is_empty()).then_some(())).is_some(),
        _ => false,
    };
    if secret {
        return Verdict::new(Class::C5, Action::Dropped, Detector::Name);
    }
    if let Some(by) = first_text(value, &|text| secret_part(says, text)) {
        return Verdict::new(Class::C5, Action::Dropped, by);
    }
    match says {
        NameSays::Address => Verdict::new(Class::C3, Action::Dropped, Detector::Name),
        NameSays::Join | NameSays::Identity => Verdict::new(Class::C3, Action::Sealed, Detector::Name),
        NameSays::Sensitive => Verdict::new(Class::C4, Action::Sealed, Detector::Name),
        _ => judge_parts(name, value).unwrap_or_else(|| judge_rest(says)),
    }
}

fn secret_part(says: NameSays, text: &str) -> Option<Detector> {
    let marks = Marks::of(text);
    shapes::secret(page_address(says, text, marks).as_deref().unwrap_or(text), marks, says)
}

/// What the parts of a list or object ask for.
fn judge_parts(name: &str, value: &Value) -> Option<Verdict> {
    let mut strictest: Option<Verdict> = None;
    let mut reduced = value.clone();
    let mut consider = |verdict: Verdict, place: &mut Value| match verdict.action {
        Action::Kept | Action::Quarantined => {}
        Action::Reduced if verdict.reduced.as_ref() == Some(&*place) => {}
        Action::Reduced => {
            *place = verdict.reduced.unwrap_or(Value::Null);
            strictest.get_or_insert(Verdict::new(Class::C2, Action::Reduced, verdict.by));
        }
        Action::Dropped if verdict.class == Class::C5 => {
            strictest = Some(Verdict::new(Class::C5, Action::Dropped, verdict.by))
        }
        Action::Dropped | Action::Sealed | Action::Pseudonymised => {
            if strictest.as_ref().is_none_or(|strictest| strictest.class < verdict.class.max(Class::C3)) {
                strictest = Some(Verdict::new(verdict.class.max(Class::C3), Action::Sealed, verdict.by));
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

/// The first answer about a text in a value, keys included.
fn first_text<T>(value: &Value, test: &dyn Fn(&str) -> Option<T>) -> Option<T> {
    match value {
        Value::String(text) => test(text),
        Value::Array(items) => items.iter().find_map(|item| first_text(item, test)),
        Value::Object(object) => object.iter().find_map(|(key, value)| test(key).or_else(|| first_text(value, test))),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
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
            ("note", json!("4111 1111 1111 1111"), Dropped),
            ("amount", json!(4_111_111_111_111_111_u64), Dropped),
            ("order_id", json!(4_111_111_111_111_111_u64), Kept),
            ("note", json!("pay to ES91 2100 0418 4502 0005 1332"), Sealed),
            ("note", json!("DNI 12345678Z"), Sealed),
            ("note", json!("cf RSSMRA85T10A562S"), Sealed),
            ("note", json!("la contraseña es verano24"), Dropped),
            ("note", json!("la password è cambiata"), Kept),
            ("note", json!("password: required"), Kept),
            ("note", json!("tu código es 482913"), Dropped),
            ("note", json!("llámame al 612345678"), Sealed),
            ("order", json!("612345678"), Kept),
            ("note", json!({"deep": ["x", "Z2hwX2FiY2RlZmdoaWprbG1ub3BxcnN0MDEyMw=="]}), Dropped),
            ("asset", json!("logo@2x.png"), Kept),
            ("client", json!("Chrome/120.0.0.0"), Kept),
            ("note", json!("k7Qm2VxZ9pLr4TnB8wYc1HsD6fGj3KaE"), Dropped),
            ("trace_id", json!("k7Qm2VxZ9pLr4TnB8wYc1HsD6fGj3KaE"), Kept),
            ("iban", json!("unknown"), Sealed),
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
        assert_eq!(reduce("ua", "Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0.1.2 Safari/5"), "Chrome 120 on Linux");
        assert_eq!(reduce("page", "/reset/now?code=1#x"), "/reset/now");
        assert_eq!(
            reduce("$current_url", "https://x.io/a?utm_source=news&email=ada&utm_term=ada%40example.com#t"),
            "https://x.io/a?utm_source=news"
        );
        assert_eq!(
            reduce("l", "https://x.io/reset/k7Qm2VxZ9pLr4TnB8wYc1HsD6fGj3KaE/go"),
            "https://x.io/reset/[secret]/go"
        );
        assert_eq!(reduce("$initial_referrer", "https://10.0.0.7/x"), "[address]");
    }

    #[test]
    fn names_are_masked() {
        assert_eq!(mask_name("Signed up ada@example.com today"), "Signed up [email] today");
        assert_eq!(mask_name("Page Viewed"), "Page Viewed");
        assert_eq!(mask_name("key sk-abcdefghijklmn0pqrst"), "key [secret]");
    }

    #[test]
    fn a_plan_can_only_make_the_door_stricter() {
        let planned = |name: &str, value: Value, class| {
            let verdict = judge(name, &value).at_least(class);
            (verdict.class, verdict.action, verdict.by)
        };
        assert_eq!(planned("note", json!("hello"), Class::C3), (Class::C3, Action::Sealed, Detector::Plan));
        assert_eq!(planned("note", json!("hello"), Class::C5), (Class::C5, Action::Dropped, Detector::Plan));
        assert_eq!(planned("note", json!("a@b.io"), Class::C1), (Class::C3, Action::Sealed, Detector::Email));
        assert_eq!(planned("ip", json!("10.0.0.7"), Class::C4), (Class::C4, Action::Dropped, Detector::Plan));
        assert_eq!(planned("note", json!("hello"), Class::C2), (Class::C2, Action::Kept, Detector::Nothing));
    }
}
