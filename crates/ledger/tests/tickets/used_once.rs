use cofferdam_ledger::DisclosureTicket;

pub fn open(_: DisclosureTicket) {}

pub fn once(ticket: DisclosureTicket) {
    open(ticket);
}
