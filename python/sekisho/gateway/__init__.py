"""The Python side of the boundary to Rust: events from the gateway, answers and changes to it."""
