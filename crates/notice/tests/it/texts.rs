//! What notices say: golden texts, exactly the fields that left, and nothing that can be clicked.

use cofferdam_model::{FieldSet, PersonalField};
use cofferdam_notice::names::Name;
use cofferdam_notice::text::{Account, Audience, CODE_BLANK, CODE_MARK, Facts, Language, Measure, Wording, lint};

/// 2026-03-01T09:05:00Z.
const TIME_US: i64 = 1_772_355_900_000_000;
const HOUR_US: i64 = 3_600_000_000;

pub(crate) fn facts(fields: &[PersonalField], persons: u64) -> Facts {
    Facts {
        sender: Name::of("Mareas & Co."),
        service: Name::of("Shop"),
        contact: "privacy@mareas.example".to_owned(),
        host: "analytics.mareas.example".to_owned(),
        incident: 7,
        version: 1,
        replaces: None,
        occurred_us: (TIME_US, TIME_US + 3 * HOUR_US),
        detected_us: TIME_US + 4 * HOUR_US,
        contained_us: Some(TIME_US + 5 * HOUR_US),
        account: Account::Staff,
        fields: fields.iter().copied().collect(),
        persons,
        measures: vec![Measure::Locked, Measure::Sessions],
    }
}

/// One field and one person, two and two, many and many; the last as a correction.
fn sizes() -> [Facts; 3] {
    use PersonalField::{Email, Name};
    let many = Facts {
        version: 2,
        replaces: Some(1),
        account: Account::Vendor,
        contained_us: None,
        measures: vec![],
        occurred_us: (TIME_US, TIME_US),
        ..facts(&PersonalField::ALL, 1_234_567)
    };
    [facts(&[Email], 1), facts(&[Email, Name], 2), many]
}

#[test]
fn every_audience_is_told_in_every_language_as_it_was_agreed() {
    for language in Language::ALL {
        for audience in Audience::ALL {
            let texts = sizes().map(|facts| {
                let wording = Wording::new(&facts, audience, language).unwrap();
                format!("Subject: {}\n\n{}", wording.subject, wording.text().replace(CODE_MARK, CODE_BLANK))
            });
            insta::assert_snapshot!(
                format!("{}_{}", language.tag(), audience.word()),
                texts.join("\n==================== \n\n")
            );
        }
    }
}

#[test]
fn nothing_in_any_notice_can_be_clicked_loaded_or_opened() {
    for language in Language::ALL {
        for audience in Audience::ALL {
            for account in Account::ALL {
                for facts in sizes() {
                    let facts = Facts { account, measures: Measure::ALL.to_vec(), ..facts };
                    let wording = Wording::new(&facts, audience, language).unwrap();
                    assert_eq!(lint(&wording.text(), &wording.html()), Vec::<String>::new());
                    assert_eq!(wording.text().matches(CODE_MARK).count(), 1);
                    assert_eq!(wording.html().matches(CODE_MARK).count(), 1);
                }
            }
        }
    }
}

#[test]
fn the_lint_finds_what_it_looks_for() {
    assert_eq!(lint("see https://a.example", "").len(), 1);
    for html in ["<a href=\"x\">y</a>", "<img src=\"x\">", "<p onclick=\"x\">", "<p>www.a.example</p>", "<script>"] {
        assert!(!lint("", html).is_empty(), "{html}");
    }
}

#[test]
fn exactly_the_fields_that_left_are_named() {
    for language in Language::ALL {
        for audience in Audience::ALL {
            let lines = |fields: &[PersonalField]| -> Vec<String> {
                let wording = Wording::new(&facts(fields, 3), audience, language).unwrap();
                wording.text().lines().filter(|line| line.starts_with("- ")).map(str::to_owned).collect()
            };
            let all = lines(&PersonalField::ALL);
            for left in PersonalField::ALL {
                let without: Vec<PersonalField> =
                    PersonalField::ALL.into_iter().filter(|field| *field != left).collect();
                assert_eq!(lines(&without).len() + 1, all.len(), "{left:?}");
                assert_eq!(lines(&[left]).len() + PersonalField::ALL.len() - 1, all.len(), "{left:?}");
            }
        }
    }
    let none = Facts { fields: FieldSet::EMPTY, ..facts(&[], 1) };
    assert!(Wording::new(&none, Audience::Person, Language::English).is_err());
}

#[test]
fn a_name_that_is_made_to_deceive_becomes_no_markup_no_link_and_says_its_script() {
    let deceiving = Facts {
        service: Name::of("<img src=//evil.example/x>\r\nBcc: all@evil.example"),
        sender: Name::of("Pаypаl\u{202e}"),
        ..facts(&[PersonalField::Email], 1)
    };
    let wording = Wording::new(&deceiving, Audience::Person, Language::Spanish).unwrap();
    assert_eq!(lint(&wording.text(), &wording.html()), Vec::<String>::new());
    assert!(wording.html().contains("&lt;img src="), "{}", wording.html());
    assert!(!wording.subject.contains(['\r', '\n']) && !wording.subject.contains("evil.example"));
    assert!(wording.text().contains("letras de Cyrillic"), "{}", wording.text());
}

#[test]
fn every_language_has_the_same_messages() {
    let ids = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.starts_with(|letter: char| letter.is_ascii_lowercase()) && line.contains('='))
            .filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect()
    };
    let english = ids(include_str!("../../ftl/en.ftl"));
    assert_eq!(english, ids(include_str!("../../ftl/es.ftl")));
    assert_eq!(english, ids(include_str!("../../ftl/it.ftl")));
}
