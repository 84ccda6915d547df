//! Pages for people. They need no script, except that `/docs` can send requests. They are made of the documents that the API
//! sends, so they show nothing that a program cannot get.

pub(super) mod docs;
pub(super) mod group;
pub(super) mod home;
pub(super) mod login;
mod page;
mod parts;
pub(super) mod problems;
pub(super) mod refusal;
