"""The control plane's side of the border to Rust: events out of the gate, answers and changes into it."""
