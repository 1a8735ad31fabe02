//! SMTP as a client: one relay, connections that are used again, envelope and `DATA` in one packet where the relay
//! takes that (RFC 2920).
//!
//! Encryption is not a choice: `smtps://` encrypts at once, `smtp://` by STARTTLS and not at all where the relay has
//! none, save on this machine. A password is never sent in clear. What a relay answers is bounded, and none of its
//! words goes anywhere but into a [`Verdict`]'s numbers: they can have an address in them.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cofferdam_model::limits;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::{Error, Result};

/// An address that may be put into an envelope and a header: no blank, no bracket, no control character. No `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    local: Zeroizing<String>,
    domain: String,
}

impl Mailbox {
    /// `None` for what is no address; the domain is brought to ASCII.
    pub fn parse(text: &str) -> Option<Mailbox> {
        let text = text.trim();
        let is_sound =
            |letter: char| !letter.is_whitespace() && !letter.is_control() && !"<>()[],;:\\\"".contains(letter);
        if text.len() > limits::MAIL_BYTES_MAX || !text.chars().all(is_sound) {
            return None;
        }
        let (local, domain) = text.rsplit_once('@')?;
        let domain = idna::domain_to_ascii(domain).ok()?;
        let is_label =
            |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_host = domain.split('.').all(is_label) && domain.len() <= 253;
        let is_local = !local.is_empty() && local.len() <= 64 && !local.contains('@');
        (is_host && is_local).then(|| Mailbox { local: Zeroizing::new(local.to_owned()), domain })
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }
}

impl std::fmt::Display for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.local.as_str(), self.domain)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Security {
    /// From the first byte.
    Tls,
    StartTls,
    /// To this machine only.
    StartTlsIfOffered,
}

/// Where mail is handed over. No `Debug`: it can have a password.
#[derive(Clone)]
pub struct Relay {
    host: String,
    port: u16,
    security: Security,
    login: Option<(String, Zeroizing<String>)>,
    tls: Arc<rustls::ClientConfig>,
    timeout: Duration,
}

impl Relay {
    /// Reads `smtp://[user@]host[:port]` or `smtps://…`. The password comes apart: it is in no command line.
    /// `authorities` is a PEM file of who may vouch for the relay instead of whom the system trusts.
    ///
    /// # Errors
    /// When the address is none, or a user is without a password.
    pub fn parse(url: &str, password: Option<Zeroizing<String>>, authorities: Option<&Path>) -> Result<Relay> {
        let wrong = |why: &str| Error::Setting(format!("the mail relay {why}\nhint: smtp://user@mail.example.org:587"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("has no address"))?;
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        if user.is_some_and(|user| user.contains(':')) {
            return Err(wrong("is given with its password: put that into a file, and name it"));
        }
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') => {
                (host, Some(port.parse::<u16>().map_err(|_| wrong("has a port that is no number"))?))
            }
            _ => (place, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains('/') {
            return Err(wrong("has no host"));
        }
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let (security, usual) = match scheme {
            "smtps" => (Security::Tls, 465),
            "smtp" if is_here => (Security::StartTlsIfOffered, 25),
            "smtp" => (Security::StartTls, 587),
            _ => return Err(wrong("is reached by smtp:// or smtps://")),
        };
        let login = match (user, password) {
            (Some(user), Some(password)) => Some((user.to_owned(), password)),
            (None, None) => None,
            (Some(_), None) => return Err(wrong("has a user and no password")),
            (None, Some(_)) => return Err(wrong("has a password and no user")),
        };
        Ok(Relay {
            host: host.to_owned(),
            port: port.unwrap_or(usual),
            security,
            login,
            tls: tls_config(authorities)?,
            timeout: Duration::from_secs(limits::SMTP_WAIT_SECONDS),
        })
    }

    /// Waits this long for an answer instead.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Relay {
        Relay { timeout, ..self }
    }
}

fn tls_config(authorities: Option<&Path>) -> Result<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    match authorities {
        Some(path) => {
            let wrong = || Error::Setting(format!("{} has no certificates in PEM form", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|_| wrong())? {
                roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
            }
            if roots.is_empty() {
                return Err(wrong());
            }
        }
        None => {
            // Those that cannot be read are left out; a relay that needs one is refused.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::Setting("TLS cannot be set up".to_owned()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// What became of one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The relay answers for it now.
    Accepted,
    /// Not now.
    Later(u16),
    /// Never.
    Refused(u16, Class),
}

/// Why mail is refused for good, coarsely. The numbers are stored: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// There is no such mailbox, or it takes nothing.
    Mailbox = 1,
    /// There is no such domain, or it takes no mail.
    Domain = 2,
    /// Somebody's policy.
    Policy = 3,
    Other = 4,
    /// It was tried too often.
    Expired = 5,
    /// Nothing is stored that it could be sent to.
    NoAddress = 6,
    /// What is stored is no address that mail can be sent to.
    BadAddress = 7,
}

impl Class {
    pub const ALL: [Class; 7] = [
        Class::Mailbox,
        Class::Domain,
        Class::Policy,
        Class::Other,
        Class::Expired,
        Class::NoAddress,
        Class::BadAddress,
    ];

    pub fn of_number(number: i64) -> Option<Class> {
        Class::ALL.into_iter().find(|class| *class as i64 == number)
    }

    pub fn word(self) -> &'static str {
        match self {
            Class::Mailbox => "mailbox",
            Class::Domain => "domain",
            Class::Policy => "policy",
            Class::Other => "other",
            Class::Expired => "expired",
            Class::NoAddress => "no_address",
            Class::BadAddress => "bad_address",
        }
    }
}

/// Why there is no connection: nothing is wrong with the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("the mail relay cannot be reached ({0})")]
    Unreachable(io::ErrorKind),
    #[error("the mail relay does not answer")]
    Silent,
    #[error("the mail relay does not speak SMTP")]
    NotSmtp,
    #[error("the mail relay offers no encryption: nothing was sent")]
    NoEncryption,
    #[error("the mail relay does not show a certificate that is trusted")]
    NotTrusted,
    #[error("the mail relay does not take the user and password ({0})")]
    Login(u16),
    #[error("the mail relay refuses to talk ({0})")]
    Refused(u16),
}

/// A reply: its code, the enhanced code (RFC 3463) when it has one, and what the greeting offered.
struct Reply {
    code: u16,
    enhanced: Option<(u16, u16)>,
    lines: Vec<String>,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection on which mails are sent one after the other.
pub struct Connection {
    wire: BufReader<Box<dyn Wire>>,
    timeout: Duration,
    has_pipelining: bool,
    has_utf8: bool,
}

impl Connection {
    /// Connects, encrypts and signs in.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn open(relay: &Relay, own_name: &str) -> Result<Connection, Trouble> {
        let connecting = tokio::time::timeout(relay.timeout, TcpStream::connect((relay.host.as_str(), relay.port)));
        let stream = connecting.await.map_err(|_| Trouble::Silent)?;
        let stream = stream.map_err(|error| Trouble::Unreachable(error.kind()))?;
        // Small packets that wait for an answer each.
        let _ = stream.set_nodelay(true);
        let wire: Box<dyn Wire> = match relay.security {
            Security::Tls => Box::new(encrypted(relay, stream).await?),
            _ => Box::new(stream),
        };
        let mut connection = Connection::over(wire, relay);
        let greeting = connection.reply().await.map_err(trouble)?;
        if greeting.code != 220 {
            return Err(Trouble::Refused(greeting.code));
        }
        let mut offers = connection.hello(own_name).await?;
        let mut is_encrypted = relay.security == Security::Tls;
        let has_start_tls = offers.iter().any(|offer| offer == "STARTTLS");
        if relay.security != Security::Tls && has_start_tls {
            let reply = connection.ask(b"STARTTLS\r\n").await.map_err(trouble)?;
            // What came in clear after it would be taken for something said in private.
            if reply.code != 220 || !connection.wire.buffer().is_empty() {
                return Err(Trouble::NoEncryption);
            }
            let wire: Box<dyn Wire> = Box::new(encrypted(relay, connection.wire.into_inner()).await?);
            connection = Connection::over(wire, relay);
            is_encrypted = true;
            offers = connection.hello(own_name).await?;
        } else if relay.security == Security::StartTls {
            return Err(Trouble::NoEncryption);
        }
        connection.has_pipelining = offers.iter().any(|offer| offer == "PIPELINING");
        connection.has_utf8 = offers.iter().any(|offer| offer == "SMTPUTF8");
        if let Some((user, password)) = &relay.login {
            if !is_encrypted {
                return Err(Trouble::NoEncryption);
            }
            let secret = Zeroizing::new(format!("\0{user}\0{}", password.as_str()));
            let line = Zeroizing::new(format!("AUTH PLAIN {}\r\n", STANDARD.encode(secret.as_bytes())));
            let reply = connection.ask(line.as_bytes()).await.map_err(trouble)?;
            if reply.code != 235 {
                return Err(Trouble::Login(reply.code));
            }
        }
        Ok(connection)
    }

    fn over(wire: Box<dyn Wire>, relay: &Relay) -> Connection {
        let wire = BufReader::with_capacity(4_096, wire);
        Connection { wire, timeout: relay.timeout, has_pipelining: false, has_utf8: false }
    }

    /// Sends one mail. Its lines end in CRLF.
    ///
    /// # Errors
    /// When the connection broke: whether the mail was taken is not known then, and the connection is of no more use.
    pub async fn send(&mut self, from: &Mailbox, to: &Mailbox, mail: &[u8]) -> io::Result<Verdict> {
        let needs_utf8 = !to.local.is_ascii();
        if needs_utf8 && !self.has_utf8 {
            return Ok(Verdict::Refused(0, Class::BadAddress));
        }
        let utf8 = if needs_utf8 { " SMTPUTF8" } else { "" };
        let envelope = [format!("MAIL FROM:<{from}>{utf8}\r\n"), format!("RCPT TO:<{to}>\r\n"), "DATA\r\n".to_owned()];
        let mut replies = Vec::with_capacity(3);
        if self.has_pipelining {
            self.write(envelope.concat().as_bytes()).await?;
            for _ in 0..3 {
                replies.push(self.reply().await?);
            }
        } else {
            for line in &envelope {
                replies.push(self.ask(line.as_bytes()).await?);
                if replies.last().is_some_and(|reply| reply.code >= 400) {
                    break;
                }
            }
        }
        let is_ready = replies.len() == 3 && replies[2].code == 354;
        if let Some(refusal) = replies.iter().find(|reply| !(200..400).contains(&reply.code)) {
            let verdict = refusal.verdict();
            if is_ready {
                // Nobody is to get it; the relay waits for something all the same.
                self.ask(b".\r\n").await?;
            }
            if refusal.code == 421 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            self.ask(b"RSET\r\n").await?;
            return Ok(verdict);
        }
        if !is_ready {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.write(&stuffed(mail)).await?;
        let reply = self.reply().await?;
        match reply.code {
            200..=299 => Ok(Verdict::Accepted),
            421 => Err(io::ErrorKind::ConnectionAborted.into()),
            400..=599 => Ok(reply.verdict()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Says good-bye, and does not wait for the answer.
    pub async fn close(mut self) {
        let _ = self.write(b"QUIT\r\n").await;
    }

    async fn hello(&mut self, own_name: &str) -> Result<Vec<String>, Trouble> {
        let reply = self.ask(format!("EHLO {own_name}\r\n").as_bytes()).await.map_err(trouble)?;
        match reply.code {
            250 => Ok(reply.lines),
            400..=599 => Err(Trouble::Refused(reply.code)),
            _ => Err(Trouble::NotSmtp),
        }
    }

    async fn ask(&mut self, line: &[u8]) -> io::Result<Reply> {
        self.write(line).await?;
        self.reply().await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writing = async {
            self.wire.write_all(bytes).await?;
            self.wire.flush().await
        };
        tokio::time::timeout(self.timeout, writing).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        let reading = async {
            let mut reply = Reply { code: 0, enhanced: None, lines: Vec::new() };
            for _ in 0..limits::SMTP_REPLY_LINES_MAX {
                let mut line = Vec::new();
                let read = (&mut self.wire).take(limits::SMTP_LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let line = String::from_utf8_lossy(line.strip_suffix(b"\n").ok_or(io::ErrorKind::InvalidData)?);
                let line = line.trim_end();
                let code = line.get(..3).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
                let rest = line.get(4..).unwrap_or_default();
                reply.code = code;
                reply.enhanced = reply.enhanced.or_else(|| enhanced(rest));
                reply.lines.push(rest.to_ascii_uppercase());
                if line.as_bytes().get(3) != Some(&b'-') {
                    return Ok(reply);
                }
            }
            Err(io::ErrorKind::InvalidData.into())
        };
        tokio::time::timeout(self.timeout, reading).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

async fn encrypted<T: AsyncRead + AsyncWrite + Unpin + Send>(
    relay: &Relay,
    wire: T,
) -> Result<tokio_rustls::client::TlsStream<T>, Trouble> {
    let name = ServerName::try_from(relay.host.clone()).map_err(|_| Trouble::NotTrusted)?;
    let connecting = TlsConnector::from(relay.tls.clone()).connect(name, wire);
    let connected = tokio::time::timeout(relay.timeout, connecting).await.map_err(|_| Trouble::Silent)?;
    connected.map_err(|_| Trouble::NotTrusted)
}

fn trouble(error: io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::TimedOut => Trouble::Silent,
        io::ErrorKind::InvalidData => Trouble::NotSmtp,
        kind => Trouble::Unreachable(kind),
    }
}

/// Class and subject of `5.1.1 …`.
fn enhanced(text: &str) -> Option<(u16, u16)> {
    let mut parts = text.split([' ', '\t']).next()?.split('.');
    let class: u16 = parts.next()?.parse().ok()?;
    let subject: u16 = parts.next()?.parse().ok()?;
    let _: u16 = parts.next()?.parse().ok()?;
    matches!(class, 2 | 4 | 5).then_some((class, subject))
}

impl Reply {
    fn verdict(&self) -> Verdict {
        if self.code < 500 {
            return Verdict::Later(self.code);
        }
        let class = match (self.enhanced, self.code) {
            (Some((5, 1 | 2)), _) => Class::Mailbox,
            (Some((5, 4)), _) => Class::Domain,
            (Some((5, 6 | 7)), _) => Class::Policy,
            (Some(_), _) => Class::Other,
            (None, 550 | 551 | 553) => Class::Mailbox,
            (None, 552 | 554 | 571) => Class::Policy,
            (None, 556 | 521) => Class::Domain,
            (None, _) => Class::Other,
        };
        Verdict::Refused(self.code, class)
    }
}

/// The mail as it goes over the wire: a dot at the beginning of a line twice, and the end.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + 16);
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_could_end_a_line_or_a_bracket_is_none() {
        for wrong in
            ["", "a", "a@", "@b.io", "a b@c.io", "a@b.io>\r\nRCPT TO:<x@y.io", "a\n@b.io", "a@b.io,c@d.io", "a@b@c.io"]
        {
            assert!(Mailbox::parse(wrong).is_none(), "{wrong:?}");
        }
        let idn = Mailbox::parse(" ada@bücher.example ").unwrap();
        assert_eq!(idn.to_string(), "ada@xn--bcher-kva.example");
    }

    #[test]
    fn what_a_relay_says_becomes_a_class_and_none_of_its_words() {
        let verdict = |code: u16, text: &str| Reply { code, enhanced: enhanced(text), lines: vec![] }.verdict();
        assert_eq!(verdict(450, "4.2.1 later"), Verdict::Later(450));
        assert_eq!(verdict(550, "5.1.1 no such user"), Verdict::Refused(550, Class::Mailbox));
        assert_eq!(verdict(550, "5.7.1 rejected"), Verdict::Refused(550, Class::Policy));
        assert_eq!(verdict(550, "gone"), Verdict::Refused(550, Class::Mailbox));
        assert_eq!(verdict(556, "no mail here"), Verdict::Refused(556, Class::Domain));
    }

    #[test]
    fn dots_at_the_beginning_of_lines_are_doubled() {
        assert_eq!(stuffed(b".a\r\nb.\r\n..\r\n"), b"..a\r\nb.\r\n...\r\n.\r\n");
    }

    #[test]
    fn a_relay_elsewhere_is_encrypted_and_no_password_is_in_its_address() {
        let parse = |url: &str| Relay::parse(url, None, None);
        assert!(parse("smtp://mail.example.org").is_ok_and(|relay| relay.security == Security::StartTls));
        assert!(parse("smtps://mail.example.org").is_ok_and(|relay| relay.port == 465));
        assert!(parse("smtp://127.0.0.1:2525").is_ok_and(|relay| relay.security == Security::StartTlsIfOffered));
        for wrong in ["mail.example.org", "http://a.b", "smtp://", "smtp://u:p@a.b", "smtp://u@a.b", "smtp://a.b:x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
