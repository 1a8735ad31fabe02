//! What the demo world is made of: places, languages, models, channels, plans, names. Data only; the weights are
//! relative to those of the same table. Everything is fiction: domains end in `.example`, apart from the search
//! engine that people come from.

/// Where people are. Offsets are those of standard time: the demo does not need summer time.
pub(crate) struct Place {
    pub(crate) country: &'static str,
    pub(crate) city: &'static str,
    pub(crate) offset_min: i32,
    pub(crate) weight: u32,
}

const fn place(country: &'static str, city: &'static str, offset_min: i32, weight: u32) -> Place {
    Place { country, city, offset_min, weight }
}

pub(crate) const PLACES: [Place; 26] = [
    place("US", "New York", -300, 10),
    place("US", "San Francisco", -480, 10),
    place("US", "Austin", -360, 5),
    place("US", "Seattle", -480, 4),
    place("CA", "Toronto", -300, 4),
    place("MX", "Ciudad de México", -360, 2),
    place("BR", "São Paulo", -180, 5),
    place("GB", "London", 0, 9),
    place("DE", "Berlin", 60, 8),
    place("DE", "München", 60, 3),
    place("FR", "Paris", 60, 5),
    place("ES", "Madrid", 60, 4),
    place("ES", "Barcelona", 60, 3),
    place("IT", "Milano", 60, 4),
    place("IT", "Roma", 60, 2),
    place("NL", "Amsterdam", 60, 3),
    place("PL", "Kraków", 60, 3),
    place("SE", "Stockholm", 60, 2),
    place("NG", "Lagos", 60, 2),
    place("IL", "Tel Aviv", 120, 2),
    place("IN", "Bengaluru", 330, 9),
    place("IN", "Hyderabad", 330, 4),
    place("SG", "Singapore", 480, 3),
    place("JP", "Tokyo", 540, 5),
    place("KR", "Seoul", 540, 3),
    place("AU", "Sydney", 600, 3),
];

pub(crate) const LANGUAGES: [(&str, u32); 7] =
    [("python", 38), ("typescript", 27), ("go", 14), ("java", 9), ("ruby", 4), ("csharp", 5), ("rust", 3)];
pub(crate) const GO: u8 = 2;

pub(crate) const MODELS: [(&str, u32); 5] =
    [("sable-large", 30), ("sable-small", 28), ("heron-2", 24), ("heron-2-mini", 18), ("kestrel-1", 0)];
pub(crate) const WAVE_MODEL: u8 = 0;
pub(crate) const NEW_MODEL: u8 = 4;

/// How people come to the site, and which share of the visitors signs up.
pub(crate) struct Channel {
    pub(crate) name: &'static str,
    pub(crate) referrer: &'static str,
    /// Source, medium, campaign.
    pub(crate) utm: Option<[&'static str; 3]>,
    pub(crate) weight: u32,
    pub(crate) signup: f64,
}

pub(crate) const CHANNELS: [Channel; 8] = [
    Channel {
        name: "search",
        referrer: "https://www.google.com/search?q=completion+api",
        utm: None,
        weight: 34,
        signup: 0.30,
    },
    Channel { name: "direct", referrer: "", utm: None, weight: 22, signup: 0.32 },
    Channel {
        name: "code",
        referrer: "https://codehub.example/brightwater/cookbook?tab=readme",
        utm: None,
        weight: 14,
        signup: 0.38,
    },
    Channel {
        name: "newsletter",
        referrer: "https://devletter.example/issues/118?reader=48211",
        utm: Some(["devletter", "email", "issue-118"]),
        weight: 9,
        signup: 0.34,
    },
    Channel {
        name: "ads",
        referrer: "https://www.google.com/",
        utm: Some(["google", "cpc", "brand-search"]),
        weight: 10,
        signup: 0.18,
    },
    Channel {
        name: "blog",
        referrer: "https://blog.stackforge.example/posts/agents-in-a-day",
        utm: None,
        weight: 10,
        signup: 0.28,
    },
    Channel {
        name: "launch",
        referrer: "https://launchboard.example/posts/8841?ref=front",
        utm: Some(["launchboard", "referral", "launch"]),
        weight: 1,
        signup: 0.09,
    },
    Channel { name: "invite", referrer: "", utm: None, weight: 0, signup: 1.0 },
];
pub(crate) const LAUNCH: u8 = 6;
pub(crate) const INVITE: u8 = 7;

pub(crate) const BROWSERS: [(&str, &str, u32); 6] = [
    ("Chrome", "Mac OS X", 34),
    ("Chrome", "Windows", 22),
    ("Chrome", "Linux", 12),
    ("Firefox", "Linux", 12),
    ("Safari", "Mac OS X", 14),
    ("Microsoft Edge", "Windows", 6),
];

/// Plans in the order of an upgrade, with their monthly price before and after the price change.
pub(crate) const PLANS: [(&str, [u32; 2]); 4] =
    [("free", [0, 0]), ("pro", [29, 39]), ("scale", [199, 199]), ("enterprise", [1500, 1500])];
pub(crate) const PRO: u8 = 1;

pub(super) const INDUSTRIES: [&str; 8] =
    ["software", "finance", "health", "education", "retail", "media", "logistics", "public sector"];
pub(super) const REGIONS: [&str; 4] = ["north-america", "europe", "asia-pacific", "latin-america"];
pub(super) const ORG_FIRST: [&str; 20] = [
    "Silverpine",
    "Northbay",
    "Copperleaf",
    "Bluefjord",
    "Redstone",
    "Larkspur",
    "Quietwater",
    "Tallgrass",
    "Ironwood",
    "Sunmill",
    "Ashford",
    "Brightfield",
    "Moorland",
    "Harborline",
    "Windrose",
    "Oakhaven",
    "Granite",
    "Saltmarsh",
    "Highmeadow",
    "Foxglove",
];
pub(super) const ORG_SECOND: [&str; 20] = [
    "Robotics",
    "Health",
    "Bank",
    "Logistics",
    "Studios",
    "Labs",
    "Analytics",
    "Energy",
    "Learning",
    "Foods",
    "Insurance",
    "Motors",
    "Travel",
    "Media",
    "Systems",
    "Games",
    "Textiles",
    "Security",
    "Telecom",
    "Works",
];
pub(super) const FIRST_NAMES: [&str; 48] = [
    "Ada",
    "Lucía",
    "Zoë",
    "Łukasz",
    "Giulia",
    "Noah",
    "Mei",
    "Arjun",
    "Priya",
    "Oluwaseun",
    "Chidi",
    "Amélie",
    "Jürgen",
    "Søren",
    "Yuki",
    "Haruto",
    "Ji-woo",
    "Mateus",
    "Beatriz",
    "Diego",
    "Carmen",
    "Paolo",
    "Chiara",
    "Emily",
    "James",
    "Olivia",
    "Liam",
    "Sofia",
    "Anna",
    "Piotr",
    "Eva",
    "Lars",
    "Ines",
    "Tomás",
    "Aisha",
    "Omar",
    "Noa",
    "Ravi",
    "Kavya",
    "Wei",
    "Hannah",
    "Felix",
    "Chloé",
    "Marco",
    "Elena",
    "Victor",
    "Sara",
    "Ben",
];
pub(super) const LAST_NAMES: [&str; 48] = [
    "García",
    "Müller",
    "Rossi",
    "Dubois",
    "Nowak",
    "Kowalska",
    "Silva",
    "Santos",
    "Tanaka",
    "Sato",
    "Kim",
    "Park",
    "Chen",
    "Wang",
    "Sharma",
    "Patel",
    "Reddy",
    "Okafor",
    "Adeyemi",
    "Smith",
    "Johnson",
    "Brown",
    "O'Neil",
    "Jansen",
    "de Vries",
    "Lindqvist",
    "Berg",
    "Ferrari",
    "Bianchi",
    "López",
    "Martínez",
    "Fernández",
    "Schmidt",
    "Weber",
    "Fischer",
    "Moreau",
    "Laurent",
    "Cohen",
    "Levi",
    "Singh",
    "Iyer",
    "Costa",
    "Pereira",
    "Wilson",
    "Taylor",
    "Evans",
    "Wright",
    "Hall",
];
