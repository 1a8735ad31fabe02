//! What a property's name says, whatever its value: in English, Spanish and Italian.
//!
//! Names are compared in one form (`userId`, `user-id` and `$user_id` are the same), and each is worked out once per
//! thread.

use std::cell::RefCell;
use std::sync::LazyLock;

use regex::Regex;
use rustc_hash::FxHashMap;

use super::pattern;

/// Holds a secret whatever its value.
static SECRET_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?:password|passwords|passwd|pwd|passcode|passphrase|secret|secret_?key|api_?key|access_?key|private_?key)[0-9]*(?:$|_)",
        r"|(?:^|_)(?:otp|totp|pin|cvv|cvc|jwt|credentials?|authorization|mnemonic|contrasena|contraseña|contrase_a|cookie)(?:$|_)",
        r"|(?:^|_)(?:verification|mfa|recovery|backup|sms|one_time)_codes?$|(?:^|_)seed_phrase$",
        r"|^(?:user_?|my_?|db_?)?pass$|^(?:clave|clave_acceso|clave_secreta|clave_api|clave_privada|parola|parola_d_ordine)$",
        r"|^(?:segreto|secreto|chiave_(?:segreta|privata|api|accesso)|codigo_(?:secreto|seguridad)|codice_(?:segreto|sicurezza))$",
        r"|(?:^|_)(?:card_?number|cc_?number|credit_?card|numero_(?:de_)?tarjeta|numero_(?:di_)?carta|security_code|bearer)$",
    ))
});
/// Holds a secret when it holds text: counts of tokens are measured everywhere.
static TOKEN_NAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|_|auth|csrf|xsrf|api|access|refresh|session)tokens?$"));
/// About a secret, not one: `password_strength`, `has_password`, `token_type`.
static ABOUT_SECRET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:has|is|needs|forgot|reset|change|changed|with|show|cookie_banner|cookie_consent)_|_(?:type|status|strength|method|channel|count|length|policy|symbol|name|kind|changed|reset|enabled|set|at|consent|banner|version)$",
    )
});
static ADDRESS_NAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|_)(?:ip|ip_?addr|ip_?address|remote_addr|x_forwarded_for|x_real_ip)$"));
/// Joins to other systems: ids of persons, devices, organisations, ad clicks.
static JOIN_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?:^|_)(?:user|account|customer|member|owner|org|organi[sz]ation|company|workspace|team|tenant|group|subscriber",
        r"|employee|contact|client|visitor|anonymous|device|person|patient|student|stripe|external|lead|profile|installation",
        r"|advertising|distinct)_?(?:id|uuid|guid)$",
        r"|^(?:uid|idf[av]|gaid|aaid|adid|ios_ifa|ios_idf[av]|android_id|created_by)$",
        r"|^(?:initial_)?(?:gclid|fbclid|dclid|msclkid|ttclid|twclid|wbraid|gbraid|li_fat_id|sccid|ko_click_id|igshid|yclid)$",
    ))
});
/// Identifies a person: English, Spanish, Italian.
static IDENTITY_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"^(?:name|mobile|login|address|mail|tel|(?:android|ios)_devices)$",
        r"|(?:^|_)(?:e_?mail|e_?mail_?address|hashed_e?mail|email_hash|correo|correo_electronico)$",
        r"|(?:^|_)(?:phone|phone_?number|mobile_?number|mobile_phone|telephone|telefono|movil|cellulare|whatsapp)$",
        r"|(?:^|_)(?:first|last|middle|full|given|family|maiden|display|nick|user)_?name$|(?:^|_)(?:surname|nombre|nombre_completo|apellidos?|cognome)$",
        r"|(?:^|_)(?:customer|contact|billing|shipping|recipient|author|sender|owner|invitee|member|employee|patient|student|guest|client|lead|person|card_?holder)_name$",
        r"|(?:^|_)(?:birthday|birth_?date|date_of_birth|dob|fecha_de_nacimiento|data_di_nascita)$",
        r"|(?:^|_)(?:street|(?:street|postal|home|billing|shipping|mailing)_address|address_line_?[0-9]?|direccion|domicilio|indirizzo|postal_code|post_?code|zip|zip_?code|codigo_postal|cap)$",
        r"|(?:^|_)(?:ssn|nif|nie|dni|passport|passport_number|tax_id|codice_fiscale|avatar|avatar_url|photo|photo_url)$",
    ))
});
static PRECISE_PLACE_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|_)(?:latitude|longitude|lat|lng|lon)$"));
static VERSION_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|_)version(?:$|_)"));

static ID_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:^|_)(?:id|ids|uuid|guid|hash|sha|sha1|sha256|sha512|md5|digest|checksum|etag|commit|revision|integrity|nonce|trace|span|fingerprint|build|sku)$",
    )
});
/// Bank accounts are finance, whatever else a name says.
static ACCOUNT_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?:^|_)(?:iban|bank_account|account_number|cuenta_bancaria|conto_corrente|swift_account)$")
});

/// Parts of a page address that hold what a visitor typed.
const ADDRESS_PARTS: [&str; 4] = ["current_url_search", "current_url_hash", "url_query", "url_hash"];

/// A name as it is compared: no leading `$`, lower case, words joined by `_`.
pub(super) fn canonical(name: &str) -> String {
    let characters: Vec<char> = name.trim_start_matches('$').chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (at, &character) in characters.iter().enumerate() {
        if !character.is_alphanumeric() {
            if !out.ends_with('_') {
                out.push('_');
            }
            continue;
        }
        // `userId` and `CSRFToken` are two words each.
        let lower_before = at > 0 && (characters[at - 1].is_lowercase() || characters[at - 1].is_numeric());
        let lower_after = at > 0
            && characters[at - 1].is_uppercase()
            && characters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if character.is_uppercase() && (lower_before || lower_after) && !out.ends_with('_') {
            out.push('_');
        }
        out.extend(character.to_lowercase());
    }
    out.trim_matches('_').to_owned()
}

/// What a name alone says.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NameSays {
    Secret,
    Token,
    Address,
    Join,
    Identity,
    /// A precise place, a bank account.
    Sensitive,
    AddressPart,
    Referrer,
    Version,
    /// Numbers and hashes that name things: long random strings are what they hold.
    Id,
    DeviceOrPlace,
    Nothing,
}

thread_local! {
    /// Names repeat from event to event; what each says is worked out once per thread.
    static NAMES: RefCell<FxHashMap<String, NameSays>> = RefCell::default();
}

pub(crate) fn name_says(name: &str) -> NameSays {
    const NAMES_MAX: usize = 20_000;
    NAMES.with_borrow_mut(|names| {
        if let Some(says) = names.get(name) {
            return *says;
        }
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        let says = read_name(&canonical(name));
        names.insert(name.to_owned(), says);
        says
    })
}

fn read_name(key: &str) -> NameSays {
    const DEVICE_OR_PLACE: [&str; 27] = [
        "browser",
        "os",
        "device",
        "screen_height",
        "screen_width",
        "city",
        "region",
        "country",
        "country_code",
        "mp_country_code",
        "referring_domain",
        "initial_referring_domain",
        "timezone",
        "model",
        "manufacturer",
        "brand",
        "user_agent",
        "carrier",
        "screen_dpi",
        "android_brand",
        "android_manufacturer",
        "android_model",
        "android_os",
        "android_os_version",
        "ios_device_model",
        "ios_version",
        "continent",
    ];
    let about_secret = ABOUT_SECRET.is_match(key);
    if !about_secret && SECRET_NAME.is_match(key) {
        NameSays::Secret
    } else if !about_secret && TOKEN_NAME.is_match(key) {
        NameSays::Token
    } else if ADDRESS_NAME.is_match(key) {
        NameSays::Address
    } else if ACCOUNT_NAME.is_match(key) {
        NameSays::Sensitive
    } else if JOIN_NAME.is_match(key) {
        NameSays::Join
    } else if IDENTITY_NAME.is_match(key) {
        NameSays::Identity
    } else if PRECISE_PLACE_NAME.is_match(key) {
        NameSays::Sensitive
    } else if ADDRESS_PARTS.contains(&key) {
        NameSays::AddressPart
    } else if key.contains("referrer") || key.contains("referer") {
        NameSays::Referrer
    } else if VERSION_NAME.is_match(key) {
        NameSays::Version
    } else if ID_NAME.is_match(key) {
        NameSays::Id
    } else if DEVICE_OR_PLACE.contains(&key) || key.starts_with("browser_") || key.starts_with("os_") {
        NameSays::DeviceOrPlace
    } else {
        NameSays::Nothing
    }
}
