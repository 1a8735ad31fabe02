//! What is asked for: one form, one hash.
//!
//! A request is kept, shown to whoever approves it, and run as the JSON that it reads back as; the hash is of exactly
//! those bytes, of whose it is and of where. One byte changed is another request, for which nobody has shown a factor
//! and nobody has approved.

use cofferdam_ledger::RoaringBitmap;
use cofferdam_model::cohort::CohortCondition;
use cofferdam_model::policy::{Decision, Deed, Roles, decide};
use cofferdam_model::query::{DateRange, EventMatch};
use cofferdam_model::{Class, FieldSet, PersonalField, SubjectNo, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Error, Project, RequestHash, Result, refused};

/// What is to be opened, or let out in bulk. No `Debug`: a filter holds values.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisclosureRequest {
    pub what: What,
    pub purpose: Purpose,
    pub format: DisclosureFormat,
    /// An age recipient (`age1…`), to whom alone the file opens. Without one only events are exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// What is known of one person under one field.
    Reveal {
        /// A pseudonym.
        person: String,
        field: PersonalField,
    },
    /// Events under their pseudonyms.
    Events {
        range: DateRange,
        #[serde(default)]
        matching: EventMatch,
    },
    /// Personal values of many.
    Persons {
        /// Whom; everybody, when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<CohortCondition>,
        fields: Vec<PersonalField>,
    },
}

/// Why. The numbers are in the ledger: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// They asked what is known of them.
    SubjectAccess = 1,
    /// They take it elsewhere.
    Portability = 2,
    /// They asked for help and are answered.
    Support = 3,
    /// Fraud, abuse, an attack.
    Security = 4,
    /// A law or a court asks for it.
    LegalDuty = 5,
    /// Questions that reports do not answer.
    Analysis = 6,
    /// It moves to another system of ours.
    Migration = 7,
    /// Somebody is told that something of theirs left. Of incidents alone: nobody asks for it.
    Notice = 20,
    /// Whom an incident concerns, packed for whoever has to tell them. Of incidents alone: nobody asks for it.
    Package = 21,
}

impl Purpose {
    const ALL: [Purpose; 9] = [
        Purpose::SubjectAccess,
        Purpose::Portability,
        Purpose::Support,
        Purpose::Security,
        Purpose::LegalDuty,
        Purpose::Analysis,
        Purpose::Migration,
        Purpose::Notice,
        Purpose::Package,
    ];

    pub(crate) fn of_number(number: u64) -> Option<Purpose> {
        Purpose::ALL.into_iter().find(|one| *one as u64 == number)
    }

    /// As it is written in requests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Purpose::SubjectAccess => "subject_access",
            Purpose::Portability => "portability",
            Purpose::Support => "support",
            Purpose::Security => "security",
            Purpose::LegalDuty => "legal_duty",
            Purpose::Analysis => "analysis",
            Purpose::Migration => "migration",
            Purpose::Notice => "notice",
            Purpose::Package => "package",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisclosureFormat {
    /// Cells that a spreadsheet would take for a formula begin with an apostrophe.
    Csv,
    /// A line of JSON for each row.
    Ndjson,
}

/// What the policy asks of somebody for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    /// Other people who must approve.
    pub(crate) approvals: u8,
    /// The highest class that is opened.
    pub(crate) opens: Class,
}

impl DisclosureRequest {
    /// In the one form that is hashed: fields once each, in their order.
    ///
    /// # Errors
    /// When it cannot be run like this.
    pub(crate) fn checked(mut self) -> Result<DisclosureRequest> {
        let invalid = |message: &str, hint| refused("invalid_disclosure", message, hint);
        if matches!(self.purpose, Purpose::Notice | Purpose::Package) {
            return invalid("this purpose is an incident's own", Some("say why these values are needed"));
        }
        if let Some(recipient) = &self.recipient
            && (recipient.len() > limits::RECIPIENT_BYTES_MAX || recipient.parse::<age::x25519::Recipient>().is_err())
        {
            return invalid("the recipient is no age key", Some("`age-keygen` makes one; give its public part, age1…"));
        }
        match &mut self.what {
            What::Reveal { field, .. } => {
                if *field == PersonalField::Events {
                    return invalid("a person's events are no sealed field", Some("ask for them in a list of events"));
                }
                if self.recipient.is_some() {
                    return invalid(
                        "one value is shown, and not encrypted to anybody",
                        Some("leave the recipient out"),
                    );
                }
            }
            What::Events { .. } => {}
            What::Persons { who, fields } => {
                fields.sort_unstable();
                fields.dedup();
                if fields.is_empty() || fields.contains(&PersonalField::Events) {
                    return invalid(
                        "an export of persons names the fields that it opens",
                        Some("events are exported apart"),
                    );
                }
                if self.recipient.is_none() {
                    return invalid(
                        "personal values in bulk leave encrypted",
                        Some("name the age key of whoever is to open the file as recipient"),
                    );
                }
                if let Some(who) = who {
                    cofferdam_query::check_cohort(who).map_err(crate::ask::refusal)?;
                }
            }
        }
        if self.json().len() > limits::DISCLOSURE_REQUEST_BYTES_MAX {
            return invalid("the request is too large", Some("make a cohort of its filter and name that"));
        }
        Ok(self)
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a request is made of names, numbers and texts")
    }

    /// Whose it is and where, and every byte of it.
    pub(crate) fn hash(&self, project: &Project, member: u32) -> RequestHash {
        let numbers = [project.org.0, project.id.0, member].map(u32::to_be_bytes).concat();
        RequestHash::of(&[b"disclosure v1", &numbers, &self.json()])
    }

    pub(crate) fn fields(&self) -> FieldSet {
        match &self.what {
            What::Reveal { field, .. } => FieldSet::EMPTY.with(*field),
            What::Events { .. } => FieldSet::EMPTY.with(PersonalField::Events),
            What::Persons { fields, .. } => fields.iter().copied().collect(),
        }
    }

    pub(crate) fn deed(&self) -> Deed {
        match self.what {
            What::Reveal { .. } => Deed::RevealOne,
            What::Events { .. } | What::Persons { .. } => Deed::ExportBulk,
        }
    }

    /// Every class that may be among what it opens.
    pub(crate) fn classes(&self) -> Vec<Class> {
        match &self.what {
            What::Reveal { field, .. } => vec![field.class()],
            What::Events { .. } => vec![Class::C1, Class::C2],
            What::Persons { fields, .. } => {
                let mut classes: Vec<Class> = fields.iter().map(|field| field.class()).collect();
                classes.sort_unstable();
                classes.dedup();
                classes
            }
        }
    }

    pub(crate) fn opens(&self) -> Class {
        self.classes().into_iter().max().unwrap_or(Class::C4)
    }

    /// Whether it opens personal values.
    pub(crate) fn is_personal(&self) -> bool {
        self.opens() >= Class::C3
    }

    /// What the policy asks of these roles: the most that it asks for any class that is opened.
    ///
    /// # Errors
    /// When a class may not be opened at all.
    pub(crate) fn needed(&self, roles: Roles) -> Result<Needed> {
        let mut needed = Needed { approvals: 0, opens: self.opens() };
        for class in self.classes() {
            match decide(roles, class, self.deed()) {
                Decision::StepUp { approvals, .. } => needed.approvals = needed.approvals.max(approvals),
                _ => {
                    return refused(
                        "not_allowed",
                        format!("none of your roles may do this with data of class {class:?}"),
                        Some("ask whoever manages roles, or somebody who may"),
                    );
                }
            }
        }
        Ok(needed)
    }

    /// Whether somebody with these roles may approve it.
    pub(crate) fn is_for_approval_by(&self, roles: Roles) -> bool {
        self.classes().into_iter().all(|class| decide(roles, class, Deed::ApproveExport) != Decision::Deny)
    }
}

/// A set of subjects as it is kept.
pub(crate) fn bytes_of(subjects: &RoaringBitmap) -> Vec<u8> {
    let mut out = Vec::with_capacity(subjects.serialized_size());
    subjects.serialize_into(&mut out).expect("writing to memory does not fail");
    out
}

pub(crate) fn set_of(bytes: &[u8]) -> Result<RoaringBitmap> {
    RoaringBitmap::deserialize_from(bytes).map_err(|_| Error::Interrupted)
}

pub(crate) fn bitmap(subjects: impl IntoIterator<Item = SubjectNo>) -> RoaringBitmap {
    subjects.into_iter().filter(|subject| *subject != SubjectNo::NOBODY).map(|subject| subject.0).collect()
}

#[cfg(test)]
mod tests {
    use cofferdam_model::policy::Role;
    use serde_json::{Value, json};

    use super::*;

    fn request(value: Value) -> DisclosureRequest {
        serde_json::from_value::<DisclosureRequest>(value).unwrap().checked().unwrap_or_else(|error| panic!("{error}"))
    }

    fn recipient() -> String {
        age::x25519::Identity::generate().to_public().to_string()
    }

    fn persons(fields: Value, recipient: &str) -> Value {
        json!({"what": {"kind": "persons", "fields": fields}, "purpose": "migration", "format": "csv", "recipient": recipient})
    }

    #[test]
    fn what_means_the_same_has_one_hash_and_whatever_else_has_another() {
        let project = |id| Project::of_test(id);
        let recipient = recipient();
        let one = request(persons(json!(["phone", "email"]), &recipient));
        let same = request(persons(json!(["email", "phone", "email"]), &recipient));
        assert!(one.hash(&project(1), 7) == same.hash(&project(1), 7));
        let read_back: DisclosureRequest = serde_json::from_slice(&one.json()).unwrap();
        assert!(read_back.hash(&project(1), 7) == one.hash(&project(1), 7));
        assert!(one.hash(&project(2), 7) != one.hash(&project(1), 7), "another project");
        assert!(one.hash(&project(1), 8) != one.hash(&project(1), 7), "another member");
        let mut changed = persons(json!(["email", "phone"]), &recipient);
        changed["purpose"] = json!("analysis");
        assert!(request(changed).hash(&project(1), 7) != one.hash(&project(1), 7));
        let events = |value: &str| {
            request(json!({"what": {"kind": "events", "range": {"kind": "last", "count": 3, "unit": "day"},
                "matching": {"event": "Buy", "filters": [{"property": "n", "condition": {"op": "equals", "values": [value]}}]}},
                "purpose": "analysis", "format": "ndjson"}))
        };
        assert!(events("a").hash(&project(1), 7) != events("b").hash(&project(1), 7), "one byte");
    }

    #[test]
    fn the_policy_asks_the_most_that_any_class_asks() {
        let recipient = recipient();
        let roles = |role| Roles::NONE.with(role);
        let approvals = |value: Value, role| request(value).needed(roles(role)).map(|needed| needed.approvals).ok();
        let reveal = |field: &str| {
            json!({"what": {"kind": "reveal", "person": "per_1", "field": field},
            "purpose": "support", "format": "ndjson"})
        };
        let events = json!({"what": {"kind": "events", "range": {"kind": "last", "count": 3, "unit": "day"}},
            "purpose": "analysis", "format": "csv"});
        assert_eq!(approvals(reveal("email"), Role::PrivacyOfficer), Some(0));
        assert_eq!(approvals(reveal("place"), Role::PrivacyOfficer), Some(1));
        assert_eq!(approvals(reveal("email"), Role::SupportAgent), Some(0));
        assert_eq!(approvals(reveal("other"), Role::SupportAgent), None);
        assert_eq!(approvals(reveal("email"), Role::OrgOwner), None);
        assert_eq!(approvals(events.clone(), Role::Analyst), Some(1));
        assert_eq!(approvals(events, Role::SupportAgent), None);
        assert_eq!(approvals(persons(json!(["email"]), &recipient), Role::PrivacyOfficer), Some(1));
        assert_eq!(approvals(persons(json!(["email", "other"]), &recipient), Role::PrivacyOfficer), Some(2));
        assert_eq!(approvals(persons(json!(["email"]), &recipient), Role::Analyst), None);
        let mail = request(persons(json!(["email"]), &recipient));
        assert!(mail.is_for_approval_by(roles(Role::DataSteward)));
        assert!(!mail.is_for_approval_by(roles(Role::PrivacyOfficer)));
    }

    #[test]
    fn what_cannot_be_run_safely_is_refused_before_it_is_kept() {
        let refused = |value: Value| {
            serde_json::from_value::<DisclosureRequest>(value).is_ok_and(|request| request.checked().is_err())
        };
        assert!(refused(persons(json!([]), &recipient())), "no field");
        assert!(refused(persons(json!(["email", "events"]), &recipient())), "two exports in one");
        assert!(refused(persons(json!(["email"]), "age1nobody")), "no key");
        let mut open = persons(json!(["email"]), "");
        open.as_object_mut().unwrap().remove("recipient");
        assert!(refused(open), "in clear");
        for purpose in ["notice", "package"] {
            let hidden = json!({"what": {"kind": "reveal", "person": "per_1", "field": "email"}, "purpose": purpose, "format": "csv"});
            assert!(refused(hidden), "a scope leaves {purpose} out");
        }
        let reveal = json!({"what": {"kind": "reveal", "person": "per_1", "field": "events"}, "purpose": "support", "format": "csv"});
        assert!(refused(reveal));
    }
}
