//! Exports that programs run with tokens.

use std::net::IpAddr;

use super::*;
use crate::token::{NewToken, TokenMade, TokenUse};
use crate::{Asked, TokenCaller};

const HOME: [u8; 4] = [192, 0, 2, 9];
const ELSEWHERE: [u8; 4] = [198, 51, 100, 7];

fn request(value: Value) -> DisclosureRequest {
    serde_json::from_value(value).unwrap()
}

fn new(export: Value, days: u32, network: Option<&str>) -> NewToken {
    let is_for = TokenUse::Export(request(export));
    NewToken { name: "Nightly".to_owned(), is_for, days, network: network.map(str::to_owned) }
}

struct Stewards(Caller, Caller);

impl World {
    async fn stewards(&self) -> Stewards {
        let one = self.join("stefan@coffer.example", &[Role::DataSteward]).await;
        Stewards(one, self.join("sven@coffer.example", &[Role::DataSteward]).await)
    }

    async fn asks_for_token(&self, Stewards(one, _): &Stewards, new: NewToken) -> Result<(u64, Asked)> {
        match self.engine.make_token(one, self.shown(one), &self.project, new).await? {
            TokenMade::Asked { number, asked } => Ok((number, asked)),
            TokenMade::Ready { .. } => panic!("nobody was asked"),
        }
    }

    /// A token that one made and the other agreed to, and its number.
    async fn token(&self, stewards: &Stewards, export: Value) -> (u64, String) {
        let made = self.asks_for_token(stewards, new(export, 30, Some("192.0.2.0/24"))).await;
        let (number, asked) = made.unwrap_or_else(|error| panic!("{error}"));
        assert!(asked.due_us.is_none(), "somebody else is there");
        let Stewards(one, two) = stewards;
        let agreed = self.engine.agree(two, self.shown(two), asked.id).await;
        agreed.unwrap_or_else(|error| panic!("{error}"));
        let shown = self.engine.rotate_token(one, self.shown(one), &self.project, number).await;
        (number, shown.unwrap_or_else(|error| panic!("{error}")))
    }

    async fn comes(&self, token: &str, from: [u8; 4]) -> Result<TokenCaller> {
        self.engine.authenticate_token(token, Some(IpAddr::from(from))).await
    }

    async fn runs(&self, token: &str, export: Value) -> Result<Pieces> {
        let caller = self.comes(token, HOME).await?;
        let run = self.engine.run_export(&caller, &self.project, request(export)).await;
        run.map(|(pieces, _)| pieces)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_runs_the_one_export_that_two_people_agreed_to_and_no_other() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path(), 60).await;
    let stewards = world.stewards().await;
    let identity = age::x25519::Identity::generate();
    let export = persons_asked(json!(["email"]), &identity);
    let asks = async |export: &Value, days, network| {
        code(world.asks_for_token(&stewards, new(export.clone(), days, network)).await)
    };
    let network = Some("192.0.2.0/24");
    assert_eq!(asks(&export, 30, None).await, "network_needed");
    assert_eq!(asks(&export, 31, network).await, "invalid_expiry");
    let reveal = json!({"what": {"kind": "reveal", "person": "per_1", "field": "email"}, "purpose": "support",
        "format": "csv"});
    for none in [persons_asked(json!(["email", "other"]), &identity), reveal] {
        assert_eq!(asks(&none, 30, network).await, "not_allowed");
    }
    let weak = SteppedUp::of_test(&stewards.0, Factor::Totp, 0);
    let made = world.engine.make_token(&stewards.0, weak, &world.project, new(export.clone(), 30, network)).await;
    assert_eq!(code(made), "passkey_needed");

    let (number, asked) = world.asks_for_token(&stewards, new(export.clone(), 30, network)).await.unwrap();
    let token = world.engine.rotate_token(&stewards.0, world.shown(&stewards.0), &world.project, number).await.unwrap();
    assert_eq!(code(world.runs(&token, export.clone()).await), "not_signed_in", "nobody agreed yet");
    assert_eq!(code(world.engine.agree(&stewards.0, world.shown(&stewards.0), asked.id).await), "not_a_second_person");
    let weak = SteppedUp::of_test(&stewards.1, Factor::Totp, 0);
    assert_eq!(code(world.engine.agree(&stewards.1, weak, asked.id).await), "passkey_needed");
    assert!(world.engine.token_export(&stewards.1, number).await.is_ok_and(|shown| shown == request(export.clone())));
    assert_eq!(
        code(world.engine.token_export(&world.join("v@b.example", &[Role::Analyst]).await, number).await),
        "not_found"
    );
    world.engine.agree(&stewards.1, world.shown(&stewards.1), asked.id).await.unwrap();

    let (sealed, is_whole) = all(world.runs(&token, export.clone()).await.unwrap_or_else(|e| panic!("{e}"))).await;
    assert!(is_whole && opened(&sealed, &identity).lines().count() == 60);
    let intents = world.entries(Kind::Intent);
    let last = &intents[intents.len() - 1].entry;
    assert_eq!((last.token, last.actor), (Some(world.engine.token_pseudonym(number)), None));
    assert_eq!(world.named(last.grant as u32).len(), 60);

    let mut filtered = export.clone();
    filtered["what"]["who"] =
        json!({"kind": "did", "matching": {"event": "Visit"}, "times": {"op": "at_least", "count": 1}});
    let mut elsewhere = export.clone();
    elsewhere["recipient"] = json!(age::x25519::Identity::generate().to_public().to_string());
    let others = [persons_asked(json!(["email", "name"]), &identity), filtered, elsewhere, events_asked("csv")];
    for other in others {
        assert_eq!(code(world.runs(&token, other).await), "another_definition");
    }
    assert_eq!(world.entries(Kind::Intent).len(), intents.len(), "nothing else was opened");
    assert_eq!(world.entries(Kind::TokenRefused).len(), 4);

    for _ in 1..limits::EXPORT_TOKEN_RUNS_DAY_MAX {
        assert!(all(world.runs(&token, export.clone()).await.unwrap_or_else(|e| panic!("{e}"))).await.1);
    }
    assert_eq!(code(world.runs(&token, export.clone()).await), "limit_reached");
    world.pass(DAY_US);
    assert!(all(world.runs(&token, export.clone()).await.unwrap_or_else(|e| panic!("{e}"))).await.1);
    world.pass(29 * DAY_US);
    assert_eq!(code(world.runs(&token, export).await), "not_signed_in", "its thirty days are over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_from_two_networks_is_revoked_and_what_runs_by_it_ends() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path(), 3_000).await;
    let stewards = world.stewards().await;
    let export = events_asked("ndjson");
    let (_, token) = world.token(&stewards, export.clone()).await;
    assert_eq!(code(world.comes(&token, HOME).await), "ok");
    assert_eq!(code(world.comes(&token, [192, 0, 2, 200]).await), "ok", "the same network");
    world.pass(11 * 60_000_000);
    assert_eq!(code(world.comes(&token, ELSEWHERE).await), "not_signed_in", "from where it may not come");
    assert_eq!((world.entries(Kind::TokenRefused).len(), world.entries(Kind::TokenRevoked).len()), (1, 0));
    world.pass(11 * 60_000_000);

    let mut pieces = world.runs(&token, export.clone()).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(pieces.recv().await, Some(Ok(_))));
    assert_eq!(code(world.comes(&token, ELSEWHERE).await), "not_signed_in");
    assert!(!all(pieces).await.1, "what ran by it went on");
    let revoked = world.entries(Kind::TokenRevoked);
    assert_eq!((revoked.len(), revoked[0].entry.purpose), (1, 25), "by a rule, and no person");
    assert_eq!(code(world.comes(&token, HOME).await), "not_signed_in", "at home neither");

    // Another one is not of this.
    let (number, other) = world.token(&stewards, export.clone()).await;
    assert!(all(world.runs(&other, export.clone()).await.unwrap_or_else(|error| panic!("{error}"))).await.1);
    world.engine.lock_by_rule(OrgId(1), &[LockTarget::Member(stewards.0.member.id)]).await.unwrap();
    assert_eq!(code(world.runs(&other, export.clone()).await), "not_signed_in", "whoever made it is locked");
    assert_eq!(
        world.engine.token_export(&stewards.1, number).await.map(|shown| shown == request(export)).ok(),
        Some(true)
    );
}
