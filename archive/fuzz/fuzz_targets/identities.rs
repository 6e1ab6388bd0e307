#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sealift_archive_fuzz::identities(bytes);
});
