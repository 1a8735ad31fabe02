use cofferdam_ledger::{DisclosureTicket, Intent};

fn main() {}

fn issue(intent: Intent) -> DisclosureTicket {
    DisclosureTicket::issue(0, intent)
}
