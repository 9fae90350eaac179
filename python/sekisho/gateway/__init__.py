"""The control plane's side of the boundary to Rust: events out of the gate, answers and changes into it."""
