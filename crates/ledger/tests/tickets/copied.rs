use cofferdam_ledger::DisclosureTicket;

fn main() {}

fn copy(ticket: &DisclosureTicket) -> DisclosureTicket {
    DisclosureTicket::clone(ticket)
}
