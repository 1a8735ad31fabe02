//! Who may do what: a table of role × class of data × deed, and one of role × control, as data rather than a language.
//!
//! `crates/model/policy_matrix.csv` and `crates/model/policy_controls.csv` say the same for people; tests compare
//! every cell. What no cell names is denied: an unknown role, class, deed or control has no line here at all.
//!
//! Sealed, locked, tripped and of another organisation are denied before these tables are read, elsewhere: no cell
//! overrides them. Several roles may sit on one member; the most permissive cell counts then.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Class;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal: $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            #[doc = concat!("The ", $what, " as it is written in the table.")]
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            #[doc = concat!("The ", $what, " of a word; none for one that is not in the table.")]
            pub fn of_word(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.word() == word)
            }
        }
    };
}

words! {
    /// What somebody is, in an organisation. The order gives each its bit in databases: append only.
    Role, "role":
    OrgOwner = "org_owner",
    OrgAdmin = "org_admin",
    ProjectAdmin = "project_admin",
    Viewer = "viewer",
    Analyst = "analyst",
    SupportAgent = "support_agent",
    PrivacyOfficer = "privacy_officer",
    /// Approves what others ask for, and asks for nothing.
    DataSteward = "data_steward",
    IncidentCommander = "incident_commander",
    Responder = "responder",
    Auditor = "auditor",
    VendorManager = "vendor_manager",
    /// Sees test projects only.
    Developer = "developer",
    /// Runs the server, at its command line.
    PlatformOperator = "platform_operator",
    KeyCustodian = "key_custodian",
    /// A project's public token.
    SvcIngest = "svc_ingest",
    SvcQuery = "svc_query",
    /// A token for one approved export.
    SvcExport = "svc_export",
    SvcVendorGateway = "svc_vendor_gateway",
    /// A person whose data it is.
    DataSubject = "data_subject",
}

words! {
    /// What is done with data of a class.
    Deed, "deed":
    Ingest = "ingest",
    QueryAgg = "query_agg",
    ReadRow = "read_row",
    RevealOne = "reveal_one",
    ExportBulk = "export_bulk",
    VendorSend = "vendor_send",
    ApproveExport = "approve_export",
    Erase = "erase",
}

words! {
    /// What is done with the installation rather than with data.
    Control, "control":
    ReadReports = "read_reports",
    EditCohorts = "edit_cohorts",
    /// Look for persons by an address.
    SeekPersons = "seek_persons",
    ReadErasures = "read_erasures",
    /// The tracking plan, and classes upwards.
    ChangePlan = "change_plan",
    LowerClass = "lower_class",
    HandleQuarantine = "handle_quarantine",
    /// How long events and their values are kept: shorter destroys.
    SetRetention = "set_retention",
    ManageProjects = "manage_projects",
    Compact = "compact",
    ReadMembers = "read_members",
    ManageMembers = "manage_members",
    ManageRoles = "manage_roles",
    /// Be the second person of a change of roles.
    ApproveRoles = "approve_roles",
    SetFactorPolicy = "set_factor_policy",
    ReadTokens = "read_tokens",
    ManageQueryTokens = "manage_query_tokens",
    ManageExportTokens = "manage_export_tokens",
    RevokeTokens = "revoke_tokens",
    Lock = "lock",
    Unlock = "unlock",
    ReadLocks = "read_locks",
    /// How many are affected by an incident.
    ViewScope = "view_scope",
    /// Who is affected by an incident.
    ListScope = "list_scope",
    DeclareIncident = "declare_incident",
    PublishNotice = "publish_notice",
    ManageVendors = "manage_vendors",
    ActivateVendor = "activate_vendor",
    KillVendor = "kill_vendor",
    ReadLedger = "read_ledger",
}

impl Role {
    /// Roles that a member of an organisation can hold. The others belong to whoever runs the server, to tokens and to
    /// persons.
    pub const OF_MEMBERS: &[Role] = Role::ALL.split_at(13).0;
}

/// A set of roles: bit `n` is role `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Roles(u32);

impl Roles {
    pub const NONE: Roles = Roles(0);

    /// What the first member of an organisation holds, so that a small team can work.
    pub const FIRST_MEMBER: Roles =
        Roles::NONE.with(Role::OrgOwner).with(Role::ProjectAdmin).with(Role::Analyst).with(Role::PrivacyOfficer);

    pub const fn with(self, role: Role) -> Roles {
        Roles(self.0 | 1 << role as u32)
    }

    pub const fn has(self, role: Role) -> bool {
        self.0 >> role as u32 & 1 == 1
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.iter().copied().filter(move |role| self.has(*role))
    }

    /// What is in this set and not in the other.
    pub const fn without(self, other: Roles) -> Roles {
        Roles(self.0 & !other.0)
    }

    /// As it is stored.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// As it was stored; bits of a newer version's roles grant nothing here.
    pub fn of_bits(bits: u32) -> Roles {
        Roles(bits & ((1 << Role::ALL.len()) - 1))
    }

    /// Whether nothing in any table is allowed more freely to `other` than to these roles. Whoever gives away no more
    /// than they hold cannot raise anybody above themselves.
    pub fn cover(self, other: Roles) -> bool {
        let data = Deed::ALL.iter().all(|deed| {
            CLASSES.iter().all(|class| decide(other, *class, *deed).rank() <= decide(self, *class, *deed).rank())
        });
        data && Control::ALL.iter().all(|control| may(other, *control).rank() <= may(self, *control).rank())
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Roles {
        roles.into_iter().fold(Roles::NONE, Roles::with)
    }
}

const CLASSES: [Class; 6] = [Class::C0, Class::C1, Class::C2, Class::C3, Class::C4, Class::C5];

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Deny,
    Allow {
        /// In a coarser form.
        masked: bool,
        /// In test projects.
        test_only: bool,
        /// Nothing comes back.
        write_only: bool,
    },
    /// With a factor shown again for this very request.
    StepUp {
        /// A purpose is asked for, and a quota counts.
        with_quota: bool,
        /// Other people who must agree.
        approvals: u8,
    },
    /// May agree to what somebody else asks for.
    Approve,
    /// Of their own data.
    Own,
    /// Within one approved definition.
    Bound,
    /// What a contract lists.
    Contract,
}

use Decision::{Approve, Bound, Contract, Deny, Own};

const ALLOW: Decision = Decision::Allow { masked: false, test_only: false, write_only: false };
const MASKED: Decision = Decision::Allow { masked: true, test_only: false, write_only: false };
const TEST_ONLY: Decision = Decision::Allow { masked: false, test_only: true, write_only: false };
const WRITE_ONLY: Decision = Decision::Allow { masked: false, test_only: false, write_only: true };
const S: Decision = Decision::StepUp { with_quota: false, approvals: 0 };
const S1: Decision = Decision::StepUp { with_quota: false, approvals: 1 };
const S2: Decision = Decision::StepUp { with_quota: false, approvals: 2 };
const SQ: Decision = Decision::StepUp { with_quota: true, approvals: 0 };

impl Decision {
    /// The cell as it is written in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Deny => "-",
            Decision::Allow { masked: true, .. } => "A:masked",
            Decision::Allow { test_only: true, .. } => "A:testenv",
            Decision::Allow { write_only: true, .. } => "A:write_only",
            Decision::Allow { .. } => "A",
            Decision::StepUp { with_quota: true, .. } => "SQ",
            Decision::StepUp { approvals: 0, .. } => "S",
            Decision::StepUp { approvals: 1, .. } => "S1",
            Decision::StepUp { .. } => "S2",
            Approve => "APPROVE",
            Own => "OWN",
            Bound => "BOUND",
            Contract => "CONTRACT",
        }
    }

    /// How freely. Cells that hold for some objects only stand below those that hold for all.
    const fn rank(self) -> u8 {
        match self {
            Deny => 0,
            Contract => 1,
            Bound => 2,
            Own => 3,
            Approve => 4,
            Decision::Allow { test_only: true, .. } => 5,
            Decision::StepUp { with_quota, approvals } => {
                let fewer = 10 - if approvals > 9 { 9 } else { approvals };
                10 + 2 * fewer - with_quota as u8
            }
            Decision::Allow { write_only: true, .. } => 40,
            Decision::Allow { masked: true, .. } => 41,
            Decision::Allow { .. } => 42,
        }
    }

    fn freer(self, other: Decision) -> Decision {
        if other.rank() > self.rank() { other } else { self }
    }
}

/// What somebody with these roles may do with data of a class.
pub fn decide(roles: Roles, class: Class, deed: Deed) -> Decision {
    roles.iter().map(|role| cell(role, class, deed)).fold(Deny, Decision::freer)
}

/// The same for data as it is, where a coarser form will not do.
pub fn decide_in_clear(roles: Roles, class: Class, deed: Deed) -> Decision {
    let in_clear = |decision: &Decision| !matches!(decision, Decision::Allow { masked: true, .. });
    roles.iter().map(|role| cell(role, class, deed)).filter(in_clear).fold(Deny, Decision::freer)
}

/// What somebody with these roles may do with the installation.
pub fn may(roles: Roles, control: Control) -> Decision {
    roles.iter().map(|role| control_cell(role, control)).fold(Deny, Decision::freer)
}

fn cell(role: Role, class: Class, deed: Deed) -> Decision {
    use Class::{C0, C1, C2, C3, C4};
    use Deed::{ApproveExport, Erase, ExportBulk, Ingest, QueryAgg, ReadRow, RevealOne, VendorSend};
    use Role::{
        Analyst, Auditor, DataSteward, DataSubject, Developer, IncidentCommander, OrgAdmin, OrgOwner, PrivacyOfficer,
        ProjectAdmin, Responder, SupportAgent, SvcExport, SvcIngest, SvcQuery, SvcVendorGateway, VendorManager, Viewer,
    };
    match (role, class, deed) {
        (
            OrgOwner | OrgAdmin | ProjectAdmin | Viewer | Analyst | SupportAgent | PrivacyOfficer | DataSteward
            | IncidentCommander | Responder | Auditor | VendorManager | SvcQuery,
            C0,
            QueryAgg,
        ) => ALLOW,
        (Analyst | PrivacyOfficer | SvcQuery, C1, QueryAgg) => ALLOW,
        (Analyst | PrivacyOfficer, C2, QueryAgg) => ALLOW,

        (Analyst, C1, ReadRow) => ALLOW,
        (Analyst, C2, ReadRow) => MASKED,
        (Analyst, C1 | C2, ExportBulk) => S1,

        (SupportAgent, C1 | C2, ReadRow) => SQ,
        (SupportAgent, C3, RevealOne) => SQ,

        (PrivacyOfficer, C1 | C2, ReadRow) => S,
        (PrivacyOfficer, C3, RevealOne) => SQ,
        (PrivacyOfficer, C4, RevealOne) => S1,
        (PrivacyOfficer, C1 | C2 | C3, ExportBulk) => S1,
        (PrivacyOfficer, C4, ExportBulk) => S2,
        (PrivacyOfficer, C1 | C2 | C3 | C4, Erase) => S1,

        (DataSteward, C1 | C2 | C3 | C4, ApproveExport) => S,
        (DataSteward, C1 | C2 | C3 | C4, Erase) => Approve,

        (Developer, C0 | C1, QueryAgg) => TEST_ONLY,
        (Developer, C1, ReadRow) => TEST_ONLY,

        (SvcIngest, C1 | C2 | C3 | C4, Ingest) => WRITE_ONLY,
        (SvcExport, C1 | C2, ReadRow) => Bound,
        (SvcExport, C1 | C2 | C3, ExportBulk) => Bound,
        (SvcVendorGateway, C1 | C2 | C3, VendorSend) => Contract,

        (DataSubject, C1 | C2, ReadRow) => Own,
        (DataSubject, C3 | C4, RevealOne | ExportBulk) => Own,
        (DataSubject, C1 | C2 | C3 | C4, Erase) => Own,
        _ => Deny,
    }
}

fn control_cell(role: Role, control: Control) -> Decision {
    use Control as Do;
    use Role::{
        Analyst, Auditor, DataSteward, Developer, IncidentCommander, OrgAdmin, OrgOwner, PrivacyOfficer, ProjectAdmin,
        Responder, SupportAgent, SvcQuery, VendorManager, Viewer,
    };
    match (role, control) {
        (
            OrgOwner | OrgAdmin | ProjectAdmin | Viewer | Analyst | SupportAgent | PrivacyOfficer | DataSteward
            | IncidentCommander | Responder | Auditor | VendorManager | SvcQuery,
            Do::ReadReports,
        ) => ALLOW,
        (Developer, Do::ReadReports) => TEST_ONLY,
        (Analyst | ProjectAdmin, Do::EditCohorts) => ALLOW,
        (SupportAgent | PrivacyOfficer, Do::SeekPersons) => ALLOW,
        (PrivacyOfficer | DataSteward | Auditor, Do::ReadErasures) => ALLOW,
        (ProjectAdmin | PrivacyOfficer, Do::ChangePlan | Do::HandleQuarantine | Do::Compact) => ALLOW,
        (PrivacyOfficer, Do::LowerClass) => S1,
        (ProjectAdmin | PrivacyOfficer, Do::SetRetention) => S,
        (OrgOwner | ProjectAdmin, Do::ManageProjects) => ALLOW,

        (
            OrgOwner | OrgAdmin | PrivacyOfficer | IncidentCommander | Responder | Auditor,
            Do::ReadMembers | Do::ReadLocks,
        ) => ALLOW,
        (OrgOwner | OrgAdmin, Do::ManageMembers | Do::ManageRoles) => S,
        (OrgOwner | OrgAdmin | PrivacyOfficer, Do::ApproveRoles) => S,
        (OrgOwner, Do::SetFactorPolicy) => S1,

        (
            OrgOwner | OrgAdmin | ProjectAdmin | Analyst | PrivacyOfficer | DataSteward | IncidentCommander | Responder
            | Developer,
            Do::ReadTokens | Do::RevokeTokens,
        ) => ALLOW,
        (Auditor, Do::ReadTokens) => ALLOW,
        (Analyst | PrivacyOfficer, Do::ManageQueryTokens) => S,
        (DataSteward, Do::ManageExportTokens) => S1,

        // Stopping is cheap, and starting again takes two.
        (OrgOwner | OrgAdmin | PrivacyOfficer | IncidentCommander | Responder, Do::Lock) => S,
        (OrgOwner | OrgAdmin | PrivacyOfficer | IncidentCommander | Responder, Do::Unlock) => S1,
        (IncidentCommander | Responder | PrivacyOfficer | Auditor, Do::ViewScope) => ALLOW,
        (PrivacyOfficer, Do::ListScope) => S1,
        (DataSteward | IncidentCommander, Do::ListScope) => Approve,
        (IncidentCommander | Responder | PrivacyOfficer, Do::DeclareIncident) => S,
        (IncidentCommander | PrivacyOfficer, Do::PublishNotice) => S1,

        (VendorManager, Do::ManageVendors) => ALLOW,
        (VendorManager | PrivacyOfficer, Do::ActivateVendor) => S1,
        (VendorManager | PrivacyOfficer | IncidentCommander | Responder, Do::KillVendor) => S,
        (OrgOwner | PrivacyOfficer | Auditor, Do::ReadLedger) => ALLOW,
        _ => Deny,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MATRIX: &str = include_str!("../policy_matrix.csv");
    const CONTROLS: &str = include_str!("../policy_controls.csv");

    /// Cells of a table by their other columns.
    fn golden(text: &str) -> BTreeMap<String, String> {
        let mut cells = BTreeMap::new();
        for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
            let (at, cell) = line.rsplit_once(',').expect("a cell");
            assert!(cells.insert(at.to_owned(), cell.to_owned()).is_none(), "{at} stands twice");
        }
        cells
    }

    #[test]
    fn every_cell_of_data_is_as_in_the_golden_file() {
        let mut golden = golden(MATRIX);
        for role in Role::ALL {
            for class in CLASSES {
                for deed in Deed::ALL {
                    let at = format!("{},{class:?},{}", role.word(), deed.word());
                    let decision = decide(Roles::NONE.with(*role), class, *deed);
                    assert_eq!(golden.remove(&at).as_deref(), Some(decision.word()), "{at}");
                }
            }
        }
        assert!(golden.is_empty(), "in the file and not here: {golden:?}");
    }

    #[test]
    fn every_cell_of_control_is_as_in_the_golden_file() {
        let mut golden = golden(CONTROLS);
        for role in Role::ALL {
            for control in Control::ALL {
                let at = format!("{},{}", role.word(), control.word());
                let decision = may(Roles::NONE.with(*role), *control);
                assert_eq!(golden.remove(&at).as_deref(), Some(decision.word()), "{at}");
            }
        }
        assert!(golden.is_empty(), "in the file and not here: {golden:?}");
    }

    #[test]
    fn what_is_unknown_is_denied() {
        assert_eq!((Role::of_word("root"), Deed::of_word("copy"), Control::of_word("all")), (None, None, None));
        assert_eq!(Roles::of_bits(u32::MAX).bits(), (1 << Role::ALL.len()) - 1);
        for class in CLASSES {
            assert!(Deed::ALL.iter().all(|deed| decide(Roles::NONE, class, *deed) == Deny));
        }
        assert!(Control::ALL.iter().all(|control| may(Roles::NONE, *control) == Deny));
    }

    #[test]
    fn more_roles_never_allow_less_and_the_freest_cell_counts() {
        for one in Role::ALL {
            for other in Role::ALL {
                let (single, both) = (Roles::NONE.with(*one), Roles::NONE.with(*one).with(*other));
                assert!(both.cover(single), "{one:?} with {other:?}");
            }
        }
        let both = Roles::NONE.with(Role::Analyst).with(Role::PrivacyOfficer);
        assert_eq!(decide(both, Class::C1, Deed::ReadRow), ALLOW);
        assert_eq!(decide(both, Class::C3, Deed::RevealOne), SQ);
    }

    #[test]
    fn a_coarser_form_for_nothing_takes_away_no_way_to_the_data_as_it_is() {
        let both = Roles::NONE.with(Role::Analyst).with(Role::PrivacyOfficer);
        assert_eq!(
            (decide(both, Class::C2, Deed::ReadRow), decide_in_clear(both, Class::C2, Deed::ReadRow)),
            (MASKED, S)
        );
        for role in Role::ALL {
            for (class, deed) in CLASSES.iter().flat_map(|class| Deed::ALL.iter().map(move |deed| (*class, *deed))) {
                let (any, clear) = (cell(*role, class, deed), decide_in_clear(Roles::NONE.with(*role), class, deed));
                assert!(clear == if any == MASKED { Deny } else { any }, "{role:?} {class:?} {deed:?}");
            }
        }
    }

    #[test]
    fn no_role_of_a_member_has_a_personal_value_without_a_step_up() {
        for role in Role::OF_MEMBERS {
            for class in [Class::C3, Class::C4, Class::C5] {
                for deed in Deed::ALL {
                    let decision = decide(Roles::NONE.with(*role), class, *deed);
                    assert!(
                        matches!(decision, Deny | Approve | Decision::StepUp { .. }),
                        "{role:?} {class:?} {deed:?}: {decision:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn whoever_may_start_something_again_may_stop_it() {
        for role in Role::ALL {
            let roles = Roles::NONE.with(*role);
            assert!(may(roles, Control::Lock).rank() >= may(roles, Control::Unlock).rank(), "{role:?}");
            assert!(may(roles, Control::KillVendor).rank() >= may(roles, Control::ActivateVendor).rank(), "{role:?}");
        }
    }

    #[test]
    fn an_administrator_covers_nobody_who_reads_rows_or_persons() {
        let admin = Roles::NONE.with(Role::OrgAdmin);
        assert!(admin.cover(Roles::NONE.with(Role::Viewer)));
        for role in [Role::OrgOwner, Role::Analyst, Role::SupportAgent, Role::PrivacyOfficer, Role::DataSteward] {
            assert!(!admin.cover(Roles::NONE.with(role)), "{role:?}");
        }
        assert!(Roles::FIRST_MEMBER.cover(Roles::NONE.with(Role::Analyst).with(Role::PrivacyOfficer)));
        assert!(!Roles::FIRST_MEMBER.cover(Roles::NONE.with(Role::DataSteward)));
    }
}
