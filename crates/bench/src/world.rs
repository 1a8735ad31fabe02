//! The generated world: what the people of a shop did in sixty days, as a stream of events in order of time.
//!
//! A world is a function of its number of events: every random number comes from a stream seeded by (person, day).
//!
//! 1. Persons: 40 % were there before the first day, the others arrive evenly and are numbered in that order. Each
//!    has a rate of sessions (log-normal, so from one event in all to thousands), a lifetime, a place, one or two
//!    devices, an organisation and a plan. A few travel, some change their plan.
//! 2. Days: on each day of their life a person has a number of sessions (Poisson), the first one at least one.
//! 3. Sessions: event names by Zipf's law; a product view leads to a cart, a cart to a purchase, with fixed chances.
//!    Newcomers sign up in their first session or one soon after.
//!
//! Only one day of events is in memory at a time.

/// 2026-06-01T00:00:00Z, a Monday, in milliseconds.
pub(crate) const START_MS: i64 = 1_780_272_000_000;
pub(crate) const DAYS: u32 = 60;
pub(crate) const DAY_MS: i64 = 86_400_000;
/// Between two events of one person: more than the two seconds within which our funnels take steps in either
/// order, a rule that no other engine has.
const APART_MS: i64 = 2_001;
const SESSION_EVENTS: f64 = 6.0;

/// Most frequent first; `signup` is no part of Zipf's law.
pub(crate) const NAMES: [&str; 40] = [
    "page_view",
    "product_view",
    "scroll",
    "search",
    "click",
    "session_start",
    "add_to_cart",
    "filter_apply",
    "image_zoom",
    "review_read",
    "share",
    "video_play",
    "purchase",
    "wishlist_add",
    "checkout_start",
    "coupon_apply",
    "login",
    "logout",
    "remove_from_cart",
    "shipping_select",
    "payment_select",
    "order_track",
    "notification_open",
    "email_open",
    "help_view",
    "chat_open",
    "store_locate",
    "size_guide",
    "compare",
    "review_write",
    "return_request",
    "refund",
    "profile_edit",
    "address_add",
    "card_add",
    "plan_change",
    "invite_send",
    "survey_answer",
    "app_update",
    "signup",
];
const PRODUCT_VIEW: u8 = 1;
const ADD_TO_CART: u8 = 6;
const PURCHASE: u8 = 12;
const REFUND: u8 = 31;
const SIGNUP: u8 = 39;
/// Names that happen on a product's page.
const ON_PRODUCT: [u8; 7] = [PRODUCT_VIEW, ADD_TO_CART, 8, 9, 13, 27, 29];

const COUNTRIES: &str = "US IN BR GB DE FR JP CA MX ID ES IT AU KR NL TR PL PH VN AR CO TH NG PK ZA EG UA SE BE CH AT RO \
     CL MY SG PT CZ GR HU IL DK FI NO IE NZ PE BD KE MA DZ SA AE HK TW BG HR RS SK LT LV EE SI LU IS MT CY GE AM AZ KZ \
     UZ LK NP MM KH GH TZ UG ET SN";
const BROWSERS: &str = "Chrome Safari Firefox Edge Samsung Opera Brave Vivaldi UC Yandex DuckDuckGo Silk";
const SYSTEMS: &str = "Android iOS Windows macOS Linux ChromeOS iPadOS HarmonyOS";
const PLANS: &str = "free starter team business enterprise";
const CITIES: usize = 4_000;
const PATHS: usize = 5_000;
const PRODUCT_PATHS: usize = 3_500;

/// One event; texts are indices into [`Texts`].
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) time_ms: i64,
    pub(crate) insert_id: u64,
    /// NaN when the event has none.
    pub(crate) amount: f64,
    pub(crate) subject: u32,
    pub(crate) org: u32,
    pub(crate) city: u16,
    pub(crate) path: u16,
    pub(crate) name: u8,
    pub(crate) browser: u8,
    pub(crate) system: u8,
    pub(crate) plan: u8,
}

/// The text columns, as dictionaries.
pub(crate) struct Texts {
    pub(crate) names: Vec<String>,
    pub(crate) countries: Vec<String>,
    pub(crate) cities: Vec<String>,
    pub(crate) browsers: Vec<String>,
    pub(crate) systems: Vec<String>,
    pub(crate) plans: Vec<String>,
    pub(crate) paths: Vec<String>,
    pub(crate) orgs: Vec<String>,
}

impl Texts {
    /// The country of a city.
    pub(crate) fn country_of(&self, city: u16) -> usize {
        usize::from(city) * self.countries.len() / CITIES
    }
}

struct Person {
    /// Sessions a day.
    rate: f32,
    first_day: u8,
    /// Included.
    last_day: u8,
    /// Days after the first until they sign up; `u8::MAX` for those who did before the world began.
    signs_up_after: u8,
    plan: u8,
    next_plan: u8,
    plan_changes: u8,
    city: u16,
    org: u32,
    devices: [(u8, u8); 2],
}

pub(crate) struct World {
    pub(crate) texts: Texts,
    persons: Vec<Person>,
    zipf: Vec<f64>,
    events: u64,
}

impl World {
    /// A world of `events` events, a little fewer when there are not many, of `events / 50` persons.
    pub(crate) fn new(events: u64) -> World {
        let count = u32::try_from(events / 50).expect("fewer persons than subject numbers").max(20);
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let path = |i: usize| match i {
            0..PRODUCT_PATHS => format!("/product/{}", 10_000 + i * 7),
            i => format!("/{}/{i}", ["category", "help", "blog", "account", "cart"][i % 5]),
        };
        let texts = Texts {
            names: NAMES.map(str::to_owned).to_vec(),
            countries: words(COUNTRIES),
            cities: (0..CITIES).map(|i| format!("City {i:04}")).collect(),
            browsers: words(BROWSERS),
            systems: words(SYSTEMS),
            plans: words(PLANS),
            paths: (0..PATHS).map(path).collect(),
            orgs: (0..(count / 10).max(10)).map(|i| format!("org_{i:06}")).collect(),
        };
        let mut persons: Vec<Person> = (0..count).map(|subject| Person::new(subject, count, &texts)).collect();
        // Rates are scaled so that a little more than enough happens; the stream ends with the last event wanted.
        let wanted = events as f64 * 1.004 / SESSION_EVENTS;
        for _ in 0..4 {
            let drawn: f64 = persons.iter().map(|person| f64::from(person.rate) * person.life()).sum();
            let added: f64 = persons.iter().map(Person::certain).sum();
            persons.iter_mut().for_each(|person| person.rate *= ((wanted - added).max(1.0) / drawn) as f32);
        }
        let mut sum = 0.0;
        let zipf = (1..NAMES.len())
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        World { texts, persons, zipf, events }
    }

    /// The events of each day, in order of time.
    pub(crate) fn days(&self) -> impl Iterator<Item = Vec<Event>> + '_ {
        let mut left = self.events;
        (0..DAYS).map(move |day| {
            let mut events = self.day(day);
            events.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= events.len() as u64;
            events
        })
    }

    fn day(&self, day: u32) -> Vec<Event> {
        let mut events = Vec::new();
        for (subject, person) in self.persons.iter().enumerate() {
            if day < u32::from(person.first_day) || day > u32::from(person.last_day) {
                continue;
            }
            let mut rng = Rng::new(subject as u64, u64::from(day) + 1);
            let age = day - u32::from(person.first_day);
            let sessions = rng.poisson(f64::from(person.rate) * weekday(day)).max(u32::from(age == 0));
            let from = events.len();
            for session in 0..sessions {
                let signs_up = session == 0 && u32::from(person.signs_up_after) == age;
                self.session(&mut rng, person, subject as u32, day, signs_up, &mut events);
            }
            events[from..].sort_unstable_by_key(|event| event.time_ms);
            let mut before = START_MS + i64::from(day + 1) * DAY_MS;
            for event in events[from..].iter_mut().rev() {
                event.time_ms = event.time_ms.min(before - APART_MS);
                before = event.time_ms;
            }
        }
        events.sort_unstable_by_key(|event| (event.time_ms, event.insert_id));
        events
    }

    fn session(&self, rng: &mut Rng, person: &Person, subject: u32, day: u32, signs_up: bool, events: &mut Vec<Event>) {
        // Afternoons are busier than nights, at home.
        let home = 24.0 * f64::from(person.city) / CITIES as f64;
        let hour = (2.0 + 12.0 * (rng.unit() + rng.unit()) + home) % 24.0;
        let mut time_ms = START_MS + i64::from(day) * DAY_MS + (hour * 3_600_000.0) as i64;
        let (browser, system) = person.devices[usize::from(rng.unit() < 0.2)];
        let city = if rng.unit() < 0.02 { city(rng) } else { person.city };
        let plan = if day < u32::from(person.plan_changes) { person.plan } else { person.next_plan };
        let mut previous = u8::MAX;
        let signs_up_at = if signs_up { rng.below(3) } else { u64::MAX };
        for at in 0.. {
            let name = match previous {
                _ if at == signs_up_at => SIGNUP,
                PRODUCT_VIEW if rng.unit() < 0.12 => ADD_TO_CART,
                ADD_TO_CART if rng.unit() < 0.25 => PURCHASE,
                _ => self.name(rng),
            };
            previous = name;
            let on_product = ON_PRODUCT.contains(&name) || (name == 0 && rng.unit() < 0.2);
            let path = if on_product {
                rng.skewed(PRODUCT_PATHS, 2.0)
            } else {
                PRODUCT_PATHS + rng.skewed(PATHS - PRODUCT_PATHS, 2.0)
            };
            let has_amount = matches!(name, ADD_TO_CART | PURCHASE | REFUND) && rng.unit() < 0.97;
            let amount = if has_amount { ((3.6 + 0.9 * rng.normal()).exp() * 100.0).round() / 100.0 } else { f64::NAN };
            let insert_id = rng.next().max(1);
            let (path, org) = (path as u16, person.org);
            events.push(Event { time_ms, insert_id, amount, subject, org, city, path, name, browser, system, plan });
            if at >= signs_up_at.wrapping_add(1) && rng.unit() < 1.0 / SESSION_EVENTS {
                break;
            }
            time_ms += APART_MS + (-30_000.0 * (1.0 - rng.unit()).ln()) as i64;
        }
    }

    fn name(&self, rng: &mut Rng) -> u8 {
        let at = rng.unit() * self.zipf[self.zipf.len() - 1];
        self.zipf.partition_point(|sum| *sum <= at).min(self.zipf.len() - 1) as u8
    }
}

fn weekday(day: u32) -> f64 {
    if day % 7 >= 5 { 0.75 } else { 1.0 }
}

fn city(rng: &mut Rng) -> u16 {
    let countries = COUNTRIES.split_whitespace().count();
    (rng.skewed(countries, 2.5) * (CITIES / countries) + rng.skewed(CITIES / countries, 2.0)) as u16
}

impl Person {
    fn new(subject: u32, count: u32, texts: &Texts) -> Person {
        let mut rng = Rng::new(u64::from(subject), 0);
        let share = f64::from(subject) / f64::from(count);
        let was_there = share < 0.4;
        let first_day = if was_there { rng.skewed(30, 2.0) } else { ((share - 0.4) / 0.6 * f64::from(DAYS)) as usize };
        let life = if rng.unit() < 0.3 { f64::from(DAYS) } else { -12.0 * (1.0 - rng.unit()).ln() };
        let last_day = (first_day as f64 + life).min(f64::from(DAYS - 1));
        let device =
            |rng: &mut Rng| (rng.skewed(texts.browsers.len(), 2.5) as u8, rng.skewed(texts.systems.len(), 1.5) as u8);
        let plan = rng.skewed(texts.plans.len(), 2.0) as u8;
        let changes = rng.unit() < 0.08;
        Person {
            rate: (1.5 * rng.normal()).exp().min(60.0) as f32,
            first_day: first_day as u8,
            last_day: last_day as u8,
            signs_up_after: if was_there { u8::MAX } else { [0, 0, 0, 0, 0, 0, 0, 1, 2, 5][rng.below(10) as usize] },
            plan,
            next_plan: if changes { (plan + 1).min(4) } else { plan },
            plan_changes: if changes { (first_day as u64 + 1 + rng.below(20)) as u8 } else { 0 },
            city: city(&mut rng),
            org: rng.skewed(texts.orgs.len(), 1.5) as u32,
            devices: [device(&mut rng), device(&mut rng)],
        }
    }

    /// Sessions' worth of what does not depend on chance: that there is a first session, and events up to the sign-up.
    fn certain(&self) -> f64 {
        f64::from(-self.rate).exp() + if self.signs_up_after == 0 { 2.0 / SESSION_EVENTS } else { 0.0 }
    }

    /// Days of activity, by the weight of their weekdays.
    fn life(&self) -> f64 {
        (u32::from(self.first_day)..=u32::from(self.last_day)).map(weekday).sum()
    }
}

/// SplitMix64, one stream for each (person, day).
struct Rng(u64);

impl Rng {
    fn new(subject: u64, stream: u64) -> Rng {
        let mut rng = Rng(subject.wrapping_mul(0xD134_2543_DE82_EF95) ^ stream.wrapping_mul(0x2545_F491_4F6C_DD1D));
        rng.next();
        Rng(rng.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to 1, the end not included.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index below `count`; small ones are likelier, the more so the larger `power` is above 1.
    fn skewed(&mut self, count: usize, power: f64) -> usize {
        (self.unit().powf(power) * count as f64) as usize
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn poisson(&mut self, mean: f64) -> u32 {
        let floor = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > floor {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_world_is_in_order_the_same_twice_and_shaped_like_a_shop() {
        let world = World::new(100_000);
        let days: Vec<Vec<Event>> = world.days().collect();
        let again: u64 = World::new(100_000).days().flatten().fold(0, |sum, event| sum ^ event.insert_id);
        assert_eq!(again, days.iter().flatten().fold(0, |sum, event| sum ^ event.insert_id));
        let count = days.iter().map(Vec::len).sum::<usize>();
        assert!((97_000..=100_000).contains(&count), "{count}");

        let mut before: BTreeMap<u32, i64> = BTreeMap::new();
        let mut names = [0_u32; NAMES.len()];
        for (day, events) in days.iter().enumerate() {
            let from = START_MS + day as i64 * DAY_MS;
            assert!(events.is_sorted_by_key(|event| event.time_ms));
            for event in events {
                assert!((from..from + DAY_MS).contains(&event.time_ms));
                let last = before.insert(event.subject, event.time_ms).unwrap_or(0);
                assert!(event.time_ms - last >= APART_MS);
                assert!(world.texts.country_of(event.city) < world.texts.countries.len());
                names[usize::from(event.name)] += 1;
            }
        }
        let [views, carts, purchases, signups] =
            [PRODUCT_VIEW, ADD_TO_CART, PURCHASE, SIGNUP].map(|name| names[usize::from(name)]);
        assert!(views > carts && carts > purchases && purchases > signups && signups > 500, "{names:?}");
        let mut per_person: BTreeMap<u32, u32> = BTreeMap::new();
        days.iter().flatten().for_each(|event| *per_person.entry(event.subject).or_default() += 1);
        assert!(per_person.values().any(|events| *events == 1) && per_person.values().any(|events| *events > 500));
    }
}
