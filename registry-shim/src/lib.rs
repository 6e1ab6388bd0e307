//! Read-only OCI registry, Git over HTTP and status page of an appliance.
