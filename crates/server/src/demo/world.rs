//! The people of the demo world and what becomes of them: who signs up when, invited by whom, who gets
//! an API key and a first call through, who upgrades, cancels, leaves. No event is written here
//! ([`super::stream`] does that) and nothing here looks at a clock, a disk or a socket.
//!
//! Invariants
//! - A world is a function of [`WorldOptions`]: same options, same world, on every machine.
//! - Every random number comes from [`Rng::new`]`(seed, stream, n)`, so a developer's fate does not depend on
//!   how many numbers somebody else has drawn.
//! - Every fate that makes one of the planted findings (listed in the head of [`super`]) is a constant of
//!   [`plan`], next to the day it happens on.
//!
//! Algorithm
//! 1. Organisations: sizes by Zipf's law, the large ones on the larger plans.
//! 2. Developers: 30 % were there before the first day; the others get a sign-up day from
//!    growth × weekday × launch, and are then numbered in order of that day, so an inviter always has the
//!    smaller number.
//! 3. In that order, each developer: invited by whom, activation, lifetime, the error wave, and from these the
//!    days on which they are active: one bit a day in a `u128`.
//! 4. Upgrades follow accepted invites; cancellations follow the price change.
//! 5. The number of events on an active day is scaled so that the whole comes near the number asked for.

use super::stream;
use super::tables::{
    BROWSERS, CHANNELS, FIRST_NAMES, GO, INDUSTRIES, INVITE, LANGUAGES, LAST_NAMES, LAUNCH, MODELS, ORG_FIRST,
    ORG_SECOND, PLACES, PLANS, PRO, REGIONS, WAVE_MODEL,
};

/// Days in a world. Not an option: the planted findings have their dates.
pub(crate) const DAYS: usize = 90;

/// The planted findings, as the numbers that make them. Days count from 0, the first day of the world.
pub(crate) mod plan {
    /// Sign-ups per day on the last day over those on the first.
    pub(crate) const SIGNUP_GROWTH: f64 = 2.4;
    /// Activity on Saturday and Sunday over that of a working day.
    pub(crate) const WEEKEND: [f64; 2] = [0.40, 0.34];
    pub(crate) const LAUNCH_DAY: usize = 30;
    /// Visitors of the launch as a share of all developers, and how they fall on its three days.
    pub(crate) const LAUNCH_VISITORS_SHARE: f64 = 0.125;
    pub(crate) const LAUNCH_DAYS: [f64; 3] = [0.70, 0.22, 0.08];
    /// What is left of the step from key to first call for those who read the broken Go quick-start.
    pub(crate) const GO_FIRST_CALL: f64 = 0.5;
    pub(crate) const ONBOARDING_DAY: usize = 45;
    pub(crate) const KEY_CREATED: [f64; 2] = [0.70, 0.84];
    pub(crate) const FIRST_CALL: [f64; 2] = [0.60, 0.80];
    pub(crate) const MODEL_RELEASE_DAY: usize = 52;
    pub(crate) const WAVE_DAYS: std::ops::RangeInclusive<usize> = 58..=60;
    /// Share of requests to the affected model that fail in the wave, and of affected developers who leave.
    pub(crate) const WAVE_FAILURES: f64 = 0.45;
    pub(crate) const WAVE_LEAVERS: f64 = 0.50;
    pub(crate) const INVITED_LIFETIME: f64 = 2.6;
    pub(crate) const PRICE_DAY: usize = 66;
    pub(crate) const PRICE_DAYS: usize = 8;
    pub(crate) const CANCEL_PER_ACTIVE_DAY: [f64; 2] = [0.004, 0.06];
    /// Chance of an upgrade on an active day, at any time and within a week of an accepted invite.
    pub(crate) const UPGRADE_PER_ACTIVE_DAY: [f64; 2] = [0.0010, 0.07];
}

/// What makes one world different from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorldOptions {
    pub(crate) seed: u64,
    /// The world ends here: no event is later.
    pub(crate) now_s: i64,
    pub(crate) organisations: u32,
    pub(crate) developers: u32,
    /// Wanted number of events; the world comes within a few per cent of it.
    pub(crate) events: u32,
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), with the
/// constants of Sebastiano Vigna's public-domain `splitmix64.c`. Good enough for a world, no good for a key.
#[derive(Clone)]
pub(crate) struct Rng(u64);

/// What a random stream is for; part of its seed, so that two uses never share numbers.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Organisation = 1,
    SignupDay,
    Developer,
    Fate,
    Visitor,
    Activity,
    InsertId,
    Device,
    User,
    Live,
}

impl Rng {
    pub(crate) fn new(seed: u64, stream: Stream, n: u64) -> Self {
        let mut rng = Self(seed ^ (stream as u64).wrapping_mul(0xd1b5_4a32_d192_ed03));
        rng.0 = rng.next() ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        rng.next();
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, by Lemire's multiplication (its bias, 2^-32 or less, does not matter here).
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// A log-normal number with median 1 (Box and Muller).
    fn log_normal(&mut self, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        (sigma * radius * (std::f64::consts::TAU * self.unit()).cos()).exp()
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u32) as usize]
    }

    pub(crate) fn weighted<T>(&mut self, of: &[T], weight: impl Fn(&T) -> u32) -> usize {
        let total: u32 = of.iter().map(&weight).sum();
        let mut left = self.below(total);
        for (i, one) in of.iter().enumerate() {
            match left.checked_sub(weight(one)) {
                Some(rest) => left = rest,
                None => return i,
            }
        }
        of.len() - 1
    }

    /// A place in a cumulative table of weights.
    fn cumulative(&mut self, table: &[f64]) -> usize {
        let total = table.last().copied().unwrap_or(0.0);
        let at = self.unit() * total;
        table.partition_point(|&upto| upto <= at).min(table.len().saturating_sub(1))
    }
}

pub(crate) struct Organisation {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) plan: u8,
    pub(crate) industry: &'static str,
    pub(crate) region: &'static str,
    pub(crate) members: u32,
}

/// One developer: who they are and what becomes of them. Days may be negative: before the world began.
pub(crate) struct Developer {
    pub(crate) user_id: String,
    pub(crate) device_id: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) phone: Option<String>,
    pub(crate) ip: String,
    pub(crate) organisation: Option<u16>,
    pub(crate) place: u8,
    pub(crate) language: u8,
    pub(crate) browser: u8,
    pub(crate) model: u8,
    pub(crate) channel: u8,
    pub(crate) invited_by: Option<u32>,
    pub(crate) first_visit_day: i16,
    pub(crate) signup_day: i16,
    pub(crate) key_day: Option<i16>,
    pub(crate) first_call_day: Option<i16>,
    /// The last day on which they may be active; beyond the world for those who stay.
    pub(crate) last_day: i16,
    pub(crate) initial_plan: u8,
    pub(crate) upgrade_day: Option<i16>,
    pub(crate) cancel_day: Option<i16>,
    /// Events on an active day, relative to the median developer.
    pub(crate) weight: f32,
    /// Bit `d` is set when they are active on day `d`.
    pub(crate) active: u128,
    /// JSON of the properties they send as a visitor, and of those they add once they have signed up.
    pub(crate) visitor_json: String,
    pub(crate) member_json: String,
}

impl Developer {
    pub(crate) fn active_on(&self, day: usize) -> bool {
        self.active >> day & 1 == 1
    }

    /// The plan at the end of a day.
    pub(crate) fn plan_on(&self, day: usize) -> u8 {
        let passed = |at: Option<i16>| at.is_some_and(|at| at <= day as i16);
        if passed(self.cancel_day) {
            return 0;
        }
        self.initial_plan + u8::from(passed(self.upgrade_day))
    }

    pub(crate) fn invited(&self) -> bool {
        self.invited_by.is_some()
    }

    fn truncate(&mut self, last_day: i16) {
        self.last_day = self.last_day.min(last_day);
        let kept = (self.last_day + 1).clamp(0, DAYS as i16) as u32;
        self.active &= (1u128 << kept) - 1;
    }
}

/// An invite that was accepted: sent on `sent_day` by `inviter`, who has a smaller number than `invitee`.
pub(crate) struct Invite {
    pub(crate) inviter: u32,
    pub(crate) invitee: u32,
    pub(crate) sent_day: i16,
}

pub(crate) struct World {
    pub(crate) options: WorldOptions,
    /// Start of day 0, UTC.
    pub(crate) origin_s: i64,
    pub(crate) organisations: Vec<Organisation>,
    pub(crate) developers: Vec<Developer>,
    /// By day of sending.
    pub(crate) invites: Vec<Invite>,
    /// Visitors a day who do not sign up, by channel.
    pub(crate) visitors: Vec<[u32; CHANNELS.len()]>,
    /// Events on an active day of the median developer.
    pub(crate) events_per_weight: f64,
}

impl World {
    pub(crate) fn new(options: &WorldOptions) -> Self {
        let options = *options;
        let today = options.now_s.div_euclid(86_400);
        let mut world = Self {
            options,
            origin_s: (today + 1 - DAYS as i64) * 86_400,
            organisations: Vec::new(),
            developers: Vec::new(),
            invites: Vec::new(),
            visitors: Vec::new(),
            events_per_weight: 1.0,
        };
        let sizes = world.found_organisations();
        world.sign_up_developers(&sizes);
        world.invites.sort_by_key(|invite| invite.sent_day);
        world.change_plans();
        world.count_visitors();
        world.scale_activity();
        world
    }

    /// 0 is Monday.
    pub(crate) fn weekday(&self, day: usize) -> usize {
        // 1970-01-01 was a Thursday.
        (self.origin_s.div_euclid(86_400) + day as i64 + 3).rem_euclid(7) as usize
    }

    pub(crate) fn weekday_factor(&self, day: usize) -> f64 {
        match self.weekday(day) {
            5 => plan::WEEKEND[0],
            6 => plan::WEEKEND[1],
            _ => 1.0,
        }
    }

    /// How many newcomers a day brings, relative to a Monday at the beginning.
    fn arrival_factor(&self, day: usize) -> f64 {
        let grown = 1.0 + (plan::SIGNUP_GROWTH - 1.0) * day as f64 / (DAYS - 1) as f64;
        grown * self.weekday_factor(day).max(0.45)
    }

    /// Returns the cumulative sizes, from which a developer's organisation is drawn.
    fn found_organisations(&mut self) -> Vec<f64> {
        let count = self.options.organisations;
        let mut sizes = Vec::with_capacity(count as usize);
        let mut total = 0.0;
        for i in 0..count {
            let mut rng = Rng::new(self.options.seed, Stream::Organisation, u64::from(i));
            total += 1.0 / f64::from(i + 4).powf(0.9);
            sizes.push(total);
            let rank = f64::from(i) / f64::from(count.max(1));
            let plan = match rank + 0.2 * (rng.unit() - 0.5) {
                r if r < 0.08 => 3,
                r if r < 0.28 => 2,
                r if r < 0.62 => 1,
                _ => 0,
            };
            // 400 names by walking the square of both word lists along its diagonals; then with a number.
            let (first, second) = (ORG_FIRST[i as usize % 20], ORG_SECOND[(i as usize / 20 + i as usize) % 20]);
            let round = i / 400;
            let name = if round == 0 { format!("{first} {second}") } else { format!("{first} {second} {}", round + 1) };
            let slug = name.to_lowercase().replace(' ', "-");
            self.organisations.push(Organisation {
                id: format!("org-{:016x}", rng.next()),
                name,
                slug,
                plan,
                industry: rng.pick(&INDUSTRIES),
                region: rng.pick(&REGIONS),
                members: 0,
            });
        }
        sizes
    }

    /// Sign-up days in ascending order; the flag says that the launch brought them.
    fn signup_days(&self) -> Vec<(i16, bool)> {
        let arrivals: Vec<f64> = (0..DAYS)
            .scan(0.0, |sum, day| {
                *sum += self.arrival_factor(day);
                Some(*sum)
            })
            .collect();
        let count = self.options.developers;
        let existing = count * 3 / 10;
        let of_launch = (f64::from(count) * plan::LAUNCH_VISITORS_SHARE * CHANNELS[LAUNCH as usize].signup) as u32;
        let mut days: Vec<(i16, bool)> = (0..count)
            .map(|i| {
                let mut rng = Rng::new(self.options.seed, Stream::SignupDay, u64::from(i));
                if i < existing {
                    (-1 - rng.exponential(150.0).min(900.0) as i16, false)
                } else if i < existing + of_launch {
                    (launch_day(&mut rng) as i16, true)
                } else {
                    (rng.cumulative(&arrivals) as i16, false)
                }
            })
            .collect();
        days.sort_unstable();
        days
    }

    fn sign_up_developers(&mut self, sizes: &[f64]) {
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); self.organisations.len()];
        for (number, (signup_day, of_launch)) in self.signup_days().into_iter().enumerate() {
            let number = number as u32;
            let mut rng = Rng::new(self.options.seed, Stream::Developer, u64::from(number));
            let organisation = (!sizes.is_empty() && rng.chance(0.62)).then(|| rng.cumulative(sizes) as u16);
            let inviter = match organisation {
                Some(at) if signup_day >= 0 && !of_launch && rng.chance(0.36) => {
                    self.find_inviter(&members[usize::from(at)], signup_day, &mut rng)
                }
                _ => None,
            };
            let mut developer =
                self.introduce(u64::from(number), signup_day, organisation, inviter, of_launch, &mut rng);
            self.decide_fate(number, &mut developer);
            if let Some(inviter) = inviter {
                // The inviter is at work on the day they send the invite.
                let earliest = self.developers[inviter as usize].signup_day.max(0);
                let sent_day = (signup_day - rng.below(3) as i16).max(earliest);
                self.developers[inviter as usize].active |= 1 << sent_day;
                self.invites.push(Invite { inviter, invitee: number, sent_day });
            }
            if let Some(at) = organisation {
                members[usize::from(at)].push(number);
                self.organisations[usize::from(at)].members += 1;
            }
            self.developers.push(developer);
        }
    }

    /// Somebody of the same organisation who is still there; a few tries, else nobody invited them.
    fn find_inviter(&self, members: &[u32], day: i16, rng: &mut Rng) -> Option<u32> {
        if members.is_empty() {
            return None;
        }
        (0..6).map(|_| rng.pick(members)).find(|&number| {
            let inviter = &self.developers[number as usize];
            inviter.last_day >= day && inviter.first_call_day.is_some_and(|first| first <= day)
        })
    }

    /// Somebody who arrives after the world's end; `number` must be larger than that of every developer.
    pub(crate) fn newcomer(&self, number: u64, rng: &mut Rng) -> Developer {
        self.introduce(number, DAYS as i16 - 1, None, None, false, rng)
    }

    fn introduce(
        &self,
        number: u64,
        signup_day: i16,
        organisation: Option<u16>,
        invited_by: Option<u32>,
        of_launch: bool,
        rng: &mut Rng,
    ) -> Developer {
        let channel = match (of_launch, invited_by) {
            (true, _) => LAUNCH,
            (_, Some(_)) => INVITE,
            _ => rng.weighted(&CHANNELS, |c| (f64::from(c.weight) * c.signup * 100.0) as u32) as u8,
        };
        let (first, last) = (rng.pick(&FIRST_NAMES), rng.pick(&LAST_NAMES));
        let local: String =
            format!("{first}.{last}{}", number % 1000).to_lowercase().chars().filter_map(ascii_letter).collect();
        let domain = match organisation {
            Some(at) => format!("{}.example", self.organisations[usize::from(at)].slug),
            None => ["mail.example", "post.example", "inbox.example"][rng.below(3) as usize].to_owned(),
        };
        let place = rng.weighted(&PLACES, |p| p.weight) as u8;
        // Numbers and addresses reserved for fiction and documentation (Ofcom, NANPA 555-01xx, RFC 5737).
        let phone = rng.chance(0.3).then(|| match PLACES[usize::from(place)].country {
            "GB" => format!("+447700900{:03}", rng.below(1000)),
            _ => format!("+1{}55501{:02}", [212, 415, 512, 206][rng.below(4) as usize], rng.below(100)),
        });
        let network = ["192.0.2", "198.51.100", "203.0.113"][rng.below(3) as usize];
        let company_plan = organisation.map_or(0, |at| self.organisations[usize::from(at)].plan);
        let initial_plan = match organisation {
            Some(_) if rng.chance(if signup_day < 0 { 0.75 } else { 0.35 }) => company_plan,
            None if signup_day < 0 && rng.chance(0.2) => PRO,
            _ => 0,
        };
        let mut developer = Developer {
            user_id: format!("usr-{:016x}", Rng::new(self.options.seed, Stream::User, number).next()),
            device_id: device_id(self.options.seed, number),
            name: format!("{first} {last}"),
            email: format!("{local}@{domain}"),
            phone,
            ip: format!("{network}.{}", 1 + rng.below(254)),
            organisation,
            place,
            language: rng.weighted(&LANGUAGES, |l| l.1) as u8,
            browser: rng.weighted(&BROWSERS, |b| b.2) as u8,
            model: rng.weighted(&MODELS, |m| m.1) as u8,
            channel,
            invited_by,
            first_visit_day: signup_day,
            signup_day,
            key_day: None,
            first_call_day: None,
            last_day: i16::MAX,
            initial_plan,
            upgrade_day: None,
            cancel_day: None,
            weight: rng.log_normal(1.35).min(60.0) as f32,
            active: 0,
            visitor_json: String::new(),
            member_json: String::new(),
        };
        if invited_by.is_none() && signup_day > 3 && rng.chance(0.25) {
            developer.first_visit_day -= 1 + rng.below(3) as i16;
        }
        developer.visitor_json = stream::visitor_json(&developer.device_id, developer.browser, developer.place);
        let organisation = developer.organisation.map(|at| self.organisations[usize::from(at)].id.as_str());
        developer.member_json =
            stream::member_json(&developer.user_id, organisation, LANGUAGES[usize::from(developer.language)].0);
        developer
    }

    /// Activation, lifetime, the error wave, and from these the active days.
    fn decide_fate(&self, number: u32, developer: &mut Developer) {
        let mut rng = Rng::new(self.options.seed, Stream::Fate, u64::from(number));
        let rng = &mut rng;
        let signup = developer.signup_day;
        let invited = developer.invited();
        let lifetime = if signup < 0 {
            if rng.chance(0.9) {
                developer.key_day = Some(signup);
                developer.first_call_day = Some(signup);
            }
            // From the first day of the world on: these have stayed already.
            f64::from(-signup) + rng.exponential(200.0)
        } else {
            self.activate(developer, rng);
            let activated = developer.first_call_day.is_some();
            let patience = if invited { plan::INVITED_LIFETIME } else { 1.0 };
            let bounce = if activated { 0.12 } else { 0.55 } / patience;
            let mean = if activated { 45.0 } else { 14.0 } * patience;
            if rng.chance(bounce) { f64::from(rng.below(3)) } else { 1.0 + rng.exponential(mean) }
        };
        let reached = [Some(signup), developer.key_day, developer.first_call_day].into_iter().flatten();
        let milestones: Vec<i16> = reached.filter(|day| (0..DAYS as i16).contains(day)).collect();
        let last_milestone = milestones.iter().copied().max().unwrap_or(i16::MIN);
        developer.last_day = (f64::from(signup) + lifetime).min(20_000.0).max(f64::from(last_milestone)) as i16;

        let rate = 0.10 + 0.55 * rng.unit().powf(1.5);
        for day in signup.max(0)..=developer.last_day.min(DAYS as i16 - 1) {
            if rng.chance(rate * self.weekday_factor(day as usize)) {
                developer.active |= 1 << day;
            }
        }
        for day in milestones {
            developer.active |= 1 << day;
        }
        if let Some(hit) = wave_day(developer)
            && rng.chance(plan::WAVE_LEAVERS)
        {
            developer.truncate((hit as i16 + 1 + rng.below(3) as i16).max(last_milestone));
        }
    }

    fn activate(&self, developer: &mut Developer, rng: &mut Rng) {
        let onboarding = usize::from(developer.signup_day >= plan::ONBOARDING_DAY as i16);
        if !rng.chance(plan::KEY_CREATED[onboarding]) {
            return;
        }
        let key_day = developer.signup_day + if rng.chance(0.75) { 0 } else { 1 + rng.below(3) as i16 };
        developer.key_day = Some(key_day);
        let mut first_call = plan::FIRST_CALL[onboarding];
        if developer.language == GO {
            first_call *= plan::GO_FIRST_CALL;
        }
        if developer.channel == LAUNCH {
            first_call *= 0.75;
        }
        if rng.chance(first_call) {
            let wait = if rng.chance(0.65) { 0 } else { 1 + rng.below(3) as i16 };
            developer.first_call_day = Some(key_day + wait);
        }
    }

    /// Upgrades follow accepted invites, cancellations follow the price change.
    fn change_plans(&mut self) {
        let mut accepted: Vec<Vec<i16>> = vec![Vec::new(); self.developers.len()];
        let mut last_sent: Vec<i16> = vec![-1; self.developers.len()];
        for invite in &self.invites {
            let at = invite.inviter as usize;
            accepted[at].push(self.developers[invite.invitee as usize].signup_day);
            last_sent[at] = last_sent[at].max(invite.sent_day);
        }
        for (number, developer) in self.developers.iter_mut().enumerate() {
            let mut rng = Rng::new(self.options.seed, Stream::Fate, (number as u64) << 8 | 1);
            for day in 0..DAYS {
                let today = day as i16;
                if !developer.active_on(day) || developer.first_call_day.is_none_or(|first| first > today) {
                    continue;
                }
                let followed = accepted[number].iter().any(|&at| (0..=7).contains(&(today - at)));
                if developer.upgrade_day.is_none()
                    && usize::from(developer.initial_plan) + 1 < PLANS.len()
                    && rng.chance(plan::UPGRADE_PER_ACTIVE_DAY[usize::from(followed)])
                {
                    developer.upgrade_day = Some(today);
                    continue;
                }
                let dearer = (plan::PRICE_DAY..plan::PRICE_DAY + plan::PRICE_DAYS).contains(&day);
                if developer.plan_on(day) == PRO && rng.chance(plan::CANCEL_PER_ACTIVE_DAY[usize::from(dearer)]) {
                    developer.cancel_day = Some(today);
                    if rng.chance(0.6) {
                        developer.truncate((today + rng.below(5) as i16).max(last_sent[number]));
                    }
                    break;
                }
            }
        }
    }

    /// Visitors who do not sign up, so that each channel converts as its table says.
    fn count_visitors(&mut self) {
        let mut signups = [0u32; CHANNELS.len()];
        for developer in self.developers.iter().filter(|d| d.signup_day >= 0) {
            signups[usize::from(developer.channel)] += 1;
        }
        let arrivals: f64 = (0..DAYS).map(|day| self.arrival_factor(day)).sum();
        self.visitors = (0..DAYS)
            .map(|day| {
                let mut rng = Rng::new(self.options.seed, Stream::Visitor, day as u64);
                std::array::from_fn(|channel| {
                    let share = match channel as u8 {
                        LAUNCH => match day.checked_sub(plan::LAUNCH_DAY) {
                            Some(after) if after < plan::LAUNCH_DAYS.len() => plan::LAUNCH_DAYS[after],
                            _ => 0.0005,
                        },
                        _ => self.arrival_factor(day) / arrivals,
                    };
                    let signup = CHANNELS[channel].signup;
                    round_by_chance(f64::from(signups[channel]) * (1.0 - signup) / signup * share, &mut rng)
                })
            })
            .collect();
    }

    fn scale_activity(&mut self) {
        let visitors: u32 = self.visitors.iter().flatten().sum();
        let newcomers = self.developers.iter().filter(|d| d.signup_day >= 0).count();
        let mut fixed = f64::from(visitors) * 1.7 + newcomers as f64 * 5.5 + self.invites.len() as f64;
        let mut weights = 0.0;
        for developer in &self.developers {
            let days = f64::from(developer.active.count_ones());
            fixed += days;
            weights += days * f64::from(developer.weight);
        }
        self.events_per_weight = ((f64::from(self.options.events) - fixed) / weights.max(1.0)).max(0.05);
    }
}

pub(crate) fn round_by_chance(x: f64, rng: &mut Rng) -> u32 {
    x as u32 + u32::from(rng.chance(x.fract()))
}

/// The first day on which the error wave reaches a developer.
pub(crate) fn wave_day(developer: &Developer) -> Option<usize> {
    if developer.model != WAVE_MODEL {
        return None;
    }
    let called = developer.first_call_day?;
    plan::WAVE_DAYS.into_iter().find(|&day| developer.active_on(day) && called < day as i16)
}

fn launch_day(rng: &mut Rng) -> usize {
    let at = rng.unit();
    let mut upto = 0.0;
    for (after, share) in plan::LAUNCH_DAYS.iter().enumerate() {
        upto += share;
        if at < upto {
            return plan::LAUNCH_DAY + after;
        }
    }
    plan::LAUNCH_DAY
}

/// Shaped like the random UUID an SDK makes.
pub(crate) fn device_id(seed: u64, number: u64) -> String {
    let mut rng = Rng::new(seed, Stream::Device, number);
    let (a, b) = (rng.next(), rng.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        0x8000 | (b >> 48 & 0x3fff),
        b & 0xffff_ffff_ffff
    )
}

/// The local part of a mail address keeps ASCII only.
fn ascii_letter(c: char) -> Option<char> {
    Some(match c {
        'á' | 'ã' => 'a',
        'é' | 'ë' => 'e',
        'í' => 'i',
        'ó' | 'ø' => 'o',
        'ü' => 'u',
        'ł' => 'l',
        c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') => c,
        _ => return None,
    })
}
