//! The only way out for personal values: by a ticket of the ledger, which is there only when what is about to be seen
//! was written down, and of exactly the subjects and fields that the ticket names.

use std::collections::HashMap;

use cofferdam_ledger::DisclosureTicket;
use cofferdam_model::{Class, FieldSet, OrgId, PersonalField, ProjectId, SubjectNo};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::firewall::judge;
use crate::keys::aad;
use crate::plan::Plan;
use crate::{Error, Result, Vault};

/// Personal values, open. No `Debug`, no `Serialize`, not copied, and overwritten when it is dropped.
pub struct Disclosed {
    /// The ledger's entry that allowed it.
    pub seq: u64,
    persons: Vec<DisclosedSubject>,
}

/// What was opened of one subject.
pub struct DisclosedSubject {
    pub subject: SubjectNo,
    values: Vec<DisclosedValue>,
}

struct DisclosedValue {
    field: PersonalField,
    name: Zeroizing<String>,
    /// As JSON.
    json: Zeroizing<String>,
}

impl Disclosed {
    /// By subject number, each that the ticket names and something is known of.
    pub fn subjects(&self) -> &[DisclosedSubject] {
        &self.persons
    }
}

impl DisclosedSubject {
    /// Field, name and value (as JSON) of each property.
    pub fn values(&self) -> impl Iterator<Item = (PersonalField, &str, &str)> {
        self.values.iter().map(|value| (value.field, value.name.as_str(), value.json.as_str()))
    }
}

/// What a sealed property is about, by its name. What no name tells is [`PersonalField::Other`].
pub fn field_of(name: &str) -> PersonalField {
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let is_word =
        |words: &[&str]| name.split(|letter: char| !letter.is_alphanumeric()).any(|part| words.contains(&part));
    match () {
        () if has(&["distinct_id", "distinct id", "user_id"]) => PersonalField::DistinctId,
        () if has(&["mail", "correo"]) => PersonalField::Email,
        () if has(&["phone", "mobile", "telefono", "movil", "cellulare", "whatsapp"]) => PersonalField::Phone,
        () if has(&["birth", "nacimiento", "nascita"]) || is_word(&["dob", "age"]) => PersonalField::Birth,
        () if is_word(&["ip"]) || has(&["ip_address", "ipaddress"]) => PersonalField::NetworkAddress,
        () if has(&[
            "address",
            "street",
            "city",
            "postcode",
            "postal",
            "latitude",
            "longitude",
            "direccion",
            "indirizzo",
        ]) || is_word(&["zip", "lat", "lon", "lng"]) =>
        {
            PersonalField::Place
        }
        () if has(&["name", "nombre", "apellido", "cognome"]) || is_word(&["nome"]) => PersonalField::Name,
        () => PersonalField::Other,
    }
}

/// What a sealed value is about: as its name says, unless the value or the plan is more sensitive than what it says.
pub(crate) fn field_of_value(name: &str, value: &Value, plan: &Plan) -> PersonalField {
    let field = field_of(name);
    // What the name says comes first with the door; here the value has a say of its own.
    let shape = crate::finds("", value).map_or(Class::C0, |(class, _)| class);
    let class = judge(name, value).class.max(shape).max(plan.class(name).unwrap_or(Class::C0));
    if class > field.class() { PersonalField::Other } else { field }
}

impl Vault {
    /// What the subjects of a ticket are called, for rows that leave under their pseudonyms. The ticket is used up.
    ///
    /// # Errors
    /// When the ticket is for an organisation that the project is not of, or is sealed.
    pub async fn name_rows(&self, ticket: DisclosureTicket) -> Result<HashMap<SubjectNo, String>> {
        self.check_owner(ticket.org(), ticket.project())?;
        let subjects: Vec<SubjectNo> = ticket.subjects().collect();
        self.pseudonyms(ticket.project(), &subjects).await
    }

    /// Opens what a ticket names, and nothing else: of exactly its subjects, exactly its fields. The ticket is used up,
    /// whether this succeeds or not.
    ///
    /// # Errors
    /// When the ticket is for an organisation that the project is not of, or a value does not open.
    pub async fn disclose(&self, ticket: DisclosureTicket) -> Result<Disclosed> {
        let (org, project, fields) = (ticket.org(), ticket.project(), ticket.fields());
        self.check_owner(org, project)?;
        let subjects: Vec<SubjectNo> = ticket.subjects().collect();
        let plan = self.plans.of(project);
        let is_ids_alone = fields == FieldSet::EMPTY.with(PersonalField::DistinctId);
        let mut profiles = match is_ids_alone && !self.profiles.have_ids(project, &plan, &subjects).await? {
            true => HashMap::new(),
            false => self.profiles.read(&self.keys, project, &subjects).await?,
        };
        let mut ids = match fields.contains(PersonalField::DistinctId) {
            true => self.open_ids(project, &subjects).await?,
            false => HashMap::new(),
        };
        let mut persons = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let mut values: Vec<DisclosedValue> = Vec::new();
            if let Some(id) = ids.remove(&subject) {
                let json = Zeroizing::new(Value::from(id.as_str()).to_string());
                values.push(DisclosedValue {
                    field: PersonalField::DistinctId,
                    name: Zeroizing::new("distinct_id".to_owned()),
                    json,
                });
            }
            if let Some(profile) = profiles.remove(&subject) {
                for (name, value) in profile.personal() {
                    let field = field_of_value(name, value, &plan);
                    if fields.contains(field) {
                        let json = Zeroizing::new(value.to_string());
                        values.push(DisclosedValue { field, name: Zeroizing::new(name.clone()), json });
                    }
                }
            }
            if !values.is_empty() {
                persons.push(DisclosedSubject { subject, values });
            }
        }
        Ok(Disclosed { seq: ticket.seq(), persons })
    }

    fn check_owner(&self, org: OrgId, project: ProjectId) -> Result<()> {
        if self.keys.project(project)?.org != org {
            return Err(Error::UnknownProject(project));
        }
        Ok(())
    }

    /// The ids that subjects were made for.
    async fn open_ids(
        &self,
        project: ProjectId,
        subjects: &[SubjectNo],
    ) -> Result<HashMap<SubjectNo, Zeroizing<String>>> {
        let keys = self.keys.project(project)?;
        let mut found = HashMap::with_capacity(subjects.len());
        for (subject, sealed) in self.identities.sealed_ids(project, subjects).await? {
            let aad = aad("id", &[keys.org.0, project.0, subject.0]);
            let bytes = keys.ids.open(&aad, &sealed)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| Error::CannotOpen)?;
            found.insert(subject, Zeroizing::new(text.to_owned()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_value_is_about() {
        let expected = [
            ("$email", PersonalField::Email),
            ("Work E-Mail", PersonalField::Email),
            ("customer_phone", PersonalField::Phone),
            ("$name", PersonalField::Name),
            ("First Name", PersonalField::Name),
            ("shipping_address", PersonalField::Place),
            ("ip", PersonalField::NetworkAddress),
            ("ip_address", PersonalField::NetworkAddress),
            ("shipment", PersonalField::Other),
            ("dob", PersonalField::Birth),
            ("note", PersonalField::Other),
        ];
        for (name, field) in expected {
            assert_eq!(field_of(name), field, "{name}");
        }
    }

    #[test]
    fn what_is_sensitive_goes_by_no_harmless_name() {
        let plan = Plan::default();
        let text = |name: &str, value: &str| field_of_value(name, &Value::from(value), &plan);
        assert_eq!(text("$name", "Ada Lovelace"), PersonalField::Name);
        assert_eq!(text("$name", "ES9121000418450200051332"), PersonalField::Other, "a bank account");
        assert_eq!(text("street", "12 St James's Square"), PersonalField::Place);
    }
}
