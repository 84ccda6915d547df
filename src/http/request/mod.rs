//! Reading requests: parts of the path, the query, preconditions, forms, orders in JSON. What is unknown or wrong is refused.

pub(super) mod conditional;
mod disposition;
pub(super) mod form;
pub(super) mod json;
mod order;
mod path;
mod query;

pub(super) use order::order;
pub(super) use path::UrlPath;
pub(super) use query::{Flag, NoQuery, Parameters, QueryOf, query};
