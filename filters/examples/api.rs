//! Prints the page `docs/api.md`: `cargo run -p skep-filters --example api > docs/api.md`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    io::stdout().write_all(skep_filters::endpoint::describe::reference().as_bytes())
}
