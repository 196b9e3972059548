//! Sets the lifetimes of connections: TCP keep-alive for all of them, and the
//! idle time of pooled ones upstream.

use std::time::Duration;

use pingora::protocols::TcpKeepalive;

/// A hijacked connection may be silent for hours; this notices a dead peer after 80
/// seconds. A peer whose program has closed the connection answers for a minute
/// more (`tcp_fin_timeout`, tcp(7)), and resets it at the next try.
pub(crate) const KEEPALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(20),
    interval: Duration::from_secs(20),
    count: 3,
    #[cfg(target_os = "linux")]
    user_timeout: Duration::ZERO,
};

/// How long an unused connection to an engine or an agent is kept. An agent closes
/// its side later, and no engine closes one before 5 minutes, so that a reused
/// connection is alive.
pub(crate) const IDLE: Duration = Duration::from_secs(60);
