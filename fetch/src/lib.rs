//! Getting content over a network, checked and resumed.
