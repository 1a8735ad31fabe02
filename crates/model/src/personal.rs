//! What personal values are about, coarsely enough to be numbered once and for all: what a disclosure names, and what
//! the ledger says was disclosed. Never which value.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Class;

/// What a personal value is about. The numbers are stored: they never change, and none is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum PersonalField {
    /// Ids that the customer gave the person.
    DistinctId = 0,
    Email = 1,
    Phone = 2,
    Name = 3,
    /// Postal address, place, coordinates.
    Place = 4,
    NetworkAddress = 5,
    Birth = 6,
    /// What they did: events, under their pseudonym.
    Events = 62,
    /// Whatever else is sealed: free text, values that only look personal, and whatever is sensitive.
    Other = 63,
}

impl PersonalField {
    pub const ALL: [PersonalField; 9] = [
        PersonalField::DistinctId,
        PersonalField::Email,
        PersonalField::Phone,
        PersonalField::Name,
        PersonalField::Place,
        PersonalField::NetworkAddress,
        PersonalField::Birth,
        PersonalField::Events,
        PersonalField::Other,
    ];

    /// The highest class that a value of the field can have: what is sensitive goes by [`PersonalField::Place`] and
    /// [`PersonalField::Other`] alone.
    pub const fn class(self) -> Class {
        match self {
            PersonalField::Events => Class::C2,
            PersonalField::Place | PersonalField::Other => Class::C4,
            _ => Class::C3,
        }
    }

    /// What it is called in answers.
    pub const fn name(self) -> &'static str {
        match self {
            PersonalField::DistinctId => "distinct_id",
            PersonalField::Email => "email",
            PersonalField::Phone => "phone",
            PersonalField::Name => "name",
            PersonalField::Place => "place",
            PersonalField::NetworkAddress => "network_address",
            PersonalField::Birth => "birth",
            PersonalField::Events => "events",
            PersonalField::Other => "other",
        }
    }

    pub const fn group(self) -> FieldGroup {
        match self {
            PersonalField::DistinctId | PersonalField::Name | PersonalField::Birth => FieldGroup::Identity,
            PersonalField::Email | PersonalField::Phone => FieldGroup::Contact,
            PersonalField::Place => FieldGroup::Place,
            PersonalField::NetworkAddress => FieldGroup::Device,
            PersonalField::Events => FieldGroup::Events,
            PersonalField::Other => FieldGroup::Other,
        }
    }
}

/// Fields that mean the same to whoever has to be told that they are out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldGroup {
    Identity,
    Contact,
    Place,
    Device,
    Events,
    Other,
}

impl FieldGroup {
    pub const ALL: [FieldGroup; 6] = [
        FieldGroup::Identity,
        FieldGroup::Contact,
        FieldGroup::Place,
        FieldGroup::Device,
        FieldGroup::Events,
        FieldGroup::Other,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            FieldGroup::Identity => "identity",
            FieldGroup::Contact => "contact",
            FieldGroup::Place => "place",
            FieldGroup::Device => "device",
            FieldGroup::Events => "events",
            FieldGroup::Other => "other",
        }
    }

    pub fn fields(self) -> FieldSet {
        PersonalField::ALL.into_iter().filter(|field| field.group() == self).collect()
    }
}

/// A set of personal fields: bit `n` is field `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(pub u64);

impl FieldSet {
    pub const EMPTY: FieldSet = FieldSet(0);

    pub const fn with(self, field: PersonalField) -> FieldSet {
        FieldSet(self.0 | 1 << field as u8)
    }

    pub const fn contains(self, field: PersonalField) -> bool {
        self.0 >> field as u8 & 1 == 1
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = PersonalField> {
        PersonalField::ALL.into_iter().filter(move |field| self.contains(*field))
    }
}

impl FromIterator<PersonalField> for FieldSet {
    fn from_iter<T: IntoIterator<Item = PersonalField>>(fields: T) -> FieldSet {
        fields.into_iter().fold(FieldSet::EMPTY, FieldSet::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_fields_it_was_made_of_and_no_other() {
        let set: FieldSet = [PersonalField::Email, PersonalField::Other].into_iter().collect();
        let has: Vec<PersonalField> = PersonalField::ALL.into_iter().filter(|field| set.contains(*field)).collect();
        assert_eq!(has, [PersonalField::Email, PersonalField::Other]);
        assert_eq!(set.0, 1 << 1 | 1 << 63);
        assert!(FieldSet::EMPTY.is_empty() && !set.is_empty());
    }
}
