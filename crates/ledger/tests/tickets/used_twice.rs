use cofferdam_ledger::DisclosureTicket;

fn main() {}

fn open(_: DisclosureTicket) {}

fn twice(ticket: DisclosureTicket) {
    open(ticket);
    open(ticket);
}
