//! A labelled corpus of what people send by mistake, and of what only looks like it: lines as values of properties, in
//! English, Spanish and Italian, from a seed.
//!
//! Written from descriptions of the formats and from how people write, and shares nothing with the detectors: not
//! their patterns, not their checksums, not their lists. Nothing in it is real. Lines of [`Part::Second`] and [`Part::HeldBack`] come from
//! other seeds and other sentences each. What was missed in the second part was looked at and mended once; nobody has
//! looked at what is missed in the part held back, nor tunes anything against it.

/// Which lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What is looked at when a detector misses.
    Open,
    /// Held back until its misses were looked at.
    Second,
    /// Only measured.
    HeldBack,
}

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label {
    /// Must not be stored anywhere.
    Secret,
    /// Must not be stored readably.
    Personal,
    Harmless,
}

pub(crate) struct Line {
    pub(crate) label: Label,
    pub(crate) kind: &'static str,
    pub(crate) property: &'static str,
    pub(crate) text: String,
    /// The part that gives it away; empty for harmless lines.
    pub(crate) needle: String,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    fn from(&mut self, alphabet: &str, count: usize) -> String {
        let bytes = alphabet.as_bytes();
        (0..count).map(|_| char::from(self.of(bytes))).collect()
    }

    fn digits(&mut self, count: usize) -> String {
        self.from("0123456789", count)
    }
}

const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const UPPER_DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const HEX: &str = "0123456789abcdef";
const URLSAFE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const WORDS: [&str; 48] = [
    "summer",
    "linen",
    "shirt",
    "garden",
    "lamp",
    "oak",
    "table",
    "winter",
    "sale",
    "checkout",
    "banner",
    "hero",
    "newsletter",
    "invite",
    "camisa",
    "verano",
    "mesa",
    "jardin",
    "oferta",
    "zapatos",
    "invierno",
    "carrito",
    "pago",
    "regalo",
    "scarpe",
    "estate",
    "tavolo",
    "giardino",
    "offerta",
    "inverno",
    "carrello",
    "regalo-natale",
    "libreria",
    "report",
    "export",
    "dashboard",
    "widget",
    "overview",
    "member",
    "workspace",
    "billing",
    "preview",
    "variant",
    "control",
    "experiment",
    "onboarding",
    "upgrade",
    "trial",
];
const FIRST: [&str; 16] = [
    "ada", "grace", "lucia", "marco", "giulia", "pablo", "carmen", "luca", "sofia", "john", "emma", "diego", "chiara",
    "javier", "olivia", "matteo",
];
const LAST: [&str; 12] = [
    "lovelace", "garcia", "rossi", "smith", "bianchi", "lopez", "hopper", "ferrari", "martin", "romano", "jones",
    "ruiz",
];
const HOSTS: [&str; 8] = [
    "example.com",
    "ejemplo.es",
    "esempio.it",
    "mail.example.org",
    "coffer.example",
    "shop.test",
    "uni.example.edu",
    "example.co.uk",
];

/// How the value stands in a line: alone, or in a sentence. `{}` is its place.
const AROUND: [&str; 14] = [
    "{}",
    "{}",
    "{}",
    "error: could not use {}",
    "user pasted {} into the form",
    "request failed with {} (retry 3)",
    "el usuario escribió {} en el campo",
    "no se pudo enviar {} al servidor",
    "dato incorrecto: {}",
    "l'utente ha inserito {} nel modulo",
    "impossibile elaborare {} ora",
    "valore: {}",
    "{\"value\": \"{}\", \"step\": 2}",
    "input={} status=400",
];
const AROUND_SECOND: [&str; 10] = [
    "{}",
    "{}",
    "please check {} for me",
    "tried it with {} and got nothing",
    "me sale un error con {} desde ayer",
    "mi cliente mandó {} por el chat",
    "ho provato con {} senza successo",
    "il cliente ha scritto {} in chat",
    "<input value=\"{}\">",
    "console.log {} done",
];
const AROUND_HELD_BACK: [&str; 10] = [
    "{}",
    "{}",
    "why is {} not accepted",
    "copied from the mail: {}",
    "escribí {} tres veces",
    "sigue sin funcionar con {}",
    "con {} si blocca tutto",
    "ecco cosa vedo: {}",
    "[debug] got {} from input",
    "{} <- this one",
];
const FREE_PROPERTIES: [&str; 8] = ["note", "message", "value", "label", "comment", "text", "detail", "query"];

/// The lines of a part.
pub(crate) fn lines(part: Part, count: usize) -> Vec<Line> {
    let seed = match part {
        Part::Open => 0x5eed_0001,
        Part::Second => 0x0dd_ba11,
        Part::HeldBack => 0x3c1d_22e7_90af,
    };
    let mut maker = Maker { random: Random(seed), part };
    (0..count)
        .map(|at| match at % 10 {
            0..=3 => maker.secret(),
            4..=6 => maker.personal(),
            _ => maker.harmless(),
        })
        .collect()
}

struct Maker {
    random: Random,
    part: Part,
}

impl Maker {
    fn around(&mut self, value: &str) -> String {
        let frame = match self.part {
            Part::Open => self.random.of(&AROUND),
            Part::Second => self.random.of(&AROUND_SECOND),
            Part::HeldBack => self.random.of(&AROUND_HELD_BACK),
        };
        frame.replace("{}", value)
    }

    fn word(&mut self) -> &'static str {
        self.random.of(&WORDS)
    }

    fn property(&mut self) -> &'static str {
        self.random.of(&FREE_PROPERTIES)
    }

    fn line(&mut self, label: Label, kind: &'static str, needle: String) -> Line {
        let text = self.around(&needle);
        Line { label, kind, property: self.property(), text, needle }
    }

    fn secret(&mut self) -> Line {
        let is_other = self.part != Part::Open;
        let random = &mut self.random;
        let (kind, needle) = match random.below(26) {
            0 | 1 => return self.password_in_text(),
            2 => {
                // What was typed into an input that the page named honestly.
                let property =
                    random.of(&["password", "new_password", "contraseña", "clave", "parola", "pwd", "otp", "cvv"]);
                let needle = if matches!(property, "otp" | "cvv") { random.digits(6) } else { self.password() };
                return Line { label: Label::Secret, kind: "password input", property, text: needle.clone(), needle };
            }
            3 | 4 => ("jwt", self.jwt()),
            5 => {
                let body = random.from(BASE64, 160);
                let which = random.of(&["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"]);
                ("pem", format!("-----BEGIN {which}-----\n{body}"))
            }
            6..=8 => {
                let card = self.card();
                ("card", card)
            }
            9 => ("aws key", format!("AKIA{}", random.from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16))),
            10 => ("aws secret", random.from(BASE64, 40)),
            11 => {
                let kind = random.of(&["ghp_", "gho_", "ghs_"]);
                ("github", format!("{kind}{}", random.from(ALNUM, 36)))
            }
            12 => ("gitlab", format!("glpat-{}", random.from(URLSAFE, 20))),
            13 => {
                let (one, two) = (random.digits(12), random.digits(12));
                ("slack", format!("xoxb-{one}-{two}-{}", random.from(ALNUM, 24)))
            }
            14 => {
                let kind = random.of(&["sk_live_", "rk_live_", "sk_test_"]);
                ("stripe", format!("{kind}{}", random.from(ALNUM, 24)))
            }
            15 => {
                let kind = random.of(&["sk-proj-", "sk-ant-api03-", "sk-"]);
                ("model key", format!("{kind}{}", random.from(ALNUM, 48)))
            }
            16 => ("google", format!("AIza{}", random.from(URLSAFE, 35))),
            17 => ("azure", format!("AccountKey={}==", random.from(BASE64, 86))),
            18 => ("npm", format!("npm_{}", random.from(ALNUM, 36))),
            19 => {
                let kind = random.of(&["AC", "SK"]);
                ("twilio", format!("{kind}{}", random.from(HEX, 32)))
            }
            20 => {
                let one = random.from(URLSAFE, 22);
                ("sendgrid", format!("SG.{one}.{}", random.from(URLSAFE, 43)))
            }
            21 => {
                let scheme = random.of(&["postgres", "mysql", "mongodb+srv", "redis", "amqp"]);
                let host = random.of(&HOSTS);
                let password = random.from(ALNUM, 12);
                ("connection string", format!("{scheme}://app:{password}@db.{host}:5432/main"))
            }
            22 => ("bearer", format!("Authorization: Bearer {}", random.from(URLSAFE, 32).replace(['-', '_'], "x"))),
            23 => {
                let pair = format!("admin:{}", random.from(ALNUM, 12));
                ("basic", format!("Authorization: Basic {}", base64(pair.as_bytes())))
            }
            24 => {
                let count = 44 + random.below(20) as usize;
                ("random token", random.from(if is_other { URLSAFE } else { ALNUM }, count))
            }
            _ => {
                // A token that some tool wrapped in base 64.
                let token = format!("token=ghp_{}", random.from(ALNUM, 36));
                ("in base 64", base64(token.as_bytes()))
            }
        };
        self.line(Label::Secret, kind, needle)
    }

    fn password(&mut self) -> String {
        let (word, other) = (self.word().replace('-', ""), self.word().replace('-', ""));
        let number = self.random.below(9_000) + 10;
        let sign = self.random.of(&["!", "$", "_", "#", "."]);
        match self.random.below(4) {
            0 => format!("{word}{number}"),
            1 => format!("{}{sign}{number}", capital(&word)),
            2 => format!("{word}{sign}{other}{number}"),
            _ => format!("{}{}", self.random.from(ALNUM, 9), self.random.digits(2)),
        }
    }

    fn password_in_text(&mut self) -> Line {
        if self.random.below(4) == 0 {
            let code = self.random.digits(6);
            let text = match (self.part, self.random.below(3)) {
                (Part::Open, 0) => format!("your verification code is {code}"),
                (Part::Open, 1) => format!("tu código de verificación es {code}"),
                (Part::Open, _) => format!("il tuo codice di verifica è {code}"),
                (Part::Second, 0) => format!("one-time code: {code}, valid 5 minutes"),
                (Part::Second, 1) => format!("introduce el PIN {code} para seguir"),
                (Part::Second, _) => format!("codice OTP {code} valido 5 minuti"),
                (Part::HeldBack, 0) => format!("Your login code: {code}. Do not share it"),
                (Part::HeldBack, 1) => format!("su código de acceso es {code}"),
                (Part::HeldBack, _) => format!("codice di sicurezza: {code}"),
            };
            return Line { label: Label::Secret, kind: "code in text", property: self.property(), text, needle: code };
        }
        let needle = self.password();
        let frame = match self.part {
            Part::Open => self.random.of(&[
                "password={}",
                "password: {}",
                "my password is {}",
                "pwd={}&step=2",
                "{\"password\":\"{}\"}",
                "contraseña: {}",
                "mi contraseña es {}",
                "la clave es {}",
                "clave={}",
                "la password è {}",
                "parola d'ordine: {}",
                "la mia password è {}",
            ]),
            Part::Second => self.random.of(&[
                "login failed, password={}",
                "user typed password: {} twice",
                "\"passwd\": \"{}\"",
                "mi clave es {} y no entra",
                "contraseña={}",
                "password: {} non funziona",
                "la mia parola d'ordine è {}",
            ]),
            Part::HeldBack => self.random.of(&[
                "Password: {}",
                "user=ana&password={}&remember=1",
                "tried the password {} and it failed",
                "{\"pass\": \"{}\", \"ok\": false}",
                "la contraseña es {}",
                "clave: {}",
                "nueva contraseña: {}",
                "password = {}",
                "la password era {}",
            ]),
        };
        let text = frame.replace("{}", &needle);
        Line { label: Label::Secret, kind: "password in text", property: self.property(), text, needle }
    }

    fn jwt(&mut self) -> String {
        let header = base64url(br#"{"alg":"HS256","typ":"JWT"}"#);
        let number = self.random.digits(8);
        let body = base64url(format!("{{\"sub\":\"{number}\",\"iat\":17{number}}}").as_bytes());
        format!("{header}.{body}.{}", self.random.from(URLSAFE, 43))
    }

    /// A number with the check digit that ISO/IEC 7812 asks for.
    fn card(&mut self) -> String {
        let (prefix, length) = self.random.of(&[
            ("4", 16),
            ("4929", 16),
            ("51", 16),
            ("55", 16),
            ("2720", 16),
            ("34", 15),
            ("37", 15),
            ("6011", 16),
            ("3530", 16),
        ]);
        let mut digits = format!("{prefix}{}", self.random.digits(length - prefix.len() - 1));
        let check = (0..10).find(|check| mod10(&format!("{digits}{check}"))).unwrap_or(0);
        digits.push_str(&check.to_string());
        match self.random.below(3) {
            0 if length == 16 => grouped(&digits, 4, " "),
            1 if length == 16 => grouped(&digits, 4, "-"),
            _ => digits,
        }
    }

    fn personal(&mut self) -> Line {
        let is_other = self.part != Part::Open;
        let (kind, needle) = match self.random.below(12) {
            0..=2 => ("mail", self.mail()),
            3 => {
                let mail = self.mail();
                let mail = if self.random.below(2) == 0 { mail.replace('@', "%40") } else { mail };
                let path = self.word();
                let host = self.random.of(&HOSTS);
                let text = if is_other {
                    format!("https://{host}/{path}/{mail}/edit")
                } else {
                    format!("https://{host}/{path}?email={mail}&lang=es")
                };
                return Line { label: Label::Personal, kind: "mail in url", property: "page_url", text, needle: mail };
            }
            4 => {
                let number = self.random.digits(8);
                let country = self.random.of(&["+34 6", "+39 3", "+346", "+393", "+1 212", "+44 7"]);
                ("phone, international", format!("{country}{number}"))
            }
            5 => {
                let random = &mut self.random;
                let needle = match random.below(3) {
                    0 => {
                        let (a, b, c) = (random.digits(2), random.digits(3), random.digits(3));
                        format!("6{a} {b} {c}")
                    }
                    1 => {
                        let (a, b) = (random.digits(2), random.digits(7));
                        format!("3{a} {b}")
                    }
                    _ => {
                        let (a, b, c) = (random.digits(2), random.digits(2), random.digits(4));
                        format!("(2{a}) 5{b}-{c}")
                    }
                };
                ("phone, at home", needle)
            }
            6 | 7 => ("iban", self.iban()),
            8 => {
                // Orden EHA/451/2008 and the table of the Ministry: the remainder by 23 names the letter.
                let number = self.random.below(99_999_999);
                let letter = b"TRWAGMYFPDXBNJZSQVHLCKE"[(number % 23) as usize];
                if self.random.below(3) == 0 {
                    let (lead, digits) = (self.random.below(3), self.random.below(9_999_999));
                    let letter = b"TRWAGMYFPDXBNJZSQVHLCKE"[((lead * 10_000_000 + digits) % 23) as usize];
                    let lead = [b'X', b'Y', b'Z'][lead as usize];
                    ("dni, nie", format!("{}{digits:07}{}", char::from(lead), char::from(letter)))
                } else {
                    ("dni, nie", format!("{number:08}{}", char::from(letter)))
                }
            }
            9 => ("codice fiscale", self.codice_fiscale()),
            10 => {
                let random = &mut self.random;
                let parts: Vec<String> = (0..3).map(|_| (random.below(253) + 1).to_string()).collect();
                let first = random.of(&["81", "93", "151", "185", "203", "192"]);
                ("ip address", format!("{first}.{}", parts.join(".")))
            }
            _ => {
                let random = &mut self.random;
                let groups: Vec<String> = (0..6).map(|_| random.from(HEX, 4)).collect();
                ("ip address", format!("2001:db8:{}", groups.join(":")))
            }
        };
        self.line(Label::Personal, kind, needle)
    }

    fn mail(&mut self) -> String {
        let (first, last, host) = (self.random.of(&FIRST), self.random.of(&LAST), self.random.of(&HOSTS));
        match self.random.below(4) {
            0 => format!("{first}.{last}@{host}"),
            1 => format!("{first}{}@{host}", self.random.below(100)),
            2 => format!("{}.{last}+{}@{host}", &first[..1], self.word()),
            _ => format!("{}@{host}", capital(first)),
        }
    }

    /// ISO 13616: the check digits make the rearranged number leave 1 when divided by 97.
    fn iban(&mut self) -> String {
        let (country, body) = match self.random.below(4) {
            0 => ("ES", self.random.digits(20)),
            1 => ("IT", format!("{}{}", self.random.from(UPPER, 1), self.random.digits(22))),
            2 => ("DE", self.random.digits(18)),
            _ => ("GB", format!("{}{}", self.random.from(UPPER, 4), self.random.digits(14))),
        };
        let check = 98 - remainder(&format!("{body}{country}00"));
        let iban = format!("{country}{check:02}{body}");
        if self.random.below(2) == 0 { grouped(&iban, 4, " ") } else { iban }
    }

    /// Decreto ministeriale 12/03/1974: odd places by a table, even ones by their value.
    fn codice_fiscale(&mut self) -> String {
        let random = &mut self.random;
        let (name, year, month) = (random.from("BCDFGLMNPRSTVZ", 6), random.digits(2), random.from("ABCDEHLMPRST", 1));
        let day = random.below(28) + 1 + 40 * random.below(2);
        let (place, number) = (random.of(&["A", "B", "F", "H", "L"]), random.digits(3));
        let start = format!("{name}{year}{month}{day:02}{place}{number}");
        let odd: std::collections::BTreeMap<char, u32> = "0:1 1:0 2:5 3:7 4:9 5:13 6:15 7:17 8:19 9:21 A:1 B:0 C:5 D:7 E:9 F:13 G:15 H:17 I:19 J:21 K:2 L:4 M:18 N:20 O:11 P:3 Q:6 R:8 S:12 T:14 U:16 V:10 W:22 X:25 Y:24 Z:23"
            .split(' ')
            .map(|pair| {
                let (key, value) = pair.split_once(':').unwrap_or((pair, "0"));
                (key.chars().next().unwrap_or('0'), value.parse().unwrap_or(0))
            })
            .collect();
        let sum: u32 = start
            .chars()
            .enumerate()
            .map(|(at, letter)| {
                if at % 2 == 0 {
                    odd[&letter]
                } else {
                    letter.to_digit(36).map_or(0, |value| if value > 9 { value - 10 } else { value })
                }
            })
            .sum();
        format!("{start}{}", char::from(b'A' + (sum % 26) as u8))
    }

    fn harmless(&mut self) -> Line {
        let (is_other, part) = (self.part != Part::Open, self.part);
        let (one, two, three) = (self.word(), self.word(), self.word());
        let random = &mut self.random;
        let (kind, property, text): (_, &'static str, String) = match random.below(26) {
            0 => ("order number", "order_number", random.digits(10)),
            1 => ("order number", "order", format!("ES-{}-{}", random.digits(4), random.digits(6))),
            2 => {
                let length = random.of(&[8, 9, 10, 11, 12]);
                ("order number", "reference", random.digits(length))
            }
            3 => ("uuid", "session", uuid(random)),
            4 => ("git hash", "commit", random.from(HEX, 40)),
            5 => ("git hash", "release", random.from(HEX, 7)),
            6 => ("sha-256", "file", random.from(HEX, 64)),
            7 => (
                "sku",
                "product",
                format!("{}-{}-{}", random.from(UPPER_DIGITS, 3), random.digits(4), random.from(UPPER, 1)),
            ),
            8 => ("sku", "item", format!("{}{}", random.digits(8), random.from(UPPER, 2))),
            9 => {
                let (a, b) = (random.digits(4), random.digits(5));
                ("coordinates", "tile", format!("40.{a},-3.{b}"))
            }
            10 => {
                let parts: Vec<String> = (0..3).map(|_| random.below(40).to_string()).collect();
                ("version", "build_label", format!("v{}-rc.{}", parts.join("."), random.below(9)))
            }
            11 => {
                let parts: Vec<String> = (0..4).map(|_| random.below(200).to_string()).collect();
                ("version", "app_version", parts.join("."))
            }
            12 => (
                "css classes",
                "element_classes",
                format!(
                    "btn btn-primary css-{} mt-{} hover:bg-blue-{}00",
                    random.from(LOWER, 7),
                    random.below(9),
                    random.below(9)
                ),
            ),
            13 => {
                let number = random.below(4_000);
                ("long slug", "slug", format!("{one}-{two}-{three}-collection-landing-page-variant-{number}"))
            }
            14 => (
                "identifier",
                "handler",
                format!(
                    "get{}{}For{}ByWorkspaceAndRole{}",
                    capital(one),
                    capital(two),
                    capital(three),
                    random.below(9)
                )
                .replace('-', ""),
            ),
            15 => {
                let (minutes, seconds) = (random.below(60), random.below(60));
                (
                    "time",
                    "when",
                    format!(
                        "2026-0{}-1{} 1{}:{minutes:02}:{seconds:02}",
                        random.below(9) + 1,
                        random.below(9),
                        random.below(9)
                    ),
                )
            }
            16 => ("number as text", "stamp", format!("17{}", random.digits(11))),
            17 => ("price", "price_text", format!("{}.{} €", random.below(999), random.digits(3))),
            18 => {
                let frame = match part {
                    Part::Open => random.of(&[
                        "shows {} after the upgrade",
                        "quiero cambiar {} por otro",
                        "vorrei {} in un altro colore",
                        "please add {} to the list",
                    ]),
                    Part::Second => random.of(&[
                        "the page for {} did not load",
                        "no encuentro {} en la tienda",
                        "non trovo {} nel negozio",
                    ]),
                    Part::HeldBack => random.of(&[
                        "is {} coming back in May?",
                        "me gusta más {} que lo de antes",
                        "quanto costa {} con la consegna",
                        "we compared {} with last year",
                    ]),
                };
                ("free text", "comment", frame.replace("{}", &format!("{one} {two}")))
            }
            19 => {
                let frame = match part {
                    Part::Open => random.of(&[
                        "password: required",
                        "password is incorrect",
                        "la contraseña es incorrecta",
                        "reset the password",
                        "token expired",
                        "la password è sbagliata",
                        "pin code missing",
                        "2 tokens used",
                    ]),
                    Part::Second => random.of(&[
                        "forgot my password",
                        "the password field is empty",
                        "no recuerdo la clave",
                        "la password non va",
                        "api key page opened",
                    ]),
                    Part::HeldBack => random.of(&[
                        "password must have 12 characters",
                        "your password was changed",
                        "he olvidado mi contraseña",
                        "la clave no es válida",
                        "password dimenticata",
                        "secret santa 2026",
                        "the code is not working",
                    ]),
                };
                ("talk of secrets", "error", frame.to_owned())
            }
            20 => ("url", "page_url", format!("https://{}/{one}/{two}", random.of(&HOSTS))),
            21 => ("file", "asset", format!("{one}-{two}@2x.png")),
            22 => (
                "phone-like id",
                "ticket",
                format!("{}-{}-{}", random.from(UPPER, 3), random.digits(3), random.digits(4)),
            ),
            23 => {
                let mut text = format!("{one} {two} {three}");
                if is_other {
                    text = format!("{text} x{}", random.below(9));
                }
                ("words", "label", text)
            }
            24 => ("ratio", "score", format!("{}/{}", random.below(100), 100)),
            _ => {
                let json = format!("{{\"plan\":\"{one}\",\"step\":{}}}", random.below(9));
                ("json in base 64", "state", base64(json.as_bytes()))
            }
        };
        Line { label: Label::Harmless, kind, property, text, needle: String::new() }
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn grouped(text: &str, size: usize, between: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(size).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(between)
}

fn mod10(digits: &str) -> bool {
    let sum: u32 = digits
        .chars()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let value = digit.to_digit(10).unwrap_or(0);
            if at % 2 == 1 { value / 5 + value * 2 % 10 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

fn remainder(text: &str) -> u32 {
    let digits: String = text.chars().map(|letter| letter.to_digit(36).unwrap_or(0).to_string()).collect();
    digits.chars().fold(0, |rest, digit| (rest * 10 + digit.to_digit(10).unwrap_or(0)) % 97)
}

fn uuid(random: &mut Random) -> String {
    [8, 4, 4, 4, 12].map(|length| random.from(HEX, length)).join("-")
}

fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let whole = u32::from(chunk[0]) << 16
            | u32::from(chunk.get(1).copied().unwrap_or(0)) << 8
            | u32::from(chunk.get(2).copied().unwrap_or(0));
        for at in 0..4 {
            let letter = BASE64.as_bytes()[(whole >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

fn base64url(bytes: &[u8]) -> String {
    base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}
