//! An air gap on one machine: a vendor registry, the gap, an appliance.
