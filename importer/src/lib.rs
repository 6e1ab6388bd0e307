//! The appliance's side: verify, load, activate, roll back.
