//! Open weights from a hub, in the cache that all tools of Hugging Face share.
//!
//! | part | what |
//! | --- | --- |
//! | [`cache`] | `models--OWNER--NAME/{blobs,refs,snapshots}`: what is there, and where |
//! | [`api`] | what a repository holds, and under which licence |
//! | [`download`] | one file: ranges, resuming, its hash |
//! | [`pull`] | a whole repository, complete or not at all |
//!
//! Follows the layout of `huggingface_hub` 1.0, `file_download.py`.

pub(crate) mod api;
pub(crate) mod cache;
pub(crate) mod download;
mod hash;
pub(crate) mod pull;
mod repository;

pub(crate) use cache::Cache;
pub(crate) use repository::Repository;
