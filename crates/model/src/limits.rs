//! Every bound of the product, each with its reason. "Mixpanel's" means the published limit of the
//! protocol that unmodified SDKs were written against.

/// Body of one collecting request after decompression (Mixpanel's).
pub const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Bodies of collecting requests in memory at once, over all requests, before new ones are refused with 429: what is
/// read from a body takes two or three times as much for the milliseconds until it is stored.
pub const BODY_BYTES_IN_FLIGHT_MAX: usize = 256 * 1024 * 1024;
/// Events in one request (Mixpanel's).
pub const REQUEST_EVENTS_MAX: usize = 2_000;
/// One event as JSON (Mixpanel's).
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Properties of one event (Mixpanel's).
pub const EVENT_PROPERTIES_MAX: usize = 255;
/// Keys of one nested object (Mixpanel's).
pub const OBJECT_KEYS_MAX: usize = 255;
/// Items of one list (Mixpanel's).
pub const LIST_ITEMS_MAX: usize = 255;
/// Levels of nested objects and lists under a property (Mixpanel's).
pub const NESTING_DEPTH_MAX: usize = 3;
/// Strings are cut here, in characters (Mixpanel's).
pub const STRING_CHARS_MAX: usize = 255;
/// An insert id, in bytes (Mixpanel's).
pub const INSERT_ID_BYTES_MAX: usize = 36;
/// An event name or property name, in bytes: as strings, and it bounds dictionaries.
pub const NAME_BYTES_MAX: usize = 255;
/// A distinct id, in bytes: longer ones are refused rather than cut, since a cut id is another person.
pub const DISTINCT_ID_BYTES_MAX: usize = 1_024;
/// Oldest event time on `/track`, in seconds before now (Mixpanel's): history comes through `/import`.
pub const TRACK_AGE_SECONDS_MAX: i64 = 5 * 86_400;
/// Latest event time, in seconds after now (Mixpanel's): clocks differ by less.
pub const FUTURE_SECONDS_MAX: i64 = 3_600;
/// Earliest event time: 1971-01-01T00:00:00Z in microseconds (Mixpanel's).
pub const EVENT_TIME_US_MIN: i64 = 31_536_000_000_000;
/// Subjects of one merged person (Mixpanel's cluster).
pub const MERGE_MEMBERS_MAX: usize = 500;

/// Ids that the index by pseudonym may lack before they are moved there: about 10 MB, and read again at a start in
/// some tenths of a second. The more, the fewer pages of the index each move touches.
pub const UNINDEXED_IDS: usize = 100_000;
/// Devices of one person, and other ids that are merged one by one: a person who logs in everywhere is a script.
pub const PERSON_DEVICES_MAX: usize = 10_000;
/// A personal value that came with an event, in bytes of JSON: it is opened and sealed with the whole profile.
pub const PERSONAL_VALUE_BYTES_MAX: usize = 8 * 1024;
/// An e-mail address that is looked for by its hash, in bytes: 64 before the @, 255 after it (RFC 5321).
pub const MAIL_BYTES_MAX: usize = 320;
/// A telephone number as it was written, in bytes: 15 digits and what people put between them.
pub const PHONE_BYTES_MAX: usize = 64;
/// Addresses of one profile in the blind index: nobody has more, and each is a row.
pub const PROFILE_ADDRESSES_MAX: usize = 64;
/// Subjects that one address finds: more have a shared mailbox, and no person looks at more.
pub const ADDRESS_SUBJECTS_MAX: usize = 1_000;
/// A profile after an update, in bytes of JSON: it is sealed and opened whole.
pub const PROFILE_BYTES_MAX: usize = 256 * 1024;
/// Properties of one profile: as Mixpanel's.
pub const PROFILE_PROPERTIES_MAX: usize = 2_000;

/// Properties of a tracking plan: as many as may have a column.
pub const PLAN_PROPERTIES_MAX: usize = 2_000;
/// Events that one property of a plan may be limited to.
pub const PLAN_EVENTS_MAX: usize = 200;
/// Quarantined values of a project, and their bytes: what a wrong deployment sends in some minutes is enough to see
/// what it is. Beyond, values are dropped and counted.
pub const QUARANTINE_VALUES_MAX: usize = 100_000;
pub const QUARANTINE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Names in a quarantine: as many as somebody can look through, and few enough that made-up names fill nothing.
pub const QUARANTINE_NAMES_MAX: usize = 2_000;
/// Quarantined values are gone after this, in days.
pub const QUARANTINE_DAYS: i64 = 7;
/// Findings of one scan of stored events that are listed, one for each property and kind.
pub const SCAN_FINDINGS_MAX: usize = 10_000;
/// Disclosures that are listed for a finding: enough to see who it went to, and no answer of a gigabyte.
pub const SCAN_CARRIED_MAX: usize = 1_000;
/// A GeoIP database that is read into memory, in bytes: the largest city databases have half of it.
pub const GEOIP_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Body of a console API request: the largest query is far smaller.
pub const API_BODY_BYTES_MAX: usize = 256 * 1024;

/// Property columns of one segment; further ones share one overflow column.
pub const SEGMENT_COLUMNS_MAX: usize = 2_000;
/// Events in the tail before it is flushed to segments.
pub const FLUSH_EVENTS: usize = 250_000;
/// Events in the tail and in flight to segments before new ones are refused with 429.
pub const TAIL_EVENTS_MAX: usize = 4_000_000;
/// Bytes of the tail in the log that start a flush: a million events of 12 properties are about 170 MB.
pub const FLUSH_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of the tail before new events are refused with 429: in memory it takes a few times as many.
pub const TAIL_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Events of the tail that are sorted in one go: a snapshot waits for one such piece at most, some 50 ms.
pub const TAIL_PIECE_EVENTS: usize = 65_536;
/// Subjects of one erasure: a whole shop's worth, half a megabyte of numbers in one transaction of the manifest.
pub const ERASE_SUBJECTS_MAX: usize = 200_000;
/// Subjects that are erased in one transaction of the vault: whoever sends events waits some tenths of a second.
pub const ERASE_AT_ONCE: usize = 2_000;
/// Persons that a certificate of erasure names one by one; of more it says how many.
pub const ERASE_NAMED_MAX: usize = 1_000;
/// Erased subjects are physically gone from segments within this, in seconds: what is published. Compaction begins
/// at half of it.
pub const ERASE_WITHIN_SECONDS: i64 = 86_400;
/// Frame of the write-ahead log, in bytes: one request's events, with room for the encoding.
pub const WAL_FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Subject buckets of a project: power of two; a query runs them in parallel.
pub const BUCKETS: u32 = 4;

/// Buckets of time in one answer: about two weeks of minutes, and what a chart can show.
pub const TIME_BUCKETS_MAX: usize = 20_000;
/// Days in one question.
pub const RANGE_DAYS_MAX: i64 = 3_660;
/// Metrics of an Insights question (Mixpanel's); together with exclusions they share the 64 marks of a row.
pub const METRICS_MAX: usize = 40;
/// Formulas of an Insights question, and bytes of one.
pub const FORMULAS_MAX: usize = 10;
pub const FORMULA_BYTES_MAX: usize = 500;
/// Brackets and signs of a formula within each other: each is a call deep.
pub const FORMULA_DEPTH_MAX: usize = 50;
/// Values of an Insights answer, all lines and buckets together: some ten megabytes of text.
pub const INSIGHTS_VALUES_MAX: usize = 1_000_000;
/// Buckets of a rolling average: a quarter of days.
pub const ROLLING_BUCKETS_MAX: u32 = 90;
/// Days of "active" persons: what is kept per person while counting is a queue of days.
pub const ACTIVE_DAYS_MAX: u16 = 90;
/// Different hours (or days, minutes) of one person that a question may tell apart: 22 years of hours.
pub const PERSON_UNITS_MAX: usize = 200_000;
/// Points of a cohort's size over time (Mixpanel's): each is a question of its own.
pub const COHORT_POINTS_MAX: usize = 93;
/// Different values of one property that a question may tell apart: each has a name in memory.
pub const PROPERTY_VALUES_MAX: usize = 1_000_000;
/// Properties of one breakdown.
pub const BREAKDOWN_PROPERTIES_MAX: usize = 4;
/// Bounds of a breakdown by ranges of a number.
pub const BREAKDOWN_BOUNDS_MAX: usize = 100;
/// Minutes without an event that end a session (Mixpanel's).
pub const SESSION_MINUTES_MAX: u32 = 1_440;
/// Exclusions of a funnel; with its steps they share the 64 marks of a row.
pub const EXCLUSIONS_MAX: usize = 5;
/// Properties held constant in a funnel or flow (Mixpanel's).
pub const HOLD_CONSTANT_MAX: usize = 3;
/// Steps of a flow before and after its anchor: the number of paths grows with each.
pub const FLOW_BEFORE_MAX: u32 = 5;
pub const FLOW_AFTER_MAX: u32 = 10;
/// Nodes of one step of a flow, and whole paths (Mixpanel's), that are listed.
pub const FLOW_NODES_MAX: u32 = 50;
pub const FLOW_PATHS_MAX: u32 = 50;
/// Events of a flow that are hidden, and those that are expanded by a property.
pub const FLOW_HIDDEN_MAX: usize = 100;
pub const FLOW_EXPAND_MAX: usize = 5;
/// Length of one retention bracket, in units.
pub const RETENTION_BRACKET_MAX: u32 = 366;
/// Units of all retention brackets together: about ten years of days.
pub const RETENTION_BRACKETS_SUM_MAX: u32 = 3_660;
/// Conditions of a cohort, and levels of "all" and "any".
pub const COHORT_CONDITIONS_MAX: usize = 50;
pub const COHORT_DEPTH_MAX: usize = 4;
/// Cohorts of one project, and ids of an uploaded one: as many as fit a request body of 10 MB.
pub const COHORTS_MAX: usize = 500;
pub const COHORT_MEMBERS_MAX: usize = 500_000;
/// Memory one question may take beyond mapped files, in bytes.
pub const QUERY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Steps of a funnel.
pub const FUNNEL_STEPS_MAX: usize = 20;
/// Conversion window, in days (Mixpanel's).
pub const FUNNEL_WINDOW_DAYS_MAX: i64 = 366;
/// Conversion window, in sessions (Mixpanel's).
pub const FUNNEL_WINDOW_SESSIONS_MAX: u32 = 12;
/// Filters in one list.
pub const FILTERS_MAX: usize = 20;
/// Values of one `equals`.
pub const FILTER_VALUES_MAX: usize = 1_000;
/// Segments listed by a breakdown.
pub const BREAKDOWN_SEGMENTS_MAX: u32 = 200;
/// Intervals of a retention table.
pub const RETENTION_INTERVALS_MAX: u32 = 60;
/// Rows of a list of persons or events.
pub const ROWS_MAX: u32 = 500;

/// Hot property columns on disk, in bytes: a billion events read by five properties of two bytes, and a fraction
/// of the truth beside them. Columns every query needs are not counted.
pub const HOT_BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;
/// Hot columns kept in memory because the disk takes none, in bytes: a full disk must not become full memory.
pub const HOT_MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Aggregates by device or place, for whoever may not have them exactly: numbers of fewer persons are left out.
pub const FEW_PERSONS: u64 = 5;
/// So many questions by device or place that differ only in what they filter by or which days they are about, by one
/// asker in an hour; from then on few are [`FEW_PERSONS_ALIKE`].
pub const ALIKE_HOUR_MAX: usize = 50;
pub const FEW_PERSONS_ALIKE: u64 = 50;
/// Questions by device or place remembered of an asker, of the last hour.
pub const ALIKE_REMEMBERED: usize = 2_000;

/// Live feed: events kept for somebody who opens the page, per project.
pub const LIVE_EVENTS_KEPT: usize = 50;
/// Recently accepted records remembered per process, to recognise a retry at the door.
pub const RECENT_RECORDS_MAX: usize = 1_000_000;

/// Password of a member, in characters: NIST SP 800-63B-4 asks for 15 alone, 8 beside a second factor.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Argon2id costs grow with length only slightly; this bounds the body.
pub const PASSWORD_CHARS_MAX: usize = 256;
/// Session: absolute life, and idle life, in seconds.
pub const SESSION_SECONDS_MAX: i64 = 7 * 86_400;
pub const SESSION_IDLE_SECONDS_MAX: i64 = 12 * 3_600;
/// Failed sign-ins per account and five minutes.
pub const SIGN_IN_TRIES_MAX: u32 = 5;
/// Window of the above, in seconds.
pub const SIGN_IN_WINDOW_SECONDS: i64 = 300;
/// Sign-ins from one address in that window, from browsers that are not known: an office behind one address signs in
/// with less, and trying many accounts takes more.
pub const SIGN_IN_ADDRESS_TRIES_MAX: u32 = 60;
/// Sessions of one member: as many devices as somebody has, and a few forgotten ones.
pub const SESSIONS_MAX: i64 = 10;
/// Browsers that are known of one member.
pub const DEVICES_MAX: i64 = 20;
/// How old a factor that was shown again may be, in seconds.
pub const STEP_UP_SECONDS_MAX: i64 = 300;
/// Challenges that wait, of one session and of all: each is asked for by a click.
pub const SESSION_STEP_UPS_MAX: usize = 64;
pub const STEP_UPS_MAX: usize = 10_000;
/// What a browser hands over of a passkey, each part in bytes: attestation statements with certificates have a few KB.
pub const WEBAUTHN_BYTES_MAX: usize = 16 * 1024;
/// A passkey's id, in bytes (WebAuthn's).
pub const CREDENTIAL_ID_BYTES_MAX: usize = 1_023;
/// Passkeys of one member: one a device, and keys in a drawer.
pub const PASSKEYS_MAX: usize = 20;
/// Recovery codes of one list.
pub const RECOVERY_CODES: usize = 10;
/// Invitations that wait, and how long one is good for, in seconds: handed over in person or by a message, not kept.
pub const INVITATIONS_MAX: usize = 100;
pub const INVITATION_SECONDS: i64 = 3 * 86_400;
/// People who are about to join at once, over all invitations.
pub const JOINING_MAX: usize = 10_000;
/// Days that events can be kept when not forever: a hundred years.
pub const KEEP_DAYS_MAX: u32 = 36_500;
/// How long a new authenticator app may take to show its first code, in seconds.
pub const AUTHENTICATOR_SECONDS: i64 = 900;
/// Tokens of one project that are good.
pub const TOKENS_MAX: usize = 100;
/// How long a token is good for, in days.
pub const TOKEN_DAYS_MAX: u32 = 365;
/// The same of one that runs an export, and how often it does in a day: hourly is as fresh as anybody needs it.
pub const EXPORT_TOKEN_DAYS_MAX: u32 = 30;
pub const EXPORT_TOKEN_RUNS_DAY_MAX: u32 = 24;
/// A token of an export that comes from two networks within this is revoked, in seconds: no program moves so fast.
pub const TOKEN_NETWORKS_SECONDS: i64 = 600;
/// What counts as one network there, in leading bits: what a provider gives to one site.
pub const TOKEN_NETWORK_BITS_V4: u8 = 24;
pub const TOKEN_NETWORK_BITS_V6: u8 = 48;
/// How long a token is good for after it was exchanged, in seconds: until whoever uses it has the new one.
pub const TOKEN_GRACE_SECONDS: i64 = 60;
/// Locks of one organisation, and targets of one act: a network is one.
pub const LOCKS_MAX: usize = 10_000;
pub const LOCK_TARGETS_MAX: usize = 1_000;
/// Things that wait for a second person, of one organisation.
pub const WISHES_MAX: usize = 100;
/// Persons who are named in what waits for a second person.
pub const WISH_PERSONS_MAX: usize = 20;
/// How long something waits that nobody else is there to agree to, in seconds: long enough to be seen.
pub const ALONE_SECONDS: i64 = 3_600;

/// An entry of the ledger, encoded: what it has fields for fits in half of it; the C2SP format would allow 64 KB.
pub const LEDGER_ENTRY_BYTES_MAX: usize = 1_024;
/// Free bytes of an entry: eight subject numbers, or another hash.
pub const LEDGER_EXTRA_BYTES_MAX: usize = 256;
/// Subjects of a disclosure that are named in the entry itself; more become a bitmap beside the log.
pub const LEDGER_INLINE_SUBJECTS_MAX: u64 = 8;
/// Entries under one sync: the most that anybody waits for beside their own.
pub const LEDGER_BATCH_ENTRIES_MAX: usize = 256;
/// Entries that wait for the disk before new ones are refused: a second's worth on a slow disk.
pub const LEDGER_WAITING_MAX: usize = 8_192;
/// Entries that are durable and under no checkpoint yet before new ones are refused: ten seconds' worth, in memory.
pub const LEDGER_UNPUBLISHED_MAX: u64 = 65_536;
/// A disk that has not answered for this long is not waited for, in milliseconds.
pub const LEDGER_STALL_MS: u64 = 500;
/// One journal file, in bytes: a few seconds' entries, and written to its end before it is used.
pub const LEDGER_SEGMENT_BYTES: usize = 2 * 1024 * 1024;
/// Of it, what only entries of containment may use: thousands of them, when there is no room for another file.
pub const LEDGER_RESERVE_BYTES: usize = 512 * 1024;
/// Refusals of one actor that are entries of their own, per window; further ones are counted in one entry.
pub const LEDGER_REFUSALS_MAX: u32 = 20;
/// Window of the above, in seconds.
pub const LEDGER_REFUSAL_SECONDS: u64 = 60;
/// Actors whose refusals are counted apart at a time; all others share one count.
pub const LEDGER_REFUSING_ACTORS_MAX: usize = 10_000;
/// The wall clock may differ from the time that has passed by this much before an entry says that it was set, in
/// seconds: what time synchronisation corrects without anybody's notice is less.
pub const LEDGER_CLOCK_STEP_SECONDS: i64 = 60;
/// Bytes of a checkpoint with its signatures: sixteen large ones fit.
pub const LEDGER_NOTE_BYTES_MAX: usize = 64 * 1024;
/// Witnesses of one ledger: each is asked for every checkpoint.
pub const LEDGER_WITNESSES_MAX: usize = 16;
/// A subject set beside the log, in bytes: ten million scattered subjects take 20 MB.
pub const LEDGER_BLOB_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A passphrase for the root key, in characters: it is guessed offline by whoever has the disk.
pub const PASSPHRASE_CHARS_MIN: usize = 20;
/// Custodians of one sharing: more than any board has, and a share's number is a byte.
pub const CUSTODIANS_MAX: usize = 32;
/// What a stored passphrase may ask for at unsealing, in KiB, passes and lanes: 1 GiB, sixteen times what we write.
pub const ARGON2_KIB_MAX: u32 = 1024 * 1024;
pub const ARGON2_PASSES_MAX: u32 = 30;
pub const ARGON2_LANES_MAX: u32 = 16;
/// A line to or from the control socket, in bytes: shares and passphrases are far smaller.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;
/// An answer of the control socket, in bytes: what was exposed of some thousand projects fits.
pub const CONTROL_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a backup key makes backups, and how long it lives, in seconds: an erased person's key is in no backup that
/// opens after the latter, and every backup can be put back for six days at least.
pub const BACKUP_KEY_USE_SECONDS: i64 = 86_400;
pub const BACKUP_KEY_LIFE_SECONDS: i64 = 7 * 86_400;
/// A certificate, in bytes: as many names as one may have, and a proof.
pub const LEDGER_CERTIFICATE_BYTES_MAX: usize = 256 * 1024;

/// Subjects of one chunk of a disclosure: what can leave by one entry of the ledger, and by one look at the locks.
pub const DISCLOSURE_CHUNK_SUBJECTS: usize = 1_000;
/// A request to disclose, as JSON: its filter is a question's.
pub const DISCLOSURE_REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Requests of one organisation that wait: more than anybody decides about in a week.
pub const DISCLOSURES_WAITING_MAX: u32 = 200;
/// Disclosures of one list.
pub const DISCLOSURES_LISTED: u32 = 500;
/// A request that was not run within this is gone, in seconds: who approved knew the week's reasons.
pub const DISCLOSURE_SECONDS: i64 = 7 * 86_400;
/// Where nobody else could approve, this passes instead, in seconds: long enough to be seen by whoever shares the account.
pub const SELF_APPROVAL_SECONDS: i64 = 3_600;
/// A first export, and one by a new authenticator, waits this long unless two others approve, in seconds: whoever took
/// an account over has to stay unnoticed for a day.
pub const HOLD_SECONDS: i64 = 86_400;
/// Disclosures that are streamed at a time: each has a thread, and a snapshot that keeps files.
pub const DISCLOSURES_AT_ONCE: usize = 8;
/// A reader that takes nothing for so long has gone, in seconds.
pub const READER_SECONDS_MAX: u64 = 60;
/// Different persons that one member may open one by one: what answering people takes, and no
/// way to carry a shop away.
pub const REVEALS_HOUR_MAX: usize = 30;
pub const REVEALS_DAY_MAX: usize = 100;
/// Persons of an organisation that are disclosed in a day without two approvals, in percent of all.
pub const DISCLOSED_PERCENT_MAX: u64 = 20;
/// Below so many persons the share says nothing: a fifth of forty is eight letters answered.
pub const DISCLOSED_PERSONS_MIN: u64 = 100;
/// Reveals one after the other of persons with ever higher (or lower) numbers: nobody answers letters in this order.
pub const MONOTONE_REVEALS_MAX: usize = 20;
/// Look-ups of an address that find nobody, in a minute: more is guessing.
pub const LOOKUP_MISSES_MINUTE_MAX: usize = 5;
/// Look-ups of an address by one member in an hour.
pub const LOOKUPS_HOUR_MAX: usize = 100;
/// A limit that tripped and that nobody else could close, closes after this at the earliest, in seconds.
pub const TRIP_SECONDS_MIN: i64 = 86_400;
/// An age recipient, in bytes: `age1` and 58 characters.
pub const RECIPIENT_BYTES_MAX: usize = 128;
/// The proof of an export, in bytes: a statement and a dozen proofs of entries.
pub const EXPORT_PROOF_BYTES_MAX: usize = 1024 * 1024;
/// Things that one question about exposure may name (accounts, sessions, addresses …): each disclosure is compared with
/// all of them.
pub const EXPOSURE_BY_MAX: usize = 100;
/// Grants, and disclosures without an end, that an answer about exposure lists one by one; it counts all of them.
pub const EXPOSURE_LISTED_MAX: usize = 100;
/// Disclosures, or persons, on one page of a list.
pub const EXPOSURE_ROWS_MAX: u32 = 500;
/// A name that a notice shows, in characters: longer ones are cut, and nobody's is.
pub const NOTICE_NAME_CHARS_MAX: usize = 80;
/// Notices whose addresses are opened at once, by one entry of the ledger: a second's worth of mails.
pub const NOTICE_CHUNK: usize = 1_000;
/// Codes that one address may try in a minute, and everybody for one incident: who types has one to try.
pub const NOTICE_TRIES_ADDRESS_MAX: u32 = 10;
pub const NOTICE_TRIES_INCIDENT_MAX: u32 = 100;
/// Addresses whose tries are counted apart in one minute; all others share one count.
pub const NOTICE_TRYING_ADDRESSES_MAX: usize = 10_000;
/// Domains whose pace is kept in memory before those that may go on are forgotten.
pub const NOTICE_DOMAINS_MAX: usize = 20_000;
/// Recipients that could not be reached and are listed: as many as a team can telephone in a week.
pub const NOTICE_UNREACHED_MAX: usize = 10_000;
/// Lines of an answer of a mail relay, and bytes of one: RFC 5321 allows 512.
pub const SMTP_REPLY_LINES_MAX: usize = 64;
pub const SMTP_LINE_BYTES_MAX: u64 = 2_048;
/// How long a mail relay may take to answer, in seconds: RFC 5321 grants minutes, and nobody needs them.
pub const SMTP_WAIT_SECONDS: u64 = 60;
/// Personal values that one member is refused, since none of their roles may open any, within the seconds after it: who
/// errs asks somebody after one or two, and who has somebody else's session tries what there is.
pub const REFUSALS_MAX: usize = 5;
pub const REFUSALS_SECONDS: i64 = 600;
/// Alarms that are told at once, and how long one that opened no incident is told, in seconds: until whoever is in charge
/// has looked.
pub const ALARMS_MAX: usize = 100;
pub const ALARM_SECONDS: i64 = 3_600;
/// What a second person agreed to is good for so long, in seconds: a list is read page by page, and a package fetched.
pub const AGREED_SECONDS: i64 = 3_600;
/// Persons of a breach package whose ids are opened at once, by one entry of the ledger.
pub const PACKAGE_CHUNK: usize = 5_000;
