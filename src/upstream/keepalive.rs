//! TCP keep-alive of every connection, to clients and upstream.

use std::time::Duration;

use pingora::protocols::TcpKeepalive;

/// A hijacked connection may be silent for hours; this notices a dead peer.
pub const KEEPALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
    count: 6,
    #[cfg(target_os = "linux")]
    user_timeout: Duration::ZERO,
};
