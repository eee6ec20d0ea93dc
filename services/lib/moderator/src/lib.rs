//! The pipeline that the comment and DM consumers share.
