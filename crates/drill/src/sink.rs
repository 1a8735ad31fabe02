//! A mail relay that takes everything, and fails as it is told to: real SMTP on a real socket, for tests and attacks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// How often it fails, and how. Which mail fails is decided by a count and a seed.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    /// Of a thousand mails, how many meet each of: a 4xx, no answer, a connection that ends after the mail.
    pub(crate) each_per_mille: u64,
    pub(crate) seed: u64,
    /// How long "no answer" is.
    pub(crate) silence: Duration,
}

pub(crate) const NO_FAULTS: Faults = Faults { each_per_mille: 0, seed: 0, silence: Duration::ZERO };

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Later,
    Silence,
    CloseUntaken,
    CloseTaken,
}

/// A mail that it answers for.
pub(crate) struct Taken {
    pub(crate) to: String,
    pub(crate) mail: Vec<u8>,
    /// Whoever sent it was told.
    pub(crate) is_answered: bool,
}

pub(crate) type Keep = Arc<dyn Fn(Taken) + Send + Sync>;

/// Serves until its task ends. Addresses that begin with `gone` are refused for good.
pub(crate) async fn serve(listener: TcpListener, faults: Faults, keep: Keep) {
    let count = Arc::new(AtomicU64::new(0));
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (keep, count) = (keep.clone(), count.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            // A client that hangs up ends its session.
            let _ = session(stream, Some("220 sink\r\n"), "PIPELINING", faults, &count, &keep).await;
        });
    }
}

fn fault(faults: Faults, count: &AtomicU64) -> Fault {
    // SplitMix64.
    let mut x = faults.seed.wrapping_add(count.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    let (at, share) = (x % 1_000, faults.each_per_mille);
    match () {
        () if at < share => Fault::Later,
        () if at < 2 * share => Fault::Silence,
        () if at < 2 * share + share / 2 => Fault::CloseTaken,
        () if at < 3 * share => Fault::CloseUntaken,
        () => Fault::None,
    }
}

/// One connection. `greeting` is what it says first.
pub(crate) async fn session<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    greeting: Option<&str>,
    offers: &str,
    faults: Faults,
    count: &AtomicU64,
    keep: &Keep,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    if let Some(greeting) = greeting {
        stream.write_all(greeting.as_bytes()).await?;
    }
    let mut to = String::new();
    let mut is_refused = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.split([' ', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => format!("250-sink\r\n250-{offers}\r\n250 8BITMIME\r\n"),
            "AUTH" => "235 2.7.0 known\r\n".to_owned(),
            "MAIL" => {
                is_refused = false;
                "250 2.1.0 ok\r\n".to_owned()
            }
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                is_refused = to.starts_with("gone");
                if is_refused { "550 5.1.1 no such user\r\n".to_owned() } else { "250 2.1.5 ok\r\n".to_owned() }
            }
            "DATA" if is_refused => "554 5.5.1 nobody to send to\r\n".to_owned(),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                stream.flush().await?;
                let mut mail = Vec::new();
                loop {
                    let start = mail.len();
                    if stream.read_until(b'\n', &mut mail).await? == 0 {
                        return Ok(());
                    }
                    if &mail[start..] == b".\r\n" {
                        mail.truncate(start);
                        break;
                    }
                    if mail[start..].starts_with(b"..") {
                        mail.remove(start);
                    }
                }
                let fault = fault(faults, count);
                if matches!(fault, Fault::None | Fault::CloseTaken) {
                    keep(Taken { to: to.clone(), mail, is_answered: fault == Fault::None });
                }
                match fault {
                    Fault::CloseTaken | Fault::CloseUntaken => return Ok(()),
                    Fault::Silence => {
                        tokio::time::sleep(faults.silence).await;
                        return Ok(());
                    }
                    Fault::Later => "451 4.3.0 later\r\n".to_owned(),
                    Fault::None => "250 2.0.0 taken\r\n".to_owned(),
                }
            }
            "RSET" | "NOOP" => "250 2.0.0 ok\r\n".to_owned(),
            "QUIT" => return Ok(()),
            _ => "502 5.5.2 no\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

/// The value of a header of a mail.
pub(crate) fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
    let head = mail.split("\r\n\r\n").next()?;
    head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
