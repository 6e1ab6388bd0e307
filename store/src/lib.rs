//! The appliance's content store, Git mirrors and release history on disk.
