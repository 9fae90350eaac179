"""The control plane's side of the boundary to Rust: events out of the gateway, answers and changes into it."""
