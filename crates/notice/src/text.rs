//! The texts: for an organisation, for its administrators, for a person; in English, Spanish and Italian.
//!
//! A text is made of facts that are numbers, and of four names that are shown as [`Name`] shows them. It lists exactly
//! the fields it is told, says what to do, and how to check it. Both forms, plain and HTML, come from the same blocks;
//! in HTML everything is escaped.

use std::sync::LazyLock;

use cofferdam_model::{FieldSet, PersonalField, sabotage};
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

use crate::names::Name;
use crate::{Error, Result};

/// The numbers are stored: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Language {
    English = 1,
    Spanish = 2,
    Italian = 3,
}

impl Language {
    pub const ALL: [Language; 3] = [Language::English, Language::Spanish, Language::Italian];

    /// As in BCP 47.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Spanish => "es",
            Language::Italian => "it",
        }
    }

    pub fn of_tag(tag: &str) -> Option<Language> {
        Language::ALL.into_iter().find(|language| language.tag() == tag)
    }
}

/// To whom a notice speaks. The numbers are stored: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Audience {
    Organisation = 1,
    Admin = 2,
    Person = 3,
}

impl Audience {
    pub const ALL: [Audience; 3] = [Audience::Organisation, Audience::Admin, Audience::Person];

    pub fn word(self) -> &'static str {
        match self {
            Audience::Organisation => "organisation",
            Audience::Admin => "admin",
            Audience::Person => "person",
        }
    }

    pub fn of_word(word: &str) -> Option<Audience> {
        Audience::ALL.into_iter().find(|audience| audience.word() == word)
    }
}

/// By which kind of account data left: of which person is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    Staff,
    Token,
    Vendor,
    Unknown,
}

impl Account {
    pub const ALL: [Account; 4] = [Account::Staff, Account::Token, Account::Vendor, Account::Unknown];

    pub fn word(self) -> &'static str {
        match self {
            Account::Staff => "staff",
            Account::Token => "token",
            Account::Vendor => "vendor",
            Account::Unknown => "unknown",
        }
    }

    pub fn of_word(word: &str) -> Option<Account> {
        Account::ALL.into_iter().find(|account| account.word() == word)
    }
}

/// What was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Locked,
    Sessions,
    Tokens,
    Vendor,
    Authority,
}

impl Measure {
    pub const ALL: [Measure; 5] =
        [Measure::Locked, Measure::Sessions, Measure::Tokens, Measure::Vendor, Measure::Authority];

    pub fn word(self) -> &'static str {
        match self {
            Measure::Locked => "locked",
            Measure::Sessions => "sessions",
            Measure::Tokens => "tokens",
            Measure::Vendor => "vendor",
            Measure::Authority => "authority",
        }
    }

    pub fn of_word(word: &str) -> Option<Measure> {
        Measure::ALL.into_iter().find(|measure| measure.word() == word)
    }
}

/// What a notice says. Times are microseconds since 1970-01-01 UTC.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who answers for the data.
    pub sender: Name,
    /// What the recipients know the product by.
    pub service: Name,
    /// Where to ask: an address of the sender's that was checked when it was configured.
    pub contact: String,
    /// The host that recipients know, to be typed.
    pub host: String,
    pub incident: u32,
    pub version: u32,
    /// The version that this one replaces.
    pub replaces: Option<u32>,
    pub occurred_us: (i64, i64),
    pub detected_us: i64,
    pub contained_us: Option<i64>,
    pub account: Account,
    pub fields: FieldSet,
    /// Persons, all of them; told to organisations and administrators.
    pub persons: u64,
    pub measures: Vec<Measure>,
}

/// A text for one audience, language and set of fields, without a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording {
    pub subject: String,
    blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Block {
    Heading(String),
    Text(String),
    List(Vec<String>),
    /// Where the recipient's code stands.
    Code,
}

/// Where a recipient's code goes, in texts that have no recipient: a character of private use, which no name keeps.
pub const CODE_MARK: &str = "\u{e000}";
/// What stands there when such a text is shown.
pub const CODE_BLANK: &str = "____-____-____";

static BUNDLES: LazyLock<[FluentBundle<FluentResource>; 3]> = LazyLock::new(|| {
    let texts = [include_str!("../ftl/en.ftl"), include_str!("../ftl/es.ftl"), include_str!("../ftl/it.ftl")];
    let mut texts = texts.into_iter();
    Language::ALL.map(|language| {
        let tag: LanguageIdentifier = language.tag().parse().expect("a language tag");
        let text = texts.next().expect("a file for every language").to_owned();
        let resource = FluentResource::try_new(text).expect("a test reads every file");
        let mut bundle = FluentBundle::new_concurrent(vec![tag]);
        // Names are already without marks of direction.
        bundle.set_use_isolating(false);
        bundle.add_resource(resource).expect("no message is there twice");
        bundle
    })
});

/// Texts of one language, with what is the same in all of them.
struct Words<'a> {
    language: Language,
    bundle: &'a FluentBundle<FluentResource>,
    args: FluentArgs<'a>,
}

impl Words<'_> {
    fn say(&self, id: &str) -> Result<String> {
        let pattern = self.bundle.get_message(id).and_then(|message| message.value());
        let pattern = pattern.ok_or_else(|| Error::Text(format!("{id} is missing in {}", self.language.tag())))?;
        let mut errors = Vec::new();
        let text = self.bundle.format_pattern(pattern, Some(&self.args), &mut errors).into_owned();
        match errors.is_empty() {
            true => Ok(text),
            false => Err(Error::Text(format!("{id} in {} lacks a value", self.language.tag()))),
        }
    }

    fn with(&mut self, name: &'static str, value: impl Into<FluentValue<'static>>) {
        self.args.set(name, value.into());
    }

    fn say_with(&mut self, id: &str, name: &'static str, value: String) -> Result<String> {
        self.with(name, value);
        self.say(id)
    }

    fn count(&mut self, id: &str, count: u64) -> Result<String> {
        let shown = grouped(count, self.language);
        self.with("count", i64::try_from(count).unwrap_or(i64::MAX));
        self.say_with(id, "shown", shown)
    }

    fn moment(&mut self, time_us: i64) -> Result<String> {
        let time = jiff::Timestamp::from_microsecond(time_us).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
        let month = self.say(&format!("month-{}", time.month()))?;
        self.with("day", i64::from(time.day()));
        self.with("month", month);
        self.with("year", time.year().to_string());
        self.with("time", format!("{:02}:{:02}", time.hour(), time.minute()));
        self.say("moment")
    }

    fn name(&mut self, key: &'static str, name: &Name) -> Result<()> {
        let mut shown = name.text.clone();
        if !name.scripts.is_empty() {
            self.with("scripts", name.scripts.join(", "));
            shown = self.say_with("flagged-name", "name", shown)?;
        }
        self.with(key, shown);
        Ok(())
    }
}

/// Thousands set apart as the language does; Spanish leaves four digits together.
fn grouped(number: u64, language: Language) -> String {
    let digits = number.to_string();
    let mark = match language {
        Language::English => ',',
        Language::Spanish if digits.len() < 5 => return digits,
        Language::Spanish => '\u{a0}',
        Language::Italian => '.',
    };
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(mark);
        }
        out.push(digit);
    }
    out
}

fn field_id(field: PersonalField) -> &'static str {
    match field {
        PersonalField::DistinctId => "field-distinct-id",
        PersonalField::Email => "field-email",
        PersonalField::Phone => "field-phone",
        PersonalField::Name => "field-name",
        PersonalField::Place => "field-place",
        PersonalField::NetworkAddress => "field-network-address",
        PersonalField::Birth => "field-birth",
        PersonalField::Events => "field-events",
        PersonalField::Other => "field-other",
    }
}

impl Wording {
    /// Words the facts for an audience.
    ///
    /// # Errors
    /// When no field left, or a text is missing.
    pub fn new(facts: &Facts, audience: Audience, language: Language) -> Result<Wording> {
        if facts.fields.is_empty() {
            return Err(Error::Text("a notice names what left".to_owned()));
        }
        let mut words =
            Words { language, bundle: &BUNDLES[language as usize - 1], args: FluentArgs::with_capacity(16) };
        words.with("audience", audience.word());
        words.with("account", facts.account.word());
        words.name("sender", &facts.sender)?;
        words.name("service", &facts.service)?;
        words.with("contact", facts.contact.clone());
        words.with("host", facts.host.clone());
        words.with("incident", facts.incident.to_string());
        words.with("version", facts.version.to_string());
        let subject = words.say(if facts.replaces.is_some() { "subject-corrected" } else { "subject" })?;

        let mut blocks = vec![Block::Text(words.say("greeting")?)];
        if let Some(before) = facts.replaces {
            blocks.push(Block::Text(words.say_with("corrected", "before", before.to_string())?));
        }
        blocks.push(Block::Heading(words.say("what-heading")?));
        blocks.push(Block::Text(words.say("what")?));
        let (from_us, to_us) = facts.occurred_us;
        let (from, to) = (words.moment(from_us)?, words.moment(to_us)?);
        let is_one_moment = from == to;
        words.with("from", from);
        words.with("to", to);
        let mut times = vec![words.say(if is_one_moment { "when-at" } else { "when-between" })?];
        let at = words.moment(facts.detected_us)?;
        times.push(words.say_with("detected", "at", at)?);
        times.push(match facts.contained_us {
            Some(at_us) => {
                let at = words.moment(at_us)?;
                words.say_with("contained", "at", at)?
            }
            None => words.say("not-contained")?,
        });
        blocks.push(Block::List(times));

        blocks.push(Block::Heading(words.say("fields-heading")?));
        let fields: Vec<PersonalField> =
            PersonalField::ALL.into_iter().filter(|field| facts.fields.contains(*field)).collect();
        blocks.push(Block::Text(words.count("fields", fields.len() as u64)?));
        let names: Result<Vec<String>> = fields.into_iter().map(|field| words.say(field_id(field))).collect();
        blocks.push(Block::List(names?));
        blocks.push(Block::Text(words.say("nothing-else")?));
        if audience != Audience::Person {
            blocks.push(Block::Text(words.count("affected", facts.persons)?));
        }

        blocks.push(Block::Heading(words.say("done-heading")?));
        let measures: Result<Vec<String>> = Measure::ALL
            .into_iter()
            .filter(|measure| facts.measures.contains(measure))
            .map(|measure| words.say(&format!("measure-{}", measure.word())))
            .collect();
        let mut measures = measures?;
        if measures.is_empty() {
            measures.push(words.say("measure-none")?);
        }
        blocks.push(Block::List(measures));

        blocks.push(Block::Heading(words.say("do-heading")?));
        let advice: &[&str] = match audience {
            Audience::Person => &["advice-phishing", "advice-never", "advice-domain", "advice-mfa"],
            Audience::Admin => &[
                "advice-staff",
                "advice-sso",
                "advice-mfa",
                "advice-rotate",
                "advice-phishing",
                "advice-never",
                "advice-domain",
            ],
            Audience::Organisation => &[
                "advice-inform",
                "advice-sso",
                "advice-staff",
                "advice-rotate",
                "advice-phishing",
                "advice-never",
                "advice-domain",
            ],
        };
        let advice: Result<Vec<String>> = advice.iter().map(|id| words.say(id)).collect();
        blocks.push(Block::List(advice?));

        blocks.push(Block::Heading(words.say("check-heading")?));
        blocks.push(Block::Text(words.say("check")?));
        blocks.push(Block::Code);
        blocks.push(Block::Text(words.say("check-shows")?));
        blocks.push(Block::Text(words.say("contact")?));
        blocks.push(Block::Text(words.say("signed")?));
        Ok(Wording { subject, blocks })
    }

    /// As plain text, with [`CODE_MARK`] where the code goes.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for block in &self.blocks {
            match block {
                Block::Heading(text) => out.push_str(&format!("{}\n\n", text.to_uppercase())),
                Block::Text(text) => out.push_str(&format!("{text}\n\n")),
                Block::List(items) => {
                    items.iter().for_each(|item| out.push_str(&format!("- {item}\n")));
                    out.push('\n');
                }
                Block::Code => out.push_str(&format!("    {CODE_MARK}\n\n")),
            }
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }

    /// What stands between `<body>` and `</body>`, with [`CODE_MARK`] where the code goes.
    pub fn html(&self) -> String {
        let mut out = String::new();
        for block in &self.blocks {
            match block {
                Block::Heading(text) => out.push_str(&format!("<h2>{}</h2>\n", escaped(text))),
                Block::Text(text) => out.push_str(&format!("<p>{}</p>\n", escaped(text))),
                Block::List(items) => {
                    out.push_str("<ul>\n");
                    items.iter().for_each(|item| out.push_str(&format!("<li>{}</li>\n", escaped(item))));
                    out.push_str("</ul>\n");
                }
                Block::Code => out.push_str(&format!("<p><strong>{CODE_MARK}</strong></p>\n")),
            }
        }
        out
    }
}

pub fn escaped(text: &str) -> String {
    if sabotage::is_out(92) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// What no notice may have: links, images, scripts, other elements than the few that structure a text. Answers what
/// was found.
pub fn lint(text: &str, html: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (part, body) in [("text", text), ("html", html)] {
        let lower = body.to_lowercase();
        for mark in ["://", "www.", "mailto:", "javascript:", "cid:"] {
            if lower.contains(mark) {
                found.push(format!("{part}: {mark}"));
            }
        }
    }
    for tag in html.split('<').skip(1) {
        let name = tag.split('>').next().unwrap_or_default();
        let is_known = ["h2", "p", "ul", "li", "strong"].contains(&name.trim_start_matches('/'));
        if !is_known {
            found.push("html: an element that is none of ours".to_owned());
        }
    }
    found
}
