//! The service model as its users meet it.
