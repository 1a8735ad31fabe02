//! What the detectors cost, in nanoseconds for each property.

use std::time::Instant;

use serde_json::{Value, json};

/// Properties as a browser's SDK and a product send them, and free text beside them.
fn mixes() -> [(&'static str, Vec<(&'static str, Value)>); 3] {
    let short = vec![
        ("$os", json!("Mac OS X")),
        ("$browser", json!("Mobile Safari")),
        ("$browser_version", json!(131)),
        ("$screen_height", json!(1440)),
        ("mp_country_code", json!("ES")),
        ("$city", json!("Barcelona")),
        ("mp_lib", json!("web")),
        ("$lib_version", json!("2.56.0")),
        ("plan", json!("enterprise")),
        ("logged_in", json!(true)),
        ("amount", json!(129.95)),
        ("step", json!("checkout-address")),
        ("order_number", json!("ES-2024-118233")),
    ];
    let long = vec![
        ("$current_url", json!("https://shop.example.com/product/1234?ref=9921&utm_source=news")),
        ("$initial_referrer", json!("https://www.google.com/search?q=linen+shirt")),
        ("session", json!("3f8a1c52-9d1e-4b7a-8c21-5e0d6f7a9b10")),
        ("title", json!("Linen shirt with long sleeves for summer evenings, sand | Example Shop")),
        ("comment", json!("I would like to change the colour of my order, can somebody help me with that please")),
        ("slug", json!("summer-garden-collection-landing-page-variant-b-2024")),
        ("element_classes", json!("btn btn-primary css-1a2b3c mt-4 hover:bg-blue-600")),
    ];
    let all = short.iter().chain(&short).chain(&short).chain(&long).cloned().collect();
    [("short values", short), ("long values", long), ("the mix", all)]
}

/// Prints for people.
#[expect(clippy::print_stdout)]
pub(crate) fn run() {
    for (what, properties) in mixes() {
        let mut rounds = 1_000;
        loop {
            let started = Instant::now();
            let mut found = 0_usize;
            for _ in 0..rounds {
                for (name, value) in &properties {
                    found += usize::from(cofferdam_vault::finds(name, std::hint::black_box(value)).is_some());
                }
            }
            let wall = started.elapsed().as_secs_f64();
            if wall < 1.0 {
                rounds *= 4;
                continue;
            }
            let each = wall * 1e9 / (rounds * properties.len()) as f64;
            println!("{what}: {each:.0} ns for each property, {} of {} found", found / rounds, properties.len());
            break;
        }
    }
}
