//! Preflight: whether what a domain publishes in the DNS lets notices through, before one is sent.
//!
//! Reads records from a file in the form in which `dig +noall +answer` prints them, so that nothing here asks a name
//! server. DMARC passes when SPF or DKIM passes for the domain in `From` (RFC 7489); both are asked for, since forwarders
//! break one and mailing lists the other.

use std::collections::BTreeMap;

use crate::Result;
use crate::dkim::Keys;

/// What is wrong, and what to do about it; nothing when all is well.
///
/// # Errors
/// When the keys cannot be encoded.
pub fn check(domain: &str, keys: &Keys, records: &str) -> Result<Vec<String>> {
    let published = read(records);
    let values = |name: &str| published.get(&name.to_ascii_lowercase()).cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, wanted) in keys.records(domain)? {
        let found: Vec<String> = values(&name).into_iter().filter(|value| value.contains("p=")).collect();
        match &found[..] {
            [] => wrong.push(format!("DKIM: there is no key at {name}: publish\n  {name}. IN TXT \"{wanted}\"")),
            [value] if tags(value).get("p") == tags(&wanted).get("p") => {
                if tags(value).get("t").is_some_and(|flags| flags.split(':').any(|flag| flag == "y")) {
                    wrong
                        .push(format!("DKIM: the key at {name} says t=y, testing: receivers ignore it; take that out"));
                }
            }
            [_] => wrong.push(format!(
                "DKIM: another key is published at {name}: replace it by\n  {name}. IN TXT \"{wanted}\""
            )),
            _ => wrong.push(format!("DKIM: {name} has several keys: leave one")),
        }
    }
    let spf: Vec<String> = values(domain).into_iter().filter(|value| first_word(value) == "v=spf1").collect();
    match &spf[..] {
        [] => wrong.push(format!(
            "SPF: {domain} says nothing about who may send: publish for example\n  {domain}. IN TXT \"v=spf1 a:<your relay> -all\""
        )),
        [value] => {
            let last = value.split_ascii_whitespace().last().unwrap_or_default().to_ascii_lowercase();
            let is_strict = matches!(last.as_str(), "-all" | "~all") || last.starts_with("redirect=");
            if !is_strict {
                wrong.push(format!("SPF: {domain} ends in {last}, which lets anybody send: end it in -all"));
            }
        }
        _ => wrong.push(format!("SPF: {domain} has several records, so none counts: leave one")),
    }
    let mut dmarc = values(&format!("_dmarc.{domain}"));
    let mut policy_of = "p";
    let mut above = domain;
    // The policy of the organisation's domain holds below it; at most as many labels as a name has.
    while let (true, Some((_, parent))) = (dmarc.is_empty(), above.split_once('.')) {
        if !parent.contains('.') {
            break;
        }
        (above, policy_of) = (parent, "sp");
        dmarc = values(&format!("_dmarc.{parent}"));
    }
    dmarc.retain(|value| value.trim_start().to_ascii_uppercase().starts_with("V=DMARC1"));
    match &dmarc[..] {
        [] => wrong.push(format!(
            "DMARC: {domain} has no policy, so anybody's forgery looks as good: publish\n  _dmarc.{domain}. IN TXT \"v=DMARC1; p=reject; adkim=s\""
        )),
        [value] => {
            let tags = tags(value);
            let policy = tags.get(policy_of).or_else(|| tags.get("p")).map(String::as_str);
            if !matches!(policy, Some("quarantine" | "reject")) {
                wrong.push(format!("DMARC: the policy for {domain} stops no forgery: set p=reject, or at least p=quarantine"));
            }
            if tags.get("pct").is_some_and(|share| share != "100") {
                wrong.push("DMARC: pct holds the policy for a part of the mails only: take it out".to_owned());
            }
        }
        _ => wrong.push(format!("DMARC: _dmarc.{above} has several records, so none counts: leave one")),
    }
    Ok(wrong)
}

fn first_word(text: &str) -> String {
    text.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase()
}

/// `a=b; c=d`, without blanks in the values.
fn tags(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(';').filter_map(|tag| tag.split_once('='));
    pairs
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.split_ascii_whitespace().collect::<String>()))
        .collect()
}

/// TXT records by name: strings of one record belong together.
fn read(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with(';')) {
        let Some((head, _)) = line.split_once('"') else { continue };
        let mut words = head.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        if !words.any(|word| word.eq_ignore_ascii_case("TXT")) {
            continue;
        }
        let strings = line[head.len()..].split('"').skip(1).step_by(2);
        let value: String = strings.collect::<String>().replace("\\;", ";");
        found.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default().push(value);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(keys: &Keys) -> String {
        let mut out = String::from("; <<>> DiG <<>>\n");
        for (name, value) in keys.records("mail.example.org").unwrap() {
            // As name servers give long values: in pieces.
            let (a, b) = value.split_at(40);
            out.push_str(&format!("{name}.\t300\tIN\tTXT\t\"{a}\" \"{b}\"\n"));
        }
        out.push_str("mail.example.org. 300 IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\n");
        out.push_str("_dmarc.example.org. 300 IN TXT \"v=DMARC1\\; p=none\\; sp=reject\"\n");
        out
    }

    #[test]
    fn a_domain_that_publishes_all_three_passes_and_each_that_is_missing_or_wrong_is_named() {
        let keys = Keys::generate().unwrap();
        let good = records(&keys);
        assert_eq!(check("mail.example.org", &keys, &good).unwrap(), Vec::<String>::new());
        let all = check("mail.example.org", &keys, "").unwrap();
        assert_eq!(
            all.iter().map(|line| line.split(':').next().unwrap()).collect::<Vec<_>>(),
            ["DKIM", "DKIM", "SPF", "DMARC"]
        );
        for (from, to, expected) in [
            ("-all", "+all", "SPF"),
            ("sp=reject", "sp=none", "DMARC"),
            ("sp=reject", "sp=reject\\; pct=10", "DMARC"),
            ("k=ed25519; p=", "k=ed25519; p=AAAA", "DKIM"),
            ("v=DKIM1; k=rsa;", "v=DKIM1; t=y; k=rsa;", "DKIM"),
        ] {
            assert!(good.contains(from), "{from}");
            let wrong = check("mail.example.org", &keys, &good.replace(from, to)).unwrap();
            assert!(wrong.len() == 1 && wrong[0].starts_with(expected), "{to}: {wrong:?}");
        }
    }
}
