//! Coarser forms of what would tell persons apart: a URL without what was typed into it, a user agent's family.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use regex::Regex;

use super::names::NameSays;
use super::pattern;
use super::shapes::{self, COLON, Marks, QUERY, SLASH};

/// An address without a scheme, with a query: `example.com/reset?code=1`.
static BARE_QUERY: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[\w./%~-]*[?#][\w.%~\[\]-]+="));

/// Parts of a query that say where a visit came from or what is shown, and not who looks.
const QUERY_KEPT: [&str; 7] = ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "utm_id", "lang"];
/// Of the value of such a part, in bytes: a campaign's name is shorter.
const QUERY_VALUE_BYTES_MAX: usize = 80;

/// A URL without what may identify; `None` when the text is no URL.
pub(super) fn url(referrer: bool, text: &str, marks: Marks) -> Option<String> {
    if !marks.any(QUERY) && !marks.all(COLON | SLASH) {
        return None;
    }
    let relative = text.starts_with('/') && text.contains(['?', '#']);
    if !text.contains("://") && !text.contains(char::is_whitespace) && (relative || BARE_QUERY.is_match(text)) {
        let (path, rest) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
        return Some(format!("{}{}", masked_path(path), kept_query(rest)));
    }
    let (scheme, rest) = text.split_once("://")?;
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-');
    if scheme.is_empty() || scheme.len() > 32 || !scheme.bytes().all(of_scheme) || rest.contains(char::is_whitespace) {
        return None;
    }
    let authority_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let authority = &rest[..authority_end];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    // A developer's own machine is nobody's address.
    let loopback = name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    let host = match () {
        () if loopback => host.to_owned(),
        () if shapes::has_address(name, 4) || host.starts_with('[') => "[address]".to_owned(),
        () => shapes::masked(host).into_owned(),
    };
    if referrer {
        return Some(host);
    }
    let (path, rest) = {
        let path = &rest[authority_end..];
        path.split_at(path.find(['?', '#']).unwrap_or(path.len()))
    };
    Some(format!("{scheme}://{host}{}{}", masked_path(path), kept_query(rest)))
}

/// Each step of a path masked by itself, and the path as a whole for what goes over several.
fn masked_path(path: &str) -> String {
    let steps: Vec<_> = path.split('/').map(shapes::masked).collect();
    let path = steps.join("/");
    shapes::masked(&path).into_owned()
}

/// Of a query, with its question mark, the parts that may stay; a fragment never does.
fn kept_query(rest: &str) -> String {
    let Some(query) = rest.strip_prefix('?') else { return String::new() };
    let query = query.split('#').next().unwrap_or_default();
    let kept: Vec<&str> = query
        .split('&')
        .filter(|part| {
            let Some((key, value)) = part.split_once('=') else { return false };
            let plain = shapes::percent_decoded(value);
            let marks = Marks::of(&plain);
            QUERY_KEPT.contains(&key)
                && value.len() <= QUERY_VALUE_BYTES_MAX
                && shapes::secret(&plain, marks, NameSays::Nothing).is_none()
                && shapes::identity(&plain, marks, NameSays::Nothing).is_none()
        })
        .collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}

/// A browser's user agent as family, major version and system; the rest tells persons apart.
pub(super) fn user_agent(text: &str) -> Option<String> {
    if !text.starts_with("Mozilla/") {
        return None;
    }
    const FAMILIES: [(&str, &str); 8] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Version/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("Windows", "Windows"),
        ("Android", "Android"),
        ("iPhone", "iOS"),
        ("iPad", "iOS"),
        ("Mac OS X", "macOS"),
        ("CrOS", "Chrome OS"),
        ("Linux", "Linux"),
    ];
    let family = FAMILIES.iter().find_map(|(mark, family)| {
        let version = text.split(mark).nth(1)?;
        // Versions have three digits; more would be somebody's own.
        let major: String = version.chars().take_while(char::is_ascii_digit).take(4).collect();
        Some(format!("{family} {major}"))
    });
    let family = family.unwrap_or_else(|| "other".to_owned());
    Some(match SYSTEMS.iter().find(|(mark, _)| text.contains(mark)) {
        Some((_, system)) => format!("{family} on {system}"),
        None => family,
    })
}
