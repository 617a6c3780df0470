//! What the fuzz targets have in common.
//!
//! ```text
//!   bytes ─► script ─► trial ──► larder::Cache ──► results, and what is told
//!                        │                                 │ compared
//!                        └─────► ledger, and model ────────┘
//! ```
//!
//! `model` and `ledger` know nothing of larder, nor of each other's business:
//! the model says what an exact policy does, the ledger what any may do.

pub mod hashing;
pub mod ledger;
pub mod model;
pub mod script;
pub mod trial;
