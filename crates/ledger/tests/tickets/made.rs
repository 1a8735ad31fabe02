use cofferdam_ledger::{DisclosureTicket, RoaringBitmap};
use cofferdam_model::{FieldSet, OrgId, ProjectId};

fn main() {
    let _ticket = DisclosureTicket {
        seq: 0,
        org: OrgId(1),
        project: ProjectId(1),
        fields: FieldSet(u64::MAX),
        subjects: RoaringBitmap::full(),
    };
}
