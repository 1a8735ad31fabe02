//! Writes the demo world as the bodies of requests: what its people do, day by day, as JSON.
//!
//! Invariants
//! - Same world, same bytes. Times, ids and choices all come from [`Rng`] streams named by developer and day.
//! - No event is later than the world's end. An event that would be is not written, rather than moved.
//! - A batch holds at most [`BATCH_RECORDS_MAX`] records and about [`BATCH_BYTES_MAX`] bytes, whichever is first.
//! - `$insert_id` is a function of (world, person, day, number of the event in that day): a batch that is sent
//!   twice changes nothing.
//!
//! JSON is written by hand into one byte buffer, because a world is a million events and the machine is shared
//! with the server that receives them. Keys are literals; every value that is not a literal goes through
//! [`Json::text`](super::json::Json::text), which escapes.

use super::json::{Json, write_hex, write_integer, write_string};
use super::tables::{BROWSERS, CHANNELS, Channel, INVITE, LANGUAGES, MODELS, NEW_MODEL, PLACES, PLANS, WAVE_MODEL};
use super::world::{DAYS, Developer, Rng, Stream, World, device_id, plan, round_by_chance, wave_day};

/// Most records a Mixpanel-compatible door takes in one request.
pub(crate) const BATCH_RECORDS_MAX: u32 = 2000;
/// Below the 2 MiB that the same door takes, with room for the last record.
const BATCH_BYTES_MAX: usize = 1_900_000;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Activity by local hour: quiet nights, a dip at lunch.
const HOURS: [u32; 24] = [2, 1, 1, 1, 1, 2, 5, 12, 28, 52, 64, 62, 48, 53, 62, 60, 55, 44, 30, 24, 22, 18, 10, 5];

const DOCS: [&str; 9] = [
    "guides/streaming",
    "guides/function-calling",
    "reference/completions",
    "reference/errors",
    "guides/rate-limits",
    "guides/embeddings",
    "cookbook/agents",
    "reference/models",
    "guides/fine-tuning",
];
const LANDING: [&str; 5] = ["/", "/pricing", "/docs", "/models", "/blog/long-context"];
const CONSOLE: [&str; 5] = ["usage", "api-keys", "billing", "playground", "limits"];
const ENDPOINTS: [(&str, u32); 5] = [
    ("/v1/completions", 62),
    ("/v1/embeddings", 20),
    ("/v1/images", 6),
    ("/v1/audio/transcriptions", 8),
    ("/v1/fine_tuning/jobs", 4),
];
const ERRORS: [(u32, &str, u32); 6] = [
    (400, "invalid_request", 40),
    (401, "invalid_api_key", 14),
    (404, "model_not_found", 8),
    (429, "rate_limit_exceeded", 18),
    (500, "server_error", 12),
    (503, "overloaded", 8),
];
/// By model: median latency in ms and price of a thousand tokens in millionths of a dollar.
const MODEL_COST: [(f64, u32); 5] = [(1400.0, 9000), (420.0, 1200), (900.0, 5000), (300.0, 600), (650.0, 3000)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Events,
    Profiles,
    Groups,
}

pub(crate) struct Batch {
    pub(crate) route: Route,
    /// A JSON array.
    pub(crate) body: Vec<u8>,
    pub(crate) records: u32,
}

/// By which door events go: `/import` knows the project from the request, `/track` from a property.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Import,
    Track,
}

/// Whether a sign-up takes its minutes, or has just been completed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    World,
    Live,
}

/// The properties that a person's browser sends with every event; written once for each person.
pub(crate) fn visitor_json(device_id: &str, browser: u8, place: u8) -> String {
    let (browser, os, _) = BROWSERS[usize::from(browser)];
    let place = &PLACES[usize::from(place)];
    let mut out = Vec::with_capacity(160);
    let mut json = Json(&mut out);
    json.text("$device_id", device_id);
    json.text("$browser", browser);
    json.text("$os", os);
    json.text("mp_country_code", place.country);
    json.text("$city", place.city);
    String::from_utf8(out).unwrap_or_default()
}

pub(crate) fn member_json(user_id: &str, organisation: Option<&str>, language: &str) -> String {
    let mut out = Vec::with_capacity(120);
    let mut json = Json(&mut out);
    json.text("$user_id", user_id);
    if let Some(organisation) = organisation {
        json.text("organization_id", organisation);
    }
    json.text("sdk_language", language);
    String::from_utf8(out).unwrap_or_default()
}

/// Who does something: the id and the properties on all their events, and the source of their insert ids.
pub(crate) struct Actor {
    distinct_id: String,
    json: String,
    insert_ids: Rng,
}

/// Collects records into batches and hands each full one on.
pub(crate) struct Batches<'a> {
    door: Door,
    token: &'a str,
    not_after_ms: i64,
    route: Route,
    body: Vec<u8>,
    records: u32,
    deliver: &'a mut dyn FnMut(Batch),
}

impl<'a> Batches<'a> {
    pub(crate) fn new(door: Door, token: &'a str, not_after_ms: i64, deliver: &'a mut dyn FnMut(Batch)) -> Self {
        Self { door, token, not_after_ms, route: Route::Events, body: Vec::new(), records: 0, deliver }
    }

    pub(crate) fn flush(&mut self) {
        if self.records == 0 {
            return;
        }
        self.body.push(b']');
        let next = Vec::with_capacity(self.body.capacity());
        let body = std::mem::replace(&mut self.body, next);
        (self.deliver)(Batch { route: self.route, body, records: std::mem::take(&mut self.records) });
    }

    fn begin(&mut self, route: Route) -> &mut Vec<u8> {
        if route != self.route || self.records == BATCH_RECORDS_MAX || self.body.len() >= BATCH_BYTES_MAX {
            self.flush();
            self.route = route;
        }
        self.body.push(if self.records == 0 { b'[' } else { b',' });
        self.records += 1;
        &mut self.body
    }

    fn event(&mut self, name: &str, time_ms: i64, actor: &mut Actor, properties: impl FnOnce(&mut Json<'_>)) {
        let insert_id = actor.insert_ids.next();
        if time_ms > self.not_after_ms {
            return;
        }
        let token = (self.door == Door::Track).then_some(self.token);
        let out = self.begin(Route::Events);
        out.extend_from_slice(b"{\"event\":\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\",\"properties\":{\"time\":");
        write_integer(out, time_ms);
        out.extend_from_slice(b",\"distinct_id\":");
        write_string(out, &actor.distinct_id);
        out.extend_from_slice(b",\"$insert_id\":\"");
        write_hex(out, insert_id);
        out.push(b'"');
        out.extend_from_slice(actor.json.as_bytes());
        let mut json = Json(out);
        if let Some(token) = token {
            json.text("token", token);
        }
        properties(&mut json);
        out.extend_from_slice(b"}}");
    }

    /// What a company knows of its users, sent the way it should not be: the door sorts it.
    pub(crate) fn profile(&mut self, world: &World, developer: &Developer) {
        let token = self.token;
        let out = self.begin(Route::Profiles);
        out.extend_from_slice(b"{\"$distinct_id\":");
        write_string(out, &developer.user_id);
        let mut json = Json(out);
        json.text("$token", token);
        json.text("$ip", &developer.ip);
        json.key("$set");
        json.0.extend_from_slice(b"{\"$email\":");
        write_string(json.0, &developer.email);
        json.text("$name", &developer.name);
        if let Some(phone) = &developer.phone {
            json.text("$phone", phone);
        }
        json.text("plan", PLANS[usize::from(developer.initial_plan)].0);
        json.text("sdk_language", LANGUAGES[usize::from(developer.language)].0);
        json.text("signup_source", CHANNELS[usize::from(developer.channel)].name);
        if let Some(at) = developer.organisation {
            let organisation = &world.organisations[usize::from(at)];
            json.text("organization_id", &organisation.id);
            json.text("company", &organisation.name);
        }
        json.flag("invited", developer.invited());
        out.extend_from_slice(b"}}");
    }
}

impl World {
    fn day_start_ms(&self, day: i16) -> i64 {
        self.origin_s * 1000 + i64::from(day) * DAY_MS
    }

    pub(crate) fn end_ms(&self) -> i64 {
        self.options.now_s * 1000
    }

    /// Everything that happens on one day of the world, in local time of those who do it.
    pub(crate) fn write_day(&self, day: usize, out: &mut Batches<'_>) {
        if day == 0 {
            self.write_organisations(out);
        }
        let today = day as i16;
        for developer in &self.developers {
            if developer.signup_day == today || (day == 0 && developer.signup_day < 0) {
                out.profile(self, developer);
            }
        }
        self.write_visitors(day, out);
        let from = self.invites.partition_point(|invite| invite.sent_day < today);
        for invite in self.invites[from..].iter().take_while(|invite| invite.sent_day == today) {
            let invitee = &self.developers[invite.invitee as usize];
            let mut rng = Rng::new(self.options.seed, Stream::Activity, u64::from(invite.inviter) << 40 | day as u64);
            let time_ms = if invitee.signup_day == today {
                // Before it is accepted.
                let mut theirs = self.activity_rng(invite.invitee, day);
                self.session_start_ms(invitee.place, today, &mut theirs) - i64::from(10 + rng.below(120)) * 60_000
            } else {
                self.session_start_ms(self.developers[invite.inviter as usize].place, today, &mut rng)
            };
            let mut actor = self.member(invite.inviter, day, u64::from(invite.invitee) + 1);
            out.event("Invite Sent", time_ms, &mut actor, |json| json.text("invitee_email", &invitee.email));
        }
        for (number, developer) in self.developers.iter().enumerate() {
            if developer.active_on(day) || developer.first_visit_day == today {
                self.write_developer(number as u32, developer, day, out);
            }
        }
    }

    fn write_organisations(&self, out: &mut Batches<'_>) {
        for organisation in &self.organisations {
            let token = out.token;
            let body = out.begin(Route::Groups);
            body.extend_from_slice(b"{\"$group_key\":\"organization_id\"");
            let mut json = Json(body);
            json.text("$token", token);
            json.text("$group_id", &organisation.id);
            json.key("$set");
            json.0.extend_from_slice(b"{\"$name\":");
            write_string(json.0, &organisation.name);
            json.text("plan", PLANS[usize::from(organisation.plan)].0);
            json.text("industry", organisation.industry);
            json.text("region", organisation.region);
            json.number("seats", i64::from(organisation.members));
            json.text("billing_email", &format!("billing@{}.example", organisation.slug));
            body.extend_from_slice(b"}}");
        }
    }

    /// People who come, look at a page or three, and do not sign up.
    fn write_visitors(&self, day: usize, out: &mut Batches<'_>) {
        let mut number = 0u64;
        for (channel, &count) in self.visitors[day].iter().enumerate() {
            for _ in 0..count {
                number += 1;
                let key = 1 << 63 | (day as u64) << 40 | number;
                let mut rng = Rng::new(self.options.seed, Stream::Activity, key);
                let place = rng.weighted(&PLACES, |_| 1) as u8;
                let browser = rng.weighted(&BROWSERS, |b| b.2) as u8;
                let device_id = device_id(self.options.seed, key);
                let json = visitor_json(&device_id, browser, place);
                let mut actor = Actor {
                    distinct_id: format!("$device:{device_id}"),
                    json,
                    insert_ids: Rng::new(self.options.seed ^ self.origin_s as u64, Stream::InsertId, key),
                };
                let start_ms = self.session_start_ms(place, day as i16, &mut rng);
                let pages = 1 + u32::from(rng.chance(0.42)) + u32::from(rng.chance(0.28));
                self.visit(&CHANNELS[channel], start_ms, pages, &mut rng, &mut actor, out);
            }
        }
    }

    /// Page views of somebody not signed in; returns when they are through.
    pub(crate) fn visit(
        &self,
        channel: &Channel,
        start_ms: i64,
        pages: u32,
        rng: &mut Rng,
        actor: &mut Actor,
        out: &mut Batches<'_>,
    ) -> i64 {
        let mut time_ms = start_ms;
        for page in 0..pages {
            let path = if page == 0 && rng.chance(0.6) { LANDING[0] } else { rng.pick(&LANDING) };
            let first = page == 0;
            out.event("Page Viewed", time_ms, actor, |json| {
                json.text("page", path);
                match channel.utm {
                    Some([source, medium, campaign]) if first => {
                        json.text(
                            "$current_url",
                            &format!(
                                "https://www.brightwater.example{path}?utm_source={source}&utm_medium={medium}&utm_campaign={campaign}"
                            ),
                        );
                        json.text("utm_source", source);
                        json.text("utm_medium", medium);
                        json.text("utm_campaign", campaign);
                    }
                    _ => json.text("$current_url", &format!("https://www.brightwater.example{path}?lang=en&v=3")),
                }
                if first {
                    json.optional("$referrer", channel.referrer);
                }
            });
            time_ms += i64::from(8 + rng.below(110)) * 1000;
        }
        time_ms
    }

    fn activity_rng(&self, number: u32, day: usize) -> Rng {
        Rng::new(self.options.seed, Stream::Activity, u64::from(number) << 8 | day as u64)
    }

    fn session_start_ms(&self, place: u8, day: i16, rng: &mut Rng) -> i64 {
        let hour = rng.weighted(&HOURS, |&weight| weight) as i64;
        let local_ms = hour * HOUR_MS + i64::from(rng.below(HOUR_MS as u32));
        self.day_start_ms(day) + local_ms - i64::from(PLACES[usize::from(place)].offset_min) * 60_000
    }

    fn insert_ids(&self, number: u32, day: usize, purpose: u64) -> Rng {
        // The origin is part of it: a demo made on another day is another world, not a repetition.
        let key = purpose << 40 | u64::from(number) << 8 | day as u64;
        Rng::new(self.options.seed ^ self.origin_s as u64, Stream::InsertId, key)
    }

    fn member(&self, number: u32, day: usize, purpose: u64) -> Actor {
        member(&self.developers[number as usize], day, self.insert_ids(number, day, purpose))
    }

    fn write_developer(&self, number: u32, developer: &Developer, day: usize, out: &mut Batches<'_>) {
        let today = day as i16;
        let mut rng = self.activity_rng(number, day);
        let mut time_ms = self.session_start_ms(developer.place, today, &mut rng);
        if developer.first_visit_day == today || developer.signup_day == today {
            let mut visitor = visitor(developer, self.insert_ids(number, day, 1 << 22));
            let pages = if developer.invited() { 1 } else { 1 + rng.below(3) };
            let channel = &CHANNELS[usize::from(developer.channel)];
            time_ms = self.visit(channel, time_ms, pages, &mut rng, &mut visitor, out);
        }
        if !developer.active_on(day) {
            return;
        }
        let mut actor = self.member(number, day, 0);
        if developer.signup_day == today {
            time_ms = self.sign_up(developer, time_ms, Pace::World, &mut rng, &mut actor, out);
        }
        if developer.key_day == Some(today) {
            time_ms += i64::from(1 + rng.below(25)) * 60_000;
            create_key(time_ms, &mut rng, &mut actor, out);
        }
        if developer.first_call_day == Some(today) {
            time_ms += i64::from(2 + rng.below(40)) * 60_000;
            first_call(developer, time_ms, &mut rng, &mut actor, out);
        }
        if developer.upgrade_day == Some(today) || developer.cancel_day == Some(today) {
            time_ms += i64::from(1 + rng.below(10)) * 60_000;
            change_plan(developer, day, time_ms, &mut rng, &mut actor, out);
        }
        let events = 1 + round_by_chance(f64::from(developer.weight) * self.events_per_weight, &mut rng);
        // Busy days are dense, not endless: about ten hours at most.
        let gap_ms = (36_000_000 / events).min(150_000);
        let mut struck = wave_day(developer) == Some(day);
        for _ in 0..events {
            time_ms += i64::from(1000 + rng.below(gap_ms));
            if std::mem::take(&mut struck) {
                fail_request(developer, WAVE_MODEL, Wave::On, time_ms, &mut rng, &mut actor, out);
            } else {
                act(developer, day, time_ms, &mut rng, &mut actor, out);
            }
        }
    }

    /// The first event with both ids: it links the visitor's history to the user. Returns when they are through.
    pub(crate) fn sign_up(
        &self,
        developer: &Developer,
        time_ms: i64,
        pace: Pace,
        rng: &mut Rng,
        actor: &mut Actor,
        out: &mut Batches<'_>,
    ) -> i64 {
        let wait_ms = |from: u32, more: u32, rng: &mut Rng| match pace {
            Pace::World => i64::from(from + rng.below(more)) * 1000,
            Pace::Live => 0,
        };
        let mut time_ms = time_ms + wait_ms(20, 100, rng);
        let channel = &CHANNELS[usize::from(developer.channel)];
        let invited = developer.channel == INVITE;
        out.event("Signed Up", time_ms, actor, |json| {
            json.text("email", &developer.email);
            json.text("ip", &developer.ip);
            json.text("signup_source", channel.name);
            json.text("signup_method", ["password", "sso", "code-host"][rng.below(3) as usize]);
            let onboarding = if developer.signup_day >= plan::ONBOARDING_DAY as i16 { "v2" } else { "v1" };
            json.text("onboarding_version", onboarding);
            json.flag("invited", invited);
            json.optional("$referrer", channel.referrer);
            if let Some([source, ..]) = channel.utm {
                json.text("utm_source", source);
            }
            let url = match invited {
                // A real mistake of real sites: the address in the link of the invitation.
                true => format!("https://platform.brightwater.example/invite?email={}&code=k7Qp2", developer.email),
                false => "https://platform.brightwater.example/signup?step=3".to_owned(),
            };
            json.text("$current_url", &url);
        });
        if invited {
            time_ms += 1500;
            out.event("Invite Accepted", time_ms, actor, |json| json.text("page", "/invite"));
        }
        time_ms += wait_ms(30, 600, rng);
        if rng.chance(0.88) {
            out.event("Email Verified", time_ms, actor, |json| json.text("page", "/verify"));
        }
        time_ms
    }
}

pub(crate) fn visitor(developer: &Developer, insert_ids: Rng) -> Actor {
    Actor { distinct_id: format!("$device:{}", developer.device_id), json: developer.visitor_json.clone(), insert_ids }
}

pub(crate) fn member(developer: &Developer, day: usize, insert_ids: Rng) -> Actor {
    let plan = PLANS[usize::from(developer.plan_on(day))].0;
    let json = [&developer.visitor_json, &developer.member_json, ",\"plan\":\"", plan, "\""].concat();
    Actor { distinct_id: developer.user_id.clone(), json, insert_ids }
}

/// Looks like a secret key of an API, and is none.
fn secret(rng: &mut Rng) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    "sk-".chars().chain((0..48).map(|_| char::from(rng.pick(LETTERS)))).collect()
}

pub(crate) fn create_key(time_ms: i64, rng: &mut Rng, actor: &mut Actor, out: &mut Batches<'_>) {
    let leaked = rng.chance(0.03).then(|| secret(rng));
    out.event("API Key Created", time_ms, actor, |json| {
        json.text("scope", ["all", "read-only", "project"][rng.below(3) as usize]);
        if let Some(leaked) = &leaked {
            json.text("api_key", leaked);
        }
    });
}

pub(crate) fn first_call(developer: &Developer, time_ms: i64, rng: &mut Rng, actor: &mut Actor, out: &mut Batches<'_>) {
    let model = developer.model;
    out.event("First API Call", time_ms, actor, |json| {
        json.text("ip", &developer.ip);
        request_properties(model, rng, json);
    });
}

fn change_plan(
    developer: &Developer,
    day: usize,
    time_ms: i64,
    rng: &mut Rng,
    actor: &mut Actor,
    out: &mut Batches<'_>,
) {
    let dearer = usize::from(day >= plan::PRICE_DAY);
    if developer.upgrade_day == Some(day as i16) {
        let from = usize::from(developer.initial_plan);
        let (to, prices) = PLANS[from + 1];
        out.event("Plan Upgraded", time_ms, actor, |json| {
            json.text("from_plan", PLANS[from].0);
            json.text("to_plan", to);
            json.number("price", i64::from(prices[dearer]));
            json.text("currency", "USD");
        });
    }
    if developer.cancel_day == Some(day as i16) {
        let price_share = if dearer == 1 && day < plan::PRICE_DAY + plan::PRICE_DAYS { 0.8 } else { 0.2 };
        let reason =
            if rng.chance(price_share) { "price" } else { rng.pick(&["missing feature", "project ended", "other"]) };
        out.event("Plan Cancelled", time_ms, actor, |json| {
            json.text("from_plan", "pro");
            json.number("price", i64::from(PLANS[1].1[dearer]));
            json.text("reason", reason);
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wave {
    On,
    Off,
}

/// One thing a developer does at work, by how far they have come.
pub(crate) fn act(
    developer: &Developer,
    day: usize,
    time_ms: i64,
    rng: &mut Rng,
    actor: &mut Actor,
    out: &mut Batches<'_>,
) {
    let reached = |at: Option<i16>| at.is_some_and(|at| at <= day as i16);
    let called = reached(developer.first_call_day);
    let dice = rng.below(1000);
    let model = choose_model(developer, day, rng);
    let wave = if plan::WAVE_DAYS.contains(&day) && model == WAVE_MODEL { Wave::On } else { Wave::Off };
    match dice {
        ..520 if called => {
            let failures = if wave == Wave::On { plan::WAVE_FAILURES } else { 0.025 };
            if rng.chance(failures) {
                fail_request(developer, model, wave, time_ms, rng, actor, out);
            } else {
                let with_ip = rng.chance(0.2);
                out.event("API Request Completed", time_ms, actor, |json| {
                    request_properties(model, rng, json);
                    if with_ip {
                        json.text("ip", &developer.ip);
                    }
                });
            }
        }
        ..660 if reached(developer.key_day) => run_playground(model, time_ms, rng, actor, out),
        ..810 => read_docs(developer, called, time_ms, rng, actor, out),
        810..976 => {
            let page = rng.pick(&CONSOLE);
            out.event("Page Viewed", time_ms, actor, |json| {
                json.text("page", page);
                json.text("$current_url", &format!("https://platform.brightwater.example/{page}?range=30d&tab=all"));
            });
        }
        976..986 => {
            out.event("Feedback Given", time_ms, actor, |json| json.number("score", i64::from(1 + rng.below(5))))
        }
        // Invitations nobody takes up.
        986..991 if called => out.event("Invite Sent", time_ms, actor, |json| {
            json.text("invitee_email", &format!("guest{}@mail.example", rng.below(100_000)));
        }),
        986..996 if wave == Wave::Off => {
            out.event("Search Performed", time_ms, actor, |json| json.text("page", "docs"));
        }
        _ => open_ticket(developer, wave, time_ms, rng, actor, out),
    }
}

fn choose_model(developer: &Developer, day: usize, rng: &mut Rng) -> u8 {
    if let Some(since) = day.checked_sub(plan::MODEL_RELEASE_DAY)
        && rng.chance((0.04 + 0.012 * since as f64).min(0.45))
    {
        return NEW_MODEL;
    }
    if rng.chance(0.85) { developer.model } else { rng.weighted(&MODELS, |model| model.1) as u8 }
}

fn request_properties(model: u8, rng: &mut Rng, json: &mut Json<'_>) {
    let (latency_ms, price) = MODEL_COST[usize::from(model)];
    let tokens = 20 + rng.exponential(900.0) as u32;
    json.text("model", MODELS[usize::from(model)].0);
    json.text("endpoint", ENDPOINTS[rng.weighted(&ENDPOINTS, |e| e.1)].0);
    json.number("latency_ms", (latency_ms * (0.4 + rng.exponential(0.75))) as i64);
    json.number("tokens", i64::from(tokens));
    json.millionths("cost", (u64::from(tokens) * u64::from(price) / 1000) as u32);
    json.flag("streaming", rng.chance(0.4));
}

fn fail_request(
    developer: &Developer,
    model: u8,
    wave: Wave,
    time_ms: i64,
    rng: &mut Rng,
    actor: &mut Actor,
    out: &mut Batches<'_>,
) {
    let (code, kind, _) = if wave == Wave::On { ERRORS[3] } else { ERRORS[rng.weighted(&ERRORS, |e| e.2)] };
    // Servers that repeat the wrong key in the message of the error: the classical leak into analytics.
    let leaked = (code == 401 && rng.chance(0.25)).then(|| secret(rng));
    let with_ip = rng.chance(0.2);
    out.event("API Request Failed", time_ms, actor, |json| {
        json.number("error_code", i64::from(code));
        json.text("error_kind", kind);
        if let Some(leaked) = &leaked {
            json.text("error_message", &format!("incorrect api key provided: {leaked}"));
        }
        if with_ip {
            json.text("ip", &developer.ip);
        }
        request_properties(model, rng, json);
    });
}

fn run_playground(model: u8, time_ms: i64, rng: &mut Rng, actor: &mut Actor, out: &mut Batches<'_>) {
    let leaked = rng.chance(0.002).then(|| secret(rng));
    out.event("Playground Run", time_ms, actor, |json| {
        json.text("model", MODELS[usize::from(model)].0);
        json.number("tokens", 10 + rng.exponential(400.0) as i64);
        json.number("temperature_percent", i64::from(rng.below(11)) * 10);
        if let Some(leaked) = &leaked {
            json.text("request_headers", &format!("Authorization: Bearer {leaked}"));
        }
    });
}

fn read_docs(
    developer: &Developer,
    called: bool,
    time_ms: i64,
    rng: &mut Rng,
    actor: &mut Actor,
    out: &mut Batches<'_>,
) {
    let language = LANGUAGES[usize::from(developer.language)].0;
    let quickstart = rng.chance(if called { 0.06 } else { 0.55 });
    let unhelpful = if quickstart && language == "go" { 0.62 } else { 0.09 };
    let page = if quickstart { format!("quickstart/{language}") } else { rng.pick(&DOCS).to_owned() };
    out.event("Docs Read", time_ms, actor, |json| {
        json.text("docs_page", &page);
        json.flag("helpful", !rng.chance(unhelpful));
        json.number("seconds", 5 + rng.exponential(70.0) as i64);
        json.text("$current_url", &format!("https://docs.brightwater.example/{page}?lang={language}&theme=dark"));
    });
}

fn open_ticket(
    developer: &Developer,
    wave: Wave,
    time_ms: i64,
    rng: &mut Rng,
    actor: &mut Actor,
    out: &mut Batches<'_>,
) {
    const TOPICS: [(&str, &str); 4] = [
        ("billing", "The invoice of last month shows a \"usage\" line I cannot explain."),
        ("quota", "We need a higher limit for the batch endpoint before Friday."),
        ("sdk", "The client retries forever when the stream ends early.\nIs there a setting for that?"),
        ("account", "Please move my projects to another organisation."),
    ];
    let (topic, body) = match wave {
        Wave::On => ("errors", "All our requests fail with 429 although we are far below the limit."),
        Wave::Off => rng.pick(&TOPICS),
    };
    // People sign with what they are reached by.
    let message = match rng.below(10) {
        0..3 => format!("{body} You can reach me at {}.", developer.email),
        3 => format!("{body} -- {} {}", developer.name, developer.phone.as_deref().unwrap_or_default()),
        _ => body.to_owned(),
    };
    out.event("Support Ticket Opened", time_ms, actor, |json| {
        json.text("topic", topic);
        json.text("message", &message);
        json.text("priority", ["low", "normal", "high"][rng.below(3) as usize]);
    });
}

/// Writes the whole world, day by day.
pub(crate) fn write_world(world: &World, out: &mut Batches<'_>, mut go_on: impl FnMut(usize) -> bool) {
    for day in 0..DAYS {
        if !go_on(day) {
            return;
        }
        world.write_day(day, out);
    }
    out.flush();
}
