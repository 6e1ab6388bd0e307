//! What a release is, how it is stored in a file, and who may sign it.
