//! What a mail server must answer to count as working: the dialogue of a check without its network part. No I/O.
//!
//! Greeting, EHLO, STARTTLS if wanted, log-in if there is one; then QUIT. No mail is sent. The password is sent only
//! under TLS, and only to a server whose certificate is trusted. The verdict repeats only the codes of the server's
//! replies, not their text: the text differs from answer to answer and may come from anybody.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// Maximum size of a reply, in bytes.
pub const REPLY_MAX: usize = 16 * 1024;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    None,
    /// By STARTTLS after the greeting.
    Starttls,
    /// From the first byte.
    Tls,
}

impl Security {
    /// Reads `none`, `starttls`, `tls`. An empty text means none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "none" => Some(Self::None),
            "starttls" => Some(Self::Starttls),
            "tls" => Some(Self::Tls),
            _ => None,
        }
    }

    /// The usual port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::None => 25,
            Self::Starttls => 587,
            Self::Tls => 465,
        }
    }
}

/// A reply: its code, and its lines without the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Lines.
    pub lines: Vec<String>,
}

/// The bytes are not a reply of a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not speak SMTP")]
pub struct NoReply;

impl Reply {
    /// Reads the reply at the beginning of the bytes. None means that more bytes must be read.
    ///
    /// # Errors
    /// [`NoReply`] when the bytes cannot become a reply.
    pub fn parse(read: &[u8]) -> Result<Option<Self>, NoReply> {
        let mut lines = Vec::new();
        let mut code = None;
        let mut rest = read;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line = String::from_utf8_lossy(&rest[..end]);
            let line = line.trim_end_matches('\r');
            rest = &rest[end + 1..];
            let number = line.get(..3).filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
            let number: u16 = number.and_then(|n| n.parse().ok()).ok_or(NoReply)?;
            if *code.get_or_insert(number) != number {
                return Err(NoReply);
            }
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            match line.as_bytes().get(3) {
                Some(b'-') => {}
                None | Some(b' ') => return Ok(Some(Self { code: number, lines })),
                Some(_) => return Err(NoReply),
            }
        }
        // A line that begins with anything but digits will not become a reply, however long it gets.
        let begins = rest.iter().take(3).all(u8::is_ascii_digit);
        if begins && read.len() < REPLY_MAX { Ok(None) } else { Err(NoReply) }
    }

    /// The code, with the enhanced code behind it if there is one: `535 5.7.8`.
    fn codes(&self) -> String {
        let word = self.lines.first().and_then(|l| l.split(' ').next()).unwrap_or_default();
        let enhanced = word.split('.').count() == 3
            && word.len() <= 11
            && word.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if enhanced { format!("{} {word}", self.code) } else { self.code.to_string() }
    }
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The server answers as it should; the text is a remark.
    Answers(String),
    /// The server answers, but not as it should.
    Refused(String),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Write this line and read a reply. The line may contain the password.
    Say(Secret),
    /// Begin TLS, then call [`Dialogue::secured`].
    BeginTls,
    /// The check is over: say QUIT and close.
    End(Verdict),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Greeting,
    Hello,
    Starttls,
    LogIn,
    User,
    Password,
}

/// The dialogue with a mail server.
#[derive(Debug, Clone)]
pub struct Dialogue {
    at: At,
    wants_starttls: bool,
    encrypted: bool,
    /// Why the certificate is not trusted.
    distrust: Option<String>,
    login: Option<(String, Secret)>,
}

impl Dialogue {
    /// A dialogue that begins with the server's greeting. For TLS from the first byte, `distrust` says why the
    /// certificate is not trusted.
    #[must_use]
    pub fn new(security: Security, login: Option<(String, Secret)>, distrust: Option<String>) -> Self {
        Self {
            at: At::Greeting,
            wants_starttls: security == Security::Starttls,
            encrypted: security == Security::Tls,
            distrust,
            login,
        }
    }

    /// To be called when TLS has begun after [`Next::BeginTls`].
    #[must_use]
    pub fn secured(&mut self, distrust: Option<String>) -> Next {
        self.encrypted = true;
        self.distrust = distrust;
        self.hello()
    }

    /// Judges a reply and decides what to do next.
    #[must_use]
    pub fn answer(&mut self, reply: &Reply) -> Next {
        let refused = |what: &str| Next::End(Verdict::Refused(format!("{what} ({})", reply.codes())));
        match (self.at, reply.code) {
            (At::Greeting, 220) => self.hello(),
            (At::Greeting, _) => refused("it does not take connections now"),
            (At::Hello, 250) => self.greeted(reply),
            (At::Hello, _) => refused("it refuses the greeting"),
            (At::Starttls, 220) => Next::BeginTls,
            (At::Starttls, _) => refused("it offers TLS and then refuses it"),
            (At::User, 334) => {
                self.at = At::Password;
                let password = self.login.as_ref().map_or("", |(_, p)| p.reveal());
                Next::Say(Secret::new(STANDARD.encode(password)))
            }
            (At::LogIn | At::Password, 235) => Next::End(Verdict::Answers("the log-in was accepted".into())),
            (At::LogIn | At::User | At::Password, 400..=499) => refused("it cannot check the log-in now"),
            (At::LogIn | At::User | At::Password, _) => refused("it refuses the log-in: user or password is wrong"),
        }
    }

    fn hello(&mut self) -> Next {
        self.at = At::Hello;
        Next::Say(Secret::new("EHLO tenantry.invalid"))
    }

    fn greeted(&mut self, reply: &Reply) -> Next {
        let offers = |word: &str| {
            let same = |line: &&String| line.split([' ', '=']).next().is_some_and(|w| w.eq_ignore_ascii_case(word));
            reply.lines.iter().skip(1).find(same)
        };
        if self.wants_starttls && !self.encrypted {
            if offers("STARTTLS").is_none() {
                return Next::End(Verdict::Refused(
                    "it does not offer STARTTLS; choose another security or another port".into(),
                ));
            }
            self.at = At::Starttls;
            return Next::Say(Secret::new("STARTTLS"));
        }
        let answers = |text: String| Next::End(Verdict::Answers(text));
        let Some((user, password)) = &self.login else {
            return answers(match &self.distrust {
                Some(why) => format!("its certificate is not trusted ({why}); no log-in is set"),
                None => "no log-in is set".into(),
            });
        };
        if !self.encrypted {
            return answers("the log-in was not tried: the connection is not encrypted".into());
        }
        if let Some(why) = &self.distrust {
            return answers(format!("the log-in was not tried: its certificate is not trusted ({why})"));
        }
        let ways = offers("AUTH").map(|line| line.to_ascii_uppercase()).unwrap_or_default();
        let offered = |way: &str| ways.split([' ', '=']).any(|w| w == way);
        if offered("PLAIN") {
            self.at = At::LogIn;
            let text = STANDARD.encode(format!("\0{user}\0{}", password.reveal()));
            return Next::Say(Secret::new(format!("AUTH PLAIN {text}")));
        }
        if offered("LOGIN") {
            self.at = At::User;
            return Next::Say(Secret::new(format!("AUTH LOGIN {}", STANDARD.encode(user))));
        }
        if ways.is_empty() {
            return Next::End(Verdict::Refused("it offers no log-in, and one is set".into()));
        }
        answers("the log-in was not tried: it offers neither PLAIN nor LOGIN".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply::parse(text.as_bytes()).unwrap().unwrap()
    }

    fn login() -> Option<(String, Secret)> {
        Some(("crm".into(), Secret::new("hunter22")))
    }

    /// Plays a server's replies to a dialogue and uses this distrust when TLS begins. Returns the lines that were said
    /// and the verdict.
    fn play(
        security: Security,
        login: Option<(String, Secret)>,
        distrust: Option<&str>,
        replies: &[&str],
    ) -> (Vec<String>, Option<Verdict>) {
        let distrust = distrust.map(str::to_owned);
        let first = if security == Security::Tls { distrust.clone() } else { None };
        let mut dialogue = Dialogue::new(security, login, first);
        let mut said = Vec::new();
        for text in replies {
            let mut next = dialogue.answer(&reply(text));
            if next == Next::BeginTls {
                said.push("(TLS)".to_owned());
                next = dialogue.secured(distrust.clone());
            }
            match next {
                Next::Say(line) => said.push(line.reveal().to_owned()),
                Next::End(verdict) => return (said, Some(verdict)),
                Next::BeginTls => panic!("twice"),
            }
        }
        (said, None)
    }

    const HELLO: &str = "250-mx.example greets you\r\n250-STARTTLS\r\n250 SIZE 1000\r\n";
    const SECURE: &str = "250-mx.example greets you\r\n250 AUTH LOGIN PLAIN\r\n";

    #[test]
    fn a_log_in_is_tried_under_tls_and_its_result_is_the_verdict() {
        let all = ["220 mx.example ESMTP\r\n", HELLO, "220 go on\r\n", SECURE, "235 2.7.0 fine\r\n"];
        let (said, verdict) = play(Security::Starttls, login(), None, &all);
        let hello = "EHLO tenantry.invalid";
        assert_eq!(said, [hello, "STARTTLS", "(TLS)", hello, "AUTH PLAIN AGNybQBodW50ZXIyMg=="]);
        assert_eq!(verdict, Some(Verdict::Answers("the log-in was accepted".into())));
        let wrong = "535-5.7.8 hunter22 is wrong, see id a640c23a\r\n535 5.7.8 end\r\n";
        let (_, verdict) = play(Security::Tls, login(), None, &["220 a\r\n", SECURE, wrong]);
        let Some(Verdict::Refused(text)) = verdict else { panic!("{verdict:?}") };
        assert!(text.contains("(535 5.7.8)") && !text.contains("hunter22") && !text.contains("a640"), "{text}");
        let busy = play(Security::Tls, login(), None, &["220 a\r\n", SECURE, "454 4.7.0 later\r\n"]).1;
        assert_eq!(busy, Some(Verdict::Refused("it cannot check the log-in now (454 4.7.0)".into())));
    }

    #[test]
    fn a_log_in_in_two_steps_works_where_nothing_else_is_offered() {
        let all = ["220 a\r\n", "250-a\r\n250 AUTH=LOGIN\r\n", "334 UGFzc3dvcmQ6\r\n", "235 ok\r\n"];
        let (said, verdict) = play(Security::Tls, login(), None, &all);
        assert_eq!(said[1..], ["AUTH LOGIN Y3Jt", "aHVudGVyMjI="]);
        assert!(matches!(verdict, Some(Verdict::Answers(_))));
    }

    #[test]
    fn a_password_is_sent_neither_in_the_clear_nor_to_a_server_that_nobody_vouches_for() {
        let clear = ["220 a\r\n", SECURE];
        let (said, verdict) = play(Security::None, login(), None, &clear);
        assert_eq!(said, ["EHLO tenantry.invalid"]);
        assert!(matches!(verdict, Some(Verdict::Answers(t)) if t.contains("not encrypted")));
        let (said, verdict) = play(Security::Tls, login(), Some("unknown issuer"), &clear);
        assert_eq!(said, ["EHLO tenantry.invalid"]);
        assert!(matches!(verdict, Some(Verdict::Answers(t)) if t.contains("unknown issuer")));
        let all = ["220 a\r\n", HELLO, "220 go\r\n", SECURE];
        let (said, _) = play(Security::Starttls, login(), Some("expired"), &all);
        assert!(!said.iter().any(|line| line.starts_with("AUTH")), "{said:?}");
    }

    #[test]
    fn what_a_server_refuses_is_said_with_its_code() {
        for (security, login, replies, words) in [
            (Security::None, None, vec!["554 5.3.2 go away\r\n"], "does not take connections now (554 5.3.2)"),
            (Security::None, None, vec!["220 a\r\n", "502 what\r\n"], "refuses the greeting (502)"),
            (Security::Starttls, None, vec!["220 a\r\n", "250 a\r\n"], "does not offer STARTTLS"),
            (Security::Starttls, None, vec!["220 a\r\n", HELLO, "454 no\r\n"], "then refuses it (454)"),
            (Security::Tls, login(), vec!["220 a\r\n", "250 a\r\n"], "offers no log-in"),
        ] {
            let Some(Verdict::Refused(text)) = play(security, login, None, &replies).1 else { panic!("{words}") };
            assert!(text.contains(words), "{text}");
        }
        let quiet = play(Security::None, None, None, &["220 a\r\n", "250 a\r\n"]).1;
        assert_eq!(quiet, Some(Verdict::Answers("no log-in is set".into())));
    }

    #[test]
    fn a_reply_is_read_as_far_as_it_came_and_anything_else_is_none() {
        assert_eq!(
            Reply::parse(b"250-a\r\n250 b\r\nmore").unwrap(),
            Some(Reply { code: 250, lines: vec!["a".into(), "b".into()] })
        );
        assert_eq!(Reply::parse(b"220\r\n").unwrap().map(|r| r.code), Some(220));
        for more in ["", "2", "250-a\r\n", "250-a\r\n25", "220 no end"] {
            assert_eq!(Reply::parse(more.as_bytes()), Ok(None), "{more:?}");
        }
        for wrong in ["HTTP/1.1 400\r\n", "SSH-2.0-x", "250-a\r\n251 b\r\n", "220_a\r\n", "\r\n", "\u{fffd}\u{fffd}\n"]
        {
            assert_eq!(Reply::parse(wrong.as_bytes()), Err(NoReply), "{wrong:?}");
        }
        assert_eq!(Reply::parse("2".repeat(REPLY_MAX).as_bytes()), Err(NoReply), "no end in sight");
    }
}
